#include "unit/conversation/manager_fixture.hpp"

namespace nestgate::conversation {
namespace {

using namespace std::chrono_literals;

class Reconciler : public ManagerOnEngine {
 protected:
  Reconciler() { settings.reconcile_pause = 2ms; }
};

TEST_F(Reconciler, SeesThatARunningOneIsGone) {
  ASSERT_TRUE(start("c1"));
  engine.there.clear();
  wait_for("c1", RuntimeState::error);
  EXPECT_EQ(manager().find(id_of("c1"))->reason, "the runtime is gone");
  EXPECT_EQ(row("c1")->phase, store::Phase::error);
  EXPECT_EQ(manager().stats().deaths.read(), 1U);
}

TEST_F(Reconciler, SeesThatOneWasPausedFromOutsideAndThenWentOn) {
  ASSERT_TRUE(start("c1"));
  engine.put(id_of("c1"), runtime::Presence::paused);
  wait_for("c1", RuntimeState::paused);
  EXPECT_EQ(row("c1")->phase, store::Phase::paused);
  engine.put(id_of("c1"), runtime::Presence::running);
  wait_for("c1", RuntimeState::running);
  EXPECT_EQ(engine.count("resume c1"), 1U) << "the provider knows it as its own";
  EXPECT_EQ(engine.count("create c1"), 1U);
}

TEST_F(Reconciler, TakesOnWhatWentOnOnceTheEngineAnswers) {
  ASSERT_TRUE(start("c1"));
  engine.put(id_of("c1"), runtime::Presence::paused);
  wait_for("c1", RuntimeState::paused);
  engine.resume_failure = Failure{Fault{FaultKind::timed_out}, "resume: the engine says nothing"};
  engine.put(id_of("c1"), runtime::Presence::running);
  control.run_until([&] { return engine.count("resume c1") > 2; });
  EXPECT_EQ(engine.count("destroy c1"), 0U);
  engine.resume_failure.reset();
  wait_for("c1", RuntimeState::running);
}

TEST_F(Reconciler, LeavesWhatRunsButIsInNoList) {
  engine.unlisted.insert("c1");
  ASSERT_TRUE(start("c1"));
  auto const lists = engine.lists;
  control.run_until([&] { return engine.lists > lists + 2; });
  EXPECT_EQ(gateway().state("c1"), RuntimeState::running);
  engine.there.clear();
  wait_for("c1", RuntimeState::error);
}

TEST_F(Reconciler, LeavesWhatAStopLeftPausedWhereAStopIsAPause) {
  engine.traits.stops_as_paused = true;
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(stop("c1"));
  engine.put(id_of("c1"), runtime::Presence::paused);
  auto const changed_at = manager().find(id_of("c1"))->changed_at;
  auto const lists = engine.lists;
  control.run_until([&] { return engine.lists > lists + 2; });
  EXPECT_EQ(engine.count("destroy c1"), 1U);
  EXPECT_EQ(manager().find(id_of("c1"))->changed_at, changed_at);
  engine.put(id_of("c1"), runtime::Presence::running);
  control.run_until([&] { return engine.count("destroy c1") == 2; });
}

TEST_F(Reconciler, EndsWhatRunsThoughItsConversationIsStopped) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(stop("c1"));
  engine.put(id_of("c1"), runtime::Presence::running);
  control.run_until([&] { return !engine.has(id_of("c1")); });
  wait_for("c1", RuntimeState::stopped);
  EXPECT_EQ(gateway().record("c1")->closed, Closed::by_request);
  EXPECT_TRUE(start("c1")) << "nothing works on it any more";
}

TEST_F(Reconciler, DoesNotTouchWhatStarts) {
  engine.holds_creates = true;
  auto const started = in_background(manager().start(request_of("c1")));
  control.run_until([&] { return engine.count("create c1") == 1; });
  int rounds = 0;
  control.run_until([&] { return ++rounds > 100; });
  engine.let_creates_go();
  EXPECT_TRUE(value_of(started));
  EXPECT_EQ(engine.count("destroy c1"), 0U);
}

TEST_F(Reconciler, CountsAnOrphanOnceAndNoMoreWhenItIsGone) {
  gateway();
  int told = 0;
  manager().on_change([&told](ConversationId const& id, RuntimeState, std::string_view) { told += id.text() == "orphan"; });
  engine.put(id_of("orphan"), runtime::Presence::running);
  control.run_until([&] { return manager().stats().orphans.read() == 1; });
  int rounds = 0;
  control.run_until([&] { return ++rounds > 100; });
  EXPECT_EQ(told, 1);
  engine.there.clear();
  control.run_until([&] { return manager().stats().orphans.read() == 0; });
}

TEST_F(Reconciler, ListsGoOnWhileTheEngineIsAway) {
  ASSERT_TRUE(start("c1"));
  engine.list_failure = Failure{Fault{FaultKind::upstream}, "list: the engine is away"};
  engine.there.clear();
  int rounds = 0;
  control.run_until([&] { return ++rounds > 100; });
  EXPECT_EQ(gateway().state("c1"), RuntimeState::running) << "nobody said that it is gone";
}

TEST_F(Reconciler, RemovesWhatCouldNotBeRemovedWhenItIsAskedAgain) {
  ASSERT_TRUE(start("c1"));
  engine.removal_failure = Failure{Fault{FaultKind::internal}, "remove: files: Read-only file system"};
  ASSERT_FALSE(control.run(manager().remove(id_of("c1"))));
  EXPECT_EQ(row("c1")->phase, store::Phase::removing);
  EXPECT_EQ(gateway().state("c1"), RuntimeState::error);
  engine.removal_failure.reset();
  ASSERT_TRUE(control.run(manager().remove(id_of("c1"))));
  EXPECT_FALSE(row("c1"));
}

}  // namespace
}  // namespace nestgate::conversation
