#include "unit/conversation/manager_fixture.hpp"

namespace nestgate::conversation {
namespace {

using namespace std::chrono_literals;
using test::Reply;

using ConversationStart = ManagerOnEngine;

TEST_F(ConversationStart, IsRefusedWhenAProviderDoesNotKnowItsToken) {
  test::ScriptedServer provider_site;
  provider_site.on("GET /user", Reply{401, "ghp_x is bad"});
  credentials.check_urls["github"] = "http://127.0.0.1:" + std::to_string(provider_site.port()) + "/user";
  auto const refused = start("c1", "alice", full_configuration());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault.kind, FaultKind::bad_input);
  EXPECT_EQ(refused.error().reason.find("ghp_x"), std::string::npos);
  EXPECT_TRUE(engine.calls.empty()) << "nothing was made";
  EXPECT_FALSE(manager().find(id_of("c1")));
  EXPECT_FALSE(row("c1"));
}

TEST_F(ConversationStart, KeepsAKnownOneStoppedWhoseNewTokenIsRefused) {
  test::ScriptedServer provider_site;
  credentials.check_urls["github"] = "http://127.0.0.1:" + std::to_string(provider_site.port()) + "/user";
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(stop("c1"));
  provider_site.on("GET /user", Reply{401, ""});
  ASSERT_FALSE(start("c1", "alice", full_configuration()));
  EXPECT_EQ(gateway().state("c1"), RuntimeState::stopped);
  EXPECT_EQ(row("c1")->phase, store::Phase::stopped);
  EXPECT_EQ(gateway().record("c1")->state, RuntimeState::stopped);
}

TEST_F(ConversationStart, ReleasesAgainWhenTheReleaseFailsAtFirst) {
  server.on("POST /api/settings", Reply{500, ""});
  engine.failing_destroys = 1;
  auto const failed = start("c1", "alice", full_configuration());
  ASSERT_FALSE(failed);
  EXPECT_EQ(engine.count("destroy c1"), 2U);
  EXPECT_FALSE(engine.has(id_of("c1")));
  EXPECT_EQ(gateway().state("c1"), RuntimeState::error);
}

TEST_F(ConversationStart, LeavesWhatCannotBeReleasedToTheReconciler) {
  settings.releases_max = 1;
  settings.reconcile_pause = 5ms;
  server.on("POST /api/settings", Reply{500, ""});
  engine.failing_destroys = 1;
  auto const failed = start("c1", "alice", full_configuration());
  ASSERT_FALSE(failed);
  EXPECT_NE(failed.error().reason.find("settings"), std::string::npos);
  EXPECT_NE(failed.error().reason.find("could not be released"), std::string::npos);
  control.run_until([&] { return !engine.has(id_of("c1")); });
  wait_for("c1", RuntimeState::error);
  EXPECT_NE(manager().find(id_of("c1"))->reason.find("settings"), std::string::npos) << "why it failed is still said";
}

TEST_F(ConversationStart, StartsTheServerInAnEmptySandboxBeforeItAsksWhetherItIsAlive) {
  engine.traits.needs_server_start = true;
  ASSERT_TRUE(start("c1"));
  ASSERT_EQ(engine.calls.size(), 2U);
  EXPECT_EQ(engine.calls.back(), "execute c1");
  std::string line;
  for (auto const& word : engine.executed) line += word + " ";
  EXPECT_NE(line.find("openhands.runtime.action_execution_server"), std::string::npos) << line;
  EXPECT_NE(line.find(std::to_string(server.endpoint().port())), std::string::npos) << line;
  EXPECT_EQ(line.find(gateway().record("c1")->session_key.reveal()), std::string::npos) << "no key on a command line";
}

TEST_F(ConversationStart, FailsAndIsReleasedWhenTheServersCommandFails) {
  engine.traits.needs_server_start = true;
  engine.exit_code = 127;
  auto const failed = start("c1");
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().reason, "ready: the server's start command exited with status 127");
  EXPECT_EQ(engine.calls.back(), "destroy c1");
}

