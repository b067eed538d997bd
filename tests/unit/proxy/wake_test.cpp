#include <gtest/gtest.h>

#include "support/scripted.hpp"
#include "support/websocket.hpp"

// A user's act for a conversation that sleeps is held until that runs.
namespace nestgate::test {
namespace {

using namespace std::chrono_literals;
using conversation::RuntimeState;

std::string const post_to_c1 =
    "POST /api/conversations/c1/events HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Content-Length: 5\r\n\r\n";
std::string const by_a_browser = key_field("c1") + "Origin: https://app.test\r\n";

// c1 sleeps. Who wakes it waits until the test says what comes of it.
class Wake : public testing::Test {
 protected:
  void start(proxy::Config config = default_config(), RuntimeState state = RuntimeState::paused) {
    end();
    gateway_.emplace(std::move(config));
    gateway_->waker().on_wake = [this](ConversationId, Deadline by) { return wait(*this, by); };
    gateway_->start();
    sleep(state);
  }
  void TearDown() override { end(); }
  void end() {
    if (!gateway_) return;
    gateway_->run(say_over(*this));
    gateway_->stop(0ms);
    waiting_.clear();
    gateway_.reset();
  }
  void sleep(RuntimeState state = RuntimeState::paused, bool wakes = true) {
    auto record = record_of("c1", nested_.port(), state);
    record.wakes = wakes;
    gateway_->publish(std::move(record));
  }
  void run_it() {
    gateway_->add("c1", nested_.port());
    gateway_->run(say_over(*this));
  }
  bool is_asked(std::size_t times = 1) {
    return eventually([&] { return gateway_->waker().asked == times; });
  }

  static Task<bool> wait(Wake& self, Deadline by) {
    self.waiting_.push_back(std::make_unique<Timer>(self.gateway_->control(), by.at()));
    auto& timer = *self.waiting_.back();
    auto [ec] = co_await timer.async_wait(no_throw);
    co_return ec == asio::error::operation_aborted;
  }
  static Task<> say_over(Wake& self) {
    for (auto& timer : self.waiting_) timer->cancel();
    co_return;
  }

