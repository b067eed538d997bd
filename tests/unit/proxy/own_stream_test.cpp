#include <gtest/gtest.h>

#include "support/scripted.hpp"
#include "support/websocket.hpp"

// An answer of the gateway's own routes that comes piece by piece.
namespace nestgate::test {
namespace {

using namespace std::chrono_literals;

// Gives what the test puts in; says where it was destroyed, and whether somebody waited then.
struct Source {
  explicit Source(Executor control) : arrived(control, Clock::time_point::max()) {}
  std::deque<std::string> pieces;  // on the control core, as all of this
  Timer arrived;
  std::atomic<std::size_t> waits{0}, cancelled{0}, destroyed{0};
  std::thread::id destroyed_on;
};

class Pieces final : public proxy::ApiStream {
 public:
  explicit Pieces(Source& source) : source_(source) {}
  ~Pieces() override {
    source_.destroyed_on = std::this_thread::get_id();
    ++source_.destroyed;
  }
  Task<std::string> next() override {
    ++source_.waits;
    while (source_.pieces.empty()) {
      co_await source_.arrived.async_wait(no_throw);
      auto const state = co_await asio::this_coro::cancellation_state;
      if (state.cancelled() == asio::cancellation_type::none) continue;
      ++source_.cancelled;
      co_return std::string{};
    }
    auto piece = std::move(source_.pieces.front());
    source_.pieces.pop_front();
    co_return piece;
  }

 private:
  Source& source_;
};

class OwnStream : public testing::Test {
 protected:
  void start(proxy::Config config = default_config()) {
    gateway_.emplace(std::move(config));
    source_.emplace(gateway_->control());
    gateway_->own_routes().on_request = [this](proxy::ApiRequest) { return open(*source_); };
    gateway_->start();
    gateway_->run(note_thread(control_thread_));
  }
  void TearDown() override {
    if (!gateway_) return;
    gateway_->stop(0ms);
    source_.reset();
    gateway_.reset();
  }
  static Task<proxy::ApiResponse> open(Source& source) {
    proxy::ApiResponse response;
    response.content_type = "text/event-stream";
    response.body = "first;";
    response.headers.emplace_back("X-Progress", "yes");
    response.stream = std::make_shared<Pieces>(source);
    co_return response;
  }
  static Task<> note_thread(std::thread::id& out) {
    out = std::this_thread::get_id();
    co_return;
  }
  static Task<> put_in(Source& source, std::string piece) {
    source.pieces.push_back(std::move(piece));
    source.arrived.cancel();
    co_return;
  }
  void put(std::string piece) { gateway_->run(put_in(*source_, std::move(piece))); }
  Connection ask(std::string const& version = "1.1", std::string const& method = "GET", std::string const& fields = {}) {
    auto client = gateway_->connect();
    client.send(method + " /api/conversations/c1/progress HTTP/" + version + "\r\nHost: g\r\n" + bearer(alice_api_key) +
                fields + "\r\n");
    return client;
  }
  bool is_destroyed() {
    return eventually([&] { return source_->destroyed == 1; });
  }