TEST_F(ConversationStart, RunsNoCommandWhereTheProviderStartsTheServer) {
  ASSERT_TRUE(start("c1"));
  EXPECT_EQ(engine.count("execute c1"), 0U);
}

TEST_F(ConversationStart, ReplacesOneThatRunsWhenItIsAskedTo) {
  auto const first = start("c1");
  ASSERT_TRUE(first);
  auto request = request_of("c1");
  request.again = StartRequest::Again::replace;
  auto const second = control.run(manager().start(std::move(request)));
  ASSERT_TRUE(second);
  EXPECT_GT(second->view.epoch, first->view.epoch);
  EXPECT_EQ(engine.count("create c1"), 2U);
  EXPECT_EQ(engine.count("destroy c1"), 1U);
}

TEST_F(ConversationStart, TwentyAtOnceOfOneIdMakeOneRuntimeAndGiveTwentyEqualAnswers) {
  std::vector<std::shared_ptr<std::optional<Outcome<Started>>>> starts;
  for (int i = 0; i < 20; ++i) starts.push_back(in_background(manager().start(request_of("c1"))));
  int made = 0;
  for (auto const& one : starts) {
    auto const& started = value_of(one);
    ASSERT_TRUE(started);
    made += started->what == Started::What::made ? 1 : 0;
    EXPECT_EQ(started->view.session_key, ring_of()->derive(id_of("c1")));
    EXPECT_EQ(started->view.epoch, value_of(starts.front())->view.epoch);
  }
  EXPECT_EQ(made, 1);
  EXPECT_EQ(engine.count("create c1"), 1U);
}

TEST_F(ConversationStart, ThatIsAskedForAgainWhileItsRuntimeIsBeingMadeIsTheSameStart) {
  engine.holds_creates = true;
  auto const first = in_background(manager().start(request_of("c1")));
  control.run_until([&] { return engine.count("create c1") == 1; });
  ASSERT_FALSE(engine.has(id_of("c1"))) << "nothing is there yet by which it could be known";
  auto const second = control.run(manager().begin_start(request_of("c1")));
  ASSERT_TRUE(second) << second.error().reason;
  EXPECT_EQ(second->what, Started::What::joined);
  EXPECT_EQ(second->view.state, RuntimeState::starting);
  engine.let_creates_go();
  ASSERT_TRUE(value_of(first));
  EXPECT_EQ(value_of(first)->view.epoch, second->view.epoch);
  EXPECT_EQ(engine.count("create c1"), 1U);
  EXPECT_EQ(engine.count("destroy c1"), 0U);
}

TEST_F(ConversationStart, OfAnIdThatBeginsAnothersDoesNotTouchIt) {
  ASSERT_TRUE(start("abc"));
  ASSERT_TRUE(start("abcd"));
  ASSERT_TRUE(stop("abc"));
  EXPECT_EQ(gateway().state("abcd"), RuntimeState::running);
  EXPECT_TRUE(engine.has(id_of("abcd")));
  EXPECT_EQ(engine.count("destroy abcd"), 0U);
}

TEST_F(ConversationStart, ReturnsAtOnceWhenItIsOnlyToBegin) {
  engine.holds_creates = true;
  auto const begun = control.run(manager().begin_start(request_of("c1")));
  ASSERT_TRUE(begun);
  EXPECT_EQ(begun->view.state, RuntimeState::starting);
  EXPECT_EQ(row("c1")->phase, store::Phase::starting);
  EXPECT_EQ(gateway().record("c1")->state, RuntimeState::starting);
  engine.let_creates_go();
  wait_for("c1", RuntimeState::running);
}

