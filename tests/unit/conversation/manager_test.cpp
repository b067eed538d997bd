#include "unit/conversation/manager_fixture.hpp"

namespace nestgate::conversation {
namespace {

using namespace std::chrono_literals;
using test::FakeProvider;
using test::Reply;
using testing::ElementsAre;

class ConversationManager : public testing::Test {
 protected:
  ~ConversationManager() override { close(); }

  void close() {
    if (manager_) control.run(manager_->stop_all());
    manager_.reset();
  }
  Manager& manager() {
    if (!manager_) {
      settings.stop_poll_pause = 1ms;
      auto provider_owned = std::make_unique<FakeProvider>(server.endpoint());
      provider = provider_owned.get();
      manager_ = std::make_unique<Manager>(control.executor(), std::move(provider_owned), publisher, ring_of(),
                                           *backing.store, *backing.credentials, settings);
    }
    return *manager_;
  }
  Outcome<Started> start(std::string_view id, std::string owner = "alice", nested::Configuration configuration = {}) {
    StartRequest request;
    if (!id.empty()) request.id = id_of(id);
    request.by = user(std::move(owner));
    request.configuration = std::move(configuration);
    return control.run(manager().start(std::move(request)));
  }
  // A start of c1 that goes on until `started` has its end: its runtime is never ready.
  void begin_a_start_that_waits() {
    server.on("GET /alive", Reply{503, ""});
    auto const go = [](Manager& m, std::optional<Outcome<Started>>& out) -> Task<> {
      StartRequest request;
      request.id = id_of("c1");
      request.by = user("alice");
      out.emplace(co_await m.start(std::move(request)));
    };
    group_.spawn("start", go(manager(), started));
    control.run_until([this] { return !server.requests().empty(); });
  }

  test::ScriptedServer server;
  test::Control control;
  test::Backing backing{control};
  test::RecordingPublisher publisher;
  ManagerSettings settings;
  FakeProvider* provider = nullptr;
  std::optional<Outcome<Started>> started;

