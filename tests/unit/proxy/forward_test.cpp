#include <gtest/gtest.h>

#include "support/gateway.hpp"

namespace nestgate::test {
namespace {

TEST(Forward, TheHolderOfASessionKeyReachesTheServerByPath) {
  Server nested(echo_heads);
  Gateway gateway;
  gateway.start();
  gateway.add("c1", nested.port());
  auto const answer = gateway.get("/api/conversations/c1/events?x=1", key_field("c1"));
  EXPECT_EQ(answer.status, 200u);
  EXPECT_TRUE(answer.body.starts_with("GET /api/conversations/c1/events?x=1 HTTP/1.1\r\n")) << answer.body;
  EXPECT_EQ(field_value(answer.body, "x-session-api-key"), session_key_of("c1"));
  EXPECT_EQ(field_value(answer.body, "host"), "gateway");
  EXPECT_FALSE(answer.value("x-request-id").empty());
}

TEST(Forward, AWrongKeyForAKnownAndAnUnknownIdGetTheSameAnswer) {
  Server nested(echo_heads);
  Gateway gateway;
  gateway.start();
  gateway.add("c1", nested.port());
  auto const known = gateway.get("/api/conversations/c1", "X-Session-API-Key: wrong\r\nX-Request-Id: r1\r\n");
  auto const unknown = gateway.get("/api/conversations/c2", "X-Session-API-Key: wrong\r\nX-Request-Id: r1\r\n");
  EXPECT_EQ(known.status, 401u);
  EXPECT_EQ(known.head, unknown.head);
  EXPECT_EQ(known.body, unknown.body);
  EXPECT_EQ(nested.accepted(), 0u);
}

TEST(Forward, TraceIsRefusedForItWouldEchoTheInjectedKey) {
  Server nested(echo_heads);
  Gateway gateway;
  gateway.start();
  gateway.add("c1", nested.port());
  auto const answer = gateway.ask("TRACE /api/conversations/c1 HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
  EXPECT_EQ(answer.status, 405U);
  EXPECT_EQ(answer.value("allow"), "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");
  EXPECT_EQ(nested.accepted(), 0U);
}

TEST(Forward, KeepsAConnectionAliveOnBothSides) {
  Server nested(echo_heads);
  Gateway gateway;
  gateway.start();
  gateway.add("c1", nested.port());
  auto client = gateway.connect();
  for (int i = 0; i < 5; ++i) {
    client.send("GET /api/conversations/c1 HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
    EXPECT_EQ(read_answer(client).status, 200u);
  }
  EXPECT_EQ(nested.accepted(), 1u);
}

TEST(Forward, ABodyOfAnySizePassesWhole) {
  Server nested([](Connection& connection) {
    auto const request = read_request(connection);
    connection.send(ok_answer(std::to_string(request.body.size())));
  });
  Gateway gateway;
  gateway.start();
  gateway.add("c1", nested.port());
  auto client = gateway.connect();
  std::string const body(5'000'000, 'x');
  client.send("POST /api/file/upload HTTP/1.1\r\nHost: g\r\n" + key_field("c1") +
              "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n");
  client.send(body);
  auto const answer = read_answer(client);
  EXPECT_EQ(answer.status, 200u);
  EXPECT_EQ(answer.body, "5000000");
}

TEST(Forward, ATunnelCarriesFramesBothWays) {
  Server nested([](Connection& connection) {
    auto const request = read_request(connection);
    connection.send(
        "HTTP/1.1 101 \r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n\x81\x02hi");
    auto const frame = connection.read_exactly(8);
    connection.send(std::string("\x81\x08") + frame);
    connection.send(std::string("\x88\x02\x0f\xa4", 4));
  });
  Gateway gateway;
  gateway.start();
  gateway.add("c1", nested.port());
  auto client = gateway.connect();
  client.send("GET /sockets/events/c1?session_api_key=" + session_key_of("c1") +
              " HTTP/1.1\r\nHost: g\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
              "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  EXPECT_EQ(read_answer(client, WithBody::no).status, 101u);
  EXPECT_EQ(client.read_exactly(4), "\x81\x02hi");
  std::string const frame("\x81\x82\0\0\0\0ab", 8);
  client.send(frame);
  EXPECT_EQ(client.read_exactly(10), "\x81\x08" + frame);
  EXPECT_EQ(client.read_exactly(4), std::string("\x88\x02\x0f\xa4", 4));
}

}  // namespace
}  // namespace nestgate::test
