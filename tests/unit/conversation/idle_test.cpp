#include "conversation/idle_verdict.hpp"
#include "unit/conversation/manager_fixture.hpp"

namespace nestgate::conversation {
namespace {

using namespace std::chrono_literals;
using test::Reply;

class IdleConversation : public ManagerOnEngine {
 protected:
  IdleConversation() {
    settings.idle_sweep = 1ms;
    settings.idle_time_max = 50ms;
  }
  void go_on_for(int rounds) {
    control.run_until([&] { return --rounds < 0; });
  }
};

TEST_F(IdleConversation, IsPausedWhereTheSettingsSaySoAndWakes) {
  settings.when_idle = WhenIdle::pause;
  ASSERT_TRUE(start("c1"));
  wait_for("c1", RuntimeState::paused);
  EXPECT_EQ(gateway().record("c1")->closed, Closed::when_idle);
  EXPECT_TRUE(gateway().record("c1")->wakes);
  EXPECT_EQ(row("c1")->phase, store::Phase::paused);
  EXPECT_EQ(manager().stats().closed_when_idle.read(), 1U);
  EXPECT_TRUE(wake("c1"));
  EXPECT_EQ(engine.count("resume c1"), 1U);
}

TEST_F(IdleConversation, IsStoppedWhereTheSettingsSaySoAndWakes) {
  settings.when_idle = WhenIdle::stop;
  ASSERT_TRUE(start("c1"));
  wait_for("c1", RuntimeState::stopped);
  EXPECT_FALSE(engine.has(id_of("c1")));
  EXPECT_TRUE(gateway().record("c1")->wakes);
  EXPECT_EQ(row("c1")->closed, "when_idle");
  EXPECT_TRUE(wake("c1"));
}

TEST_F(IdleConversation, GoesOnWhereTheSettingsSayNothing) {
  settings.idle_time_max = 0ms;
  ASSERT_TRUE(start("c1"));
  go_on_for(200);
  EXPECT_EQ(gateway().state("c1"), RuntimeState::running);
}

TEST_F(IdleConversation, IsNotOneWhoseAgentWorks) {
  settings.when_idle = WhenIdle::stop;
  settings.idle_time_max = 1h;
  server.on("GET /server_info", Reply{200, R"({"uptime":1,"idle_time":0})"});
  ASSERT_TRUE(start("c1"));
  // The clock of acts stands still for a test, so the limit comes to it.
  close();
  settings.idle_time_max = 2s;
  open();
  wait_for("c1", RuntimeState::running);
  auto const act = manager().find(id_of("c1"))->last_act_at;
  control.run_until([&] { return manager().find(id_of("c1"))->last_act_at != act; });
  EXPECT_EQ(gateway().state("c1"), RuntimeState::running) << "it was asked, and it works";
}

TEST_F(IdleConversation, IsNotOneThatSaysItRuns) {
  settings.when_idle = WhenIdle::stop;
  settings.idle_time_max = 1ms;
  server.on("GET /api/conversations/c1", Reply{200, R"({"status":"running"})"});
  ASSERT_TRUE(start("c1"));
  auto const act = manager().find(id_of("c1"))->last_act_at;
  control.run_until([&] { return manager().find(id_of("c1"))->last_act_at > act + 5ms; });
  EXPECT_EQ(gateway().state("c1"), RuntimeState::running);
  server.on("GET /api/conversations/c1", Reply{200, R"({"status":"idle"})"});
  wait_for("c1", RuntimeState::stopped);
}

TEST_F(IdleConversation, IsNotOneThatAUserUses) {
  settings.when_idle = WhenIdle::stop;
  auto const later = Clock::now() + 1h;
  gateway().publisher.used = {{id_of("c1"), later, later, 1}};
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(start("c2"));
  wait_for("c2", RuntimeState::stopped);
  EXPECT_EQ(gateway().state("c1"), RuntimeState::running);
}

TEST_F(IdleConversation, IsNotOneThatIsUsedWhileItsServerIsAsked) {
  settings.when_idle = WhenIdle::stop;
  ASSERT_TRUE(start("c1"));
  std::size_t looks = 0;
  gateway().publisher.before_activity = [&] {
    ++looks;
    bool const was_asked = requests("GET /server_info") > 0;
    if (was_asked) gateway().publisher.used = {{id_of("c1"), Clock::now() + 1h, Clock::now() + 1h, 1}};
  };
  control.run_until([&] { return requests("GET /server_info") > 0; });
  auto const asked_at = looks;
  control.run_until([&] { return looks > asked_at + 3; });
  gateway().publisher.before_activity = nullptr;  // sweeps go on while the gateway ends
  EXPECT_EQ(gateway().state("c1"), RuntimeState::running);
}

TEST(IdleVerdict, WaitsForAServerThatDoesNotAnswerUntilTwiceTheTimeIsOver) {
  nested::Status idle, running, working;
  running.conversation = "running";
  working.idle_for = 5s;
  idle.idle_for = 1h;
  EXPECT_EQ(idle_verdict(61s, 60s, &idle), IdleVerdict::close);
  EXPECT_EQ(idle_verdict(61s, 60s, &running), IdleVerdict::works);
  EXPECT_EQ(idle_verdict(61s, 60s, &working), IdleVerdict::works);
  EXPECT_EQ(idle_verdict(61s, 60s, nullptr), IdleVerdict::unsure);
  EXPECT_EQ(idle_verdict(120s, 60s, nullptr), IdleVerdict::close);
}

TEST_F(IdleConversation, IsResumedOnceForAllWhoWait) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(pause("c1"));
  std::vector<std::shared_ptr<std::optional<bool>>> waits;
  for (int i = 0; i < 20; ++i) waits.push_back(in_background(manager().wake(id_of("c1"), Deadline::in(20s))));
  for (auto const& one : waits) EXPECT_TRUE(value_of(one));
  EXPECT_EQ(engine.count("resume c1"), 1U);
  EXPECT_EQ(manager().stats().wakes.read(), 1U);
}

TEST_F(IdleConversation, WakesThoughTheActComesWhileItIsBeingStopped) {
  settings.when_idle = WhenIdle::stop;
  server.on("GET /api/conversations/c1", Reply{200, R"({"status":"idle"})"});
  ASSERT_TRUE(start("c1", "alice", full_configuration()));  // so that its end begins with a call
  control.run_until([&] { return gateway().is("c1", RuntimeState::stopping); });
  EXPECT_TRUE(gateway().record("c1")->wakes) << "so that the proxy holds who comes now";
  EXPECT_TRUE(wake("c1"));
  EXPECT_EQ(manager().stats().wakes.read(), 1U);
}

TEST_F(IdleConversation, WakesForAllWhoComeWhileItStarts) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(pause("c1"));
  engine.there.clear();  // so that it has to be made anew
  engine.holds_creates = true;
  auto const first = in_background(manager().wake(id_of("c1"), Deadline::in(20s)));
  wait_for("c1", RuntimeState::starting);
  EXPECT_TRUE(gateway().record("c1")->wakes) << "so that the proxy holds who comes now, too";
  auto const second = in_background(manager().wake(id_of("c1"), Deadline::in(20s)));
  engine.let_creates_go();
  EXPECT_TRUE(value_of(first));
  EXPECT_TRUE(value_of(second));
}