 private:
  TaskGroup group_{control.executor()};
  std::unique_ptr<Manager> manager_;
};

TEST_F(ConversationManager, ConfiguresInOrderBeforeItPublishesAsRunning) {
  server.on("GET /server_info", Reply{200, R"({"uptime":1,"idle_time":0,"resources":{}})"});
  auto const started = start("c1", "alice", full_configuration());
  ASSERT_TRUE(started) << started.error().reason;
  EXPECT_EQ(started->what, Started::What::made);
  EXPECT_EQ(started->view.state, RuntimeState::running);
  EXPECT_EQ(started->view.owner, "alice");
  EXPECT_EQ(started->view.session_key, ring_of()->derive(id_of("c1")));
  EXPECT_THAT(server.lines(),
              ElementsAre("GET /alive", "POST /api/settings", "POST /api/add-git-providers", "POST /api/secrets",
                          "GET /server_info", "POST /api/conversations", "GET /api/conversations/c1/events?limit=1"));
  EXPECT_THAT(publisher.events, ElementsAre("c1 starting", "c1 running"));
  EXPECT_EQ(publisher.last->endpoint, server.endpoint());
  EXPECT_EQ(publisher.last->session_key, ring_of()->derive(id_of("c1")));
  for (auto const& request : server.requests()) EXPECT_EQ(request.value("x-session-api-key"), provider->keys.at(0));
}

TEST_F(ConversationManager, MakesAnIdWhenNoneIsGiven) {
  auto const started = start("");
  ASSERT_TRUE(started);
  EXPECT_TRUE(started->view.id.is_uuid());
}

TEST_F(ConversationManager, ReleasesTheRuntimeAndKeepsTheReasonWhicheverStepFails) {
  struct Case {
    std::string request;
    std::string reason;
  };
  settings.ready_time_max = 500ms;
  Case const cases[] = {{"GET /alive", "ready: the server was not alive in time (last: /alive answers 500)"},
                        {"POST /api/settings", "settings: the server answered 500"},
                        {"POST /api/add-git-providers", "git_provider_tokens: the server answered 500"},
                        {"POST /api/secrets", "secrets: the server answered 500"}};
  int n = 0;
  for (auto const& c : cases) {
    server.forget_replies();
    server.on(c.request, Reply{500, "ghp_x leaks here"});
    std::string const id = "c" + std::to_string(++n);
    auto const started = start(id, "alice", full_configuration());
    ASSERT_FALSE(started) << c.request;
    EXPECT_EQ(started.error().reason, c.reason);
    EXPECT_TRUE(provider->alive.empty()) << c.request;
    EXPECT_EQ(provider->calls.back(), "destroy " + id);
    auto const view = manager().find(id_of(id));
    EXPECT_EQ(view->state, RuntimeState::error);
    EXPECT_EQ(view->reason, c.reason);
    EXPECT_TRUE(view->session_key.empty());
    EXPECT_EQ(publisher.events.back(), id + " error");
  }
}

TEST_F(ConversationManager, SaysWhyTheProviderRefused) {
  manager();
  provider->refusal = Failure{Fault{FaultKind::overloaded}, "create: all 2 runtimes are in use"};
  auto const started = start("c1");
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error().fault.kind, FaultKind::overloaded);
  EXPECT_EQ(started.error().reason, "create: all 2 runtimes are in use");
  EXPECT_THAT(provider->calls, ElementsAre("create c1")) << "a release would wait for a provider that is away";
}

TEST_F(ConversationManager, ForgetsANewIdForWhichNothingCouldBeMade) {
  manager();
  provider->refusal = Failure{Fault{FaultKind::overloaded}, "create: all 2 runtimes are in use"};
  ASSERT_FALSE(start("c1"));
  EXPECT_FALSE(manager().find(id_of("c1")));
  EXPECT_THAT(publisher.events, ElementsAre("c1 starting", "c1 withdrawn"));
  for (auto const& gauge : manager().stats().runtimes) EXPECT_EQ(gauge.read(), 0);
}

TEST_F(ConversationManager, KeepsAKnownConversationWhoseNextStartIsRefused) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(control.run(manager().stop(id_of("c1"))));
  provider->refusal = Failure{Fault{FaultKind::overloaded}, "create: all 2 runtimes are in use"};
  ASSERT_FALSE(start("c1"));
  EXPECT_EQ(manager().find(id_of("c1"))->state, RuntimeState::error);
}

TEST_F(ConversationManager, GivesThePlaceOfTheOldestFailedStartToANewConversation) {
  settings.conversations_max = 4;
  ASSERT_TRUE(start("ran"));
  provider->die(id_of("ran"), "killed by signal 9");
  ASSERT_TRUE(start("stopped"));
  ASSERT_TRUE(control.run(manager().stop(id_of("stopped"))));
  server.on("POST /api/settings", Reply{500, ""});
  ASSERT_FALSE(start("failed-first", "alice", full_configuration()));
  ASSERT_FALSE(start("failed-second", "alice", full_configuration()));

  ASSERT_TRUE(start("new"));
  EXPECT_FALSE(manager().find(id_of("failed-first")));
  EXPECT_TRUE(manager().find(id_of("failed-second")));
  ASSERT_TRUE(start("newer"));
  EXPECT_FALSE(manager().find(id_of("failed-second")));
  EXPECT_EQ(start("too-many").error().fault.kind, FaultKind::overloaded);
  EXPECT_TRUE(manager().find(id_of("ran"))) << "it may hold somebody's work";
  EXPECT_TRUE(manager().find(id_of("stopped")));
}

TEST_F(ConversationManager, StartsAnewWhatIsInErrorWithAHigherEpoch) {
  server.on("POST /api/settings", Reply{500, ""});
  ASSERT_FALSE(start("c1", "alice", full_configuration()));
  auto const first = manager().find(id_of("c1"))->epoch;
  server.forget_replies();
  auto const again = start("c1", "alice", full_configuration());
  ASSERT_TRUE(again);
  EXPECT_EQ(again->what, Started::What::joined);
  EXPECT_GT(again->view.epoch, first);
}

