#include <gtest/gtest.h>

#include "support/scripted.hpp"
#include "support/websocket.hpp"

// A key that is withdrawn ends what it has opened, and nothing else.
namespace nestgate::test {
namespace {

struct ApiKey {
  std::string name, key, owner;
};

proxy::Config config_with(std::vector<ApiKey> const& known) {
  auto config = default_config();
  std::vector<identity::ApiKeyEntry> entries;
  for (auto const& one : known)
    entries.push_back({{one.name, identity::Role::user, one.owner}, identity::hash_api_key(one.key)});
  config.api_keys = std::make_shared<identity::ApiKeys const>(std::move(entries));
  return config;
}

ApiKey const alice{"alice", std::string(alice_api_key), "alice"};
ApiKey const laptop{"laptop", "another-key-of-hers", "alice"};

class Revocation : public testing::Test {
 protected:
  Revocation() : gateway_(config_with({alice, laptop})) {
    gateway_.start();
    publish({session_key_of("c1"), "a second key"});
  }
  void publish(std::vector<std::string> const& accepted) {
    auto record = record_of("c1", server_.port());
    record.accepted_keys.clear();
    for (auto const& key : accepted) record.accepted_keys.emplace_back(key);
    gateway_.publish(std::move(record));
  }
  Tunnelled open(std::string const& fields) { return open_tunnel(gateway_, server_, "/sockets/events/c1", fields); }
  // A request that its server does not answer yet.
  Tunnelled ask(std::string const& fields) {
    auto client = gateway_.connect();
    client.send("GET /runtime/c1/x HTTP/1.1\r\nHost: g\r\n" + fields + "\r\n");
    auto nested = server_.next();
    read_request(nested);
    return {std::move(client), std::move(nested)};
  }
  bool is_alive(Tunnelled& pair) {
    pair.nested.send(from_server(text_opcode, "still there?"));
    auto const frame = read_frame(pair.client);
    return frame && frame->payload == "still there?";
  }
  std::uint64_t revoked() const {
    return gateway_.stats().tunnels_ended[static_cast<std::size_t>(proxy::TunnelEnd::revoked)].read();
  }

  ScriptedServer server_;
  Gateway gateway_;
};

std::string const by_second_key = "X-Session-API-Key: a second key\r\n";

TEST_F(Revocation, OfASessionKeyEndsTheWebsocketsThatItOpened) {
  auto by_first = open(key_field("c1"));
  auto by_second = open(by_second_key);
  auto by_api_key = open(bearer(alice.key));
  publish({session_key_of("c1")});
  auto const end = read_frame(by_second.client);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->code(), 4001u) << "final for an SDK client";
  EXPECT_EQ(revoked(), 1u);
  EXPECT_TRUE(is_alive(by_first));
  EXPECT_TRUE(is_alive(by_api_key));
}

TEST_F(Revocation, OfASessionKeyEndsAWebsocketThatNamedItInItsFirstFrame) {
  auto client = open_unnamed(gateway_, "/sockets/events/c1");
  client.send(from_client(text_opcode, auth_message("a second key")));
  auto nested = server_.next();
  read_request(nested);
  nested.send(switching_protocols());
  read_frame(nested);
  ASSERT_TRUE(eventually([&] { return gateway_.stats().tunnels_open.read() == 1; }));
  publish({session_key_of("c1")});
  EXPECT_EQ(close_code_at_end(client), 4001u);
}

TEST_F(Revocation, OfASessionKeyCutsTheRequestsInFlight) {
  auto by_first = ask(key_field("c1"));
  auto by_second = ask(by_second_key);
  publish({session_key_of("c1")});
  EXPECT_EQ(read_answer(by_second.client).status, 401u);
  by_first.nested.send(ok_answer("done"));
  EXPECT_EQ(read_answer(by_first.client).body, "done");
}

TEST_F(Revocation, OfASessionKeyCutsAnUploadWhoseBodyIsStillComing) {
  auto client = gateway_.connect();
  client.send("POST /runtime/c1/x HTTP/1.1\r\nHost: g\r\n" + by_second_key + "Content-Length: 100\r\n\r\nbegin");
  auto nested = server_.next();
  nested.read_until("begin");
  publish({session_key_of("c1")});
  EXPECT_EQ(read_answer(client).status, 401u);
}

TEST_F(Revocation, OfASessionKeyEndsAnEventStream) {
  auto pair = ask(by_second_key);
  pair.nested.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  pair.client.read_until("retry: ");
  publish({session_key_of("c1")});
  pair.client.read_to_end();
  EXPECT_FALSE(pair.client.reset_by_peer());
  EXPECT_EQ(gateway_.get("/runtime/c1/x", by_second_key).status, 401u);
}

TEST_F(Revocation, OfAnApiKeyEndsWhatItOpened) {
  auto tunnel = open(bearer(laptop.key));
  auto request = ask(bearer(laptop.key));
  auto tunnel_that_stays = open(bearer(alice.key));
  auto request_that_stays = ask(bearer(alice.key));
  gateway_.cores().replace_config(config_with({alice}));
  EXPECT_EQ(close_code_at_end(tunnel.client), 4001u);
  EXPECT_EQ(read_answer(request.client).status, 401u);
  EXPECT_TRUE(is_alive(tunnel_that_stays));
  request_that_stays.nested.send(ok_answer("done"));
  EXPECT_EQ(read_answer(request_that_stays.client).body, "done");
}

TEST_F(Revocation, IsOfTheKeyNotOfTheName) {
  auto tunnel = open(bearer(laptop.key));
  gateway_.cores().replace_config(config_with({alice, {"laptop", "a new key", "alice"}}));
  EXPECT_EQ(close_code_at_end(tunnel.client), 4001u);
}

TEST_F(Revocation, IsAlsoThatAKeyIsAnothersNow) {
  auto tunnel = open(bearer(laptop.key));
  gateway_.cores().replace_config(config_with({alice, {"laptop", laptop.key, "bob"}}));
  EXPECT_EQ(close_code_at_end(tunnel.client), 4001u);
}

TEST_F(Revocation, ComesAfterAnyNumberOfReloads) {
  auto tunnel = open(bearer(laptop.key));
  auto idle = gateway_.connect();
  idle.send("GET /api/conversations HTTP/1.1\r\nHost: g\r\n" + bearer(laptop.key) + "\r\n");
  EXPECT_EQ(read_answer(idle).status, 200u);
  for (int i = 0; i < 100; ++i) gateway_.cores().replace_config(config_with({laptop, alice}));
  EXPECT_TRUE(is_alive(tunnel));
  gateway_.cores().replace_config(config_with({}));
  EXPECT_EQ(close_code_at_end(tunnel.client), 4001u);
  idle.send("GET /api/conversations HTTP/1.1\r\nHost: g\r\n" + bearer(laptop.key) + "\r\n");
  EXPECT_EQ(read_answer(idle).status, 401u);
}

}  // namespace
}  // namespace nestgate::test
