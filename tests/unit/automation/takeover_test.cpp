// Two gateways on one store. One that "died" is frozen: its loop is run no more, so its lease is over, and it comes back
// later as a superseded one.

#include "conversation/gateway_name.hpp"
#include "service_fixture.hpp"
#include "support/fake_engine.hpp"
#include "unit/store/databases.hpp"

namespace nestgate::automation {
namespace {

using store::RunRow;
using test::Request;

struct Side {
  Side(std::string const& url, test::Engine& engine)
      : backing(control, url),
        manager(control.executor(), std::make_unique<test::EngineProvider>(engine), publisher, ring_of(), *backing.store,
                *backing.credentials, quick_manager()) {
    auto const recovered = control.run(manager.recover());
    EXPECT_TRUE(recovered) << recovered.error().reason;
  }
  ~Side() {
    if (service) control.run(service->stop(Deadline::in(0s)));
    control.run(manager.stop_all());
    control.run(backing.store->close());  // before the service, which it wakes
  }
  static conversation::ManagerSettings quick_manager() {
    conversation::ManagerSettings settings;
    settings.follow_pause = 1ms;
    settings.reconcile_pause = 1h;
    settings.idle_sweep = 1h;
    settings.status_age_max = 1h;
    settings.stop_poll_pause = 1ms;
    settings.lease_time = 1h;
    return settings;
  }
  void serve(Settings settings = quick_settings()) {
    service = std::make_unique<Service>(control.executor(), manager, *backing.store, manager.gateway(), ring_of(),
                                        std::move(settings));
    service->start();
    backing.store->on_notify([this] { service->wake(); });
  }
  void turn() {
    control.loop().restart();
    control.loop().poll();
  }

  test::Control control;
  test::Backing backing;
  test::RecordingPublisher publisher;
  conversation::Manager manager;
  std::unique_ptr<Service> service;
};

// Nothing is found by looking for it: who is not told does not hear of it.
Settings told() {
  auto settings = quick_settings();
  settings.scan_interval = 1h;
  return settings;
}

class Gateways {
 protected:
  Gateways(std::unique_ptr<store::SharedDatabase> on, Settings const& settings) : database(std::move(on)) {
    a.emplace(url(), engine);
    conversation::StartRequest request;
    request.id = id_of("c1");
    request.by = alice;
    EXPECT_TRUE(a->control.run(a->manager.start(std::move(request))));
    b.emplace(url(), engine);
    b->control.run_until([this] {
      auto const view = b->manager.find(id_of("c1"));
      return view && view->state == conversation::RuntimeState::running;
    });
    a->serve(settings);
  }
  ~Gateways() {
    gate.open();
    b.reset();
    a.reset();
  }

  std::string url() const { return database->url(); }
  store::AutomationRow automation() {
    auto& rows = a->backing.store->automations();
    store::UploadRow upload;
    upload.id = new_uuid();
    upload.tenant = caller.tenant;
    upload.status = "COMPLETED";
    store::AutomationRow row;
    row.id = new_uuid();
    row.tenant = caller.tenant;
    row.owner = caller.owner;
    row.trigger_json = R"({"type":"event","source":"custom","on":["a"]})";
    row.trigger_kind = "event";
    row.tarball_path = "oh-internal://uploads/" + upload.id;
    row.entrypoint = "python main.py";
    Policy policy;
    policy.target = parse_target("conversation:c1");
    row.policy_json = to_json(policy);
    EXPECT_TRUE(a->control.run(rows.add_upload(std::move(upload), tarball_bytes)));
    return std::move(a->control.run(a->service->create(std::move(row)))->row);
  }
  RunRow dispatch() { return a->control.run(a->service->dispatch(automation().id, of_anybody, "")).value(); }
  RunRow find(Side& side, std::string id) {
    return side.control.run(side.backing.store->automations().find_run(std::move(id))).value().value();
  }
  // Runs both.
  void until(std::function<bool()> const& holds) {
    b->control.run_until([&] {
      a->turn();
      return holds();
    });
  }
  RunRow until(Side& side, std::string const& id, std::function<bool(RunRow const&)> const& holds) {
    auto const end = Clock::now() + std::chrono::milliseconds(test::patience_ms);
    for (;;) {
      auto run = find(side, id);
      if (holds(run)) return run;
      if (Clock::now() > end) {
        ADD_FAILURE() << "run is " << to_string(run.status) << ": " << run.error_detail;
        return run;
      }
      side.control.run(one_turn());
    }
  }
  static bool is_followed(RunRow const& run) { return !run.bash_command_id.empty(); }
  static bool is_ended(RunRow const& run) { return is_terminal(run.status); }
  static bool is_clean(RunRow const& run) { return run.clean_up == store::CleanUp::nothing; }
  static Task<> one_turn() { [[maybe_unused]] auto waited = co_await pause_for(1ms); }
  // A is run no more from here on; B goes on with what it had.
  void a_dies() {
    ASSERT_TRUE(b->control.run(b->backing.store->renew(a->manager.gateway(), 0ms)));
    b->serve();
  }
  // What A still does when it is run again, until it has given up its run.
  void a_comes_back() {
    gate.open();
    a->control.run_until([this] { return a->service->stats().in_flight.read() == 0; });
  }