TEST_F(ConversationManager, JoinsASecondStartOfTheSameIdWhateverFormItHas) {
  auto const both = [](Manager& m, std::vector<Started>& out) -> Task<> {
    TaskGroup group(co_await asio::this_coro::executor);
    auto const one = [](Manager& inner, std::string id, std::vector<Started>& into) -> Task<> {
      StartRequest request;
      request.id = id_of(id);
      request.by = user("alice");
      auto started = co_await inner.start(std::move(request));
      EXPECT_TRUE(started);
      if (started) into.push_back(std::move(*started));
    };
    group.spawn("first", one(m, "9eba03e68cc24c3daa8a225f0e79e062", out));
    group.spawn("second", one(m, "9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062", out));
    auto joined = co_await group.join();
    EXPECT_TRUE(joined);
  };
  std::vector<Started> started;
  control.run(both(manager(), started));
  ASSERT_EQ(started.size(), 2U);
  EXPECT_EQ(started[0].view.epoch, started[1].view.epoch);
  EXPECT_EQ(started[0].view.session_key, started[1].view.session_key);
  EXPECT_NE(started[0].what, started[1].what);
  EXPECT_THAT(provider->calls, ElementsAre("create 9eba03e68cc24c3daa8a225f0e79e062"));
}

TEST_F(ConversationManager, RefusesTheIdOfSomeoneElse) {
  ASSERT_TRUE(start("c1", "alice"));
  auto const other = start("c1", "bob");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().fault.kind, FaultKind::conflict);
}

TEST_F(ConversationManager, EndsAStartAtOnceWhenTheRuntimeDies) {
  begin_a_start_that_waits();
  provider->die(id_of("c1"), "exited with status 3");
  control.run_until([this] { return started.has_value(); });
  ASSERT_FALSE(*started);
  EXPECT_EQ(started->error().reason, "ready: the runtime exited with status 3");
  EXPECT_EQ(manager().find(id_of("c1"))->state, RuntimeState::error);
}

TEST_F(ConversationManager, StopsAStartThatIsUnderWay) {
  begin_a_start_that_waits();
  auto const stopped = control.run(manager().stop(id_of("c1")));
  ASSERT_TRUE(stopped);
  EXPECT_EQ(stopped->state, RuntimeState::stopped);
  EXPECT_TRUE(provider->alive.empty());
  control.run_until([this] { return started.has_value(); });
  EXPECT_EQ(started->error().fault.kind, FaultKind::conflict);
}

TEST_F(ConversationManager, EndsAStartThatIsUnderWayAtOnceWhenItCloses) {
  begin_a_start_that_waits();
  manager().begin_closing();
  control.run_until([this] { return started.has_value(); });
  EXPECT_EQ(started->error().fault.kind, FaultKind::unavailable);
  EXPECT_EQ(started->error().reason, "the gateway is shutting down");
  EXPECT_EQ(start("c2").error().fault.kind, FaultKind::unavailable);
}

TEST_F(ConversationManager, LetsNobodyWaitForAnEndOnceItCloses) {
  ASSERT_TRUE(start("c1", "alice", full_configuration()));  // so that the end begins with a call
  manager().begin_closing();
  EXPECT_EQ(control.run(manager().stop(id_of("c1"))).error().fault.kind, FaultKind::unavailable);
  close();
  EXPECT_EQ(publisher.events.back(), "c1 stopped") << "it is ended all the same";
}

TEST_F(ConversationManager, PublishesErrorWhenARunningRuntimeDies) {
  ASSERT_TRUE(start("c1"));
  provider->die(id_of("c1"), "killed by signal 9");
  control.run_until([this] { return publisher.events.back() == "c1 error"; });
  auto const view = manager().find(id_of("c1"));
  EXPECT_EQ(view->state, RuntimeState::error);
  EXPECT_EQ(view->reason, "the runtime killed by signal 9");
  EXPECT_EQ(manager().stats().deaths.read(), 1U);
}

