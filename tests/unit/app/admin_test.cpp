#include "nestgate/app/admin.hpp"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <optional>
#include <thread>

#include "nestgate/app/metrics.hpp"

namespace nestgate::app {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

// A blocking client, so that what is tested is the bytes on the wire.
class Client {
 public:
  explicit Client(asio::ip::tcp::endpoint const& at) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    timeval const patience{.tv_sec = 10, .tv_usec = 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    connected_ = ::connect(fd_, at.data(), static_cast<socklen_t>(at.size())) == 0;
  }
  Client(Client const&) = delete;
  Client& operator=(Client const&) = delete;
  ~Client() { ::close(fd_); }

  bool connected() const noexcept { return connected_; }
  void send(std::string_view bytes) const {
    EXPECT_EQ(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
  }
  // Until the server closes.
  std::string read_all() {
    while (read_more()) {
    }
    return std::exchange(received_, {});
  }
  std::string read_head() {
    while (received_.find("\r\n\r\n") == received_.npos && read_more()) {
    }
    return received_;
  }
  // One answer, by its Content-Length.
  std::string read_answer() {
    std::size_t head = received_.npos;
    while ((head = received_.find("\r\n\r\n")) == received_.npos) {
      if (!read_more()) return std::exchange(received_, {});
    }
    auto const field = received_.find("Content-Length: ");
    auto const size = head + 4 + static_cast<std::size_t>(std::atol(received_.c_str() + field + 16));
    while (received_.size() < size && read_more()) {
    }
    auto answer = received_.substr(0, size);
    received_.erase(0, size);
    return answer;
  }

 private:
  bool read_more() {
    std::array<char, 4096> bytes{};
    auto const got = ::recv(fd_, bytes.data(), bytes.size(), 0);
    if (got > 0) received_.append(bytes.data(), static_cast<std::size_t>(got));
    return got > 0;
  }

  int fd_;
  bool connected_ = false;
  std::string received_;
};

class Admin : public testing::Test {
 protected:
  void start(AdminLimits limits = {}) {
    AdminSources sources;
    sources.readiness = [this] { return readiness_; };
    sources.metrics = {std::make_shared<ProcessCollector>()};
    sources.routes = []() -> Task<std::string> { co_return R"({"routes":[]})"; };
    sources.operators = [this](AdminRequest request) -> Task<AdminAnswer> {
      if (stops_when_asked_) core_.tasks.spawn("stop", server_->stop());
      asked_.push_back((request.method == AdminRequest::Method::post ? "POST " : "GET ") + request.path + "?" +
                       request.query);
      co_return to_answer_;
    };
    server_.emplace(core_, std::move(sources), limits);
    auto const bound = server_->listen({asio::ip::address_v4::loopback(), 0});
    ASSERT_TRUE(bound);
    at_ = *bound;
    server_->start();
    thread_ = std::thread([this] { core_.loop.run(); });
  }
  void TearDown() override {
    if (!thread_.joinable()) return;
    asio::post(core_.loop, [this] { core_.tasks.spawn("stop", server_->stop()); });
    thread_.join();
  }
  std::string ask(std::string_view request) {
    Client client(at_);
    client.send(request);
    return client.read_all();
  }
  std::string get(std::string_view path) {
    return ask(std::string("GET ").append(path).append(" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"));
  }
  void become(Readiness readiness) {
    std::promise<void> done;
    asio::post(core_.loop, [&] {
      readiness_ = readiness;
      done.set_value();
    });
    done.get_future().wait();
  }

