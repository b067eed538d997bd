#include "unit/conversation/manager_fixture.hpp"

namespace nestgate::conversation {
namespace {

using namespace std::chrono_literals;
using runtime::Presence;
using store::Phase;
using test::Reply;

class ConversationRecovery : public ManagerOnEngine {
 protected:
  // What a gateway that was killed left in the store.
  void leave_row(std::string_view id, Phase phase, std::string closed = "", std::string purpose = "conversation",
                 nested::Configuration configuration = {}) {
    test::Backing earlier(control, url());
    store::ConversationRow row{id_of(id)};
    row.owner = "alice";
    row.purpose = std::move(purpose);
    row.configuration_json = nested::configuration_json(configuration);
    auto claim = control.run(earlier.store->claim(std::move(row), dead_gateway_name(), {}));
    ASSERT_TRUE(claim);
    if (phase == Phase::starting) return;
    claim->row.phase = phase;
    claim->row.closed = std::move(closed);
    claim->row.endpoint = "127.0.0.1:" + std::to_string(server.port());
    if (phase == Phase::error) claim->row.reason = "it had failed";
    ASSERT_TRUE(control.run(earlier.store->save(std::move(claim->row))));
  }
};

TEST_F(ConversationRecovery, EndsWhatTheEngineDidNotAnswerForWhenTheGatewayEnded) {
  settings.close_time_max = 20ms;
  settings.reconcile_pause = 1ms;
  ASSERT_TRUE(start("stops"));
  ASSERT_TRUE(start("runs"));
  engine.go_away();
  auto const stopped = in_background(manager().stop(id_of("stops")));
  auto const started = in_background(manager().start(request_of("starts")));
  control.run_until([&] { return engine.count("destroy stops") == 1U && engine.count("create starts") == 1U; });
  control.run(manager().stop_all());
  EXPECT_FALSE(value_of(started));
  EXPECT_FALSE(value_of(stopped)) << "who asked is told that the gateway closes";
  EXPECT_EQ(manager().left().going_on, 1U);
  EXPECT_EQ(manager().left().unreleased, 2U);
  EXPECT_EQ(manager().find(id_of("stops"))->reason, "stop: destroy: the engine is away");
  EXPECT_NE(manager().find(id_of("starts"))->reason.find("could not be released"), std::string::npos);

  engine.come_back();
  engine.put(id_of("starts"), Presence::running);  // its create was done all the same
  auto& next = open();
  control.run_until([&] { return !engine.has(id_of("stops")) && !engine.has(id_of("starts")); });
  control.run_until([&] { return next.is("runs", RuntimeState::running); });
  control.run_until([&] { return next.is("stops", RuntimeState::error) && next.is("starts", RuntimeState::error); });
}

TEST_F(ConversationRecovery, KnowsWhatTheConversationIsAbout) {
  auto request = request_of("c1");
  request.about = {"", "o/r", "main", "github"};
  ASSERT_TRUE(control.run(manager().start(std::move(request))));
  manager().note_pushed_title(id_of("c1"), "A title");
  close();
  open();
  wait_for("c1", RuntimeState::running);
  EXPECT_EQ(manager().find(id_of("c1"))->about, (About{"A title", "o/r", "main", "github"}));
  ASSERT_TRUE(stop("c1"));
  auto again = request_of("c1");
  again.about.branch = "other";
  ASSERT_TRUE(control.run(manager().start(std::move(again))));
  EXPECT_EQ(manager().find(id_of("c1"))->about, (About{"A title", "o/r", "other", "github"})) << "what is said anew only";
}

TEST_F(ConversationRecovery, TellsADormantServerItsKeyThatAKilledGatewayDidNot) {
  server.on("POST /api/init", Reply{200, R"({"status":"ready"})"});
  std::size_t told = 0;
  for (auto const phase : {Phase::starting, Phase::running}) {
    SCOPED_TRACE(to_string(phase));
    std::string const id = phase == Phase::starting ? "c1" : "c2";
    engine.put(id_of(id), Presence::running);
    engine.boot_keys.insert_or_assign(id, "boot-key");
    leave_row(id, phase);
    auto& opened = open();
    control.run_until([&] { return opened.is(id, RuntimeState::running); });
    EXPECT_EQ(requests("POST /api/init"), ++told);
    auto const record = opened.record(id);
    EXPECT_EQ(record->session_key, ring_of()->derive(id_of(id)));
  }
}

struct RecoveryCase {
  Phase phase;
  std::optional<Presence> found;
  bool outlives;
  std::optional<RuntimeState> then;  // nothing: forgotten
  bool is_there;                     // afterwards
};

TEST_F(ConversationRecovery, SettlesEveryPhaseWithWhateverTheProviderHas) {
  constexpr auto none = std::nullopt;
  using S = RuntimeState;
  RecoveryCase const cases[] = {
      {Phase::starting, none, true, S::running, true},
      {Phase::starting, Presence::starting, true, S::running, true},
      {Phase::starting, Presence::running, true, S::running, true},
      {Phase::starting, Presence::stopped, true, S::running, true},
      {Phase::starting, none, false, S::stopped, false},
      {Phase::running, Presence::running, true, S::running, true},
      {Phase::running, Presence::paused, true, S::paused, true},
      {Phase::running, none, true, S::stopped, false},
      {Phase::running, Presence::stopped, true, S::stopped, true},
      {Phase::running, none, false, S::stopped, false},
      {Phase::paused, Presence::paused, true, S::paused, true},
      {Phase::paused, Presence::running, true, S::running, true},
      {Phase::paused, none, true, S::stopped, false},
      {Phase::stopping, Presence::running, true, S::stopped, false},
      {Phase::stopping, none, true, S::stopped, false},
      {Phase::stopping, none, false, S::stopped, false},
      {Phase::stopped, none, true, S::stopped, false},
      {Phase::stopped, Presence::running, true, S::stopped, false},
      {Phase::error, none, true, S::error, false},
      {Phase::error, Presence::running, true, S::error, false},
      {Phase::removing, Presence::running, true, none, false},
      {Phase::removing, none, true, none, false},
      {Phase::removing, none, false, none, false},
  };
  int n = 0;
  for (auto const& c : cases) {
    std::string const id = "c" + std::to_string(++n);
    SCOPED_TRACE(std::string(to_string(c.phase)) + " " + std::string(c.found ? to_string(*c.found) : "none") +
                 (c.outlives ? " outlives" : ""));
    engine.traits.outlives_gateway = c.outlives;
    engine.there.clear();
    if (c.found) engine.put(id_of(id), *c.found);
    leave_row(id, c.phase);
    auto& opened = open();
    control.run_until(
        [&] { return c.then ? opened.is(id, *c.then) : !opened.manager.find(id_of(id)) && !opened.record(id); });
    EXPECT_EQ(engine.has(id_of(id)), c.is_there);
    auto stored = control.run(opened.backing.store->find(id_of(id)));
    ASSERT_TRUE(stored);
    EXPECT_EQ(stored->has_value(), c.then.has_value());
    // Nothing is left busy: the next call has an end.
    if (c.then) {
      auto const removed = control.run(opened.manager.remove(id_of(id)));
      EXPECT_TRUE(removed) << removed.error().reason;
    }
    close();
  }
}

TEST_F(ConversationRecovery, AdoptsARunningOneWithTheSameKeyAndPublishesIt) {
  leave_row("c1", Phase::running);
  engine.put(id_of("c1"), Presence::running);
  open();
  wait_for("c1", RuntimeState::running);
  EXPECT_EQ(gateway().record("c1")->session_key, ring_of()->derive(id_of("c1")));
  EXPECT_EQ(gateway().record("c1")->endpoint, server.endpoint());
  EXPECT_EQ(manager().find(id_of("c1"))->owner, "alice");
  EXPECT_EQ(manager().stats().recovered.read(), 1U);
  EXPECT_EQ(row("c1")->phase, Phase::running);
  EXPECT_EQ(requests("POST /api/conversations"), 0U);
}

TEST_F(ConversationRecovery, ShowsAnAdoptedOneAsRunningOnlyOnceAllCoresKnowIt) {
  leave_row("c1", Phase::running);
  engine.put(id_of("c1"), Presence::running);
  open();
  control.run_until([this] { return manager().find(id_of("c1"))->state == RuntimeState::running; });
  EXPECT_TRUE(gateway().is("c1", RuntimeState::running));
  EXPECT_EQ(gateway().publisher.under_way, 0U);
}

TEST_F(ConversationRecovery, OfAWholeGatewayThatEndedInOrder) {
  ASSERT_TRUE(start("c1", "alice", full_configuration()));
  ASSERT_TRUE(start("c2"));
  ASSERT_TRUE(pause("c2"));
  ASSERT_TRUE(start("c3"));
  ASSERT_TRUE(stop("c3"));
  close();
  EXPECT_TRUE(engine.has(id_of("c1"))) << "it outlives the gateway";
  open();
  wait_for("c1", RuntimeState::running);
  wait_for("c2", RuntimeState::paused);
  wait_for("c3", RuntimeState::stopped);
  EXPECT_TRUE(resume("c2"));
}

TEST_F(ConversationRecovery, LeavesWhatEndedWithItsGatewayStoppedAndWaking) {
  engine.traits.outlives_gateway = false;
  leave_row("c1", Phase::running);
  leave_row("c2", Phase::paused, "by_request");
  open();
  wait_for("c1", RuntimeState::stopped);
  wait_for("c2", RuntimeState::stopped);
  EXPECT_TRUE(gateway().record("c1")->wakes);
  EXPECT_TRUE(gateway().record("c2")->wakes) << "who paused it was told that it can go on";
  EXPECT_TRUE(wake("c1"));
  EXPECT_TRUE(wake("c2"));
}

TEST_F(ConversationRecovery, KeepsWhyItsClientsWereClosed) {
  leave_row("c1", Phase::stopping, "for_room");
  engine.put(id_of("c1"), Presence::running);
  leave_row("c2", Phase::stopped, "by_request");
  engine.put(id_of("c2"), Presence::running);
  leave_row("c3", Phase::stopped, "for_room");
  open();
  for (auto const* id : {"c1", "c2", "c3"}) wait_for(id, RuntimeState::stopped);
  EXPECT_TRUE(gateway().record("c1")->closed_for_room());
  EXPECT_EQ(gateway().record("c2")->closed, Closed::by_request);
  EXPECT_TRUE(gateway().record("c3")->closed_for_room());
  for (auto const* id : {"c1", "c2", "c3"}) EXPECT_FALSE(gateway().record(id)->wakes) << id;
}

TEST_F(ConversationRecovery, KeepsTheReasonOfOneInErrorWhoseRuntimeHasToBeEnded) {
  leave_row("c1", Phase::error);
  engine.put(id_of("c1"), Presence::running);
  open();
  control.run_until([&] { return !engine.has(id_of("c1")); });
  wait_for("c1", RuntimeState::error);
  EXPECT_EQ(manager().find(id_of("c1"))->reason, "it had failed");
}

TEST_F(ConversationRecovery, FinishesAnInterruptedStartWithItsConfiguration) {
  leave_row("c1", Phase::starting, "", "conversation", full_configuration());
  open();
  wait_for("c1", RuntimeState::running);
  EXPECT_EQ(requests("POST /api/settings"), 1U);
  EXPECT_EQ(engine.count("create c1"), 1U);
}

TEST_F(ConversationRecovery, PutsOneThatCannotBeAdoptedInError) {
  leave_row("c1", Phase::running);
  engine.put(id_of("c1"), Presence::running);
  open();
  engine.create_failure = Failure{Fault{FaultKind::conflict}, "create: it is somebody else's"};
  wait_for("c1", RuntimeState::error);
  EXPECT_NE(manager().find(id_of("c1"))->reason.find("after a restart of the gateway"), std::string::npos);
}

TEST_F(ConversationRecovery, ThatIsCutShortByAnEndOfTheGatewayLeavesWhatRunsToTheNextOne) {
  leave_row("c1", Phase::running);
  engine.put(id_of("c1"), Presence::running);
  server.on("GET /alive", Reply{503, ""});
  open();
  control.run_until([&] { return requests("GET /alive") > 0; });
  close();
  EXPECT_TRUE(engine.has(id_of("c1")));
  server.forget_replies();
  open();
  wait_for("c1", RuntimeState::running);
  EXPECT_EQ(engine.count("destroy c1"), 0U);
}

TEST_F(ConversationRecovery, SeesADeathWhileItAdopts) {
  leave_row("c1", Phase::running);
  engine.put(id_of("c1"), Presence::running);
  server.on("GET /alive", Reply{503, ""});
  open();
  control.run_until([&] { return requests("GET /alive") > 0; });
  engine.die(id_of("c1"), "exited with status 3");
  server.forget_replies();  // whoever listens there by now
  wait_for("c1", RuntimeState::error);
  EXPECT_NE(manager().find(id_of("c1"))->reason.find("exited with status 3"), std::string::npos);
}

TEST_F(ConversationRecovery, CleansUpWarmOnes) {
  leave_row("nestgate-warm-1", Phase::starting, "", "warm");
  engine.put(id_of("nestgate-warm-1"), Presence::running);
  open();
  control.run_until([&] { return !engine.has(id_of("nestgate-warm-1")) && !row("nestgate-warm-1"); });
  EXPECT_FALSE(manager().find(id_of("nestgate-warm-1")));
}

TEST_F(ConversationRecovery, CountsOrphansAndLeavesThem) {
  engine.put(id_of("orphan"), Presence::running);
  open();
  EXPECT_EQ(manager().stats().orphans.read(), 1);
  EXPECT_TRUE(engine.has(id_of("orphan")));
}

TEST_F(ConversationRecovery, RemovesOrphansWhereTheSettingsSaySo) {
  settings.remove_orphans = true;
  engine.put(id_of("orphan"), Presence::running);
  leave_row("c1", Phase::running);
  engine.put(id_of("c1"), Presence::running);
  open();
  wait_for("c1", RuntimeState::running);
  EXPECT_FALSE(engine.has(id_of("orphan")));
  EXPECT_EQ(engine.count("remove orphan"), 1U);
  EXPECT_EQ(manager().stats().orphans_removed.read(), 1U);
}

TEST_F(ConversationRecovery, BuriesWhoIsKnownToBeDeadWhateverItHeld) {
  {
    test::Backing earlier(control, url());
    ASSERT_TRUE(control.run(earlier.store->renew(dead_gateway_name(), 1h)));
    ASSERT_TRUE(control.run(earlier.store->renew("far-away", 1h)));
  }
  auto const names = control.run(gateway().backing.store->gateways());
  ASSERT_TRUE(names);
  EXPECT_THAT(*names, testing::UnorderedElementsAre("far-away", manager().gateway()));
}

TEST_F(ConversationRecovery, ComesLaterWhenTheProviderIsAwayAtFirst) {
  settings.reconcile_pause = 5ms;
  leave_row("c1", Phase::running);
  leave_row("c2", Phase::stopped);
  engine.put(id_of("c1"), Presence::running);
  engine.list_failure = Failure{Fault{FaultKind::upstream}, "list: the engine is away"};
  open();
  engine.list_failure.reset();
  wait_for("c1", RuntimeState::running);
  wait_for("c2", RuntimeState::stopped);
  control.run_until([&] { return row("c1")->holder != dead_gateway_name(); });
}

TEST_F(ConversationRecovery, TellsWhatIsKnownWhileTheProviderIsAway) {
  settings.reconcile_pause = 5ms;
  leave_row("c1", Phase::running);
  leave_row("c2", Phase::stopped);
  engine.put(id_of("c1"), Presence::running);
  engine.list_failure = Failure{Fault{FaultKind::upstream}, "list: the engine is away"};
  open();
  ASSERT_TRUE(gateway().record("c1")) << "its clients are not told that their key opens nothing";
  EXPECT_EQ(gateway().record("c1")->state, RuntimeState::starting);
  EXPECT_TRUE(gateway().record("c1")->accepted(ring_of()->derive(id_of("c1")).reveal()));
  EXPECT_EQ(gateway().state("c2"), RuntimeState::stopped);
  for (auto const& outcome : {start("c1").error(), stop("c1").error(), pause("c1").error()})
    EXPECT_EQ(outcome.fault.kind, FaultKind::unavailable) << outcome.reason;
  EXPECT_EQ(control.run(manager().remove(id_of("c1"))).error().fault.kind, FaultKind::unavailable);
  EXPECT_TRUE(start("c2"));
  engine.list_failure.reset();
  wait_for("c1", RuntimeState::running);
  EXPECT_EQ(engine.count("destroy c1"), 0U);
  EXPECT_EQ(gateway().state("c2"), RuntimeState::running) << "what was started meanwhile goes on";
  EXPECT_TRUE(stop("c1"));
}

TEST_F(ConversationRecovery, ForgetsWhatIsRemovedElsewhereWhileTheProviderIsAway) {
  settings.reconcile_pause = 5ms;
  leave_row("c1", Phase::removing);
  leave_row("c2", Phase::running);
  engine.list_failure = Failure{Fault{FaultKind::upstream}, "list: the engine is away"};
  open();
  ASSERT_TRUE(gateway().record("c1"));
  {
    test::Control elsewhere;  // while it writes, no sweep of ours runs
    test::Backing other(elsewhere, url());
    auto const left = elsewhere.run(other.store->find(id_of("c1"))).value();
    ASSERT_TRUE(elsewhere.run(other.store->forget(id_of("c1"), left->holder, left->epoch)));
    auto stopped = elsewhere.run(other.store->find(id_of("c2"))).value();
    stopped->phase = Phase::stopped;
    stopped->closed = "when_idle";
    ASSERT_TRUE(elsewhere.run(other.store->save(std::move(*stopped))));
  }
  engine.list_failure.reset();
  control.run_until([&] { return !manager().find(id_of("c1")) && !gateway().record("c1"); });
  wait_for("c2", RuntimeState::stopped);
  EXPECT_TRUE(gateway().record("c2")->wakes);
}

TEST_F(ConversationRecovery, GoesOnWithTheOthersWhenOneCannotBeLookedAt) {
  settings.reconcile_pause = 5ms;
  leave_row("c1", Phase::running);
  leave_row("c2", Phase::running);
  engine.put(id_of("c1"), Presence::running);
  engine.put(id_of("c2"), Presence::running);
  engine.unlisted.insert("c1");
  engine.inspect_failure = Failure{Fault{FaultKind::upstream}, "inspect: the engine says 500"};
  open();
  EXPECT_EQ(gateway().state("c1"), RuntimeState::starting);
  EXPECT_TRUE(manager().find(id_of("c2")));
  engine.inspect_failure.reset();
  wait_for("c1", RuntimeState::running);
  wait_for("c2", RuntimeState::running);
}

TEST_F(ConversationRecovery, LeavesAStaticRuntimeThatHasTheIdOfARow) {
  for (bool const is_away : {false, true}) {
    SCOPED_TRACE(is_away);
    std::string const id = is_away ? "s2" : "s1";
    leave_row(id, Phase::stopped);
    Gateway next(control, url(), engine, credentials, settings);
    ASSERT_TRUE(control.run(next.manager.put_static({id_of(id), "http://127.0.0.1:9001", Secret("own"), {}})));
    if (is_away) engine.list_failure = Failure{Fault{FaultKind::upstream}, "list: the engine is away"};
    ASSERT_TRUE(control.run(next.manager.recover()));
    EXPECT_EQ(next.state(id), RuntimeState::running);
    EXPECT_EQ(next.record(id)->endpoint.at.port(), 9001);
    EXPECT_TRUE(next.manager.find_by_key("own"));
    control.run(next.manager.stop_all());
  }
}

TEST_F(ConversationRecovery, AdoptsWhatRunsButIsInNoList) {
  leave_row("c1", Phase::running);
  engine.put(id_of("c1"), Presence::running);
  engine.unlisted.insert("c1");
  open();
  wait_for("c1", RuntimeState::running);
}

TEST_F(ConversationRecovery, LeavesOneStoppedWhoseRuntimeEndsBeforeItIsAdopted) {
  leave_row("c1", Phase::running, "", "conversation", full_configuration());
  engine.put(id_of("c1"), Presence::running);
  engine.ends_after_list = true;
  open();
  wait_for("c1", RuntimeState::stopped);
  EXPECT_EQ(engine.count("create c1"), 0U) << "a new one would not be configured";
  EXPECT_TRUE(gateway().record("c1")->wakes);
}

TEST_F(ConversationRecovery, OfTokensRefreshesThemForARuntimeThatWentOn) {
  test::ScriptedServer tokens;
  tokens.on("GET /token", Reply{200, R"({"token":"ghp_new"})"});
  credentials.refresh_url = "http://127.0.0.1:" + std::to_string(tokens.port()) + "/token";
  settings.idle_sweep = 1ms;
  leave_row("c1", Phase::running, "", "conversation", with_token("ghp_old"));
  engine.put(id_of("c1"), Presence::running);
  open();
  wait_for("c1", RuntimeState::running);
  control.run_until([&] { return requests("POST /api/add-git-providers") > 0; });
  EXPECT_NE(server.requests().back().body.find("ghp_new"), std::string::npos);
}

}  // namespace
}  // namespace nestgate::conversation