TEST_F(ConversationManager, StopsByTheGracefulCallOfTheOlderDialectFirst) {
  ASSERT_TRUE(start("c1", "alice", full_configuration()));
  upstream::Place stopping_endpoint;
  manager().on_change([&](ConversationId const&, RuntimeState state, std::string_view) {
    if (state == RuntimeState::stopped) stopping_endpoint = publisher.last->endpoint;
  });
  auto const stopped = control.run(manager().stop(id_of("c1")));
  ASSERT_TRUE(stopped);
  EXPECT_EQ(stopped->state, RuntimeState::stopped);
  EXPECT_THAT(server.lines(), testing::Contains("POST /api/conversations/c1/stop"));
  EXPECT_THAT(server.lines(), testing::Contains("GET /api/conversations/c1").Times(3)) << "until it says STOPPED";
  EXPECT_EQ(provider->calls.back(), "destroy c1");
  EXPECT_THAT(publisher.events, ElementsAre("c1 starting", "c1 running", "c1 stopping", "c1 stopped"));
  EXPECT_EQ(stopping_endpoint, server.endpoint()) << "what it serves then may end";
  EXPECT_TRUE(control.run(manager().stop(id_of("c1")))) << "a second stop is success";
}

TEST_F(ConversationManager, StopsOneWhoseServerNeverAnswersOrIsGone) {
  settings.stop_call_time_max = 50ms;
  manager();
  test::Server deaf([](test::Connection& connection) {
    auto const head = connection.read_until("\r\n\r\n");
    if (auto const length = test::field_value(head, "content-length"); !length.empty())
      connection.read_exactly(std::stoul(length));
    if (head.starts_with("POST /api/conversations/c1/stop")) {
      connection.read_to_end();
    } else {
      connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}");
    }
  });
  provider->use({asio::ip::address_v4::loopback(), deaf.port()});
  for (bool const is_gone : {false, true}) {
    ASSERT_TRUE(start("c1", "alice", full_configuration())) << is_gone;
    if (is_gone) deaf.stop();
    auto const stopped = control.run(manager().stop(id_of("c1")));
    ASSERT_TRUE(stopped) << stopped.error().reason;
    EXPECT_EQ(stopped->state, RuntimeState::stopped);
    EXPECT_EQ(provider->calls.back(), "destroy c1");
  }
}

TEST_F(ConversationManager, StartsAndShowsOthersWhileOneStopsSlowly) {
  ASSERT_TRUE(start("c1"));
  bool may_end = false;
  provider->before_destroy = [&](ConversationId id) -> Task<> {
    while (id.text() == "c1" && !may_end) {
      [[maybe_unused]] auto waited = co_await pause_for(1ms);
    }
  };
  std::optional<Outcome<View>> stopped;
  TaskGroup group(control.executor());
  auto const stop = [](Manager& m, std::optional<Outcome<View>>& out) -> Task<> {
    out.emplace(co_await m.stop(id_of("c1")));
  };
  group.spawn("stop", stop(manager(), stopped));
  control.run_until([this] { return provider->calls.back() == "destroy c1"; });
  EXPECT_TRUE(start("c2"));
  EXPECT_EQ(manager().list(user("alice"), 10, std::nullopt).views.size(), 2U);
  EXPECT_TRUE(control.run(manager().stop(id_of("c2"))));
  EXPECT_FALSE(stopped);
  may_end = true;
  control.run_until([&] { return stopped.has_value(); });
  EXPECT_TRUE(*stopped);
  ASSERT_TRUE(control.run(group.join()));
}

