#include <gtest/gtest.h>

#include "support/scripted.hpp"
#include "support/websocket.hpp"

// When a conversation was used, as far as its idle time and the choice of the least recently used one go by it.
namespace nestgate::test {
namespace {

using conversation::Activity;

Task<> fetch(proxy::CoreSet& cores, std::vector<Activity>& out) { out = co_await cores.activity(); }

std::vector<Activity> all_activity(Gateway& gateway) {
  std::vector<Activity> out;
  gateway.run(fetch(gateway.cores(), out));
  return out;
}

// Of c1; nothing when it was not used.
std::optional<Activity> activity(Gateway& gateway) {
  for (auto const& one : all_activity(gateway)) {
    if (one.id.text() == "c1") return one;
  }
  return std::nullopt;
}

bool acted(std::optional<Activity> const& seen) { return seen && seen->last_act != Clock::time_point{}; }

class ActivityOf : public testing::Test {
 protected:
  void start(std::uint16_t port, unsigned threads = 1) {
    gateway_.emplace(default_config(), threads);
    gateway_->start();
    gateway_->add("c1", port);
  }
  Tunnelled open(std::string_view target) { return open_tunnel(*gateway_, server_, target, key_field("c1")); }
  // Sends a frame through and waits until it has come.
  void pass_to_nested(Tunnelled& pair, unsigned opcode, std::string_view payload) {
    pair.client.send(from_client(opcode, payload));
    ASSERT_EQ(read_frame(pair.nested)->payload, payload);
  }
  void pass_to_client(Tunnelled& pair, unsigned opcode, std::string_view payload) {
    pair.nested.send(from_server(opcode, payload));
    ASSERT_EQ(read_frame(pair.client)->payload, payload);
  }

