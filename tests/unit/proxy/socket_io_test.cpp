// What a Socket.IO client and an older nested server say to each other (nested_server.md 3.4), packet by packet, on real
// sockets. Both ends are in the hands of the test.

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "support/scripted.hpp"
#include "support/websocket.hpp"

namespace nestgate::test {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t large = 39 * 1024 * 1024 / 10;
constexpr std::string_view open_packet =
    R"(0{"sid":"sid-1","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":4194304})";
// As a browser sends them.
constexpr std::string_view browser = "Origin: https://app.example\r\n";

std::string target(std::string_view transport, std::string_view further = {},
                   std::string const& key = session_key_of("c1")) {
  return "/socket.io/?EIO=4&transport=" + std::string(transport) + std::string(further) +
         "&conversation_id=c1&latest_event_id=-1&session_api_key=" + key;
}
std::string get(std::string const& at) { return "GET " + at + " HTTP/1.1\r\nHost: gateway\r\n\r\n"; }
std::string post(std::string const& at, std::string const& packets) {
  return "POST " + at +
         " HTTP/1.1\r\nHost: gateway\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(packets.size()) +
         "\r\n\r\n" + packets;
}
std::string event(int id) { return R"(42["oh_event",{"id":)" + std::to_string(id) + R"(,"source":"agent","message":"m"}])"; }
// Of an event packet; -1: it is none.
int id_of(std::string const& packet) {
  constexpr std::string_view mark = R"("id":)";
  auto const at = packet.find(mark);
  return packet.starts_with("42") && at != packet.npos ? std::stoi(packet.substr(at + mark.size())) : -1;
}
// Sends what is more than the sockets between take while the other end reads; false when that takes too long.
std::future<bool> send_beside(Connection& to, std::string bytes) {
  timeval const patience{patience_ms / 1000, 0};
  ::setsockopt(to.fd(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  return std::async(std::launch::async, [&to, bytes = std::move(bytes)] { return to.send(bytes); });
}

class SocketIo : public testing::Test {
 protected:
  void start(proxy::Config config = default_config()) {
    gateway_.emplace(std::move(config));
    gateway_->start();
    gateway_->add("c1", server_.port());
  }
  static Tunnelled open(Gateway& gateway, ScriptedServer& server, std::string const& at) {
    auto pair = open_tunnel(gateway, server, at, browser);
    pair.nested.send(from_server(text_opcode, open_packet));
    EXPECT_EQ(read_frame(pair.client)->payload, open_packet);
    pair.client.send(from_client(text_opcode, "40"));
    EXPECT_EQ(read_frame(pair.nested)->payload, "40");
    pair.nested.send(from_server(text_opcode, R"(40{"sid":"n-1"})"));
    EXPECT_EQ(read_frame(pair.client)->payload, R"(40{"sid":"n-1"})");
    return pair;
  }
  Tunnelled open() { return open(*gateway_, server_, target("websocket")); }

  ScriptedServer server_;
  std::optional<Gateway> gateway_;
};

TEST_F(SocketIo, ConnectsByWebsocketAlone) {
  start();
  auto client = gateway_->connect();
  client.send(upgrade_request(target("websocket"), browser));
  auto nested = server_.next();
  auto const request = read_request(nested);
  EXPECT_EQ(request.line(), "GET " + target("websocket") + " HTTP/1.1") << "with what it says of its latest event";
  EXPECT_EQ(request.value("origin"), "https://app.example");
  EXPECT_EQ(request.value("x-session-api-key"), session_key_of("c1"));
  nested.send(switching_protocols() + from_server(text_opcode, open_packet));
  EXPECT_EQ(read_answer(client, WithBody::no).status, 101u);
  EXPECT_EQ(read_frame(client)->payload, open_packet);
  client.send(from_client(text_opcode, "40") + from_client(text_opcode, R"(42["oh_user_action",{"action":"message"}])"));
  EXPECT_EQ(read_frame(nested)->payload, "40");
  EXPECT_EQ(read_frame(nested)->payload, R"(42["oh_user_action",{"action":"message"}])");
  for (int i = 0; i < 3; ++i) nested.send(from_server(text_opcode, event(i)));
  for (int i = 0; i < 3; ++i) EXPECT_EQ(id_of(read_frame(client)->payload), i);
}

TEST_F(SocketIo, PollsAndThenUpgrades) {
  start();
  auto polling = gateway_->connect();
  polling.send(get(target("polling")));
  auto nested = server_.next();
  EXPECT_EQ(read_request(nested).line(), "GET " + target("polling") + " HTTP/1.1");
  nested.send(ok_answer(open_packet));
  EXPECT_EQ(read_answer(polling).body, open_packet);
  auto const with_sid = target("polling", "&sid=sid-1");
  polling.send(post(with_sid, "40"));
  EXPECT_EQ(read_request(nested).body, "40");
  nested.send(ok_answer("ok"));
  EXPECT_EQ(read_answer(polling).body, "ok");
  polling.send(get(with_sid));  // stays open until there is something to say
  EXPECT_EQ(read_request(nested).line(), "GET " + with_sid + " HTTP/1.1");

  auto probing = open_tunnel(*gateway_, server_, target("websocket", "&sid=sid-1"), browser);
  probing.client.send(from_client(text_opcode, "2probe"));
  EXPECT_EQ(read_frame(probing.nested)->payload, "2probe");
  probing.nested.send(from_server(text_opcode, "3probe"));
  EXPECT_EQ(read_frame(probing.client)->payload, "3probe");
  nested.send(ok_answer("6"));
  EXPECT_EQ(read_answer(polling).body, "6");
  probing.client.send(from_client(text_opcode, "5"));
  EXPECT_EQ(read_frame(probing.nested)->payload, "5");
  probing.nested.send(from_server(text_opcode, event(0)));
  EXPECT_EQ(id_of(read_frame(probing.client)->payload), 0);
}

TEST_F(SocketIo, CarriesFramesOfNearlyFourMebibytesBothWays) {
  start();
  auto pair = open();
  std::string const packet = R"(42["oh_event",{"id":7,"content":")" + std::string(large, 'x') + "\"}]";
  auto down = send_beside(pair.nested, from_server(text_opcode, packet));
  auto const received = read_frame(pair.client);
  ASSERT_TRUE(received);
  EXPECT_TRUE(received->payload == packet);
  EXPECT_TRUE(down.get());
  auto up = send_beside(pair.client, from_client(text_opcode, packet));
  auto const taken = read_frame(pair.nested);
  ASSERT_TRUE(taken);
  EXPECT_TRUE(taken->payload == packet);
  EXPECT_TRUE(up.get());
  pair.nested.send(from_server(text_opcode, "2"));
  EXPECT_EQ(read_frame(pair.client)->payload, "2") << "and goes on";
}

TEST_F(SocketIo, PollsForNearlyFourMebibytesBothWays) {
  start();
  std::string const packet = "42[\"" + std::string(large, 'x') + "\"]";
  auto polling = gateway_->connect();
  auto up = send_beside(polling, post(target("polling", "&sid=sid-1"), packet));
  auto nested = server_.next();
  EXPECT_TRUE(read_request(nested).body == packet);
  EXPECT_TRUE(up.get());
  nested.send(ok_answer("ok"));
  EXPECT_EQ(read_answer(polling).body, "ok");
  polling.send(get(target("polling", "&sid=sid-1")));
  read_request(nested);
  auto down = send_beside(nested, ok_answer(packet));
  EXPECT_TRUE(read_answer(polling).body == packet);
  EXPECT_TRUE(down.get());
}

// Both sides of a conversation in which nothing happens may say nothing for 45 s.
static_assert(Timeouts{}.first_byte > 60s && (Timeouts{}.stream_idle == 0s || Timeouts{}.stream_idle > 60s));
static_assert(Timeouts{}.tunnel_idle == 0s || Timeouts{}.tunnel_idle > 60s);

TEST_F(SocketIo, StaysWhileNothingIsSaid) {
  auto config = default_config();
  for (auto* const shorter : {&config.timeouts.head, &config.timeouts.keep_alive, &config.timeouts.body_progress,
                              &config.timeouts.first_frame, &config.timeouts.upstream_idle})
    *shorter = 50ms;
  config.timeouts.tunnel_ping = 40ms;
  start(std::move(config));
  auto pair = open();
  auto polling = gateway_->connect();
  polling.send(get(target("polling", "&sid=sid-2")));
  auto polled = server_.next();
  read_request(polled);
  for (int i = 0; i < 10; ++i) {  // as long as eight of the times above
    auto const ping = read_frame(pair.client);
    ASSERT_TRUE(ping);
    ASSERT_EQ(ping->opcode, ping_opcode);
    pair.client.send(from_client(pong_opcode, ping->payload));
    ASSERT_EQ(read_frame(pair.nested)->opcode, pong_opcode);
  }
  polled.send(ok_answer(event(0)));
  EXPECT_EQ(id_of(read_answer(polling).body), 0);
  pair.nested.send(from_server(text_opcode, "2"));
  auto next = read_frame(pair.client);
  while (next && next->opcode == ping_opcode) next = read_frame(pair.client);
  ASSERT_TRUE(next);
  EXPECT_EQ(next->payload, "2");
}

// The events that a client has, as its next connection tells the server.
struct Seen {
  // Reads until the end, however it comes; true when a close frame said that it shall come back.
  bool read_all(Connection& from) {
    while (auto const frame = read_frame(from)) {
      if (frame->opcode == close_opcode) return frame->code() == 1012;
      take(frame->payload);
    }
    return false;
  }
  void take(std::string const& packet) {
    if (auto const id = id_of(packet); id >= 0) ids.push_back(id);
  }
  int latest() const { return ids.empty() ? -1 : ids.back(); }
  std::vector<int> ids;
};

TEST_F(SocketIo, ComesBackAfterItsServerRestartedAndMissesNothingAndGetsNothingTwice) {
  enum class End : std::uint8_t { at_a_boundary, within_a_frame, killed };
  constexpr int events = 6;
  for (auto const end : {End::at_a_boundary, End::within_a_frame, End::killed}) {
    auto before = std::make_unique<ScriptedServer>();
    Gateway gateway;
    gateway.start();
    gateway.add("c1", before->port());
    auto pair = open(gateway, *before, target("websocket"));
    Seen seen;
    for (int i = 0; i < 3; ++i) pair.nested.send(from_server(text_opcode, event(i)));
    for (int i = 0; i < 3; ++i) seen.take(read_frame(pair.client)->payload);
    if (end == End::within_a_frame) pair.nested.send(from_server(text_opcode, event(3)).substr(0, 9));
    if (end == End::killed) pair.nested.reset();
    pair.nested.close();
    bool const told = seen.read_all(pair.client);
    EXPECT_EQ(told, end != End::within_a_frame) << "a close frame cannot stand within a frame";
    EXPECT_EQ(pair.client.read_to_end(), "") << "so that the client comes back";

    before->stop();
    auto const meanwhile = gateway.ask(upgrade_request(target("websocket"), browser));
    EXPECT_EQ(meanwhile.status, 503u) << "and comes again";
    EXPECT_FALSE(meanwhile.value("retry-after").empty());

    ScriptedServer after;
    gateway.add("c1", after.port(), "alice", conversation::RuntimeState::running, 2);
    auto const again =
        "/socket.io/?EIO=4&transport=websocket&conversation_id=c1&latest_event_id=" + std::to_string(seen.latest()) +
        "&session_api_key=" + session_key_of("c1");
    auto client = gateway.connect();
    client.send(upgrade_request(again, browser));
    auto nested = after.next();
    auto const line = read_request(nested).line();
    EXPECT_EQ(line, "GET " + again + " HTTP/1.1");
    nested.send(switching_protocols());
    auto const from = std::stoi(line.substr(line.find("latest_event_id=") + 16)) + 1;
    for (int i = from; i < events; ++i) nested.send(from_server(text_opcode, event(i)));
    nested.send(from_server(close_opcode, closing(1012, "")));
    EXPECT_EQ(read_answer(client, WithBody::no).status, 101u);
    EXPECT_TRUE(seen.read_all(client));
    EXPECT_EQ(seen.ids, (std::vector<int>{0, 1, 2, 3, 4, 5}));
  }
}

TEST_F(SocketIo, WithoutARightKeyIsRefusedAtOnceAndReachesNobody) {
  start();
  constexpr std::string_view without = "/socket.io/?EIO=4&conversation_id=c1&transport=";
  for (std::string const key : {"", "&session_api_key=", "&session_api_key=null", "&session_api_key=wrong"}) {
    SCOPED_TRACE(key);
    auto const polled = gateway_->get(std::string(without) + "polling" + key);
    EXPECT_EQ(polled.status, 401u);
    EXPECT_FALSE(polled.body.empty());
    auto const posted = gateway_->ask(post(std::string(without) + "polling&sid=sid-1" + key, "40"));
    EXPECT_EQ(posted.status, 401u);
    auto const upgraded = gateway_->ask(upgrade_request(std::string(without) + "websocket" + key, browser));
    EXPECT_EQ(upgraded.status, 401u) << "before the upgrade, as the server refuses it";
  }
  EXPECT_EQ(server_.accepted(), 0u);
}

}  // namespace
}  // namespace nestgate::test
