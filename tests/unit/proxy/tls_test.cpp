#include "support/tls.hpp"

#include <gtest/gtest.h>

#include <csignal>

#include "support/websocket.hpp"

namespace nestgate::test {
namespace {

using namespace std::chrono_literals;

class Tls : public testing::Test {
 protected:
  // OpenSSL writes without MSG_NOSIGNAL.
  static void SetUpTestSuite() { std::signal(SIGPIPE, SIG_IGN); }

  std::shared_ptr<TlsServer const> load(std::vector<TlsCertificate> const& certificates,
                                        TlsVersionMin version_min = TlsVersionMin::tls_1_2) {
    std::string problem;
    auto server = TlsServer::load(certificates, version_min, problem);
    EXPECT_TRUE(server) << problem;
    return server;
  }
  TlsCertificate certificate(std::string const& file, std::vector<std::string> const& names) {
    return make_certificate(folder_.path(), file, names);
  }
  void start(std::shared_ptr<TlsServer const> tls, proxy::Config config = default_config(), unsigned threads = 1) {
    gateway_.emplace(std::move(config), threads);
    port_ = gateway_->cores().listen_tls({asio::ip::address_v4::loopback(), 0}).value().port();
    gateway_->cores().use_tls(std::move(tls));
    gateway_->start();
    gateway_->add("c1", server_.port());
  }
  void start(proxy::Config config = default_config()) {
    start(load({certificate("a", {"gateway.test"})}), std::move(config));
  }

