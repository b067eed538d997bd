#include "unit/conversation/manager_fixture.hpp"

namespace nestgate::conversation {
namespace {

using namespace std::chrono_literals;
using test::Reply;

using PausedConversation = ManagerOnEngine;

TEST_F(PausedConversation, GoesOnWithANewEpochAndIsConfiguredAgain) {
  auto const started = start("c1", "alice", full_configuration());
  ASSERT_TRUE(started);
  auto const paused = pause("c1");
  ASSERT_TRUE(paused);
  EXPECT_EQ(paused->state, RuntimeState::paused);
  EXPECT_EQ(gateway().record("c1")->state, RuntimeState::paused);
  EXPECT_EQ(row("c1")->phase, store::Phase::paused);
  auto const resumed = resume("c1");
  ASSERT_TRUE(resumed);
  EXPECT_EQ(resumed->state, RuntimeState::running);
  EXPECT_GT(resumed->epoch, started->view.epoch);
  EXPECT_EQ(requests("POST /api/settings"), 2U);
  EXPECT_EQ(engine.count("resume c1"), 1U);
  EXPECT_EQ(engine.count("create c1"), 1U);
}

TEST_F(PausedConversation, GoesOnAndIsConfiguredAgainByAStartToo) {
  ASSERT_TRUE(start("c1", "alice", full_configuration()));
  ASSERT_TRUE(pause("c1"));
  auto const started = start("c1");
  ASSERT_TRUE(started) << started.error().reason;
  EXPECT_EQ(started->view.state, RuntimeState::running);
  EXPECT_EQ(engine.there.at("c1").presence, runtime::Presence::running);
  EXPECT_EQ(requests("POST /api/settings"), 2U);
  EXPECT_EQ(requests("POST /api/add-git-providers"), 2U);
}

TEST_F(PausedConversation, IsAStoppedOneWhereTheProviderCannotPause) {
  engine.traits.pauses = false;
  ASSERT_TRUE(start("c1"));
  auto const paused = pause("c1");
  ASSERT_TRUE(paused);
  EXPECT_EQ(paused->state, RuntimeState::stopped);
  EXPECT_TRUE(gateway().record("c1")->wakes) << "who paused it was told that it can go on";
  EXPECT_EQ(engine.count("pause c1"), 0U);
  EXPECT_EQ(engine.count("destroy c1"), 1U);
}

TEST_F(PausedConversation, IsInErrorWhenItsRuntimeIsGone) {
  ASSERT_TRUE(start("c1"));
  engine.there.clear();
  auto const paused = pause("c1");
  ASSERT_FALSE(paused);
  EXPECT_EQ(paused.error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(gateway().record("c1")->state, RuntimeState::error);
  EXPECT_EQ(row("c1")->phase, store::Phase::error);
}

TEST_F(PausedConversation, RunsOnWhenItCannotBePausedNow) {
  ASSERT_TRUE(start("c1"));
  engine.pause_failure = Failure{Fault{FaultKind::upstream}, "pause: the engine does not answer"};
  auto const paused = pause("c1");
  ASSERT_FALSE(paused);
  EXPECT_EQ(paused.error().reason, "pause: the engine does not answer");
  EXPECT_EQ(gateway().record("c1")->state, RuntimeState::running);
  EXPECT_EQ(row("c1")->phase, store::Phase::running);
}

TEST_F(PausedConversation, IsMadeAnewWhenItsRuntimeIsGone) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(pause("c1"));
  engine.there.clear();
  ASSERT_TRUE(resume("c1"));
  EXPECT_EQ(engine.count("create c1"), 2U);
}

TEST_F(PausedConversation, StaysPausedWhenItCannotBeResumedNow) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(pause("c1"));
  engine.resume_failure = Failure{Fault{FaultKind::unavailable}, "resume: the engine is away"};
  engine.pause_failure = Failure{Fault{FaultKind::unavailable}, "pause: the engine is away"};
  auto const resumed = resume("c1");
  ASSERT_FALSE(resumed);
  EXPECT_EQ(resumed.error().reason, "resume: the engine is away");
  EXPECT_EQ(gateway().state("c1"), RuntimeState::paused);
  EXPECT_EQ(row("c1")->phase, store::Phase::paused);
  EXPECT_TRUE(gateway().record("c1")->wakes);
  EXPECT_EQ(engine.count("destroy c1"), 0U);
  engine.resume_failure.reset();
  EXPECT_TRUE(wake("c1"));
}

TEST_F(PausedConversation, IsFrozenAgainWhenItsServerWillNotBeConfigured) {
  ASSERT_TRUE(start("c1", "alice", full_configuration()));
  ASSERT_TRUE(pause("c1"));
  server.on("POST /api/settings", Reply{400, R"({"error":"no"})"});
  EXPECT_FALSE(resume("c1"));
  EXPECT_EQ(engine.count("pause c1"), 2U);
  EXPECT_EQ(engine.count("destroy c1"), 0U);
  EXPECT_EQ(gateway().state("c1"), RuntimeState::paused);
}

TEST_F(PausedConversation, IsEndedByAStop) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(pause("c1"));
  auto const stopped = stop("c1");
  ASSERT_TRUE(stopped);
  EXPECT_EQ(stopped->state, RuntimeState::stopped);
  EXPECT_FALSE(engine.has(id_of("c1")));
}