TEST_F(ConversationManager, ListsByPagesThatAGoneConversationDoesNotEnd) {
  for (auto const* id : {"c1", "c2", "c3"}) ASSERT_TRUE(start(id));
  ASSERT_TRUE(start("b1", "bob"));
  auto const first = manager().list(user("alice"), 2, std::nullopt);
  ASSERT_EQ(first.views.size(), 2U);
  EXPECT_EQ(first.views[0].id.text(), "c3");
  EXPECT_TRUE(first.has_more);
  Position const at{first.views[1].created_at, first.views[1].id.canonical()};
  ASSERT_TRUE(control.run(manager().remove(id_of("c2"))));
  auto const second = manager().list(user("alice"), 2, at);
  ASSERT_EQ(second.views.size(), 1U);
  EXPECT_EQ(second.views[0].id.text(), "c1");
  EXPECT_FALSE(second.has_more);
  EXPECT_EQ(manager().list(ops, 10, std::nullopt).views.size(), 3U);
}

TEST_F(ConversationManager, ForgetsWhatIsRemovedAndItsFiles) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(control.run(manager().remove(id_of("c1"))));
  EXPECT_FALSE(manager().find(id_of("c1")));
  EXPECT_EQ(provider->calls.back(), "remove c1");
  EXPECT_EQ(publisher.events.back(), "c1 withdrawn");
  EXPECT_EQ(control.run(manager().remove(id_of("c1"))).error().fault.kind, FaultKind::not_found);
  std::int64_t known = 0;
  for (auto const& gauge : manager().stats().runtimes) known += gauge.read();
  EXPECT_EQ(known, 0);
}

TEST_F(ConversationManager, RemembersARemovalBeforeItEndsAnything) {
  ASSERT_TRUE(start("c1", "alice", full_configuration()));
  std::optional<store::Phase> phase;
  provider->before_destroy = [&](ConversationId id) -> Task<> {
    auto row = co_await backing.store->find(std::move(id));
    if (row && *row) phase = (*row)->phase;
  };
  ASSERT_TRUE(control.run(manager().remove(id_of("c1"))));
  EXPECT_EQ(phase, store::Phase::removing) << "a gateway that is killed now goes on with it";
  EXPECT_THAT(provider->calls, ElementsAre("create c1", "remove c1"));
  EXPECT_THAT(server.lines(), testing::Contains("POST /api/conversations/c1/stop"));
}

TEST_F(ConversationManager, WhatAnotherGatewayLeftBehindIsNotOursBeforeItIsTaken) {
  settings.follow_pause = 1ms;
  settings.reconcile_pause = 200ms;
  ASSERT_TRUE(control.run(manager().recover()));
  auto& store = *backing.store;
  ASSERT_TRUE(control.run(store.renew("other", 1h)));
  store::ConversationRow wanted{.id = id_of("c1")};
  wanted.owner = "alice";
  wanted.purpose = "conversation";
  auto claim = control.run(store.claim(std::move(wanted), "other", {}));
  ASSERT_TRUE(claim);
  claim->row.phase = store::Phase::running;
  claim->row.endpoint = "127.0.0.1:1";
  ASSERT_TRUE(control.run(store.save(std::move(claim->row))));
  auto const is_in = [this](RuntimeState state) {
    auto const view = manager().find(id_of("c1"));
    return view && view->state == state;
  };
  control.run_until([&] { return is_in(RuntimeState::running); });
  ASSERT_TRUE(control.run(store.leave("other")));
  control.run_until([&] { return !is_in(RuntimeState::running); });
  EXPECT_EQ(manager().find(id_of("c1"))->state, RuntimeState::stopped) << "its provider knows no such runtime";
  auto const row = control.run(store.find(id_of("c1")));
  ASSERT_TRUE(row && *row);
  EXPECT_EQ((*row)->phase, store::Phase::stopped) << "and the store knows it";
}