  static constexpr std::string_view health = "GET /health HTTP/1.1\r\nHost: g\r\n\r\n";
  static unsigned ask(TlsClient& client) {
    client.send(health);
    return read_answer(client).status;
  }
  // An open websocket over TLS and its server's end.
  struct Pair {
    TlsClient client;
    Connection nested;
  };
  Pair open(std::string_view target = "/sockets/events/c1") {
    TlsClient client(port_);
    client.send(upgrade_request(target, key_field("c1")));
    auto nested = server_.next();
    read_request(nested);
    nested.send(switching_protocols());
    EXPECT_TRUE(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 101 "));
    return {std::move(client), std::move(nested)};
  }

  TemporaryFolder folder_;
  ScriptedServer server_;
  std::optional<Gateway> gateway_;
  std::uint16_t port_ = 0;
};

TEST_F(Tls, SpeaksOneDotTwoAndOneDotThree) {
  start();
  TlsClient old(port_, {.version = TLS1_2_VERSION});
  EXPECT_EQ(old.version(), "TLSv1.2");
  EXPECT_EQ(ask(old), 200u);
  TlsClient current(port_);
  EXPECT_EQ(current.version(), "TLSv1.3");
  EXPECT_EQ(ask(current), 200u);
  EXPECT_EQ(ask(current), 200u) << "kept alive";
}

TEST_F(Tls, RefusesWhatIsOlderThanAllowed) {
  start(load({certificate("a", {"gateway.test"})}, TlsVersionMin::tls_1_3));
  EXPECT_THROW(TlsClient(port_, {.version = TLS1_2_VERSION}), HandshakeFailed);
  TlsClient current(port_, {.version = TLS1_3_VERSION});
  EXPECT_EQ(ask(current), 200u);
}

TEST_F(Tls, ShowsTheCertificateThatTheNameAsksFor) {
  start(load({certificate("first", {"first.test"}), certificate("second", {"second.test", "*.wild.test"})}));
  struct Asked {
    std::string name, shown;
  };
  for (auto const& asked :
       {Asked{"", "first.test"}, Asked{"first.test", "first.test"}, Asked{"second.test", "second.test"},
        Asked{"SECOND.test", "second.test"}, Asked{"c1.wild.test", "second.test"}, Asked{"a.b.wild.test", "first.test"},
        Asked{"wild.test", "first.test"}, Asked{"unknown.test", "first.test"}}) {
    for (int const version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      TlsClient client(port_, {.server_name = asked.name, .version = version});
      EXPECT_EQ(client.common_name(), asked.shown) << asked.name;
      EXPECT_EQ(ask(client), 200u);
    }
  }
}

TEST_F(Tls, NegotiatesHttp11AndRefusesAClientThatOnlySpeaksHttp2) {
  start(load({certificate("first", {"first.test"}), certificate("second", {"second.test"})}));
  for (auto const* name : {"first.test", "second.test"}) {
    TlsClient both(port_, {.server_name = name, .alpn = {"h2", "http/1.1"}});
    EXPECT_EQ(both.alpn(), "http/1.1");
    EXPECT_EQ(ask(both), 200u);
    TlsClient none(port_, {.server_name = name});
    EXPECT_EQ(none.alpn(), "");
    EXPECT_EQ(ask(none), 200u);
    EXPECT_THROW(TlsClient(port_, {.server_name = name, .alpn = {"h2"}}), HandshakeFailed);
  }
}

TEST_F(Tls, ResumesASessionByTicketOnWhicheverCoreAndCertificate) {
  start(load({certificate("first", {"first.test"}), certificate("second", {"second.test"})}), default_config(), 2);
  for (auto const* name : {"first.test", "second.test"}) {
    for (int const version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      TlsClient first(port_, {.server_name = name, .version = version});
      ASSERT_EQ(ask(first), 200u);
      EXPECT_FALSE(first.resumed());
      auto session = first.session();
      for (int i = 0; i < 4; ++i) {
        TlsClient again(port_, {.server_name = name, .version = version, .session = session.get()});
        EXPECT_EQ(ask(again), 200u);
        EXPECT_TRUE(again.resumed()) << name << " " << again.version();
        session = again.session();
        again.say_goodbye();  // a session that breaks off may not be resumed (RFC 5246 section 7.2.1)
      }
    }
  }
}

TEST_F(Tls, AReplacedCertificateIsShownToNewConnectionsAndOpenOnesGoOn) {
  start(load({certificate("old", {"old.test"})}));
  auto websocket = open();
  TlsClient before(port_);
  EXPECT_EQ(ask(before), 200u);
  gateway_->cores().use_tls(load({certificate("new", {"new.test"})}));
  EXPECT_TRUE(eventually([&] { return TlsClient(port_).common_name() == "new.test"; }));
  EXPECT_EQ(before.common_name(), "old.test");
  EXPECT_EQ(ask(before), 200u);
  websocket.nested.send(from_server(text_opcode, "still here"));
  EXPECT_EQ(read_frame(websocket.client)->payload, "still here");
}

TEST_F(Tls, AConnectionThatIsNoTlsEndsAloneAndASilentOneByItsTimeLimit) {
  auto config = default_config();
  config.timeouts.tls_handshake = 50ms;
  start(std::move(config));
  auto plain = Connection::to(port_);
  plain.send(health);
  plain.read_to_end();
  auto silent = Connection::to(port_);
  EXPECT_EQ(silent.read_to_end(), "");
  TlsClient client(port_);
  EXPECT_EQ(ask(client), 200u);
}

TEST_F(Tls, SaysGoodbyeWithACloseNotify) {
  start();
  TlsClient client(port_);
  client.send("GET /health HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(read_answer(client).status, 200u);
  EXPECT_TRUE(client.read_to_end().second);
}

TEST_F(Tls, AnAnswerToTheEndOfTheConnectionEndsWithACloseNotifyOnlyWhenItIsWhole) {
  start();
  for (bool const whole : {true, false}) {
    TlsClient client(port_);
    client.send("GET /api/conversations/c1 HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
    auto nested = server_.next();
    read_request(nested);
    nested.send("HTTP/1.1 200 OK\r\n\r\nsome of it");
    EXPECT_TRUE(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 200 OK"));
    EXPECT_EQ(client.read_exactly(10), "some of it");
    if (whole) {
      nested.close();
    } else {
      nested.reset();
    }
    EXPECT_EQ(client.read_to_end().second, whole);
  }
}

TEST_F(Tls, AnEventStreamsServerIsLetGoWhenItsClientHasSaidGoodbye) {
  start();
  TlsClient client(port_);
  client.send("GET /api/conversations/c1/events/stream HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
  auto nested = server_.next();
  read_request(nested);
  nested.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
  EXPECT_NE(client.read_until("data: 1\n\n"), "");
  client.say_goodbye();
  client.close();
  EXPECT_EQ(nested.read_to_end(), "");
}

TEST_F(Tls, CarriesABigUploadAndABigDownload) {
  start();
  constexpr std::size_t bytes = 8'000'000;
  TlsClient client(port_);
  std::jthread server([this] {
    auto nested = server_.next();
    auto const request = read_request(nested);
    nested.send(ok_answer(request.body));
  });
  std::string body;
  body.reserve(bytes);
  while (body.size() < bytes) body += std::to_string(body.size());
  client.send("POST /api/file/upload HTTP/1.1\r\nHost: g\r\n" + key_field("c1") +
              "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n");
  EXPECT_TRUE(client.send(body));
  auto const answer = read_answer(client);
  EXPECT_EQ(answer.status, 200u);
  EXPECT_EQ(answer.body, body);
}

TEST_F(Tls, TellsTheServerThatTheClientCameOverHttps) {
  start();
  TlsClient client(port_);
  client.send("GET /api/conversations/c1 HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
  auto nested = server_.next();
  EXPECT_EQ(read_request(nested).value("x-forwarded-proto"), "https");
}

TEST_F(Tls, CarriesAWebsocketAndItsCloseCodesBothWays) {
  start();
  auto pair = open();
  auto const up = from_client(text_opcode, std::string(100'000, 'u'));
  pair.client.send(up);
  EXPECT_EQ(pair.nested.read_exactly(up.size()), up);
  auto const down = from_server(text_opcode, std::string(1'000'000, 'd'));
  pair.nested.send(down);
  EXPECT_EQ(read_frame(pair.client)->wire, down);
  pair.nested.send(from_server(close_opcode, closing(4004, "Conversation not found")));
  auto const frame = read_frame(pair.client);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->code(), 4004);
  EXPECT_EQ(frame->reason(), "Conversation not found");
}

TEST_F(Tls, ALostServerAndADeadClientEndTheTunnel) {
  start();
  auto lost = open();
  lost.nested.reset();
  EXPECT_EQ(read_frame(lost.client)->code(), 1012);
  auto dead = open();
  dead.client.close();
  EXPECT_EQ(dead.nested.read_to_end(), "");
}

TEST_F(Tls, RefusesAWebsocketWith4001AndACloseNotify) {
  start();
  TlsClient client(port_);
  client.send(upgrade_request("/sockets/events/c1?session_api_key=wrong"));
  EXPECT_TRUE(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 101 "));
  EXPECT_EQ(read_frame(client)->code(), 4001);
  EXPECT_TRUE(client.read_to_end().second);
}

TEST_F(Tls, AClientThatReadsNothingNeverStallsTheServerAndGetsWholeFramesAndThen1013) {
  auto config = default_config();
  config.limits.tunnel_backlog_bytes_max = 256 * 1024;
  start(std::move(config));
  // Frames that are no multiple of a TLS record: what is being written when the limit is passed ends within one.
  auto const flood_frame = [](std::size_t i) {
    return from_server(binary_opcode, std::to_string(i) + std::string(10'007, 'x'));
  };
  constexpr std::size_t frames = 8'000;
  for (int round = 0; round < 3; ++round) {
    auto pair = open();
    std::size_t sent = 0;
    while (sent < frames && pair.nested.send(flood_frame(sent))) ++sent;
    EXPECT_LT(sent, frames);
    std::size_t received = 0;
    std::optional<Frame> frame;
    while ((frame = read_frame(pair.client)) && frame->opcode == binary_opcode) {
      ASSERT_EQ(frame->wire, flood_frame(received));
      ++received;
    }
    ASSERT_TRUE(frame) << "the stream ended within a frame";
    EXPECT_EQ(frame->code(), 1013);
    EXPECT_GT(received, 0u);
  }
}

TEST_F(Tls, ABurstThatTheClientsSocketTakesIsNoBacklog) {
  auto config = default_config();
  config.limits.tunnel_backlog_bytes_max = 256 * 1024;
  start(std::move(config));
  auto pair = open();
  auto const burst = from_server(binary_opcode, std::string(1'000'000, 'b'));
  EXPECT_TRUE(pair.nested.send(burst));
  auto const frame = read_frame(pair.client);
  ASSERT_TRUE(frame) << "encrypting is slower than reading, which is not the client's fault";
  EXPECT_EQ(frame->wire, burst);
}

TEST_F(Tls, AQuietClientIsPingedAndADeadOneDropped) {
  auto config = default_config();
  config.timeouts.tunnel_ping = 20ms;
  config.timeouts.tunnel_pong = 200ms;
  start(std::move(config));
  auto pair = open();
  EXPECT_EQ(read_frame(pair.client)->opcode, ping_opcode);
  pair.client.send(from_client(pong_opcode, ""));
  EXPECT_EQ(read_frame(pair.client)->opcode, ping_opcode) << "an answer buys it time until the next";
  EXPECT_EQ(read_frame(pair.client)->code(), 1013);
}

TEST_F(Tls, ADrainEndsWebsocketsAndLetsRequestsFinish) {
  start();
  auto websocket = open();
  TlsClient asking(port_);
  asking.send("GET /api/conversations/c1 HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
  auto nested = server_.next();
  read_request(nested);
  std::jthread stopping([this] { gateway_->stop(60s); });
  EXPECT_EQ(read_frame(websocket.client)->code(), 1012);
  websocket.client.close();
  nested.send(ok_answer("all of it"));
  auto const answer = read_answer(asking);
  EXPECT_EQ(answer.body, "all of it");
  EXPECT_TRUE(same_ignoring_case(answer.value("connection"), "close"));
  EXPECT_TRUE(asking.read_to_end().second);
  asking.close();
}

TEST_F(Tls, BeyondTheConnectionLimitIsClosedWithoutAWordInTheClear) {
  auto config = default_config();
  config.limits.connections_per_core_max = 1;
  start(std::move(config));
  TlsClient one(port_);
  EXPECT_EQ(ask(one), 200u);
  auto beyond = Connection::to(port_);
  EXPECT_EQ(beyond.read_to_end(), "");
  EXPECT_EQ(ask(one), 200u);
}

}  // namespace
}  // namespace nestgate::test