TEST_F(ConversationStart, IsShownAsRunningOnlyOnceAllCoresKnowIt) {
  ASSERT_TRUE(control.run(manager().begin_start(request_of("c1"))));
  Filter running;
  running.state = RuntimeState::running;
  control.run_until([&] {
    bool const is_shown = manager().find(id_of("c1"))->state == RuntimeState::running;
    EXPECT_EQ(manager().list(ops, 10, std::nullopt, running).views.size(), is_shown ? 1U : 0U);
    return is_shown;
  });
  EXPECT_EQ(gateway().publisher.under_way, 0U) << "its next request would be told that it starts";
}

TEST_F(ConversationStart, ThatIsOnlyToBeginIsRefusedAtOnceToo) {
  settings.ready_time_max = 1h;
  settings.quota.in_all = 1;
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(stop("c1"));
  ASSERT_TRUE(start("c2"));
  for (auto const* id : {"c1", "c3"}) {
    auto const refused = control.run(manager().begin_start(request_of(id)));
    ASSERT_FALSE(refused) << id;
    EXPECT_EQ(refused.error().fault.kind, FaultKind::overloaded);
  }
}

TEST_F(ConversationStart, KeepsTheErrorOfOneThatSomebodyWasShown) {
  engine.holds_creates = true;
  ASSERT_TRUE(control.run(manager().begin_start(request_of("c1"))));
  engine.create_failure = Failure{Fault{FaultKind::unavailable}, "create: no room"};
  engine.let_creates_go();
  wait_for("c1", RuntimeState::error);
  EXPECT_EQ(manager().find(id_of("c1"))->reason, "create: no room");
}

TEST_F(ConversationStart, SaysEachChangeToWhoWaitsForIt) {
  engine.holds_creates = true;
  auto const begun = control.run(manager().begin_start(request_of("c1")));
  ASSERT_TRUE(begun);
  auto seen = begun->view.version;
  auto const waited = in_background(manager().wait_change(id_of("c1"), 0, Deadline::in(20s)));
  EXPECT_TRUE(value_of(waited)) << "an older version is no wait";
  engine.let_creates_go();
  RuntimeState last = RuntimeState::starting;
  while (last != RuntimeState::running) {
    auto const view = control.run(manager().wait_change(id_of("c1"), seen, Deadline::in(20s)));
    ASSERT_TRUE(view);
    ASSERT_GT(view->version, seen);
    seen = view->version;
    last = view->state;
  }
  auto const removal = in_background(manager().wait_change(id_of("c1"), seen, Deadline::in(20s)));
  ASSERT_TRUE(stop("c1"));
  ASSERT_TRUE(value_of(removal));
  auto const gone =
      in_background(manager().wait_change(id_of("c1"), manager().find(id_of("c1"))->version, Deadline::in(20s)));
  ASSERT_TRUE(control.run(manager().remove(id_of("c1"))));
  value_of(gone);
  EXPECT_EQ(control.run(manager().wait_change(id_of("c1"), 0, Deadline::in(1ms))).error().fault.kind, FaultKind::not_found);
}

TEST_F(ConversationStart, ThatIsStoppedWhileItMakesItsRuntimeLeavesNone) {
  engine.holds_creates = true;
  auto const started = in_background(manager().start(request_of("c1")));
  control.run_until([&] { return engine.count("create c1") == 1; });
  auto const stopped = stop("c1");
  ASSERT_TRUE(stopped);
  EXPECT_EQ(value_of(started).error().fault.kind, FaultKind::conflict);
  EXPECT_TRUE(engine.there.empty());
}

TEST_F(ConversationStart, OfWhatIsBeingStoppedWaitsAndThenStartsAnew) {
  ASSERT_TRUE(start("c1", "alice", full_configuration()));
  auto const stopped = in_background(manager().stop(id_of("c1")));
  control.run_until([&] { return gateway().state("c1") == RuntimeState::stopping; });
  auto const again = start("c1");
  ASSERT_TRUE(again);
  EXPECT_EQ(again->view.state, RuntimeState::running);
  EXPECT_EQ(engine.count("create c1"), 2U);
  EXPECT_TRUE(value_of(stopped));
}

