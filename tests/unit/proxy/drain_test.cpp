#include <gtest/gtest.h>

#include "support/websocket.hpp"

namespace nestgate::test {
namespace {

using namespace std::chrono_literals;

constexpr auto long_grace = 60s;  // never run out: what a test waits for comes before

std::string get_request(std::string_view fields = {}) {
  return "GET /api/conversations/c1 HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + std::string(fields) + "\r\n";
}

class Drain : public testing::Test {
 protected:
  void start(proxy::Config config = default_config(), unsigned threads = 1) {
    gateway_.emplace(std::move(config), threads);
    gateway_->start();
    gateway_->add("c1", server_.port());
  }
  // Stops the gateway on a thread of its own, so that the test sees what happens meanwhile.
  void begin(Clock::duration grace) {
    stopping_ = std::thread([this, grace] { gateway_->stop(grace); });
  }
  // Returns once the core has told all of its connections: a websocket of its own has got its 1012.
  void begin_and_wait(Clock::duration grace) {
    auto witness = open_tunnel(*gateway_, server_, "/sockets/events/c1", key_field("c1"));
    begin(grace);
    auto const frame = read_frame(witness.client);
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->code(), 1012);
  }
  void TearDown() override {
    if (stopping_.joinable()) stopping_.join();
  }

  ScriptedServer server_;
  std::optional<Gateway> gateway_;
  std::thread stopping_;
};

TEST_F(Drain, EndsWebsocketsWith1012AndTheirServersSide) {
  start();
  auto pair = open_tunnel(*gateway_, server_, "/sockets/events/c1", key_field("c1"));
  begin(long_grace);
  auto const frame = read_frame(pair.client);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->opcode, close_opcode);
  EXPECT_EQ(frame->code(), 1012);
  EXPECT_EQ(pair.nested.read_to_end(), "");
  pair.client.send(from_client(close_opcode, closing(1012, "")));
  EXPECT_EQ(pair.client.read_to_end(), "");
  EXPECT_EQ(gateway_->stats().tunnels_ended[static_cast<std::size_t>(proxy::TunnelEnd::drain)].read(), 1u);
}

TEST_F(Drain, EndsAWebsocketThatOpensOnlyAfterItBegan) {
  start();
  auto client = gateway_->connect();
  client.send(upgrade_request("/sockets/events/c1", key_field("c1")));
  auto nested = server_.next();
  read_request(nested);
  begin_and_wait(long_grace);
  nested.send(switching_protocols());
  EXPECT_EQ(read_answer(client, WithBody::no).status, 101u);
  EXPECT_EQ(close_code_at_end(client), 1012);
  EXPECT_EQ(nested.read_to_end(), "");
}

TEST_F(Drain, EndsASocketThatDidNotNameItsKeyYetWith1012) {
  start();
  auto client = open_unnamed(*gateway_, "/sockets/bash-events");
  begin(long_grace);
  EXPECT_EQ(close_code_at_end(client), 1012);
}

TEST_F(Drain, TakesNoNewConnections) {
  start();
  begin_and_wait(long_grace);
  EXPECT_THROW(gateway_->connect(), std::runtime_error);
}

