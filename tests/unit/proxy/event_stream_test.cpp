#include <gtest/gtest.h>

#include "support/gateway.hpp"

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

}  // namespace
}  // namespace nestgate::test