TEST_F(PausedConversation, IsEndedWithoutAWordToItsServerWhichCouldNotAnswer) {
  ASSERT_TRUE(start("c1", "alice", full_configuration()));
  ASSERT_TRUE(pause("c1"));
  ASSERT_TRUE(stop("c1"));
  EXPECT_EQ(requests("POST /api/conversations/c1/stop"), 0U);
  ASSERT_TRUE(resume("c1"));
  ASSERT_TRUE(stop("c1"));
  EXPECT_EQ(requests("POST /api/conversations/c1/stop"), 1U) << "one that runs is told";
}

TEST_F(PausedConversation, IsEndedByAStopThatComesBeforeItsResumeIsAdmitted) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(pause("c1"));
  auto const resumed = in_background(manager().resume(id_of("c1")));
  control.run_until([&] { return gateway().state("c1") == RuntimeState::starting; });
  auto const stopped = stop("c1");
  ASSERT_TRUE(stopped);
  EXPECT_EQ(stopped->state, RuntimeState::stopped);
  EXPECT_FALSE(value_of(resumed));
  EXPECT_FALSE(engine.has(id_of("c1"))) << "nothing frozen is left of what is shown as stopped";
}

TEST_F(PausedConversation, StaysPausedWhenAQuotaRefusesItsResume) {
  settings.quota.in_all = 1;
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(pause("c1"));
  ASSERT_TRUE(start("c2"));
  EXPECT_EQ(resume("c1").error().fault.kind, FaultKind::overloaded);
  EXPECT_EQ(gateway().record("c1")->state, RuntimeState::paused);
  EXPECT_EQ(row("c1")->phase, store::Phase::paused);
  EXPECT_TRUE(engine.has(id_of("c1")));
  ASSERT_TRUE(stop("c2"));
  EXPECT_TRUE(resume("c1"));
}

TEST_F(PausedConversation, StillOpensToItsServerAfterItsKeyWasWithdrawn) {
  ASSERT_TRUE(start("c1"));
  auto const servers_key = ring_of()->derive(id_of("c1"));
  ASSERT_TRUE(control.run(manager().withdraw_key(id_of("c1"))));
  ASSERT_TRUE(pause("c1"));
  auto const resumed = resume("c1");
  ASSERT_TRUE(resumed);
  EXPECT_EQ(resumed->session_key, servers_key) << "its memory has the key that it was started with";
  EXPECT_EQ(gateway().record("c1")->accepted(servers_key.reveal()), nullptr);
  EXPECT_EQ(resumed->client_key, ring_of()->derive(id_of("c1"), 1));
  EXPECT_FALSE(manager().find_by_key(servers_key.reveal()));
}

TEST_F(PausedConversation, IsResumedOfOneThatIsStoppedOrUnknown) {
  EXPECT_EQ(resume("c1").error().fault.kind, FaultKind::not_found);
  EXPECT_EQ(pause("c1").error().fault.kind, FaultKind::not_found);
  ASSERT_TRUE(start("c1", "alice", full_configuration()));
  ASSERT_TRUE(stop("c1"));
  ASSERT_TRUE(resume("c1"));
  EXPECT_EQ(requests("POST /api/settings"), 2U) << "with what it was started with";
}

}  // namespace
}  // namespace nestgate::conversation
