#include <gtest/gtest.h>

#include "support/websocket.hpp"

namespace nestgate::test {
namespace {

using namespace std::chrono_literals;

class Tunnel : public testing::Test {
 protected:
  void start(proxy::Config config = default_config()) {
    gateway_.emplace(std::move(config));
    gateway_->start();
    gateway_->add("c1", server_.port());
  }
  Tunnelled open(std::string_view target = "/sockets/events/c1") {
    return open_tunnel(*gateway_, server_, target, key_field("c1"));
  }
  bool none_is_open() {
    return eventually([&] { return gateway_->stats().tunnels_open.read() == 0; });
  }
  std::uint64_t ended(proxy::TunnelEnd why) const {
    return gateway_->stats().tunnels_ended[static_cast<std::size_t>(why)].read();
  }

  ScriptedServer server_;
  std::optional<Gateway> gateway_;
};

// --- opening

TEST_F(Tunnel, OpensByTheKeyOfTheQueryTheHeaderAndTheId) {
  start();
  struct Way {
    std::string target, fields, expected;
  };
  std::string const query = "?session_api_key=" + session_key_of("c1");
  for (auto const& way :
       {Way{"/sockets/events/c1" + query + "&resend_mode=all", "", "/sockets/events/c1" + query + "&resend_mode=all"},
        Way{"/sockets/bash-events" + query, "", "/sockets/bash-events" + query},
        Way{"/sockets/bash-events", key_field("c1"), "/sockets/bash-events"},
        Way{"/runtime/c1/app/live?x=%20", key_field("c1"), "/app/live?x=%20"}}) {
    auto client = gateway_->connect();
    client.send(upgrade_request(way.target, way.fields));
    auto nested = server_.next();
    auto const request = read_request(nested);
    EXPECT_EQ(request.line(), "GET " + way.expected + " HTTP/1.1");
    EXPECT_TRUE(same_ignoring_case(request.value("upgrade"), "websocket"));
    EXPECT_EQ(request.value("sec-websocket-key"), "dGhlIHNhbXBsZSBub25jZQ==");
    EXPECT_EQ(request.value("x-session-api-key"), session_key_of("c1"));
    nested.send(switching_protocols());
    EXPECT_EQ(read_answer(client, WithBody::no).status, 101u);
    nested.send(from_server(text_opcode, "hello"));
    EXPECT_EQ(read_frame(client)->payload, "hello");
  }
}

TEST_F(Tunnel, PassesWhatTheTwoNegotiated) {
  start();
  auto client = gateway_->connect();
  client.send(upgrade_request("/sockets/events/c1",
                              key_field("c1") + "Sec-WebSocket-Protocol: tty, graphql-ws\r\n"
                                                "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"));
  auto nested = server_.next();
  auto const request = read_request(nested);
  EXPECT_EQ(request.value("sec-websocket-protocol"), "tty, graphql-ws");
  EXPECT_EQ(request.value("sec-websocket-extensions"), "permessage-deflate; client_max_window_bits");
  EXPECT_EQ(request.value("sec-websocket-version"), "13");
  nested.send(switching_protocols("Sec-WebSocket-Protocol: tty\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"));
  auto const answer = read_answer(client, WithBody::no);
  EXPECT_EQ(answer.value("sec-websocket-protocol"), "tty");
  EXPECT_EQ(answer.value("sec-websocket-extensions"), "permessage-deflate");
  EXPECT_EQ(answer.value("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST_F(Tunnel, LeavesDeflatedAndFragmentedMessagesAsTheyAre) {
  start();
  auto pair = open();
  std::string const deflated_up = frame_with(0xc1, "\xf2\x48\xcd", http::Masked::yes);
  std::string const fragments_up = frame_with(0x02, std::string(300, 'a'), http::Masked::yes) +
                                   from_client(ping_opcode, "between") + frame_with(0x80, "end", http::Masked::yes);
  pair.client.send(deflated_up + fragments_up);
  EXPECT_EQ(pair.nested.read_exactly(deflated_up.size() + fragments_up.size()), deflated_up + fragments_up);
  std::string const down = frame_with(0x41, std::string(70'000, '\xf2'), http::Masked::no) +
                           from_server(pong_opcode, "between") + frame_with(0x80, "", http::Masked::no);
  pair.nested.send(down);
  EXPECT_EQ(pair.client.read_exactly(down.size()), down);
}

TEST_F(Tunnel, NoClientByteGoesUpstreamBeforeThe101) {
  start();
  auto client = gateway_->connect();
  std::string const early = from_client(text_opcode, "early bird");
  client.send(upgrade_request("/sockets/events/c1", key_field("c1")) + early);
  auto nested = server_.next();
  auto const head = nested.read_until("\r\n\r\n");
  EXPECT_FALSE(head.empty());
  // A whole round trip of another request through the same core: what would come, would be there.
  gateway_->get("/health");
  EXPECT_FALSE(nested.readable_now());
  nested.send(switching_protocols());
  EXPECT_EQ(read_answer(client, WithBody::no).status, 101u);
  EXPECT_EQ(nested.read_exactly(early.size()), early);
}

TEST_F(Tunnel, BytesBehindThe101ReachTheClientInOnePiece) {
  start();
  auto client = gateway_->connect();
  client.send(upgrade_request("/sockets/events/c1", key_field("c1")));
  auto nested = server_.next();
  read_request(nested);
  nested.send(switching_protocols() + from_server(text_opcode, "snapshot") + "\x81");
  EXPECT_EQ(read_answer(client, WithBody::no).status, 101u);
  EXPECT_EQ(read_frame(client)->payload, "snapshot");
  nested.send("\x02ok");
  EXPECT_EQ(read_frame(client)->payload, "ok");
}

TEST_F(Tunnel, IsAnOpenConnectionAndNoRequestThatTakesTime) {
  start();
  auto pair = open();
  auto const other = open();
  auto const& stats = gateway_->stats();
  EXPECT_TRUE(eventually([&] { return stats.tunnels_open.read() == 2 && stats.connections_open.read() == 2; }));
  auto const& duration = stats.duration[static_cast<std::size_t>(http::RouteKind::path)];
  for (std::size_t i = 0; i <= LatencyHistogram::bounds_us.size(); ++i) EXPECT_EQ(duration.bucket(i), 0u);
  pair.client.close();
  EXPECT_TRUE(eventually([&] { return stats.connections_open.read() == 1; }));
}

// --- closing

TEST_F(Tunnel, PassesTheServersCloseCodesAndReasonsVerbatim) {
  start();
  struct Close {
    std::uint16_t code;
    std::string reason;
  };
  for (auto const& close : {Close{4001, "Authentication failed"}, Close{4004, "Conversation not found"},
                            Close{1013, "Too many connections for this conversation"}, Close{1012, ""}}) {
    auto pair = open();
    pair.nested.send(from_server(text_opcode, "last") + from_server(close_opcode, closing(close.code, close.reason)));
    EXPECT_EQ(read_frame(pair.client)->payload, "last");
    auto const frame = read_frame(pair.client);
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->opcode, close_opcode);
    EXPECT_EQ(frame->code(), close.code);
    EXPECT_EQ(frame->reason(), close.reason);
    pair.client.send(from_client(close_opcode, closing(close.code, "")));
    EXPECT_EQ(pair.client.read_to_end(), "");
    EXPECT_TRUE(none_is_open()) << "with the client's answer it is over, whether or not it closes";
  }
}

TEST_F(Tunnel, PassesTheClientsCloseAndTheServersAnswerVerbatim) {
  start();
  auto pair = open();
  auto const up = from_client(close_opcode, closing(1009, "message of 1048577 bytes is too big"));
  pair.client.send(up);
  EXPECT_EQ(pair.nested.read_exactly(up.size()), up);
  auto const down = from_server(close_opcode, closing(1000, "bye"));
  pair.nested.send(down);
  pair.nested.close();
  EXPECT_EQ(pair.client.read_to_end(), down) << "the client closed first: 1000 is the end that it asked for";
  pair.client.close();
  EXPECT_TRUE(none_is_open());
}

TEST_F(Tunnel, AServerThatGoesAwayOnAnEventSocketIsAServiceRestart) {
  start();
  for (auto const code : std::array<std::uint16_t, 2>{1000, 1001}) {
    auto pair = open();
    pair.nested.send(from_server(close_opcode, closing(code, "done")));
    auto const frame = read_frame(pair.client);
    ASSERT_TRUE(frame);
    EXPECT_EQ(frame->code(), 1012) << code;
  }
  auto pair = open();
  pair.nested.send(from_server(close_opcode, ""));
  auto const frame = read_frame(pair.client);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->code(), 1012) << "a close without a code reads as 1005";
}

TEST_F(Tunnel, AServersCloseThatComesByteByByteIsOneFrame) {
  start();
  auto pair = open();
  auto const frame = from_server(text_opcode, "x") + from_server(close_opcode, closing(1000, "bye"));
  for (char const byte : frame) pair.nested.send({&byte, 1});
  EXPECT_EQ(read_frame(pair.client)->payload, "x");
  EXPECT_EQ(read_frame(pair.client)->code(), 1012);
}

TEST_F(Tunnel, AServerThatGoesAwayElsewhereIsPassedAsItIs) {
  start();
  auto pair = open("/runtime/c1/app/live");
  auto const down = from_server(close_opcode, closing(1001, "navigating"));
  pair.nested.send(down);
  EXPECT_EQ(pair.client.read_exactly(down.size()), down);
  auto const up = from_client(close_opcode, closing(1001, ""));
  pair.client.send(up);
  EXPECT_EQ(pair.nested.read_exactly(up.size()), up) << "the closing handshake is theirs";
  pair.nested.close();
  EXPECT_EQ(pair.client.read_to_end(), "");
}

TEST_F(Tunnel, ALostServerAtABoundaryIsAServiceRestart) {
  start();
  auto ended_cleanly = open();
  ended_cleanly.nested.send(from_server(text_opcode, "whole"));
  EXPECT_EQ(read_frame(ended_cleanly.client)->payload, "whole");
  ended_cleanly.nested.close();
  EXPECT_EQ(close_code_at_end(ended_cleanly.client), 1012);

  auto killed = open();
  killed.nested.reset();
  EXPECT_EQ(close_code_at_end(killed.client), 1012);
  EXPECT_EQ(ended(proxy::TunnelEnd::nested_server), 2u);
}

TEST_F(Tunnel, ALostServerWithinAFrameIsACut) {
  start();
  auto pair = open();
  auto const whole = from_server(text_opcode, std::string(1'000, 'x'));
  pair.nested.send(std::string_view(whole).substr(0, 500));
  EXPECT_EQ(pair.client.read_exactly(500), whole.substr(0, 500));
  pair.nested.close();
  EXPECT_EQ(pair.client.read_to_end(), "") << "nothing of ours can stand within a frame";
  EXPECT_TRUE(none_is_open());
}

TEST_F(Tunnel, WhatALostServerSaidLastIsReadAlsoWhenTheClientStillTalks) {
  start();
  for (int round = 0; round < 4; ++round) {
    auto pair = open();
    pair.nested.send(from_server(close_opcode, closing(4004, "Conversation not found")));
    pair.nested.close();  // with what the client says unread: a reset
    for (int i = 0; i < 20; ++i) pair.client.send(from_client(text_opcode, std::string(2'000, 'x')));
    EXPECT_EQ(close_code_at_end(pair.client), 4004);
  }
}

TEST_F(Tunnel, ADeadClientEndsTheServersSideAtOnce) {
  start();
  auto closed = open();
  closed.client.close();
  EXPECT_EQ(closed.nested.read_to_end(), "");
  auto reset = open();
  reset.client.reset();
  EXPECT_EQ(reset.nested.read_to_end(), "");
  EXPECT_TRUE(none_is_open());
  EXPECT_EQ(ended(proxy::TunnelEnd::client), 2u);
}

TEST_F(Tunnel, AClientThatSpeaksNoWebsocketIsClosedWith1002) {
  start();
  auto pair = open();
  pair.client.send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(close_code_at_end(pair.client), 1002);
  EXPECT_EQ(pair.nested.read_to_end(), "") << "nothing of it reaches the server";
  EXPECT_EQ(ended(proxy::TunnelEnd::protocol_error), 1u);
}

TEST_F(Tunnel, AServerThatMasksItsFramesIsClosedWith1012) {
  start();
  auto pair = open();
  pair.nested.send(from_server(text_opcode, "good") + from_client(text_opcode, "masked"));
  EXPECT_EQ(close_code_at_end(pair.client), 1012);
  EXPECT_EQ(pair.nested.read_to_end(), "");
}

TEST_F(Tunnel, AWithdrawnRuntimeEndsItsTunnelsAndNoOthers) {
  start();
  gateway_->add("c2", server_.port());
  auto gone = open();
  auto other = open_tunnel(*gateway_, server_, "/sockets/events/c2", key_field("c2"));
  gateway_->remove("c1");
  EXPECT_EQ(close_code_at_end(gone.client), 1012);
  EXPECT_EQ(gone.nested.read_to_end(), "");
  other.nested.send(from_server(text_opcode, "still here"));
  EXPECT_EQ(read_frame(other.client)->payload, "still here");
  EXPECT_EQ(ended(proxy::TunnelEnd::withdrawn), 1u);
}

TEST_F(Tunnel, ARuntimeThatStartedAgainElsewhereEndsTheTunnelsToTheOldOne) {
  start();
  auto pair = open();
  ScriptedServer next;
  gateway_->add("c1", next.port(), "alice", conversation::RuntimeState::running, 2);
  EXPECT_EQ(close_code_at_end(pair.client), 1012);
  auto again = open_tunnel(*gateway_, next, "/sockets/events/c1", key_field("c1"));
  again.nested.send(from_server(text_opcode, "new"));
  EXPECT_EQ(read_frame(again.client)->payload, "new");
}

// --- slow ones

constexpr std::uint32_t backlog_max = 256 * 1024;
proxy::Config small_backlog() {
  auto config = default_config();
  config.limits.tunnel_backlog_bytes_max = backlog_max;
  return config;
}
// Far more than the limit and all socket buffers on the way together.
constexpr std::size_t flood_frames = 1024;
std::string flood_frame(std::size_t i) {
  return from_server(binary_opcode, std::to_string(i) + std::string(64 * 1024, 'x'));
}

TEST_F(Tunnel, AClientThatReadsNothingNeverStallsTheServerAndIsToldToComeBack) {
  start(small_backlog());
  auto stalled = open();
  auto reading = open();
  std::size_t sent = 0;
  while (sent < flood_frames && stalled.nested.send(flood_frame(sent))) ++sent;
  EXPECT_LT(sent, flood_frames) << "the server's side is closed once the limit is passed";
  EXPECT_GT(sent * 64 * 1024, backlog_max);

  std::size_t received = 0;
  std::optional<Frame> frame;
  while ((frame = read_frame(stalled.client)) && frame->opcode == binary_opcode) {
    EXPECT_EQ(frame->wire, flood_frame(received));
    ++received;
  }
  ASSERT_TRUE(frame) << "the stream ended within a frame";
  EXPECT_EQ(frame->opcode, close_opcode);
  EXPECT_EQ(frame->code(), 1013);
  EXPECT_LT(received, sent) << "what it did not begin to get is dropped";
  EXPECT_EQ(stalled.client.read_to_end(), "");
  EXPECT_EQ(ended(proxy::TunnelEnd::slow_client), 1u);

  reading.nested.send(from_server(text_opcode, "goes on"));
  EXPECT_EQ(read_frame(reading.client)->payload, "goes on") << "another client of the conversation does not notice";
  EXPECT_EQ(gateway_->stats().tunnel_backlog_bytes.read(), 0);
}

TEST_F(Tunnel, AClientThatReadsAgainAfterAWhileIsStillToldToComeBack) {
  auto config = small_backlog();
  config.timeouts.tunnel_ping = 500ms;
  config.timeouts.tunnel_pong = 20s;
  start(std::move(config));
  auto stalled = open();
  auto clock = open();
  for (std::size_t i = 0; i < flood_frames && stalled.nested.send(flood_frame(i)); ++i) {
  }
  EXPECT_TRUE(eventually([&] { return ended(proxy::TunnelEnd::slow_client) == 1; }));
  // For longer than a close may take otherwise, told by another tunnel's pings.
  for (int i = 0; i < 6; ++i) {
    ASSERT_EQ(read_frame(clock.client)->opcode, ping_opcode);
    clock.client.send(from_client(pong_opcode, ""));
  }
  EXPECT_EQ(close_code_at_end(stalled.client), 1013);
}

TEST_F(Tunnel, AClientThatReadsSlowlyButReadsGetsEverything) {
  auto config = default_config();
  config.limits.tunnel_backlog_bytes_max = 256 * 1024 * 1024;
  start(std::move(config));
  auto pair = open();
  constexpr std::size_t frames = 300;
  for (std::size_t i = 0; i < frames; ++i) ASSERT_TRUE(pair.nested.send(flood_frame(i)));
  EXPECT_TRUE(eventually([&] { return gateway_->stats().client_bytes_out.read() > frames * 64 * 1024; }))
      << "the gateway takes all of it while the client reads nothing";
  EXPECT_GT(gateway_->stats().tunnel_backlog_bytes.read(), 0);
  for (std::size_t i = 0; i < frames; ++i) ASSERT_EQ(read_frame(pair.client)->wire, flood_frame(i));
  EXPECT_TRUE(eventually([&] { return gateway_->stats().tunnel_backlog_bytes.read() == 0; }));
}

TEST_F(Tunnel, WhatAServerSentBeforeItsCloseReachesASlowClientElsewhere) {
  auto config = default_config();
  config.limits.tunnel_backlog_bytes_max = 256 * 1024 * 1024;
  start(std::move(config));
  auto pair = open("/runtime/c1/app/live");
  constexpr std::size_t frames = 300;
  for (std::size_t i = 0; i < frames; ++i) ASSERT_TRUE(pair.nested.send(flood_frame(i)));
  pair.nested.send(from_server(close_opcode, closing(1000, "all of it")));
  pair.nested.close();
  EXPECT_TRUE(eventually([&] { return ended(proxy::TunnelEnd::nested_server) == 1; }));
  for (std::size_t i = 0; i < frames; ++i) ASSERT_EQ(read_frame(pair.client)->wire, flood_frame(i));
  EXPECT_EQ(read_frame(pair.client)->reason(), "all of it");
}

TEST_F(Tunnel, AClientThatStopsReadingWithinAFrameLargerThanTheLimitIsCut) {
  start(small_backlog());
  auto pair = open();
  auto const whole = from_server(binary_opcode, std::string(64 * 1024 * 1024, 'x'));
  EXPECT_FALSE(pair.nested.send(whole)) << "closed before it went whole";
  auto const got = pair.client.read_to_end();
  EXPECT_LT(got.size(), whole.size());
  EXPECT_TRUE(whole.starts_with(got)) << "nothing of ours stands within the frame";
}

TEST_F(Tunnel, ANestedServerThatReadsNothingHoldsItsClientBack) {
  start();
  auto pair = open();
  constexpr std::size_t frames = 1'000;
  auto const frame = from_client(binary_opcode, std::string(64 * 1024, 'y'));
  std::atomic<std::size_t> sent{0};
  std::thread sender([&] {
    while (sent < frames && pair.client.send(frame)) ++sent;
  });
  // Until the client cannot go on: the gateway reads no more than it can pass on.
  auto const stuck = [&] {
    pollfd p{pair.client.fd(), POLLOUT, 0};
    return ::poll(&p, 1, 200) == 0;
  };
  EXPECT_TRUE(eventually([&] { return stuck() || sent == frames; }));
  EXPECT_LT(sent, frames);
  EXPECT_EQ(gateway_->stats().tunnels_open.read(), 1);
  for (std::size_t i = 0; i < frames; ++i) {
    if (pair.nested.read_exactly(frame.size()) != frame) {
      ADD_FAILURE() << "frame " << i;
      break;
    }
  }
  sender.join();
  EXPECT_EQ(sent, frames);
}

TEST_F(Tunnel, AClientHeldBackByItsServerIsNotTakenForDead) {
  auto config = default_config();
  // The server's turn comes last: a wrong verdict on the client would be the first.
  config.timeouts.tunnel_ping = 300ms;
  config.timeouts.tunnel_pong = 300ms;
  config.timeouts.body_progress = 800ms;
  start(std::move(config));
  auto const frame = from_client(binary_opcode, std::string(1024 * 1024, 'y'));
  auto pair = open();
  std::thread sender([&] {
    while (pair.client.send(frame)) {
    }
  });
  EXPECT_EQ(close_code_at_end(pair.client), 1012) << "it is the server that takes nothing";
  EXPECT_EQ(ended(proxy::TunnelEnd::nested_server), 1u);
  pair.client.end_sending();
  sender.join();
}

// --- pings

proxy::Config quick_pings() {
  auto config = default_config();
  config.timeouts.tunnel_ping = 20ms;
  config.timeouts.tunnel_pong = 60ms;
  return config;
}

TEST_F(Tunnel, AQuietClientIsPingedAndOneThatAnswersStays) {
  auto config = quick_pings();
  config.timeouts.tunnel_pong = 10s;
  start(std::move(config));
  auto pair = open();
  for (int i = 0; i < 5; ++i) {
    auto const ping = read_frame(pair.client);
    ASSERT_TRUE(ping);
    EXPECT_EQ(ping->opcode, ping_opcode);
    auto const pong = from_client(pong_opcode, ping->payload);
    pair.client.send(pong);
    EXPECT_EQ(pair.nested.read_exactly(pong.size()), pong) << "an unsolicited pong is allowed (RFC 6455 section 5.5.3)";
  }
}

TEST_F(Tunnel, AClientThatAnswersNoPingIsDroppedAndItsServerSideIsClosed) {
  start(quick_pings());
  auto pair = open();
  EXPECT_EQ(pair.nested.read_to_end(), "");
  EXPECT_EQ(read_frame(pair.client)->opcode, ping_opcode);
  EXPECT_EQ(read_frame(pair.client)->code(), 1013);
  EXPECT_EQ(ended(proxy::TunnelEnd::dead_client), 1u);
}

TEST_F(Tunnel, NoPingStandsWithinAFrame) {
  auto config = quick_pings();
  config.timeouts.tunnel_pong = 10s;
  start(std::move(config));
  auto pair = open();
  auto const whole = from_server(binary_opcode, std::string(300'000, 'z'));
  auto const half = whole.size() / 2;
  pair.nested.send(std::string_view(whole).substr(0, half));
  auto const early_ping = from_server(ping_opcode, "");
  std::string got = pair.client.read_exactly(early_ping.size());
  if (got == early_ping) {  // it came before the frame did
    pair.client.send(from_client(pong_opcode, ""));
    got.clear();
  }
  got += pair.client.read_exactly(half - got.size());
  EXPECT_EQ(got, whole.substr(0, half));
  // Several times the ping interval, told by another tunnel's pings.
  auto clock = open();
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(read_frame(clock.client)->opcode, ping_opcode);
    clock.client.send(from_client(pong_opcode, ""));
  }
  EXPECT_FALSE(pair.client.readable_now());
  pair.nested.send(std::string_view(whole).substr(half));
  EXPECT_EQ(pair.client.read_exactly(whole.size() - half), whole.substr(half));
  auto const after = read_frame(pair.client);
  ASSERT_TRUE(after);
  EXPECT_EQ(after->opcode, ping_opcode) << "now it can";
}

TEST_F(Tunnel, ATunnelWithoutDataIsClosedWith1012AfterItsIdleTime) {
  auto config = default_config();
  config.timeouts.tunnel_idle = 50ms;
  start(std::move(config));
  auto pair = open();
  EXPECT_EQ(close_code_at_end(pair.client), 1012);
  EXPECT_EQ(pair.nested.read_to_end(), "");
  EXPECT_EQ(ended(proxy::TunnelEnd::idle), 1u);
}

}  // namespace
}  // namespace nestgate::test