TEST_F(ConversationManager, KeepsAConversationInErrorWhoseFilesCannotBeRemoved) {
  ASSERT_TRUE(start("c1"));
  provider->removal_failure = Failure{Fault{FaultKind::internal}, "remove: files: Read-only file system"};
  auto const removed = control.run(manager().remove(id_of("c1")));
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().fault.kind, FaultKind::internal);
  auto const view = manager().find(id_of("c1"));
  ASSERT_TRUE(view);
  EXPECT_EQ(view->state, RuntimeState::error);
  EXPECT_EQ(view->reason, "remove: files: Read-only file system");
  EXPECT_EQ(publisher.events.back(), "c1 error");
  EXPECT_EQ(start("c1", "bob").error().fault.kind, FaultKind::conflict) << "the id is not free";
  provider->removal_failure.reset();
  EXPECT_TRUE(control.run(manager().remove(id_of("c1"))));
  EXPECT_FALSE(manager().find(id_of("c1")));
}

TEST_F(ConversationManager, PublishesStaticRuntimesWithTheirPortsAndNeverEndsThem) {
  StaticRuntime fixed{id_of("s1"), "http://localhost:9001", std::nullopt, {{"vscode", std::uint16_t{8001}}}};
  ASSERT_TRUE(control.run(manager().put_static(std::move(fixed))));
  EXPECT_THAT(publisher.events, ElementsAre("s1 running"));
  EXPECT_EQ(publisher.last->endpoint.port(), 9001);
  ASSERT_EQ(publisher.last->ports.size(), 1U);
  EXPECT_EQ(publisher.last->ports[0].endpoint.port(), 8001);
  EXPECT_EQ(publisher.last->session_key, ring_of()->derive(id_of("s1")));
  EXPECT_EQ(control.run(manager().stop(id_of("s1"))).error().fault.kind, FaultKind::conflict);
  close();
  EXPECT_EQ(publisher.events.size(), 1U);
}

TEST_F(ConversationManager, GivesAStaticRuntimeItsOwnKeyOnly) {
  StaticRuntime fixed{id_of("s1"), "http://127.0.0.1:9001", Secret("own-key"), {}};
  ASSERT_TRUE(control.run(manager().put_static(std::move(fixed))));
  EXPECT_TRUE(publisher.last->session_key.equals("own-key"));
  ASSERT_EQ(publisher.last->accepted_keys.size(), 1U);
  EXPECT_TRUE(publisher.last->accepted_keys[0].equals("own-key"));
}

TEST_F(ConversationManager, PutsAStaticRuntimeInPlaceOfItsEarlierSelfWithANewEpoch) {
  ASSERT_TRUE(
      control.run(manager().put_static({id_of("s1"), "http://127.0.0.1:9001", std::nullopt, {{"a", std::uint16_t{8001}}}})));
  auto const before = publisher.last->epoch;
  ASSERT_TRUE(control.run(manager().put_static({id_of("s1"), "http://127.0.0.1:9002", std::nullopt, {}})));
  EXPECT_EQ(publisher.last->endpoint.port(), 9002);
  EXPECT_TRUE(publisher.last->ports.empty());
  EXPECT_GT(publisher.last->epoch, before);
  EXPECT_EQ(manager().list(ops, 10, std::nullopt).views.size(), 1U);
  auto const bad = control.run(manager().put_static({id_of("s1"), "http://no-such-host.invalid:1", std::nullopt, {}}));
  EXPECT_FALSE(bad);
  EXPECT_TRUE(manager().find(id_of("s1"))) << "the earlier one stays";
}

TEST_F(ConversationManager, PublishesAStaticRuntimeAsStartingUntilItsNameIsFound) {
  auto const put = control.run(manager().put_static({id_of("s1"), "http://no-such-host.invalid:1", std::nullopt, {}}));
  ASSERT_FALSE(put);
  EXPECT_EQ(put.error().fault.kind, FaultKind::upstream);
  EXPECT_THAT(publisher.events, ElementsAre("s1 starting"));
  EXPECT_EQ(manager().find(id_of("s1"))->reason, put.error().reason);
  ASSERT_TRUE(control.run(manager().put_static({id_of("s1"), "http://127.0.0.1:9001", std::nullopt, {}})));
  EXPECT_THAT(publisher.events, ElementsAre("s1 starting", "s1 running"));
}