TEST_F(Drain, AWebsocketWithinAFrameIsCut) {
  start();
  auto pair = open_tunnel(*gateway_, server_, "/sockets/events/c1", key_field("c1"));
  auto const whole = from_server(text_opcode, std::string(1'000, 'x'));
  pair.nested.send(std::string_view(whole).substr(0, 100));
  EXPECT_EQ(pair.client.read_exactly(100), whole.substr(0, 100));
  begin(long_grace);
  EXPECT_EQ(pair.client.read_to_end(), "");
}

TEST_F(Drain, LetsARequestFinishAndTellsItsClientToClose) {
  start();
  auto client = gateway_->connect();
  client.send(get_request());
  auto nested = server_.next();
  read_request(nested);
  begin_and_wait(long_grace);
  nested.send(ok_answer("all of it"));
  auto const answer = read_answer(client);
  EXPECT_EQ(answer.status, 200u);
  EXPECT_EQ(answer.body, "all of it");
  EXPECT_TRUE(same_ignoring_case(answer.value("connection"), "close"));
  EXPECT_EQ(client.read_to_end(), "");
}

TEST_F(Drain, LetsAnUploadAndADownloadFinish) {
  start();
  auto client = gateway_->connect();
  client.send("POST /api/file/upload HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Content-Length: 100000\r\n\r\n");
  auto nested = server_.next();
  auto const head = nested.read_until("\r\n\r\n");
  client.send(std::string(50'000, 'a'));
  EXPECT_EQ(nested.read_exactly(50'000).size(), 50'000u);
  begin_and_wait(long_grace);
  client.send(std::string(50'000, 'b'));
  EXPECT_EQ(nested.read_exactly(50'000), std::string(50'000, 'b'));
  nested.send("HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n" + std::string(100'000, 'c'));
  EXPECT_TRUE(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(client.read_exactly(100'000), std::string(100'000, 'c'));
  nested.send(std::string(100'000, 'd'));
  EXPECT_EQ(client.read_exactly(100'000), std::string(100'000, 'd'));
}

TEST_F(Drain, ClosesIdleConnectionsButAnswersARequestThatWasOnItsWay) {
  start();
  auto idle = gateway_->connect();
  auto asking = gateway_->connect();
  for (auto* client : {&idle, &asking}) {
    client->send("GET /health HTTP/1.1\r\nHost: g\r\n\r\n");
    ASSERT_EQ(read_answer(*client).status, 200u);
  }
  asking.send("GET /health HTTP/1.1\r\n");
  begin_and_wait(long_grace);
  asking.send("Host: g\r\n\r\n");
  auto const answer = read_answer(asking);
  EXPECT_EQ(answer.status, 200u);
  EXPECT_TRUE(same_ignoring_case(answer.value("connection"), "close"));
  EXPECT_EQ(asking.read_to_end(), "");
  EXPECT_EQ(idle.read_to_end(), "");
}

TEST_F(Drain, CutsWhatIsLeftWhenTheGraceEnds) {
  start();
  auto waiting = gateway_->connect();
  waiting.send(get_request());
  auto nested = server_.next();
  read_request(nested);
  auto half_head = gateway_->connect();
  half_head.send("GET / HTTP/1.1\r\n");
  auto streaming = gateway_->connect();
  streaming.send(get_request("Accept: text/event-stream\r\n"));
  auto stream = server_.next();
  read_request(stream);
  stream.send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n");
  streaming.read_until("data: 1\n\n");
  begin(50ms);
  EXPECT_EQ(waiting.read_to_end(), "");
  EXPECT_EQ(half_head.read_to_end(), "");
  EXPECT_EQ(streaming.read_to_end(), "");
  EXPECT_EQ(nested.read_to_end(), "");
  EXPECT_EQ(stream.read_to_end(), "");
}

TEST_F(Drain, AWebsocketWhoseClientNeverAnswersEndsWithTheGrace) {
  start();
  auto pair = open_tunnel(*gateway_, server_, "/sockets/events/c1", key_field("c1"));
  begin(10ms);
  EXPECT_EQ(read_frame(pair.client)->code(), 1012);
  EXPECT_EQ(pair.client.read_to_end(), "");
}

// What a client of a closed loop saw. It comes back only when it was told to go, and stops once nobody is there.
struct Seen {
  std::size_t asked = 0;
  std::size_t answered = 0;
};
Seen ask_until_refused(std::uint16_t port, std::atomic<std::size_t>& answered_in_all) {
  Seen seen;
  try {
    for (;;) {
      auto client = Connection::to(port);
      for (bool told_to_go = false; !told_to_go;) {
        ++seen.asked;
        if (!client.send(get_request())) return seen;
        auto const answer = read_answer(client);
        if (answer.status != 200 || answer.body.empty()) return seen;
        ++seen.answered;
        ++answered_in_all;
        told_to_go = same_ignoring_case(answer.value("connection"), "close");
      }
    }
  } catch (TimedOut const&) {
    return seen;
  } catch (std::runtime_error const&) {  // refused: the end
    return seen;
  }
}

TEST_F(Drain, LosesNoRequestUnderLoad) {
  Server echo(echo_heads);
  for (int round = 0; round < 3; ++round) {
    gateway_.reset();
    gateway_.emplace(default_config(), 2);
    gateway_->start();
    gateway_->add("c1", echo.port());
    constexpr std::size_t clients = 8;
    std::atomic<std::size_t> answered{0};
    std::vector<Seen> seen(clients);
    std::vector<std::jthread> threads;
    for (auto& one : seen) {
      threads.emplace_back([this, &one, &answered] { one = ask_until_refused(gateway_->port(), answered); });
    }
    EXPECT_TRUE(eventually([&] { return answered > 200; }));
    gateway_->stop(long_grace);
    for (auto& thread : threads) thread.join();
    for (auto const& one : seen) EXPECT_EQ(one.asked, one.answered);
  }
}

}  // namespace
}  // namespace nestgate::test
