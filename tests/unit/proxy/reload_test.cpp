#include <gtest/gtest.h>

#include <csignal>

#include "support/tls.hpp"
#include "support/websocket.hpp"

namespace nestgate::test {
namespace {

using namespace std::chrono_literals;

std::string get_request() { return "GET /api/conversations/c1 HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n"; }

TEST(Reload, ANewConfigurationUnderLoadDropsNothing) {
  std::signal(SIGPIPE, SIG_IGN);  // OpenSSL writes without MSG_NOSIGNAL
  Server echo(echo_heads);
  ScriptedServer scripted;
  TemporaryFolder folder;
  std::string problem;
  auto const load = [&](std::string const& name) {
    return TlsServer::load({make_certificate(folder.path(), name, {name})}, TlsVersionMin::tls_1_2, problem);
  };
  std::array const certificates{load("one.test"), load("two.test")};
  Gateway gateway(default_config(), 2);
  auto const tls_port = gateway.cores().listen_tls({asio::ip::address_v4::loopback(), 0}).value().port();
  gateway.cores().use_tls(certificates[0]);
  gateway.start();
  gateway.add("c1", echo.port());
  gateway.add("c2", scripted.port());
  auto websocket = open_tunnel(gateway, scripted, "/sockets/events/c2", key_field("c2"));

  std::atomic<bool> enough{false};
  std::atomic<std::size_t> answered{0}, lost{0};
  auto const load_by = [&](auto connect) {
    auto client = connect();
    while (!enough) {
      if (client.send(get_request()) && read_answer(client).status == 200) {
        ++answered;
      } else {
        ++lost;
        return;
      }
    }
  };
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 3; ++i) threads.emplace_back([&] { load_by([&] { return gateway.connect(); }); });
    for (int i = 0; i < 2; ++i) threads.emplace_back([&] { load_by([&] { return TlsClient(tls_port); }); });
    for (std::uint32_t round = 0; round < 200; ++round) {
      auto config = default_config();
      config.limits.upstream_idle_connections_per_runtime_max = round % 3;
      config.timeouts.first_byte = std::chrono::milliseconds(60'000 + round);
      auto const before = answered.load();
      gateway.cores().replace_config(config);
      gateway.cores().use_tls(certificates[round % 2]);
      if (!eventually([&] { return answered > before || lost > 0; })) break;
    }
    enough = true;
  }
  EXPECT_EQ(lost, 0u);
  EXPECT_GE(answered, 200u);
  websocket.nested.send(from_server(text_opcode, "still here"));
  EXPECT_EQ(read_frame(websocket.client)->payload, "still here");
}

TEST(Reload, HoldsForTheNextRequestOfAConnectionThatIsOpen) {
  Gateway gateway;
  gateway.start();
  auto client = gateway.connect();
  std::string const by_alice =
      "GET /api/conversations HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer " + std::string(alice_api_key) + "\r\n\r\n";
  client.send(by_alice);
  EXPECT_EQ(read_answer(client).status, 200u);
  auto config = default_config();
  config.api_keys = std::make_shared<identity::ApiKeys const>(std::vector<identity::ApiKeyEntry>{});
  gateway.cores().replace_config(config);
  client.send(by_alice);
  EXPECT_EQ(read_answer(client).status, 401u) << "a key that was taken away opens nothing any more";
}

TEST(Reload, AShorterPingIntervalHoldsForTunnelsThatAreOpen) {
  ScriptedServer server;
  Gateway gateway;
  gateway.start();
  gateway.add("c1", server.port());
  auto pair = open_tunnel(gateway, server, "/sockets/events/c1", key_field("c1"));
  auto config = default_config();
  config.timeouts.tunnel_ping = 1ms;
  gateway.cores().replace_config(config);
  EXPECT_EQ(read_frame(pair.client)->opcode, ping_opcode);
}

// An upload by alice whose body has not come yet while the configuration is replaced.
Answer upload_over_a_reload(std::shared_ptr<identity::ApiKeys const> keys_from_then_on) {
  Gateway gateway;
  gateway.start();
  auto client = gateway.connect();
  client.send("POST /api/conversations HTTP/1.1\r\nHost: g\r\nAuthorization: Bearer " + std::string(alice_api_key) +
              "\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n");
  EXPECT_EQ(read_answer(client).status, 100u);
  auto config = default_config();
  config.api_keys = std::move(keys_from_then_on);
  gateway.cores().replace_config(config);
  gateway.remove("nobody");  // returns once the core has taken the configuration in
  client.send("body");
  return read_answer(client);
}

TEST(Reload, AnApiKeyThatStaysIsGoodForTheRequestWhoseBodyIsComing) {
  auto const answer = upload_over_a_reload(default_config().api_keys);
  EXPECT_EQ(answer.status, 200u);
  EXPECT_NE(answer.body.find(R"("by":"alice")"), std::string::npos) << answer.body;
}

TEST(Reload, AnApiKeyThatGoesWhileABodyIsComingTakesItsRequestAlong) {
  EXPECT_EQ(upload_over_a_reload(nullptr).status, 401u);
  EXPECT_EQ(upload_over_a_reload(std::make_shared<identity::ApiKeys const>(std::vector<identity::ApiKeyEntry>{})).status,
            401u);
}

}  // namespace
}  // namespace nestgate::test
