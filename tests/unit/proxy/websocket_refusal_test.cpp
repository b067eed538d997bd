#include <gtest/gtest.h>

#include "support/websocket.hpp"

namespace nestgate::test {
namespace {

using namespace std::chrono_literals;

class WebsocketRefusal : public testing::Test {
 protected:
  // What a client of the gateway is told before and after the upgrade.
  struct Told {
    Answer answer;
    std::optional<Frame> frame;
  };
  Told ask(Gateway& gateway, std::string_view target, std::string_view fields = {}) {
    auto client = gateway.connect();
    client.send(upgrade_request(target, fields));
    Told told{read_answer(client), std::nullopt};
    if (told.answer.status == 101) told.frame = read_frame(client);
    return told;
  }
  ScriptedServer server_;
};

TEST_F(WebsocketRefusal, AcceptsAWrongKeyAndThenClosesWith4001) {
  Gateway gateway;
  gateway.start();
  gateway.add("c1", server_.port());
  for (auto const* target :
       {"/sockets/events/c1?session_api_key=wrong", "/sockets/events/c2?session_api_key=wrong",
        "/sockets/bash-events?session_api_key=wrong", "/runtime/c1/sockets/events/c1?session_api_key=wrong"}) {
    auto const told = ask(gateway, target);
    EXPECT_EQ(told.answer.status, 101u) << target;
    EXPECT_EQ(told.answer.value("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    ASSERT_TRUE(told.frame) << target;
    EXPECT_EQ(told.frame->opcode, close_opcode);
    EXPECT_EQ(told.frame->code(), 4001) << target;
    EXPECT_EQ(told.frame->reason(), "Authentication failed");
  }
  EXPECT_EQ(server_.accepted(), 0u);
}

TEST_F(WebsocketRefusal, TheConnectionEndsBehindTheCloseFrameOnceTheClientHasAnswered) {
  Gateway gateway;
  gateway.start();
  auto client = gateway.connect();
  client.send(upgrade_request("/sockets/events/c1?session_api_key=wrong"));
  read_answer(client, WithBody::no);
  ASSERT_TRUE(read_frame(client));
  EXPECT_TRUE(client.send(from_client(close_opcode, closing(4001, ""))));
  EXPECT_EQ(client.read_to_end(), "");
}

TEST_F(WebsocketRefusal, TellsAnApiKeyHolderOfAnUnknownIdWith4004) {
  Gateway gateway;
  gateway.start();
  std::string const bearer = "Authorization: Bearer " + std::string(alice_api_key) + "\r\n";
  auto const told = ask(gateway, "/sockets/events/nobody", bearer);
  EXPECT_EQ(told.answer.status, 101u);
  ASSERT_TRUE(told.frame);
  EXPECT_EQ(told.frame->code(), 4004);
}

TEST_F(WebsocketRefusal, SomebodyElsesConversationIsAsUnknownAsNone) {
  Gateway gateway;
  gateway.start();
  gateway.add("c1", server_.port(), "bob");
  std::string const bearer = "Authorization: Bearer " + std::string(alice_api_key) + "\r\nX-Request-Id: r\r\n";
  auto const known = ask(gateway, "/sockets/events/c1", bearer);
  auto const unknown = ask(gateway, "/sockets/events/c2", bearer);
  ASSERT_TRUE(known.frame && unknown.frame);
  EXPECT_EQ(known.frame->wire, unknown.frame->wire);
  EXPECT_EQ(known.answer.head, unknown.answer.head);
}

TEST_F(WebsocketRefusal, Says503BeforeTheUpgradeWhileTheRuntimeStarts) {
  Gateway gateway;
  gateway.start();
  gateway.add("c1", server_.port(), "alice", conversation::RuntimeState::starting);
  auto const told = ask(gateway, "/sockets/events/c1", key_field("c1"));
  EXPECT_EQ(told.answer.status, 503u);
  EXPECT_EQ(told.answer.value("retry-after"), "1");
  EXPECT_NE(told.answer.body.find("runtime_starting"), std::string::npos) << told.answer.body;
}

TEST_F(WebsocketRefusal, Says503BeforeTheUpgradeWhenNobodyListens) {
  Gateway gateway;
  gateway.start();
  auto const port = server_.port();
  server_.stop();
  gateway.add("c1", port);
  auto const told = ask(gateway, "/sockets/events/c1", key_field("c1"));
  EXPECT_EQ(told.answer.status, 503u);
  EXPECT_NE(told.answer.body.find("runtime_unreachable"), std::string::npos) << told.answer.body;
}

TEST_F(WebsocketRefusal, RelaysTheNestedServersOwnRefusalAsItIs) {
  Gateway gateway;
  gateway.start();
  gateway.add("c1", server_.port());
  auto client = gateway.connect();
  client.send(upgrade_request("/sockets/events/c1", key_field("c1")));
  auto nested = server_.next();
  read_request(nested);
  nested.send("HTTP/1.1 403 \r\ncontent-length: 0\r\ndate: Sat, 21 Nov 2026 00:00:00 GMT\r\n\r\n");
  auto const answer = read_answer(client);
  EXPECT_EQ(answer.status, 403u);
  EXPECT_EQ(answer.value("content-length"), "0");
  EXPECT_EQ(answer.body, "");
  client.send("GET /api/conversations/c1 HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
  EXPECT_EQ(read_request(nested).line(), "GET /api/conversations/c1 HTTP/1.1") << "the connection goes on";
}

TEST_F(WebsocketRefusal, AnUpgradeThatNobodyAskedForIsABadAnswer) {
  Gateway gateway;
  gateway.start();
  gateway.add("c1", server_.port());
  auto client = gateway.connect();
  client.send("GET /api/conversations/c1 HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
  auto nested = server_.next();
  read_request(nested);
  nested.send(switching_protocols());
  EXPECT_EQ(read_answer(client).status, 502u);
  EXPECT_EQ(nested.read_to_end(), "");
}

TEST_F(WebsocketRefusal, MoreUpgradesWithOneKeyThanItsRateGet503AndNoneReachesTheServer) {
  auto config = default_config();
  config.limits.upgrades_per_key_per_second_max = 3;
  Gateway gateway(std::move(config));
  gateway.start();
  gateway.add("c1", server_.port());
  gateway.add("c2", server_.port());
  auto const began = Clock::now();
  std::size_t passed = 0, refused = 0;
  std::vector<Connection> open;
  for (int i = 0; i < 60; ++i) {
    auto client = gateway.connect();
    client.send(upgrade_request("/sockets/events/c1", key_field("c1")));
    // Either an answer comes, or the server is asked.
    ASSERT_TRUE(eventually([&] { return client.readable_now() || server_.accepted() > passed; }));
    if (server_.accepted() > passed) {
      ++passed;
      open.push_back(server_.next());
      open.push_back(std::move(client));
      continue;
    }
    auto const answer = read_answer(client);
    EXPECT_EQ(answer.status, 503u);
    EXPECT_EQ(answer.value("retry-after"), "1");
    ++refused;
  }
  auto const seconds = std::chrono::duration<double>(Clock::now() - began).count();
  EXPECT_GE(passed, 3u);
  EXPECT_LE(static_cast<double>(passed), 3 + 3 * seconds + 1);
  EXPECT_EQ(gateway.stats().rejected[static_cast<std::size_t>(proxy::Reject::upgrade_rate)].read(), refused);

  auto other = gateway.connect();
  other.send(upgrade_request("/sockets/events/c2", key_field("c2")));
  EXPECT_FALSE(read_request(open.emplace_back(server_.next())).head.empty()) << "another key has a rate of its own";
}

TEST_F(WebsocketRefusal, SocketsWithoutAKeyShareTheRateOfTheirAddress) {
  auto config = default_config();
  config.limits.upgrades_per_key_per_second_max = 1;
  Gateway gateway(std::move(config));
  gateway.start();
  auto const first = open_unnamed(gateway, "/sockets/bash-events");
  unsigned last = 0;
  // The bucket refills once a second: of a few in a row one at least comes within it.
  for (int i = 0; i < 5 && last != 503; ++i)
    last = ask(gateway, "/sockets/bash-events", "Connection: close\r\n").answer.status;
  EXPECT_EQ(last, 503u);
}

}  // namespace
}  // namespace nestgate::test