  identity::Principal const alice{"alice", identity::Role::user, "alice"};
  Caller const caller = caller_of(alice);
  test::Gate gate;
  test::FakeAgent agent;
  std::unique_ptr<store::SharedDatabase> database;
  test::Control engine_control;
  test::Engine engine{engine_control.executor(), agent.endpoint()};
  std::optional<Side> a, b;
};

class TwoGateways : public Gateways, public testing::Test {
 protected:
  TwoGateways() : Gateways(std::make_unique<store::SqliteFile>(), quick_settings()) {}
};

TEST_F(TwoGateways, StartEachRunOnce) {
  b->serve();
  std::vector<std::string> ids;
  for (int i = 0; i < 20; ++i) {
    ids.push_back(dispatch().id);
    b->service->wake();
  }
  until(
      [&] { return std::all_of(ids.begin(), ids.end(), [this](std::string const& id) { return agent.starts(id) != 0; }); });
  for (auto const& id : ids) {
    EXPECT_EQ(agent.starts(id), 1U);
    agent.end(id, 0);
  }
  until([this] { return a->service->stats().completed.read() + b->service->stats().completed.read() == 20; });
  EXPECT_EQ(agent.count(start_line), 20U) << "nobody tried twice";
}

TEST_F(TwoGateways, WhatADeadOneStartedIsFoundAndFollowed) {
  agent.before_answer([this](Request const& request) {
    if (request.line() == start_line) gate.pass();
  });
  auto const run = dispatch();
  a->control.run_until([&] { return agent.starts(run.id) == 1; });
  a_dies();
  auto const adopted = until(*b, run.id, is_followed);
  EXPECT_EQ(adopted.holder, b->manager.gateway());
  EXPECT_EQ(b->service->stats().taken_over.read(), 1U);
  agent.end(run.id, 0);
  auto const ended = until(*b, run.id, [](RunRow const& row) { return is_ended(row) && is_clean(row); });
  EXPECT_EQ(ended.status, RunStatus::completed) << ended.error_detail;
  EXPECT_EQ(agent.count(start_line), 1U);
  a_comes_back();
  EXPECT_EQ(find(*b, run.id), ended);
}

TEST_F(TwoGateways, WhatADeadOneDidNotStartIsStartedOnce) {
  auto const uploads = shared(0);
  agent.before_answer([this, uploads](Request const& request) {
    if (request.line().starts_with(upload_line) && (*uploads)++ == 0) gate.pass();
  });
  auto const run = dispatch();
  a->control.run_until([&] { return *uploads == 1; });
  a_dies();
  auto const taken = until(*b, run.id, is_followed);
  EXPECT_EQ(taken.holder, b->manager.gateway());
  a_comes_back();
  EXPECT_EQ(agent.starts(run.id), 1U);
  EXPECT_EQ(find(*b, run.id), taken) << "what the superseded one did meanwhile changes nothing";
  agent.end(run.id, 0);
  EXPECT_EQ(until(*b, run.id, is_ended).exit_code, 0);
}

TEST_F(TwoGateways, ASupersededOnesVerdictCountsForNothing) {
  auto const run = dispatch();
  until(*a, run.id, is_followed);
  a_dies();
  until(*b, run.id, [this](RunRow const& row) { return row.holder == b->manager.gateway(); });
  ASSERT_TRUE(b->control.run(b->service->cancel(run.id)));
  b->control.run_until([this] { return b->service->stats().in_flight.read() == 0; });
  auto const cancelled = find(*b, run.id);
  EXPECT_EQ(cancelled.status, RunStatus::cancelled);
  EXPECT_EQ(cancelled.clean_up, store::CleanUp::nothing);
  a_comes_back();
  EXPECT_EQ(find(*b, run.id), cancelled);
}

TEST_F(TwoGateways, ARunIsCancelledAtWhicheverOneIsAsked) {
  auto const run = dispatch();
  until(*a, run.id, is_followed);
  b->serve();
  ASSERT_TRUE(b->control.run(b->service->cancel(run.id)));
  until([this] { return a->service->stats().in_flight.read() == 0; });
  EXPECT_EQ(agent.commands().at(0).exit_code, -1);
  EXPECT_EQ(find(*b, run.id).clean_up, store::CleanUp::nothing);
}

TEST_F(TwoGateways, WhatWasCancelledWhileItsGatewayWasDeadIsCleanedUp) {
  auto const run = dispatch();
  until(*a, run.id, is_followed);
  ASSERT_TRUE(b->control.run(b->backing.store->renew(a->manager.gateway(), 0ms)));
  auto event = CancelAsked{};
  auto judging = [event](RunRow const& row) {
    store::RunDecision decision;
    decision.run = judge(row.clone(), event, std::chrono::system_clock::now()).run;
    decision.writes = true;
    return decision;
  };
  ASSERT_TRUE(b->control.run(b->backing.store->automations().judge(run.id, std::nullopt, judging)));
  b->serve();
  until(*b, run.id, is_clean);
  EXPECT_EQ(agent.commands().at(0).exit_code, -1);
  a_comes_back();
}

class GatewaysThatTellEachOther : public Gateways, public testing::Test {
 protected:
  GatewaysThatTellEachOther() : Gateways(std::make_unique<store::PostgresDatabase>(), told()) {}
};

TEST_F(GatewaysThatTellEachOther, OnPostgresHearOfACancelAtOnce) {
  auto const run = dispatch();
  until(*a, run.id, is_followed);
  b->serve(told());
  ASSERT_TRUE(b->control.run(b->service->cancel(run.id)));
  until([this] { return a->service->stats().in_flight.read() == 0; });
  EXPECT_EQ(agent.commands().at(0).exit_code, -1);
  EXPECT_EQ(find(*b, run.id).clean_up, store::CleanUp::nothing);
}

// One that was killed, on this machine, long before its lease is over; A looks for nothing.
class AfterAKill : public Gateways, public testing::TestWithParam<store::Kind<store::SharedDatabase>> {
 protected:
  AfterAKill() : Gateways(GetParam().make(), told()) { EXPECT_TRUE(a->control.run(a->backing.store->renew(dead, 1h))); }
  static std::string name_of_a_dead_one() {
    auto name = conversation::make_gateway_name();
    name.erase(name.rfind('-'));
    return name.substr(0, name.rfind('-')) + "-1-1";
  }
  store::AutomationStore& rows() { return a->backing.store->automations(); }
  RunRow begin_at_the_dead_one() {
    auto const of = automation();
    RunRow run;
    run.id = new_uuid();
    run.automation_id = of.id;
    run.tenant = of.tenant;
    run.owner = of.owner;
    run.trigger_source = "manual";
    run.target = "conversation:c1";
    run.created_at = std::chrono::system_clock::now();
    auto const make = [&run](store::AutomationRow const&) { return std::optional(run.clone()); };
    auto begun = a->control.run(rows().enqueue_of(run.automation_id, make, 0, dead, {}));
    return std::move(begun.value().claim.claimed.value().run);
  }