TEST_F(ConversationStart, DoesNotBeginOnceTheGatewayCloses) {
  settings.when_idle = WhenIdle::stop;
  settings.idle_time_max = 0ms;
  settings.idle_sweep = 1ms;
  ASSERT_TRUE(start("c1"));
  wait_for("c1", RuntimeState::stopped);
  ASSERT_TRUE(gateway().record("c1")->wakes);
  manager().begin_closing();
  EXPECT_FALSE(wake("c1"));
  close();
  EXPECT_EQ(engine.count("create c1"), 1U);
}

TEST_F(ConversationStart, RefusesIdsOfThePoolsForm) {
  auto const refused = start("nestgate-warm-1");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault.kind, FaultKind::bad_input);
}

TEST_F(ConversationStart, ThatFailsDoesNotForgetAConversationThatOnlyTheStoreKnows) {
  engine.list_failure = Failure{Fault{FaultKind::upstream}, "list: the engine is away"};
  {
    test::Backing earlier(control, url());
    store::ConversationRow known{id_of("c1")};
    known.owner = "alice";
    known.purpose = "conversation";
    known.configuration_json = nested::configuration_json(full_configuration());
    auto claim = control.run(earlier.store->claim(std::move(known), dead_gateway_name(), {}));
    ASSERT_TRUE(claim);
    claim->row.phase = store::Phase::stopped;
    ASSERT_TRUE(control.run(earlier.store->save(std::move(claim->row))));
  }
  engine.create_failure = Failure{Fault{FaultKind::unavailable}, "create: the engine is away"};
  ASSERT_FALSE(start("c1"));
  auto const kept = row("c1");
  ASSERT_TRUE(kept) << "it holds somebody's configuration";
  EXPECT_FALSE(kept->configuration_json.empty());
  EXPECT_EQ(gateway().state("c1"), RuntimeState::error);
}

TEST_F(ConversationStart, IsInErrorWithoutAMaskedRunAndStartsAgainLater) {
  server.on("POST /api/settings", Reply{500, ""});
  ASSERT_FALSE(start("c1", "alice", full_configuration()));
  EXPECT_EQ(gateway().record("c1")->state, RuntimeState::error);
  EXPECT_EQ(row("c1")->phase, store::Phase::error);
  server.forget_replies();
  ASSERT_TRUE(start("c1"));
  EXPECT_EQ(requests("POST /api/settings"), 2U) << "it is told the configuration that it was started with first";
}

TEST_F(ConversationStart, ToleratesASecretThatIsThereAndNoOtherRefusal) {
  server.on("POST /api/secrets", Reply{400, R"({"message":"Secret NAME already exists"})"});
  EXPECT_FALSE(start("c1", "alice", full_configuration())) << "it is replaced, and that is refused as well";
  EXPECT_EQ(requests("DELETE /api/secrets/NAME"), 1U);
  server.on("POST /api/secrets", Reply{400, R"({"message":"bad name"})"});
  EXPECT_FALSE(start("c2", "alice", full_configuration()));
  EXPECT_EQ(requests("DELETE /api/secrets/NAME"), 1U);
}

TEST_F(ConversationStart, ShowsEachUserItsOwnConversationsAndKeysOnly) {
  ASSERT_TRUE(start("a1", "alice"));
  ASSERT_TRUE(start("b1", "bob"));
  auto const page = manager().list(user("alice"), 10, std::nullopt);
  ASSERT_EQ(page.views.size(), 1U);
  EXPECT_EQ(page.views[0].session_key, ring_of()->derive(id_of("a1")));
  EXPECT_FALSE(manager().knows(id_of("b1"), user("alice")));
  EXPECT_EQ(start("b1", "alice").error().fault.kind, FaultKind::conflict);
}

}  // namespace
}  // namespace nestgate::conversation