TEST_F(ConversationManager, ForgetsAStaticRuntimeAndNothingElseByRemoveStatic) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(control.run(manager().put_static({id_of("s1"), "http://127.0.0.1:9001", std::nullopt, {}})));
  control.run(manager().remove_static(id_of("s1")));
  control.run(manager().remove_static(id_of("c1")));
  EXPECT_EQ(publisher.events.back(), "s1 withdrawn");
  EXPECT_FALSE(manager().find(id_of("s1")));
  EXPECT_TRUE(manager().find(id_of("c1")));
  auto const taken = control.run(manager().put_static({id_of("c1"), "http://127.0.0.1:9001", std::nullopt, {}}));
  EXPECT_EQ(taken.error().fault.kind, FaultKind::conflict);
}

TEST_F(ConversationManager, RefusesAStaticRuntimeThatCannotBeReached) {
  for (auto const* url : {"ftp://h", "https://h/path", "http://h/path", "h:1", "http://h?x=1"}) {
    StaticRuntime fixed{id_of("s1"), url, std::nullopt, {}};
    auto const added = control.run(manager().put_static(std::move(fixed)));
    ASSERT_FALSE(added) << url;
    EXPECT_EQ(added.error().reason, "url: must be http://host:port or https://host:port, without a path or a query");
  }
}

TEST_F(ConversationManager, AcceptsOldAndNewKeysAfterTheSecretsWereReplaced) {
  ASSERT_TRUE(start("c1"));
  auto const old_key = ring_of()->derive(id_of("c1"));
  auto const fresh = ring_of("ffffffffffffffffffffffffffffffff");
  control.run(manager().replace_keys(fresh));
  auto const& record = *publisher.last;
  EXPECT_EQ(record.session_key, old_key) << "the runtime keeps what it was started with";
  ASSERT_EQ(record.accepted_keys.size(), 2U);
  EXPECT_EQ(record.accepted_keys[0], fresh->derive(id_of("c1")));
  EXPECT_EQ(record.accepted_keys[1], old_key);
}

TEST_F(ConversationManager, RefusesConversationsBeyondItsLimit) {
  settings.conversations_max = 1;
  ASSERT_TRUE(start("c1"));
  auto const second = start("c2");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().fault.kind, FaultKind::overloaded);
  EXPECT_NE(second.error().reason.find("all 1 conversations"), std::string::npos);
}

TEST_F(ConversationManager, EndsAllAtShutdownAndRefusesStartsAfterwards) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(start("c2"));
  control.run(manager().stop_all());
  EXPECT_TRUE(provider->alive.empty());
  EXPECT_EQ(start("c3").error().fault.kind, FaultKind::unavailable);
}

TEST_F(ConversationManager, TellsWhoWokeItAsSoonAsItRuns) {
  settings.ready_time_max = 10s;
  ASSERT_TRUE(start("c1"));
  provider->pauses = true;
  ASSERT_TRUE(control.run(manager().pause(id_of("c1"))));
  auto const never = Deadline::in(std::chrono::hours(1));
  EXPECT_TRUE(control.run(manager().wake(id_of("c1"), never)));
  EXPECT_EQ(manager().find(id_of("c1"))->state, RuntimeState::running);
}

TEST_F(ConversationManager, TellsWhoBeginsAStartAtOnceThatTheQuotaRefusesIt) {
  settings.quota.of_owner = 1;
  ASSERT_TRUE(start("c1"));
  StartRequest request;
  request.id = id_of("c2");
  request.by = user("alice");
  auto const begun = control.run(manager().begin_start(std::move(request)));
  ASSERT_FALSE(begun);
  EXPECT_EQ(begun.error().fault.kind, FaultKind::overloaded);
  EXPECT_EQ(begun.error().reason, "quota: 1 of 1 conversations of this owner are in use; stop one first");
  EXPECT_FALSE(manager().find(id_of("c2")));
}

}  // namespace
}  // namespace nestgate::conversation
