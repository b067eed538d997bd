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
  // A socket that shows no key: its answer, no more.
  static Answer ask_unnamed(Gateway& gateway, std::string_view target, std::string_view fields = {}) {
    auto client = gateway.connect();
    client.send(upgrade_request(target, fields));
    return read_answer(client);
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

// A bucket refills once a second: of a few in a row one at least comes within it.
template <class Ask>
bool soon_too_many(Ask ask) {
  for (int i = 0; i < 5; ++i) {
    Answer const answer = ask();
    if (answer.status == 503 && answer.body.find("too_many_upgrades") != answer.body.npos) return true;
  }
  return false;
}

TEST_F(WebsocketRefusal, SocketsWithoutAKeyShareTheRateOfTheirAddress) {
  auto config = default_config();
  config.limits.upgrades_per_address_per_second_max = 1;
  Gateway gateway(std::move(config));
  gateway.start();
  auto const first = open_unnamed(gateway, "/sockets/bash-events");
  EXPECT_TRUE(soon_too_many([&] { return ask_unnamed(gateway, "/sockets/bash-events"); }));
}

TEST_F(WebsocketRefusal, SocketsWithoutAKeyAreCountedByTheConversationThatTheyName) {
  auto config = default_config();
  config.limits.upgrades_per_key_per_second_max = 1;
  Gateway gateway(std::move(config));
  gateway.start();
  EXPECT_TRUE(soon_too_many([&] { return ask_unnamed(gateway, "/sockets/events/c1"); }));
  for (auto const* target : {"/sockets/events/c2", "/sockets/events/c3", "/sockets/bash-events", "/sockets/bash-events",
                             "/sockets/bash-events"}) {
    EXPECT_EQ(ask_unnamed(gateway, target).status, 101u) << target;
  }
}

TEST_F(WebsocketRefusal, SocketsBehindATrustedProxyAreCountedByTheAddressThatItNames) {
  auto config = default_config();
  config.limits.upgrades_per_address_per_second_max = 1;
  config.trusted_proxies_v4.push_back(asio::ip::make_network_v4("127.0.0.0/8"));
  Gateway gateway(std::move(config));
  gateway.start();
  auto const ask_for = [&](std::string const& client) {
    return ask_unnamed(gateway, "/sockets/bash-events", "X-Forwarded-For: " + client + "\r\n");
  };
  EXPECT_TRUE(soon_too_many([&] { return ask_for("203.0.113.1"); }));
  EXPECT_TRUE(soon_too_many([&] { return ask_for("198.51.100.7, 203.0.113.1, 127.0.0.2"); })) << "made up in front";
  for (auto const* other : {"203.0.113.2", "203.0.113.3", "203.0.113.1, 203.0.113.4"}) {
    EXPECT_EQ(ask_for(other).status, 101u) << other;
  }
}

TEST_F(WebsocketRefusal, AnApiKeyIsCountedByItsNameAndTheConversation) {
  auto config = default_config();
  config.limits.upgrades_per_key_per_second_max = 1;
  Server refusing([](Connection& connection) {
    while (!read_request(connection).head.empty()) connection.send("HTTP/1.1 403 \r\ncontent-length: 0\r\n\r\n");
  });
  Gateway gateway(std::move(config));
  gateway.start();
  for (auto const* id : {"c1", "c2", "c3"}) gateway.add(id, refusing.port());
  auto const ask_with = [&](std::string_view api_key, std::string const& id) {
    auto client = gateway.connect();
    client.send(upgrade_request("/sockets/events/" + id, "Authorization: Bearer " + std::string(api_key) + "\r\n"));
    return read_answer(client);
  };
  EXPECT_TRUE(soon_too_many([&] { return ask_with(admin_api_key, "c1"); }));
  EXPECT_EQ(ask_with(admin_api_key, "c2").status, 403u);
  EXPECT_EQ(ask_with(admin_api_key, "c3").status, 403u);
  EXPECT_EQ(ask_with(alice_api_key, "c1").status, 403u);
}

}  // namespace
}  // namespace nestgate::test