  ScriptedServer server_;
  Server echo_{echo_as("c1")};
  std::optional<Gateway> gateway_;
};

TEST_F(ActivityOf, ARequestIsAnActAndAReadIsNone) {
  start(echo_.port());
  EXPECT_TRUE(all_activity(*gateway_).empty()) << "nobody came yet";
  gateway_->get("/api/conversations/c1/events", key_field("c1"));
  gateway_->get("/runtime/c1/health", key_field("c1"));
  gateway_->get("/socket.io/?sid=s1&conversation_id=c1", key_field("c1"));
  EXPECT_TRUE(all_activity(*gateway_).empty()) << "polling is no use";
  gateway_->ask("POST /api/conversations/c1/events HTTP/1.1\r\nHost: g\r\n" + key_field("c1") +
                "Content-Length: 2\r\n\r\n{}");
  auto const seen = activity(*gateway_);
  ASSERT_TRUE(acted(seen));
  EXPECT_EQ(seen->last_act, seen->last_traffic);
  EXPECT_EQ(seen->streams, 0u);
}

TEST_F(ActivityOf, AStrangersRequestCountsNothing) {
  start(echo_.port());
  gateway_->ask("POST /api/conversations/c1/events HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n\r\n{}");
  EXPECT_TRUE(all_activity(*gateway_).empty());
}

TEST_F(ActivityOf, AWebsocketIsAnOpenStreamAndWhatItsClientSendsAnAct) {
  start(server_.port());
  {
    auto pair = open("/sockets/events/c1");
    auto seen = activity(*gateway_);
    ASSERT_TRUE(seen);
    EXPECT_EQ(seen->streams, 1u);
    EXPECT_FALSE(acted(seen)) << "no browser's, so it may have come back by itself";
    pass_to_nested(pair, ping_opcode, "a ping");
    pass_to_nested(pair, pong_opcode, "a pong");
    EXPECT_FALSE(acted(activity(*gateway_)));
    pass_to_client(pair, text_opcode, "an event");
    seen = activity(*gateway_);
    EXPECT_FALSE(acted(seen));
    EXPECT_NE(seen->last_traffic, Clock::time_point{});
    pass_to_nested(pair, text_opcode, "a");
    EXPECT_TRUE(acted(activity(*gateway_)));
  }
  EXPECT_TRUE(eventually([&] { return activity(*gateway_)->streams == 0; }));
}

TEST_F(ActivityOf, ABrowsersWebsocketIsAnActByItself) {
  start(server_.port());
  auto const pair = open_tunnel(*gateway_, server_, "/sockets/events/c1", key_field("c1") + "Origin: https://app.test\r\n");
  EXPECT_TRUE(acted(activity(*gateway_)));
}

TEST_F(ActivityOf, SocketIosUpkeepThatComesAsTextIsNoUse) {
  start(server_.port());
  auto pair = open("/socket.io/?EIO=4&transport=websocket&conversation_id=c1");
  for (auto const* text : {"40", "2probe", "5", "3"}) pass_to_nested(pair, text_opcode, text);
  for (auto const* text : {"2", "3probe", "40"}) pass_to_client(pair, text_opcode, text);
  auto const seen = activity(*gateway_);
  EXPECT_FALSE(acted(seen));
  EXPECT_EQ(seen->last_traffic, Clock::time_point{});
  pass_to_nested(pair, text_opcode, R"(42["oh_user_action",{}])");
  EXPECT_TRUE(acted(activity(*gateway_)));
}

TEST_F(ActivityOf, AnEventStreamIsOpenAndItsEventsAreTraffic) {
  Mailbox<int> go;
  Server events([&go](Connection& connection) {
    read_request(connection);
    connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
    go.take();
    connection.send("9\r\ndata: 1\n\n\r\n");
    connection.read_to_end();
  });
  start(events.port());
  auto client = gateway_->connect();
  client.send(get_by_key());
  client.read_until("retry: ");
  EXPECT_EQ(activity(*gateway_)->streams, 1u);
  auto const before = activity(*gateway_)->last_traffic;
  go.put(1);
  client.read_until("data: 1");
  EXPECT_NE(activity(*gateway_)->last_traffic, Clock::time_point{});
  EXPECT_GE(activity(*gateway_)->last_traffic, before);
  EXPECT_FALSE(acted(activity(*gateway_)));
  client.close();
  EXPECT_TRUE(eventually([&] { return activity(*gateway_)->streams == 0; }));
}

TEST_F(ActivityOf, AnActThatIsBeingAnsweredGoesOn) {
  start(server_.port());
  auto client = gateway_->connect();
  client.send("POST /x HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Content-Length: 2\r\n\r\n{}");
  auto nested = server_.next();
  read_request(nested);
  auto const first = activity(*gateway_);
  ASSERT_TRUE(acted(first));
  EXPECT_TRUE(eventually([&] { return activity(*gateway_)->last_act > first->last_act; }));
}

TEST_F(ActivityOf, IsKeptFromRecordToRecordButNotBeyondTheRuntime) {
  start(echo_.port());
  gateway_->ask("POST /x HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Content-Length: 2\r\n\r\n{}");
  auto const before = activity(*gateway_);
  ASSERT_TRUE(acted(before));
  gateway_->add("c1", echo_.port(), "alice", conversation::RuntimeState::running, 2);
  EXPECT_EQ(activity(*gateway_)->last_act, before->last_act);
  gateway_->remove("c1", 2);
  EXPECT_TRUE(all_activity(*gateway_).empty());
}

TEST_F(ActivityOf, IsThatOfAllCores) {
  constexpr std::size_t streams_max = 200;
  start(server_.port(), 2);
  std::vector<Tunnelled> open_ones;
  auto const on = [&](std::size_t core) { return gateway_->stats(core).tunnels_open.read(); };
  auto config = default_config();
  config.limits.upgrades_per_key_per_second_max = 1'000'000;
  gateway_->cores().replace_config(config);
  while ((on(0) == 0 || on(1) == 0) && open_ones.size() < streams_max) open_ones.push_back(open("/sockets/events/c1"));
  ASSERT_TRUE(on(0) > 0 && on(1) > 0);
  auto const all = all_activity(*gateway_);
  ASSERT_EQ(all.size(), 1u);
  EXPECT_EQ(all[0].streams, open_ones.size());
}

}  // namespace
}  // namespace nestgate::test