TEST_F(IdleConversation, SaysWhyItIsNotWoken) {
  settings.quota.in_all = 1;
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(pause("c1"));
  ASSERT_TRUE(start("c2"));
  EXPECT_FALSE(wake("c1"));
  EXPECT_NE(gateway().record("c1")->progress.find("1 of 1 conversations"), std::string::npos);
}

TEST_F(IdleConversation, DoesNotWakeOnceItIsStoppedByRequest) {
  settings.when_idle = WhenIdle::stop;
  ASSERT_TRUE(start("c1"));
  wait_for("c1", RuntimeState::stopped);
  ASSERT_TRUE(gateway().record("c1")->wakes);
  ASSERT_TRUE(stop("c1"));
  EXPECT_FALSE(gateway().record("c1")->wakes);
  EXPECT_EQ(row("c1")->closed, "by_request");
}

TEST_F(IdleConversation, DoesNotWakeWhenItWasClosedForRoomOrByRequest) {
  settings.quota.in_all = 1;
  settings.at_limit = AtLimit::close_least_recently_used;
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(start("c2"));
  EXPECT_FALSE(wake("c1"));
  EXPECT_EQ(gateway().state("c1"), RuntimeState::stopped);
  ASSERT_TRUE(stop("c2"));
  EXPECT_FALSE(wake("c2"));
  EXPECT_EQ(engine.count("create c2"), 1U);
}

TEST_F(IdleConversation, WakesWhenItWasPausedByRequest) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(pause("c1"));
  EXPECT_TRUE(gateway().record("c1")->wakes);
  EXPECT_TRUE(wake("c1"));
}

TEST_F(IdleConversation, SaysThatItDoesNotRunWhenItsWakeFails) {
  settings.when_idle = WhenIdle::stop;
  ASSERT_TRUE(start("c1"));
  wait_for("c1", RuntimeState::stopped);
  engine.create_failure = Failure{Fault{FaultKind::unavailable}, "create: no room"};
  EXPECT_FALSE(wake("c1"));
  EXPECT_EQ(gateway().state("c1"), RuntimeState::error);
}

TEST_F(IdleConversation, IsSaidToRunAsSoonAsTheCoresKnowIt) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(pause("c1"));
  auto const woken = in_background(manager().wake(id_of("c1"), Deadline::in(1h)));
  EXPECT_TRUE(value_of(woken)) << "long before its deadline";
}

TEST_F(IdleConversation, WhoseWaitIsOverGoesOnWaking) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(pause("c1"));
  engine.there.clear();  // so that it has to be made anew
  engine.holds_creates = true;
  EXPECT_FALSE(control.run(manager().wake(id_of("c1"), Deadline::in(5ms))));
  engine.let_creates_go();
  wait_for("c1", RuntimeState::running);
}

}  // namespace
}  // namespace nestgate::conversation
