#include <gtest/gtest.h>

#include "support/scripted.hpp"
#include "support/tls_server.hpp"
#include "support/websocket.hpp"

// Nested servers that are reached over TLS.
namespace nestgate::test {
namespace {

// Not periodic in any size that is read or written at once.
std::string long_text() {
  constexpr std::size_t bytes = 10 * 1024 * 1024;
  std::string out;
  out.reserve(bytes + 16);
  for (std::uint64_t i = 0; out.size() < bytes; ++i) out += std::to_string(i * 2'654'435'761ULL % 1'000'003);
  out.resize(bytes);
  return out;
}

class HttpsNested : public testing::Test {
 protected:
  // Known as c1, at nested.test, with a certificate for that name.
  void start(TlsServerOnLoopback::Handle handle, proxy::Config config = default_config()) {
    nested_.emplace(certificate_, std::move(handle));
    start_gateway(std::move(config));
    publish(place("nested.test", trusting(certificate_)));
  }
  void start_gateway(proxy::Config config = default_config()) {
    gateway_.emplace(std::move(config));
    gateway_->cores().on_untrusted([this](ConversationId const& id, std::string_view authority, std::string_view why) {
      refusals_.put(id.text() + " " + std::string(authority.substr(0, authority.find(':'))) + " " + std::string(why));
    });
    gateway_->start();
  }
  upstream::Place place_at(std::uint16_t port, std::string const& name, std::shared_ptr<ClientTls const> trusted) const {
    return {{asio::ip::address_v4::loopback(), port}, name + ":" + std::to_string(port), std::move(trusted)};
  }
  upstream::Place place(std::string const& name, std::shared_ptr<ClientTls const> trusted) const {
    return place_at(nested_->port(), name, std::move(trusted));
  }
  void publish(upstream::Place place) {
    auto record = record_of("c1", 1);
    record.endpoint = std::move(place);
    gateway_->publish(std::move(record));
  }
  Connection ask(std::string const& request) {
    auto client = gateway_->connect();
    client.send(request);
    return client;
  }
  // Asks for what the untrusted server at `place` would not have to see.
  void expect_refused(upstream::Place place, std::string_view why) {
    publish(std::move(place));
    for (int i = 0; i < 2; ++i) {
      auto const answer = gateway_->ask(get_by_key());
      EXPECT_EQ(answer.status, 503U);
      EXPECT_EQ(error_code_of(answer), "runtime_unreachable");
    }
    auto const told = refusals_.take();
    EXPECT_NE(told.find(why), told.npos) << told;
    EXPECT_TRUE(refusals_.empty()) << "it is told once";
  }

  TemporaryFolder folder_;
  TlsCertificate certificate_ = make_certificate(folder_.path(), "nested", {"nested.test"});
  Mailbox<std::string> refusals_, seen_;
  std::optional<TlsServerOnLoopback> nested_;
  std::optional<Gateway> gateway_;
};

// Answers each request with its head and body.
void echo(TlsPeer& peer) {
  for (;;) {
    auto const request = read_request(peer);
    if (!request.head.ends_with("\r\n\r\n") || !peer.send(ok_answer(request.head + request.body))) return;
  }
}

TEST_F(HttpsNested, IsCalledByItsOwnNameInTheHandshakeAndInHost) {
  start([this](TlsPeer& peer) {
    seen_.put(peer.server_name() + " " + peer.alpn());
    echo(peer);
  });
  auto const answer = gateway_->get("/runtime/c1/x", key_field("c1"), "gateway.example");
  EXPECT_EQ(answer.status, 200U);
  EXPECT_TRUE(answer.body.starts_with("GET /x HTTP/1.1\r\n")) << answer.body;
  EXPECT_EQ(field_value(answer.body, "host"), "nested.test:" + std::to_string(nested_->port()));
  EXPECT_EQ(field_value(answer.body, "x-forwarded-host"), "gateway.example");
  EXPECT_EQ(seen_.take(), "nested.test http/1.1");
}

TEST_F(HttpsNested, GetsALongBodyWholeAndItsLongAnswerArrivesWhole) {
  auto const text = long_text();
  start([&text](TlsPeer& peer) {
    auto const request = read_request(peer);
    peer.send(ok_answer(request.body == text ? text : "another body of " + std::to_string(request.body.size())));
  });
  auto client = ask("POST /x HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Content-Length: " + std::to_string(text.size()) +
                    "\r\n\r\n");
  client.send(text);
  auto const answer = read_answer(client);
  EXPECT_EQ(answer.status, 200U);
  EXPECT_TRUE(answer.body == text) << answer.body.size();
}

TEST_F(HttpsNested, IsShownOneHandshakeForManyRequests) {
  start(echo);
  auto client = gateway_->connect();
  for (int i = 0; i < 5; ++i) {
    client.send(get_by_key());
    EXPECT_EQ(read_answer(client).status, 200U);
  }
  auto other = ask(get_by_key());
  EXPECT_EQ(read_answer(other).status, 200U);
  EXPECT_EQ(nested_->handshakes(), 1U);
}

TEST_F(HttpsNested, ThatEndsAReusedConnectionInsteadOfAnAnswerIsAskedOnceMore) {
  std::atomic<int> connections{0};
  start([&connections](TlsPeer& peer) {
    bool const is_first = connections++ == 0;
    read_request(peer);
    peer.send(ok_answer("once"));
    read_request(peer);
    if (!is_first) peer.send(ok_answer("again"));
    peer.say_goodbye();
  });
  auto client = gateway_->connect();
  for (auto const* expected : {"once", "once", "again"}) {
    client.send(get_by_key());
    EXPECT_EQ(read_answer(client).body, expected);
  }
  EXPECT_EQ(nested_->handshakes(), 2U);
}

TEST_F(HttpsNested, StreamsEventsAsTheyComeUntilItsConversationIsWithdrawn) {
  start([this](TlsPeer& peer) {
    read_request(peer);
    peer.send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: 1\n\n\r\n");
    seen_.take();
    peer.send("9\r\ndata: 2\n\n\r\n");
    while (!peer.read_some().empty()) {
    }
    seen_.put("ended");
  });
  auto client = ask(get_by_key());
  EXPECT_NE(client.read_until("data: 1").find("200 OK"), std::string::npos);
  seen_.put("go");
  EXPECT_NE(client.read_until("data: 2").find("data: 2"), std::string::npos);
  gateway_->remove("c1");
  client.read_to_end();
  EXPECT_EQ(seen_.take(), "ended");
}

TEST_F(HttpsNested, IsLetGoWhenTheClientOfItsSilentStreamLeaves) {
  start([this](TlsPeer& peer) {
    read_request(peer);
    peer.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n");
    while (!peer.read_some().empty()) {
    }
    seen_.put("ended");
  });
  auto client = ask(get_by_key());
  client.read_until("data: 1");
  client.close();
  EXPECT_EQ(seen_.take(), "ended");
}

// Takes one websocket, gives back what it is told, and tells of its handshake and its end.
TlsServerOnLoopback::Handle websocket_echo(Mailbox<std::string>& seen) {
  return [&seen](TlsPeer& peer) {
    auto const request = read_request(peer);
    seen.put(request.value("host").substr(0, 11));
    peer.send(switching_protocols());
    while (auto const frame = read_frame(peer)) peer.send(from_server(frame->opcode, frame->payload));
    seen.put("ended");
  };
}

TEST_F(HttpsNested, HasItsWebsocketsCarriedBothWays) {
  start(websocket_echo(seen_));
  auto client = ask(upgrade_request("/sockets/events/c1", key_field("c1")));
  EXPECT_EQ(read_answer(client, WithBody::no).status, 101U);
  EXPECT_EQ(seen_.take(), "nested.test");
  for (auto const& text : {std::string("hello"), std::string(200'000, 'x')}) {
    client.send(from_client(text_opcode, text));
    EXPECT_EQ(read_frame(client)->payload, text);
  }
  client.close();
  EXPECT_EQ(seen_.take(), "ended");
}

TEST_F(HttpsNested, HasItsWebsocketsClosedWhenItsConversationIsWithdrawn) {
  start(websocket_echo(seen_));
  auto client = ask(upgrade_request("/sockets/events/c1", key_field("c1")));
  EXPECT_EQ(read_answer(client, WithBody::no).status, 101U);
  seen_.take();
  gateway_->remove("c1");
  EXPECT_EQ(close_code_at_end(client), 1012U);
  EXPECT_EQ(seen_.take(), "ended");
}

TEST_F(HttpsNested, GetsTheWebsocketOfAKeyInTheFirstFrameByItsOwnName) {
  start(websocket_echo(seen_));
  auto client = open_unnamed(*gateway_, "/sockets/events/c1");
  client.send(from_client(text_opcode, auth_message(session_key_of("c1"))));
  EXPECT_EQ(read_frame(client)->payload, auth_message(session_key_of("c1")));
  EXPECT_EQ(seen_.take(), "nested.test");
}

TEST_F(HttpsNested, WithACertificateForAnotherNameGetsNoRequest) {
  start(echo);
  expect_refused(place("other.test", trusting(certificate_)), "c1 other.test hostname mismatch");
  EXPECT_EQ(nested_->accepted(), 2U);
  EXPECT_EQ(nested_->handshakes(), 0U);
}

TEST_F(HttpsNested, ThatNobodyTrustedVouchesForGetsNoRequest) {
  start(echo);
  auto const other = make_certificate(folder_.path(), "other", {"nested.test"});
  expect_refused(place("nested.test", trusting(other)), "c1 nested.test self-signed certificate");
  EXPECT_EQ(nested_->handshakes(), 0U);
}

TEST_F(HttpsNested, ThatSpeaksPlainTextIsUnreachable) {
  Server plain([](Connection& connection) {
    connection.read_some();
    connection.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n");
  });
  start_gateway();
  expect_refused(place_at(plain.port(), "nested.test", trusting(certificate_)), "c1 nested.test ");
}

TEST_F(HttpsNested, ThatDoesNotAnswerTheHandshakeIsGivenUpWithinTheTimeOfAConnect) {
  Server silent([this](Connection& connection) {
    connection.read_to_end();
    seen_.put("ended");
  });
  auto config = default_config();
  config.timeouts.connect = std::chrono::milliseconds(50);
  start_gateway(std::move(config));
  publish(place_at(silent.port(), "nested.test", trusting(certificate_)));
  auto const answer = gateway_->ask(get_by_key());
  EXPECT_EQ(answer.status, 504U);
  EXPECT_EQ(error_code_of(answer), "runtime_connect_timeout");
  EXPECT_EQ(seen_.take(), "ended");
  EXPECT_TRUE(refusals_.empty());
}

TEST_F(HttpsNested, IsServedAgainOnceItsCertificateIsTrusted) {
  start(echo);
  expect_refused(place("other.test", trusting(certificate_)), "hostname mismatch");
  publish(place("nested.test", trusting(certificate_)));
  EXPECT_EQ(gateway_->ask(get_by_key()).status, 200U);
}

// Only the end of the connection says where such an answer ends, and over TLS an end that nobody announced may be a cut.
TEST_F(HttpsNested, WhoseAnswerEndsUnannouncedIsNotTakenForWhole) {
  start([](TlsPeer& peer) {
    auto const request = read_request(peer);
    peer.send("HTTP/1.1 200 OK\r\n\r\nbody");
    if (request.line().starts_with("GET /whole")) {
      peer.say_goodbye();
    } else {
      peer.cut();
    }
    peer.read_some();
  });
  auto cut = ask(get_by_key());
  cut.read_to_end();
  EXPECT_TRUE(cut.reset_by_peer());
  auto whole = ask("GET /whole HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
  EXPECT_TRUE(whole.read_to_end().ends_with("\r\n\r\nbody"));
  EXPECT_FALSE(whole.reset_by_peer());
}

TEST_F(HttpsNested, IsLeftByADrainThatDoesNotWait) {
  start([this](TlsPeer& peer) {
    read_request(peer);
    seen_.put("asked");
    while (!peer.read_some().empty()) {
    }
    seen_.put("ended");
  });
  auto client = ask(get_by_key());
  seen_.take();
  gateway_->stop(std::chrono::milliseconds(0));
  EXPECT_EQ(seen_.take(), "ended");
}

}  // namespace
}  // namespace nestgate::test