  std::string const dead = name_of_a_dead_one();
};
INSTANTIATE_TEST_SUITE_P(On, AfterAKill, testing::ValuesIn(store::shared_databases()), store::by_name);

TEST_P(AfterAKill, ItsRunsAreTakenOverByTheNextAtItsStart) {
  auto const run = begin_at_the_dead_one();
  b.emplace(url(), engine);
  b->serve();
  auto const adopted = until(*b, run.id, is_followed);
  EXPECT_EQ(adopted.holder, b->manager.gateway());
  EXPECT_EQ(adopted.fence, run.fence + 1);
  EXPECT_EQ(agent.count(start_line), 1U);
}

TEST_P(AfterAKill, WhatItWasAboutToPostIsPostedByTheNextAtItsStart) {
  test::ScriptedServer sink;
  store::EndpointRow endpoint;
  endpoint.id = new_uuid();
  endpoint.tenant = caller.tenant;
  endpoint.url = "http://127.0.0.1:" + std::to_string(sink.port()) + "/";
  endpoint.secrets.emplace_back(std::string(32, 'n'));
  ASSERT_TRUE(a->control.run(rows().put_endpoint(std::move(endpoint))));
  auto const run = begin_at_the_dead_one();
  auto const ending = [](RunRow const& row) {
    store::RunDecision decision;
    decision.run = judge(row.clone(), CommandEnded{0, "", ""}, std::chrono::system_clock::now()).run;
    decision.writes = decision.tells = true;
    decision.payload = "{}";
    return decision;
  };
  ASSERT_TRUE(a->control.run(rows().judge(run.id, run.fence, ending)));
  ASSERT_EQ(a->control.run(rows().claim_deliveries(dead, 1h, 10)).value().size(), 1U);
  b.emplace(url(), engine);
  b->serve();
  auto const is_posted = [this, &run] {
    auto const kept = b->control.run(b->backing.store->automations().list_deliveries(run.id, {})).value();
    return kept.rows.at(0).state == store::DeliveryState::delivered;
  };
  auto const end = Clock::now() + std::chrono::milliseconds(test::patience_ms);
  while (!is_posted() && Clock::now() < end) b->control.run(one_turn());
  EXPECT_TRUE(is_posted());
}

TEST_P(AfterAKill, WhatItHadUploadedForASecondStartIsRemovedByTheNext) {
  auto const run = begin_at_the_dead_one();
  auto const ending = [](RunRow const& row) {
    store::RunDecision decision;
    decision.run = judge(row.clone(), CommandEnded{0, "", "", true}, std::chrono::system_clock::now()).run;
    decision.writes = true;
    return decision;
  };
  ASSERT_TRUE(a->control.run(rows().judge(run.id, run.fence, ending)));
  b.emplace(url(), engine);
  b->serve();
  auto const clean = until(*b, run.id, is_clean);
  EXPECT_EQ(clean.status, RunStatus::completed);
  EXPECT_THAT(agent.executed(), testing::ElementsAre(testing::HasSubstr("rm -f -- /tmp/automation-" + run.id + ".tar.gz ")));
}

// Its conversations are adopted one by one while its runs are taken over.
TEST_P(AfterAKill, WhatOfACancelledRunIsLeftIsEndedOnceItsRuntimeIsAdopted) {
  auto const run = begin_at_the_dead_one();
  auto const epoch = a->manager.find(id_of("c1")).value().epoch.get();
  auto const cancelling = [epoch](RunRow const& row) {
    store::RunDecision decision;
    decision.run = judge(row.clone(), CancelAsked{}, std::chrono::system_clock::now()).run;
    decision.run.sandbox_id = "c1";
    decision.run.runtime_epoch = epoch;
    decision.run.bash_command_id = "cmd1";
    decision.writes = true;
    return decision;
  };
  ASSERT_TRUE(a->control.run(rows().judge(run.id, run.fence, cancelling)));
  ASSERT_TRUE(a->control.run(a->backing.store->leave(a->manager.gateway())));
  engine.holds_creates = true;
  b.emplace(url(), engine);
  b->serve();
  b->control.run_until([this] { return b->service->stats().taken_over.read() == 1; });
  for (int i = 0; i < 20; ++i) b->control.run(one_turn());
  EXPECT_THAT(agent.executed(), testing::IsEmpty());
  engine.let_creates_go();
  b->control.run_until([this] {
    engine_control.loop().restart();
    engine_control.loop().poll();
    return !agent.executed().empty();
  });
  EXPECT_THAT(agent.executed().front(), testing::StartsWith("ln -sn nestgate:stopped:"));
  until(*b, run.id, is_clean);
}

}  // namespace
}  // namespace nestgate::automation