  std::optional<Gateway> gateway_;
  std::optional<Source> source_;
  std::thread::id control_thread_;
};

TEST_F(OwnStream, SendsEachPieceAsAChunkAsSoonAsItIsThere) {
  start();
  auto client = ask();
  auto const head = client.read_until("\r\n\r\n");
  EXPECT_TRUE(head.starts_with("HTTP/1.1 200 "));
  EXPECT_EQ(field_value(head, "transfer-encoding"), "chunked");
  EXPECT_EQ(field_value(head, "content-type"), "text/event-stream");
  EXPECT_EQ(field_value(head, "x-progress"), "yes");
  EXPECT_TRUE(field_value(head, "content-length").empty());
  EXPECT_EQ(client.read_until(";\r\n"), "6\r\nfirst;\r\n");
  for (std::string const piece : {"second;", "third, which is longer than sixteen bytes;"}) {
    put(piece);
    auto const size = std::stoul(client.read_until("\r\n"), nullptr, 16);
    EXPECT_EQ(client.read_exactly(size + 2), piece + "\r\n");
  }
  put("");
  EXPECT_EQ(client.read_until("0\r\n\r\n"), "0\r\n\r\n");
  EXPECT_TRUE(is_destroyed());
  EXPECT_EQ(source_->destroyed_on, control_thread_);
  client.send("GET /health HTTP/1.1\r\nHost: g\r\n\r\n");
  EXPECT_EQ(read_answer(client).status, 200u) << "the connection is kept";
}

TEST_F(OwnStream, IsRawUntilTheCloseForAnOldClient) {
  start();
  auto client = ask("1.0", "GET", "Connection: keep-alive\r\n");
  auto const head = client.read_until("\r\n\r\n");
  EXPECT_TRUE(field_value(head, "transfer-encoding").empty());
  EXPECT_EQ(field_value(head, "connection"), "close");
  put("second;");
  EXPECT_EQ(client.read_until("second;"), "first;second;");
  put("");
  EXPECT_EQ(client.read_to_end(), "");
}

TEST_F(OwnStream, HasNoBodyInAnAnswerToHead) {
  start();
  auto client = gateway_->connect();
  client.send("HEAD /api/v1/users/me HTTP/1.1\r\nHost: g\r\n" + bearer(alice_api_key) + "\r\n");
  client.read_until("\r\n\r\n");
  EXPECT_TRUE(is_destroyed());
  client.send("GET /health HTTP/1.1\r\nHost: g\r\n\r\n");
  EXPECT_TRUE(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
}

TEST_F(OwnStream, WaitsLongerThanABodyMay) {
  auto config = default_config();
  config.timeouts.body_progress = 20ms;
  config.timeouts.sweep = 5ms;
  start(std::move(config));
  auto client = ask();
  client.read_until("first;\r\n");
  Server other(echo_as("c2"));
  gateway_->add("c2", other.port());
  // Several times as long as a body may rest, by the same clock.
  auto const end = Clock::now() + 200ms;
  while (Clock::now() < end) gateway_->get("/x", key_field("c2"));
  put("second;");
  EXPECT_EQ(client.read_until(";\r\n"), "7\r\nsecond;\r\n");
}

TEST_F(OwnStream, EndsByTheIdleTimeOfStreams) {
  auto config = default_config();
  config.timeouts.stream_idle = 20ms;
  start(std::move(config));
  auto client = ask();
  EXPECT_TRUE(client.read_until("\r\n0\r\n\r\n").ends_with("first;\r\n0\r\n\r\n")) << "a clean end";
  EXPECT_TRUE(is_destroyed());
}

TEST_F(OwnStream, IsLetGoWhenItsClientHasLeft) {
  start();
  auto client = ask();
  client.read_until("first;\r\n");
  ASSERT_TRUE(eventually([&] { return source_->waits == 1; }));
  client.close();
  EXPECT_TRUE(is_destroyed());
  EXPECT_EQ(source_->cancelled, 1u);
  EXPECT_EQ(source_->destroyed_on, control_thread_);
}

TEST_F(OwnStream, EndsCleanlyWithTheDrain) {
  start();
  auto client = ask();
  client.read_until("first;\r\n");
  ASSERT_TRUE(eventually([&] { return source_->waits == 1; }));
  gateway_->run(gateway_->cores().drain(20s));
  EXPECT_EQ(client.read_to_end(), "0\r\n\r\n");
  EXPECT_EQ(source_->destroyed, 1u);
}

TEST_F(OwnStream, EndsWithTheApiKeyThatOpenedIt) {
  start();
  auto client = ask();
  client.read_until("first;\r\n");
  auto config = default_config();
  config.api_keys = nullptr;
  gateway_->cores().replace_config(config);
  EXPECT_EQ(client.read_until("0\r\n\r\n"), "0\r\n\r\n");
  EXPECT_TRUE(is_destroyed());
}

TEST_F(OwnStream, CutsAClientThatReadsNothing) {
  auto config = default_config();
  config.timeouts.body_progress = 30ms;
  start(std::move(config));
  auto client = ask();
  put(std::string(20'000'000, 'x'));
  EXPECT_TRUE(is_destroyed());
}

}  // namespace
}  // namespace nestgate::test