  std::vector<std::unique_ptr<Timer>> waiting_;  // on the control core
  Server nested_{echo_as("c1")};
  std::optional<Gateway> gateway_;
};

TEST_F(Wake, HoldsARequestAndSendsItOnWithItsBody) {
  for (auto const state : {RuntimeState::paused, RuntimeState::stopped, RuntimeState::error, RuntimeState::starting}) {
    start(default_config(), state);
    auto client = gateway_->connect();
    client.send(post_to_c1 + "he");
    ASSERT_TRUE(is_asked());
    EXPECT_FALSE(client.readable_now());
    client.send("llo");
    run_it();
    auto const answer = read_answer(client);
    EXPECT_EQ(answer.status, 200u);
    EXPECT_TRUE(answer.body.ends_with("\r\n\r\nhello")) << answer.body;
  }
}

TEST_F(Wake, HoldsEveryoneWhoAsksForOne) {
  start();
  std::vector<Connection> clients;
  for (int i = 0; i < 20; ++i) {
    clients.push_back(gateway_->connect());
    clients.back().send(post_to_c1 + "hello");
  }
  ASSERT_TRUE(is_asked(20));
  run_it();
  for (auto& client : clients) EXPECT_EQ(read_answer(client).status, 200u);
}

TEST_F(Wake, KeepsTheConnectionOfARequestThatWasHeld) {
  start();
  auto client = gateway_->connect();
  client.send(post_to_c1 + "hello");
  ASSERT_TRUE(is_asked());
  run_it();
  EXPECT_EQ(read_answer(client).status, 200u);
  client.send(post_to_c1 + "again");
  EXPECT_TRUE(read_answer(client).body.ends_with("again"));
}

TEST_F(Wake, EndsInTimeWithTheStateAndTheProgress) {
  auto config = default_config();
  config.timeouts.wake = 30ms;
  start(std::move(config));
  auto record = record_of("c1", nested_.port(), RuntimeState::starting);
  record.wakes = true;
  record.progress = "waits for its server";
  gateway_->publish(std::move(record));
  auto const answer = gateway_->ask(post_to_c1 + "hello");
  EXPECT_EQ(answer.status, 503u);
  EXPECT_EQ(error_code_of(answer), "runtime_starting");
  EXPECT_FALSE(answer.value("retry-after").empty());
  EXPECT_NE(answer.body.find(R"("state":"starting","progress":"waits for its server")"), std::string::npos) << answer.body;
  EXPECT_EQ(nested_.accepted(), 0u);
}

TEST_F(Wake, IsNotTriedAgainForARequestThatDidNotGetThrough) {
  start();
  auto client = gateway_->connect();
  client.send(post_to_c1 + "hello");
  ASSERT_TRUE(is_asked());
  gateway_->run(say_over(*this));  // it runs, they say, and is paused again when the request is looked at
  EXPECT_EQ(read_answer(client).status, 503u);
  EXPECT_EQ(gateway_->waker().asked, 1u);
}

TEST_F(Wake, IsNotForReadsNorProbesNorReconnects) {
  start();
  EXPECT_EQ(gateway_->get("/api/conversations/c1/events", key_field("c1")).status, 503u);
  EXPECT_EQ(gateway_->get("/runtime/c1/health", key_field("c1")).status, 503u);
  EXPECT_EQ(gateway_->ask(websocket_request("/sockets/events/c1", key_field("c1"))).status, 503u);
  EXPECT_EQ(gateway_->ask(websocket_request("/sockets/events/c1?resend_mode=all", by_a_browser)).status, 503u);
  EXPECT_EQ(gateway_->waker().asked, 0u);
}

TEST_F(Wake, IsNotForStrangers) {
  start();
  for (std::string const credential : {"", "X-Session-API-Key: wrong\r\n", "Authorization: Bearer wrong\r\n"}) {
    for (std::string const target : {"/api/conversations/c1/events", "/runtime/c1/x", "/socket.io/?conversation_id=c1"}) {
      auto const answer =
          gateway_->ask("POST " + target + " HTTP/1.1\r\nHost: g\r\n" + credential + "Content-Length: 0\r\n\r\n");
      EXPECT_EQ(answer.status, 401u) << target << " " << credential;
    }
  }
  EXPECT_EQ(gateway_->waker().asked, 0u);
}

TEST_F(Wake, IsNotForAConversationThatDoesNotWake) {
  start();
  sleep(RuntimeState::paused, false);
  EXPECT_EQ(gateway_->ask(post_to_c1 + "hello").status, 503u);
  EXPECT_EQ(gateway_->waker().asked, 0u);
}

TEST_F(Wake, IsForTheHolderOfAnApiKeyToo) {
  start();
  auto client = gateway_->connect();
  client.send("POST /runtime/c1/x HTTP/1.1\r\nHost: g\r\n" + bearer(alice_api_key) + "Content-Length: 2\r\n\r\nhi");
  ASSERT_TRUE(is_asked());
  run_it();
  EXPECT_EQ(read_answer(client).status, 200u);
}

TEST_F(Wake, OfOneThatWasClosedForRoomIsByAnActAndElseItIsGone) {
  start();
  auto record = record_of("c1", nested_.port(), RuntimeState::stopped);
  record.closed = conversation::Closed::for_room;
  record.wakes = true;
  gateway_->publish(std::move(record));
  EXPECT_EQ(gateway_->get("/api/conversations/c1/events", key_field("c1")).status, 410u);
  auto client = gateway_->connect();
  client.send(post_to_c1 + "hello");
  ASSERT_TRUE(is_asked());
  run_it();
  EXPECT_EQ(read_answer(client).status, 200u);
}

TEST_F(Wake, HasRoomForSoManyOnly) {
  auto config = default_config();
  config.limits.waking_requests_per_core_max = 2;
  start(std::move(config));
  auto first = gateway_->connect(), second = gateway_->connect();
  first.send(post_to_c1 + "hello");
  second.send(post_to_c1 + "hello");
  ASSERT_TRUE(is_asked(2));
  auto const third = gateway_->ask(post_to_c1 + "hello");
  EXPECT_EQ(third.status, 503u);
  EXPECT_EQ(error_code_of(third), "too_many_waking");
  EXPECT_FALSE(third.value("retry-after").empty());
  EXPECT_NE(third.body.find(R"("state":"paused")"), std::string::npos);
  run_it();
  EXPECT_EQ(read_answer(first).status, 200u);
  EXPECT_EQ(read_answer(second).status, 200u);
  sleep();
  auto fourth = gateway_->connect();
  fourth.send(post_to_c1 + "hello");
  EXPECT_TRUE(is_asked(3)) << "there is room again";
}

TEST_F(Wake, GoesOnWhenTheClientThatWaitedHasLeft) {
  start();
  auto const open = [&] { return gateway_->stats().connections_open.read(); };
  auto client = gateway_->connect();
  client.send(post_to_c1 + "hello");
  ASSERT_TRUE(is_asked());
  ASSERT_EQ(open(), 1);
  client.reset();
  EXPECT_TRUE(eventually([&] { return open() == 0; })) << "its wait is over";
  run_it();
  EXPECT_EQ(nested_.accepted(), 0u) << "nobody sends its request on";
}

TEST_F(Wake, IsOverForAKeyThatIsWithdrawnMeanwhile) {
  start();
  auto client = gateway_->connect();
  client.send(post_to_c1 + "hello");
  ASSERT_TRUE(is_asked());
  auto record = record_of("c1", nested_.port(), RuntimeState::paused);
  record.accepted_keys.clear();
  record.accepted_keys.emplace_back("another key");
  gateway_->publish(std::move(record));
  EXPECT_EQ(read_answer(client).status, 401u);
}

TEST_F(Wake, HoldsTheWebsocketOfAPerson) {
  ScriptedServer server;
  start();
  auto client = gateway_->connect();
  client.send(upgrade_request("/sockets/events/c1", by_a_browser));
  ASSERT_TRUE(is_asked());
  gateway_->add("c1", server.port());
  gateway_->run(say_over(*this));
  auto nested = server.next();
  read_request(nested);
  nested.send(switching_protocols());
  EXPECT_EQ(read_answer(client, WithBody::no).status, 101u);
}

TEST_F(Wake, HoldsASocketThatNamedItsKeyInItsFirstFrame) {
  ScriptedServer server;
  start();
  auto client = open_unnamed(*gateway_, "/sockets/events/c1", "Origin: https://app.test\r\n");
  client.send(from_client(text_opcode, auth_message(session_key_of("c1"))));
  ASSERT_TRUE(is_asked());
  gateway_->add("c1", server.port());
  gateway_->run(say_over(*this));
  auto nested = server.next();
  read_request(nested);
  nested.send(switching_protocols());
  EXPECT_EQ(read_frame(nested)->payload, auth_message(session_key_of("c1")));
}

TEST_F(Wake, IsNotForASocketThatNamesAWrongKeyInItsFirstFrame) {
  start();
  auto client = open_unnamed(*gateway_, "/sockets/events/c1", "Origin: https://app.test\r\n");
  client.send(from_client(text_opcode, auth_message("wrong")));
  EXPECT_EQ(close_code_at_end(client), 4001u);
  EXPECT_EQ(gateway_->waker().asked, 0u);
}

TEST_F(Wake, DoesNotHoldUpADrainBeyondItsGrace) {
  start();
  auto client = gateway_->connect();
  client.send(post_to_c1 + "hello");
  ASSERT_TRUE(is_asked());
  std::thread later([&] {
    EXPECT_TRUE(client.read_to_end().empty());  // cut at the grace's end
    gateway_->run(say_over(*this));             // as the manager does then
  });
  gateway_->stop(50ms);
  later.join();
  waiting_.clear();
  gateway_.reset();
}

}  // namespace
}  // namespace nestgate::test
