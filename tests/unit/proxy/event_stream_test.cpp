#include <gtest/gtest.h>

#include "support/scripted.hpp"

namespace nestgate::test {
namespace {

// Sends one event, then nothing until its client side ends; `ended` is set then.
class SilentStream {
 public:
  SilentStream()
      : server_([this](Connection& connection) {
          read_request(connection);
          connection.send(
              "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: "
              "1\n\n\r\n");
          while (!connection.read_some().empty()) {
          }
          ended_.set_value();
        }) {}
  std::uint16_t port() const { return server_.port(); }
  bool has_ended() { return ended_future_.wait_for(std::chrono::milliseconds(patience_ms)) == std::future_status::ready; }

 private:
  std::promise<void> ended_;
  std::future<void> ended_future_ = ended_.get_future();
  Server server_;
};

void open_stream(Connection& client) {
  client.send("GET /api/conversations/c1/events/stream HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
  ASSERT_NE(client.read_until("data: 1").find("200 OK"), std::string::npos);
}

TEST(EventStream, ItsServerIsLetGoWhenItsClientHasLeftThoughNoEventComes) {
  SilentStream nested;
  Gateway gateway;
  gateway.start();
  gateway.add("c1", nested.port());
  auto client = gateway.connect();
  open_stream(client);
  client.close();
  EXPECT_TRUE(nested.has_ended());
}

// Says when a request has come, and when the gateway has left. "/late" is answered once `go` says so.
struct SlowServer {
  Server::Handle handle() {
    return [this](Connection& connection) {
      for (;;) {
        auto const request = read_request(connection);
        if (request.head.empty()) return;
        if (!request.line().starts_with("GET /prompt")) arrived.put(1);
        if (request.line().starts_with("GET /never")) {
          connection.read_to_end();
          left.put(1);
          return;
        }
        if (request.line().starts_with("GET /late")) go.take();
        connection.send(ok_answer("answer"));
      }
    };
  }
  Mailbox<int> arrived, left, go;
};

std::string get(std::string const& path, std::string const& fields = {}) {
  return "GET " + path + " HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + fields + "\r\n";
}

TEST(WaitingClient, ThatLeavesBeforeItsStreamBeganLetsTheServerGo) {
  SlowServer slow;
  OneRuntime at(slow.handle());
  auto client = at.gateway.connect();
  client.send(get("/never", "Accept: text/event-stream\r\n"));
  slow.arrived.take();
  client.close();
  slow.left.take();
}

TEST(WaitingClient, ThatIsResetLetsTheServerGoAndIsNotAskedForAgain) {
  SlowServer slow;
  OneRuntime at(slow.handle());
  EXPECT_EQ(at.gateway.ask(get("/prompt")).body, "answer");
  auto client = at.gateway.connect();
  client.send(get("/never"));  // on the connection that was kept
  slow.arrived.take();
  client.reset();
  slow.left.take();
  EXPECT_EQ(at.gateway.ask(get("/prompt")).body, "answer");
  EXPECT_EQ(at.gateway.stats().upstream_resent.read(), 0u);
}

TEST(WaitingClient, ThatEndedOnlyItsOwnSideStillGetsItsAnswer) {
  SlowServer slow;
  OneRuntime at(slow.handle());
  auto half = at.gateway.connect();
  half.send(get("/late"));
  half.end_sending();
  slow.arrived.take();
  // Once the gateway has noticed another that left, it has looked at this one too.
  auto gone = at.gateway.connect();
  gone.send(get("/never"));
  slow.arrived.take();
  gone.reset();
  slow.left.take();
  slow.go.put(1);
  EXPECT_EQ(read_answer(half).body, "answer");
}

TEST(EventStream, ADrainDoesNotWaitForItsEnd) {
  SilentStream nested;
  Gateway gateway;
  gateway.start();
  gateway.add("c1", nested.port());
  auto client = gateway.connect();
  open_stream(client);
  gateway.stop(std::chrono::hours(1));
  EXPECT_TRUE(nested.has_ended());
  client.read_to_end();
}

TEST(OwnRoutesAndKeys, ASessionKeyBesideAnApiKeyStillTalksToTheNestedServer) {
  Server nested(echo_heads);
  Gateway gateway;
  gateway.start();
  gateway.add("c1", nested.port());
  std::string const bearer = "Authorization: Bearer " + std::string(admin_api_key) + "\r\n";
  EXPECT_TRUE(gateway.get("/api/conversations/c1", bearer).body.starts_with(R"({"own":)"));
  EXPECT_TRUE(gateway.get("/api/conversations/c1", bearer + key_field("c1")).body.starts_with("GET /api/conversations/c1 "));
  EXPECT_TRUE(gateway.get("/api/automation/v1/runs", bearer + key_field("c1")).body.starts_with(R"({"own":)"));
}

TEST(CoreSet, NothingIsPublishedToCoresThatHaveEnded) {
  Gateway gateway;
  gateway.start();
  gateway.run(gateway.cores().drain(std::chrono::milliseconds(0)));
  gateway.add("c1", 1);
  gateway.remove("c1");
}

TEST(CoreSet, HasNoRoutesOnceItsCoresHaveEnded) {
  Gateway gateway;
  gateway.start();
  gateway.add("c1", 1);
  gateway.run(gateway.cores().drain(std::chrono::milliseconds(0)));
  std::string routes;
  gateway.run([](proxy::CoreSet& cores, std::string& out) -> Task<> { out = co_await cores.describe_routes(); }(
                                                              gateway.cores(), routes));
  EXPECT_EQ(routes, R"({"routes":[]})");
}

}  // namespace
}  // namespace nestgate::test