  Core core_{CoreIndex{0}};
  Readiness readiness_ = Readiness::ready;
  std::vector<std::string> asked_;  // below /api/; read once it was answered
  AdminAnswer to_answer_{.body = "{}"};
  bool stops_when_asked_ = false;
  std::optional<AdminServer> server_;
  asio::ip::tcp::endpoint at_;
  std::thread thread_;
};

std::string body_of(std::string const& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }

TEST_F(Admin, IsAliveEvenWhenItIsNotReady) {
  start();
  become(Readiness::draining);
  auto const answer = get("/healthz");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(body_of(answer), R"({"status":"alive"})");
}

TEST_F(Admin, IsReadyOnlyWhileItListensAndDoesNotDrain) {
  start();
  EXPECT_THAT(get("/readyz"), StartsWith("HTTP/1.1 200 OK\r\n"));
  become(Readiness::starting);
  EXPECT_THAT(get("/readyz"), testing::AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr(R"("code":"starting")")));
  become(Readiness::draining);
  EXPECT_THAT(get("/readyz"), testing::AllOf(StartsWith("HTTP/1.1 503 "), HasSubstr(R"("code":"draining")")));
}

TEST_F(Admin, ShowsMetricsAsPrometheusText) {
  start();
  auto const answer = get("/metrics");
  EXPECT_THAT(answer, HasSubstr("Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
  EXPECT_THAT(body_of(answer), HasSubstr("# TYPE nestgate_process_open_fds gauge\n"));
}

TEST_F(Admin, ShowsTheRoutes) {
  start();
  EXPECT_EQ(body_of(get("/debug/routes")), R"({"routes":[]})");
}

TEST_F(Admin, IgnoresTheQuery) {
  start();
  EXPECT_THAT(get("/healthz?verbose=1"), StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST_F(Admin, AnswersHeadWithTheLengthButNoBody) {
  start();
  auto const answer = ask("HEAD /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(answer, HasSubstr("Content-Length: 18\r\n"));
  EXPECT_EQ(body_of(answer), "");
}

TEST_F(Admin, KeepsAConnectionForTheNextRequest) {
  start();
  Client client(at_);
  client.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /readyz HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(client.read_answer(), HasSubstr("alive"));
  EXPECT_THAT(client.read_answer(), HasSubstr("ready"));
  client.send("HEAD /healthz HTTP/1.1\r\nHost: a\r\n\r\nGET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(client.read_all(), HasSubstr("\r\n\r\nHTTP/1.1 200 OK\r\n"));
}

TEST_F(Admin, AnswersEverythingElseInTheGatewaysErrorShapeWithTheRequestsId) {
  start();
  auto const answer = get("/");
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 404 "));
  auto const id_at = answer.find("X-Request-Id: ");
  ASSERT_NE(id_at, answer.npos);
  auto const id = answer.substr(id_at + 14, 16);
  EXPECT_EQ(body_of(answer),
            R"({"error":{"code":"not_found","message":"no such admin route","request_id":")" + id + R"("}})");
  EXPECT_THAT(get("/healthz/"), StartsWith("HTTP/1.1 404 "));
  EXPECT_EQ(answer.find("Server:"), answer.npos);
}

TEST_F(Admin, RefusesOtherMethodsAndBodies) {
  start();
  EXPECT_THAT(
      ask("DELETE /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
      testing::AllOf(StartsWith("HTTP/1.1 405 "), HasSubstr("Allow: GET, HEAD\r\n"), HasSubstr("method_not_allowed")));
  EXPECT_THAT(ask("POST /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"),
              testing::AllOf(StartsWith("HTTP/1.1 413 "), HasSubstr("body_not_allowed")));
}

TEST_F(Admin, HandsWhatIsBelowApiToTheOperators) {
  start();
  EXPECT_THAT(get("/api/conversations?limit=1"), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(ask("HEAD /api/top HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(ask("POST /api/conversations/c1/stop HTTP/1.1\r\nHost: a\r\nX-Nestgate-Operator: 1\r\n"
                  "Content-Length: 0\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(asked_,
              testing::ElementsAre("GET /api/conversations?limit=1", "GET /api/top?", "POST /api/conversations/c1/stop?"));
}

TEST_F(Admin, ShowsTheOperatorsErrorsInTheGatewaysShape) {
  to_answer_ = {.status = 405, .code = "method_not_allowed", .message = "allowed: POST", .allow = "POST"};
  start();
  EXPECT_THAT(
      get("/api/conversations/c1/stop"),
      testing::AllOf(StartsWith("HTTP/1.1 405 "), HasSubstr("Allow: POST\r\n"),
                     HasSubstr(R"({"error":{"code":"method_not_allowed","message":"allowed: POST","request_id":")")));
}

TEST_F(Admin, KeepsWebPagesOutOfTheOperatorsApi) {
  start();
  auto const post = [this](std::string const& fields) {
    return ask("POST /api/conversations/c1/stop HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n" + fields +
               "\r\n");
  };
  for (auto const* fields : {"", "X-Nestgate-Operator: 0\r\n", "Origin: http://a\r\nX-Nestgate-Operator: 1\r\n",
                             "Origin: null\r\nX-Nestgate-Operator: 1\r\n"})
    EXPECT_THAT(post(fields), StartsWith("HTTP/1.1 403 ")) << fields;
  EXPECT_THAT(ask("GET /api/top HTTP/1.1\r\nHost: a\r\nOrigin: http://b\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(ask("OPTIONS /api/top HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
              testing::AllOf(StartsWith("HTTP/1.1 405 "), testing::Not(HasSubstr("Access-Control"))));
  EXPECT_TRUE(asked_.empty());
}

TEST_F(Admin, RefusesWhatIsNotHttpAndHeadsThatAreTooLarge) {
  start();
  EXPECT_THAT(ask("hello\r\n\r\n"), testing::AllOf(StartsWith("HTTP/1.1 400 "), HasSubstr("bad_request")));
  EXPECT_THAT(ask("GET /healthz HTTP/1.1\r\nHost: a\r\nX: " + std::string(17 * 1024, 'x') + "\r\n\r\n"),
              testing::AllOf(StartsWith("HTTP/1.1 431 "), HasSubstr("head_too_large")));
}

TEST_F(Admin, ClosesAClientThatSaysNothing) {
  AdminLimits limits;
  limits.head_time_max = std::chrono::milliseconds{20};
  start(limits);
  Client client(at_);
  EXPECT_EQ(client.read_all(), "");
}

TEST_F(Admin, ClosesConnectionsBeyondItsLimitAndTakesNewOnesWhenOthersEnd) {
  AdminLimits limits;
  limits.connections_max = 1;
  start(limits);
  {
    Client first(at_);
    first.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_THAT(first.read_answer(), HasSubstr("alive"));
    Client second(at_);
    EXPECT_TRUE(second.connected());
    EXPECT_EQ(second.read_all(), "");
  }
  std::string answer;
  while (answer.empty()) answer = get("/healthz");  // until the first one's end has been seen
  EXPECT_THAT(answer, HasSubstr("alive"));
}

TEST_F(Admin, EndsItsConnectionsWhenItStops) {
  start();
  Client client(at_);
  client.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n");
  client.read_answer();
  TearDown();
  EXPECT_EQ(client.read_all(), "");
}

TEST_F(Admin, EndsAConnectionThatItAnswersWhileItStops) {
  AdminLimits limits;
  limits.idle_time_max = std::chrono::hours{1};
  stops_when_asked_ = true;
  start(limits);
  Client client(at_);
  client.send("GET /api/top HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(client.read_all(), StartsWith("HTTP/1.1 200 OK\r\n"));
  thread_.join();
}

TEST_F(Admin, SaysWhyItCannotListen) {
  start();
  AdminServer second(core_, {}, {});
  auto const refused = second.listen(at_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().cause, asio::error::address_in_use);
}

// Pieces that are there already.
class Pieces final : public proxy::ApiStream {
 public:
  explicit Pieces(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {}
  Task<std::string> next() override { co_return at_ < pieces_.size() ? pieces_[at_++] : std::string(); }

 private:
  std::vector<std::string> pieces_;
  std::size_t at_ = 0;
};

// As long as nobody cancels it.
class Silence final : public proxy::ApiStream {
 public:
  Task<std::string> next() override {
    auto waited = co_await pause_for(std::chrono::hours(1));
    co_return waited ? "still here" : "";
  }
};

TEST_F(Admin, SendsAStreamPieceByPieceAndGoesOn) {
  to_answer_.content_type = "text/event-stream";
  to_answer_.stream = std::make_shared<Pieces>(std::vector<std::string>{"one\n", "two and three\n"});
  start();
  Client client(at_);
  client.send(
      "GET /api/runs/1/output HTTP/1.1\r\nHost: a\r\n\r\nGET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
  auto const answers = client.read_all();
  EXPECT_THAT(answers, testing::AllOf(StartsWith("HTTP/1.1 200 OK\r\n"), HasSubstr("Content-Type: text/event-stream\r\n"),
                                      HasSubstr("Transfer-Encoding: chunked\r\n"), HasSubstr("X-Request-Id: ")));
  EXPECT_THAT(answers, HasSubstr("\r\n\r\n4\r\none\n\r\ne\r\ntwo and three\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"));
}

TEST_F(Admin, EndsAStreamWhenItStops) {
  to_answer_.stream = std::make_shared<Silence>();
  start();
  Client client(at_);
  client.send("GET /api/runs/1/output HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_THAT(client.read_head(), StartsWith("HTTP/1.1 200 OK\r\n"));
  asio::post(core_.loop, [this] { core_.tasks.spawn("stop", server_->stop()); });
  thread_.join();
  client.read_all();
}

}  // namespace
}  // namespace nestgate::app
