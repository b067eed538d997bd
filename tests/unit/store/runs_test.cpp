// Runs: from their entry through claims and decisions to their end.
#include "automation_fixture.hpp"

namespace nestgate::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using What = ClaimAnswer::What;

class Runs : public AutomationCalls {
 protected:
  std::vector<What> claimed(std::vector<std::string> ids, RunCaps caps) {
    std::vector<What> out;
    for (auto const& answer : gateway_.claim_runs(std::move(ids), caps)) out.push_back(answer.what);
    return out;
  }
  std::vector<std::string> taken_over(std::string gateway) {
    std::vector<std::string> ids;
    for (auto const& one : gateway_.get(store_.take_over(std::move(gateway), 100))) ids.push_back(one.run.id);
    std::ranges::sort(ids);
    return ids;
  }
  struct ToJudge {
    std::string id;
    std::optional<std::uint64_t> fence;
    RunJudge judge;
  };
  using Judged = std::map<std::size_t, Outcome<JudgedRun>>;  // by their place among those that were asked for
  Judged judged_together(std::vector<ToJudge> wanted) {
    Judged judged;
    gateway_.get(judge_together(std::move(wanted), judged));
    return judged;
  }
  AutomationStore::Begun begin_of(std::string automation_id, RunRow run, std::string gateway = "g", RunCaps caps = {}) {
    auto const make = [&run](AutomationRow const&) { return std::optional(run.clone()); };
    return gateway_.get(store_.enqueue_of(std::move(automation_id), make, 0, std::move(gateway), caps));
  }
  void enqueue_each(std::initializer_list<std::string> ids) {
    for (auto const& id : ids) gateway_.enqueue(run_of(id));
  }
  std::uint64_t pending() { return gateway_.count(RunStatus::pending); }

 private:
  Task<> judge(ToJudge one, std::size_t at, Judged& judged) {
    auto answer = co_await store_.judge(std::move(one.id), one.fence, std::move(one.judge));
    judged.emplace(at, std::move(answer));
  }
  Task<Outcome<>> judge_together(std::vector<ToJudge> wanted, Judged& judged) {
    TaskGroup group(co_await asio::this_coro::executor);
    for (std::size_t i = 0; i < wanted.size(); ++i) group.spawn("judge", judge(std::move(wanted[i]), i, judged));
    [[maybe_unused]] auto joined = co_await group.join();
    co_return Outcome<>();
  }
};
INSTANTIATE_TEST_SUITE_P(On, Runs, testing::ValuesIn(every_database()), by_name);

RunRow full_run() {
  auto run = run_of("r1", "");
  run.owner = "alice";
  run.organisation = "acme";
  run.dedupe_key = "key";
  run.scheduled_for = Time(1'700'000'000'123'456'789ns);
  run.priority = -3;
  run.concurrent_max = 4;
  run.attempts_max = 5;
  run.not_before = at(2s);
  run.wish_json = Secret(R"({"env":{"A":"b"}})");
  run.event_payload_json = R"({"event":"push"})";
  run.additions_json = R"({"phase":"x"})";
  run.created_at = at(3s);
  return run;
}

// Every member that a decision may change.
void change_all(RunRow& run) {
  run.status = RunStatus::failed;
  run.attempt = 2;
  run.attempts_json = "[1]";
  run.not_before = at(4s);
  run.fence = 7;
  run.holder = "other";
  run.sandbox_id = "sandbox";
  run.runtime_epoch = 8;
  run.runtime_is_own = true;
  run.bash_command_id = "command";
  run.error_detail = "no";
  run.error_is_guess = true;
  run.status_detail_json = "{}";
  run.conversation_id = "conversation";
  run.cost = 1.25;
  run.exit_code = -9;
  run.output_tail = "out";
  run.error_tail = "err";
  run.clean_up = CleanUp::stop;
  run.started_at = at(5s);
  run.timeout_at = at(6s);
  run.completed_at = at(7s);
  run.additions_json = R"({"phase":"y"})";
}

TEST(RunNames, ReadBack) {
  for (auto const status : {RunStatus::pending, RunStatus::running, RunStatus::completed, RunStatus::failed,
                            RunStatus::cancelled, RunStatus::skipped})
    EXPECT_EQ(parse_run_status(to_string(status)), status);
  for (auto const clean_up : {CleanUp::nothing, CleanUp::tidy, CleanUp::stop})
    EXPECT_EQ(parse_clean_up(to_string(clean_up)), clean_up);
  for (auto const state : {DeliveryState::waiting, DeliveryState::delivered, DeliveryState::failed})
    EXPECT_EQ(parse_delivery_state(to_string(state)), state);
  EXPECT_EQ(parse_run_status("DANCING"), std::nullopt);
}

TEST_P(Runs, AreAsTheyWereEnqueued) {
  auto wanted = full_run();
  auto const kept = gateway_.enqueue(wanted.clone());
  EXPECT_TRUE(kept.is_new);
  wanted.version = kept.run.version;
  EXPECT_TRUE(kept.run == wanted);
  EXPECT_TRUE(gateway_.run("r1") == wanted);
}

TEST_P(Runs, AreAsTheyWereDecided) {
  auto wanted = gateway_.enqueue(full_run()).run;
  change_all(wanted);
  auto const judged = gateway_.judge("r1", [](RunRow const& run) {
    auto decision = change_of(run, RunStatus::failed);
    change_all(decision.run);
    decision.run.target = "elsewhere";  // what it was made with stays
    decision.run.wish_json = Secret("another");
    return decision;
  });
  EXPECT_TRUE(judged.wrote);
  EXPECT_FALSE(judged.told);
  EXPECT_GT(judged.run.version, wanted.version);
  wanted.version = judged.run.version;
  EXPECT_TRUE(gateway_.run("r1") == wanted);
  EXPECT_TRUE(judged.run.wish_json == wanted.wish_json);
  EXPECT_EQ(judged.run.target, wanted.target);
}

TEST_P(Runs, OfAKnownKeyAreNotMadeAgain) {
  auto run = full_run();
  gateway_.enqueue(run.clone());
  run.id = "r2";
  auto const again = gateway_.enqueue(run.clone());
  EXPECT_FALSE(again.is_new);
  EXPECT_TRUE(again.run == gateway_.run("r1"));
  EXPECT_EQ(pending(), 1u);
  run.tenant = bob;
  EXPECT_TRUE(gateway_.enqueue(run.clone()).is_new) << "a run of its own is its user's";
  run.id = "r3";
  run.tenant = alice;
  run.automation_id = "a1";
  EXPECT_TRUE(gateway_.enqueue(run.clone()).is_new) << "a key is its automation's";
  EXPECT_EQ(gateway_.fault(store_.enqueue(runs_of(run_of("r3", "a7")), 0)), FaultKind::conflict) << "an id is everybody's";
}

TEST_P(Runs, WithoutAKeyAreAllMade) {
  enqueue_each({"r1", "r2"});
  EXPECT_EQ(pending(), 2u);
}

TEST_P(Runs, OfOneKeyInOneCallAreMadeOnce) {
  auto first = full_run(), second = full_run();
  second.id = "r2";
  auto const kept = gateway_.get(store_.enqueue(runs_of(std::move(first), std::move(second)), 0));
  EXPECT_TRUE(kept[0].is_new);
  EXPECT_FALSE(kept[1].is_new);
  EXPECT_TRUE(kept[1].run == kept[0].run);
}

TEST_P(Runs, AreRefusedWhereTooManyWait) {
  enqueue_each({"r1", "r2"});
  auto const refused = gateway_.ask(store_.enqueue(runs_of(run_of("r3")), 2));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault.kind, FaultKind::overloaded);
  EXPECT_EQ(refused.error().limit, 2u);
  EXPECT_EQ(refused.error().current, 2u);
  EXPECT_FALSE(gateway_.get(store_.find_run("r3")));
  gateway_.claim_runs({"r1"});
  EXPECT_TRUE(gateway_.ask(store_.enqueue(runs_of(run_of("r3")), 2))) << "one that runs does not wait";
  gateway_.judge("r2", to(RunStatus::cancelled));
  EXPECT_TRUE(gateway_.ask(store_.enqueue(runs_of(run_of("r4")), 2)));
  gateway_.judge("r1", to(RunStatus::pending));
  EXPECT_FALSE(gateway_.ask(store_.enqueue(runs_of(run_of("r5")), 2))) << "one that tries again waits again";
}

TEST_P(Runs, MoveTheirAutomationsLastMomentUnlessTheyAreAnEvents) {
  gateway_.create(automation_of("a1"));
  auto run = run_of("r1");
  run.trigger_source = "event";
  gateway_.enqueue(run.clone());
  EXPECT_FALSE(gateway_.automation("a1").last_triggered_at);
  run.id = "r2";
  run.trigger_source = "manual";
  gateway_.enqueue(run.clone());
  EXPECT_TRUE(gateway_.automation("a1").last_triggered_at);
}

TEST_P(Runs, OfTheirOwnBringTheirTarball) {
  UploadRow upload;
  upload.id = "u1";
  upload.tenant = alice;
  upload.is_listed = false;
  upload.status = "COMPLETED";
  EXPECT_TRUE(gateway_.get(store_.enqueue_own(full_run(), upload, "bytes", 0)).is_new);
  EXPECT_EQ(gateway_.get(store_.upload_bytes("u1")), "bytes");
  auto again = full_run();
  again.id = "r2";
  upload.id = "u2";
  EXPECT_FALSE(gateway_.get(store_.enqueue_own(std::move(again), upload, "bytes", 0)).is_new);
  EXPECT_FALSE(gateway_.get(store_.find_upload("u2")));
}

TEST_P(Runs, OfAnAutomationAreClaimedWithTheirMaking) {
  gateway_.create(automation_of("a1"));
  auto const begun = begin_of("a1", run_of("r1"));
  EXPECT_TRUE(begun.enqueued.is_new);
  EXPECT_EQ(begun.enqueued.run.status, RunStatus::pending);
  ASSERT_EQ(begun.claim.what, What::claimed);
  EXPECT_TRUE(begun.claim.claimed->run == gateway_.run("r1"));
  EXPECT_EQ(begun.claim.claimed->run.holder, "g");
  EXPECT_EQ(begun.claim.claimed->automation->id, "a1");
  EXPECT_TRUE(gateway_.automation("a1").last_triggered_at);
}

TEST_P(Runs, OfAnAutomationWaitWhereTheCapsHaveNoRoomOrNobodyClaimsThem) {
  gateway_.create(automation_of("a1"));
  RunCaps caps;
  caps.of_automation = 1;
  EXPECT_EQ(begin_of("a1", run_of("r1"), "g", caps).claim.what, What::claimed);
  EXPECT_EQ(begin_of("a1", run_of("r2"), "g", caps).claim.what, What::at_cap);
  EXPECT_NE(begin_of("a1", run_of("r3"), "").claim.what, What::claimed);
  EXPECT_THAT(gateway_.waiting(), ElementsAre("r2", "r3"));
}

TEST_P(Runs, OfAnAutomationThatAreMadeAlreadyAreNotClaimed) {
  gateway_.create(automation_of("a1"));
  auto run = run_of("r1");
  run.dedupe_key = "key";
  begin_of("a1", run.clone(), "");
  run.id = "r2";
  auto const again = begin_of("a1", std::move(run));
  EXPECT_FALSE(again.enqueued.is_new);
  EXPECT_EQ(again.enqueued.run.id, "r1");
  EXPECT_NE(again.claim.what, What::claimed);
  EXPECT_THAT(gateway_.waiting(), ElementsAre("r1"));
}

TEST_P(Runs, OfAnAutomationThatIsNotThereOrNotAllowedAreNotMade) {
  auto const make = [](AutomationRow const&) { return std::optional(run_of("r1")); };
  EXPECT_EQ(gateway_.fault(store_.enqueue_of("a1", make, 0, "g", {})), FaultKind::not_found);
  gateway_.create(automation_of("a1"));
  auto const refuse = [](AutomationRow const& row) {
    return row.tenant == alice ? std::nullopt : std::optional(run_of("r1"));
  };
  EXPECT_EQ(gateway_.fault(store_.enqueue_of("a1", refuse, 0, "g", {})), FaultKind::not_found);
  EXPECT_EQ(pending(), 0U);
}

TEST_P(Runs, OfAnEventAreMadeOnceForADelivery) {
  auto const first = gateway_.get(store_.take_event("acme", "github", "d1", runs_of(run_of("r1"), run_of("r2", "a2")), 0));
  EXPECT_TRUE(first.is_new);
  EXPECT_THAT(first.run_ids, ElementsAre("r1", "r2"));
  EXPECT_THAT(ids_of_rows(first.made), ElementsAre("r1", "r2"));
  auto const again = gateway_.get(store_.take_event("acme", "github", "d1", runs_of(run_of("r3")), 0));
  EXPECT_FALSE(again.is_new);
  EXPECT_THAT(again.run_ids, ElementsAre("r1", "r2"));
  EXPECT_TRUE(again.made.empty());
  EXPECT_EQ(again.matched, 2u);
  EXPECT_TRUE(gateway_.get(store_.take_event("acme", "gitlab", "d1", runs_of(run_of("r4")), 0)).is_new);
  EXPECT_TRUE(gateway_.get(store_.take_event("acme", "github", "", runs_of(run_of("r5")), 0)).is_new);
  EXPECT_TRUE(gateway_.get(store_.take_event("acme", "github", "", runs_of(run_of("r6")), 0)).is_new);
  EXPECT_FALSE(gateway_.get(store_.find_run("r3")));
}

TEST_P(Runs, OfAnEventThatMustWaitMayComeAgain) {
  enqueue_each({"r1"});
  EXPECT_EQ(gateway_.fault(store_.take_event("acme", "github", "d1", runs_of(run_of("r2")), 1)), FaultKind::overloaded);
  EXPECT_TRUE(gateway_.get(store_.take_event("acme", "github", "d1", runs_of(run_of("r2")), 2)).is_new);
}

TEST_P(Runs, ThatWaitAreToldByTheirVersions) {
  auto const many = gateway_.get(store_.enqueue(runs_of(run_of("r1"), run_of("r2"), run_of("r3")), 0));
  EXPECT_THAT(ids_of_rows(gateway_.get(store_.waiting_since(0, 2))), ElementsAre("r1", "r2"));
  EXPECT_THAT(gateway_.waiting(many[1].run.version), ElementsAre("r3")) << "each has a version of its own";
  gateway_.claim_runs({"r1"});
  EXPECT_THAT(gateway_.waiting(), ElementsAre("r2", "r3"));
  gateway_.judge("r1", to(RunStatus::pending));
  EXPECT_THAT(gateway_.waiting(many[2].run.version), ElementsAre("r1"));
}

TEST_P(Runs, AreClaimedOnceWithAFenceThatGrows) {
  gateway_.create(automation_of("a1"));
  enqueue_each({"r1"});
  auto const first = gateway_.claim_runs({"r1", "nothing", "r1"});
  ASSERT_EQ(first[0].what, What::claimed);
  EXPECT_EQ(first[1].what, What::gone);
  EXPECT_EQ(first[2].what, What::gone);
  auto const& run = first[0].claimed->run;
  EXPECT_EQ(run.status, RunStatus::running);
  EXPECT_EQ(run.fence, 1u);
  EXPECT_EQ(run.holder, "g");
  EXPECT_TRUE(run.started_at);
  EXPECT_TRUE(run == gateway_.run("r1"));
  ASSERT_TRUE(first[0].claimed->automation);
  EXPECT_EQ(first[0].claimed->automation->id, "a1");
  EXPECT_EQ(gateway_.claim_runs({"r1"})[0].what, What::gone);
  gateway_.judge("r1", to(RunStatus::pending));
  auto const second = gateway_.claim_runs({"r1"}, {}, "h");
  EXPECT_EQ(second[0].claimed->run.fence, 2u);
  EXPECT_EQ(second[0].claimed->run.started_at, run.started_at) << "of the same attempt";
}

TEST_P(Runs, AreClaimedWithWhatTheyRun) {
  gateway_.enqueue(full_run());
  auto const answer = gateway_.claim_runs({"r1"});
  EXPECT_TRUE(answer[0].claimed->run.wish_json == full_run().wish_json);
  EXPECT_EQ(answer[0].claimed->run.event_payload_json, full_run().event_payload_json);
  EXPECT_FALSE(answer[0].claimed->automation);
}

// A queue may know it as it was before: another gateway decided that it is tried again, and when.
TEST_P(Runs, AreNotClaimedBeforeTheirTime) {
  auto run = run_of("r1");
  run.not_before = std::chrono::system_clock::now() + 1h;
  gateway_.enqueue(std::move(run));
  EXPECT_THAT(claimed({"r1"}, {}), ElementsAre(What::at_cap));
  gateway_.judge("r1", [](RunRow const& row) {
    auto decision = change_of(row, RunStatus::pending);
    decision.run.not_before = at(1s);
    return decision;
  });
  EXPECT_THAT(claimed({"r1"}, {}), ElementsAre(What::claimed));
}

TEST_P(Runs, AreClaimedByWhoseClockIsALittleAhead) {
  auto run = run_of("r1");
  run.not_before = std::chrono::system_clock::now() + 500ms;
  gateway_.enqueue(std::move(run));
  EXPECT_THAT(claimed({"r1"}, {}), ElementsAre(What::claimed));
}

TEST_P(Runs, AreCappedInAll) {
  enqueue_each({"r1", "r2", "r3"});
  EXPECT_THAT(claimed({"r1", "r2", "r3"}, {.in_all = 2}), ElementsAre(What::claimed, What::claimed, What::at_cap));
  EXPECT_THAT(claimed({"r3"}, {.in_all = 2}), ElementsAre(What::at_cap));
  gateway_.judge("r1", to(RunStatus::completed));
  EXPECT_THAT(claimed({"r3"}, {.in_all = 2}), ElementsAre(What::claimed));
}

TEST_P(Runs, AreCappedByUserAndAutomation) {
  enqueue_each({"r1", "r2"});
  gateway_.enqueue(run_of("r3", "a2"));
  gateway_.enqueue(run_of("r4", "a3", bob));
  EXPECT_THAT(claimed({"r1", "r2", "r3"}, {.of_automation = 1}), ElementsAre(What::claimed, What::at_cap, What::claimed));
  EXPECT_THAT(claimed({"r2", "r4"}, {.of_user = 2}), ElementsAre(What::at_cap, What::claimed));
}

TEST_P(Runs, AreCappedByTheRuntimeTheyShare) {
  auto const in = [](std::string id, std::string target) {
    auto run = run_of(std::move(id));
    run.target = std::move(target);
    return run;
  };
  for (auto const* const target : {"conversation:c1", "label:l", "fresh", "warm"})
    for (auto const* const nth : {"1", "2"}) gateway_.enqueue(in(std::string(target) + nth, target));
  EXPECT_THAT(claimed({"conversation:c11", "conversation:c12", "label:l1", "label:l2"}, {.of_runtime = 1}),
              ElementsAre(What::claimed, What::at_cap, What::claimed, What::at_cap));
  EXPECT_THAT(claimed({"fresh1", "fresh2", "warm1", "warm2"}, {.of_runtime = 1}), testing::Each(What::claimed));
}

TEST_P(Runs, MayCapTheirAutomationThemselves) {
  for (auto const* const id : {"r1", "r2"}) {
    auto run = run_of(id);
    run.concurrent_max = 1;
    gateway_.enqueue(std::move(run));
  }
  EXPECT_THAT(claimed({"r1", "r2"}, {.of_automation = 5}), ElementsAre(What::claimed, What::at_cap));
}

TEST_P(Runs, OfNoAutomationShareNoCapOfOne) {
  gateway_.enqueue(run_of("r1", ""));
  gateway_.enqueue(run_of("r2", ""));
  EXPECT_THAT(claimed({"r1", "r2"}, {.of_automation = 1}), ElementsAre(What::claimed, What::claimed));
}

TEST_P(Runs, AreNotJudgedByWhoWasSuperseded) {
  auto const run = gateway_.begin(run_of("r1"));
  bool asked = false;
  auto const judge = [&asked](RunRow const& row) {
    asked = true;
    return change_of(row, RunStatus::completed);
  };
  auto const late = gateway_.judge("r1", judge, run.fence - 1);
  EXPECT_FALSE(asked);
  EXPECT_FALSE(late.wrote);
  EXPECT_TRUE(late.run == run);
  EXPECT_TRUE(gateway_.judge("r1", judge, run.fence).wrote);
}

TEST_P(Runs, ThatAreNotThereCannotBeJudged) {
  EXPECT_EQ(gateway_.fault(store_.judge("r1", std::nullopt, to(RunStatus::failed))), FaultKind::not_found);
}

TEST_P(Runs, StayAsTheyAreWhereNothingIsDecided) {
  auto const run = gateway_.enqueue(run_of("r1")).run;
  auto const judged = gateway_.judge("r1", [](RunRow const&) { return RunDecision(); });
  EXPECT_FALSE(judged.wrote);
  EXPECT_TRUE(judged.run == run);
  EXPECT_TRUE(gateway_.run("r1") == run);
}

TEST_P(Runs, AreJudgedEachByItself) {
  enqueue_each({"r1", "r2", "r3"});
  std::vector<ToJudge> wanted;
  wanted.push_back({"r3", std::nullopt, to(RunStatus::completed)});  // that the others wait for, and so go together
  wanted.push_back({"r1", std::nullopt, to(RunStatus::completed)});
  wanted.push_back({"nothing", std::nullopt, to(RunStatus::completed)});
  wanted.push_back({"r2", 7, to(RunStatus::completed)});
  wanted.push_back({"r2", std::nullopt, [](RunRow const&) -> RunDecision { throw std::runtime_error("a bug"); }});
  wanted.push_back({"r1", std::nullopt, [](RunRow const& run) {
                      auto decision = change_of(run, RunStatus::failed);
                      decision.run.error_detail = to_string(run.status);
                      return decision;
                    }});
  auto const judged = judged_together(std::move(wanted));
  EXPECT_TRUE(judged.at(1)->wrote);
  EXPECT_EQ(judged.at(2).error().fault.kind, FaultKind::not_found);
  EXPECT_FALSE(judged.at(3)->wrote);
  EXPECT_EQ(judged.at(4).error().fault.kind, FaultKind::internal);
  EXPECT_TRUE(judged.at(5)->wrote);
  EXPECT_EQ(gateway_.run("r1").error_detail, "COMPLETED") << "the second decision saw the first";
  EXPECT_EQ(gateway_.run("r2").status, RunStatus::pending);
}

TEST_P(Runs, CountTheirAutomationsFailures) {
  gateway_.create(automation_of("a1"));
  auto const judge = [this](std::string id, int change) {
    gateway_.enqueue(run_of(id));
    gateway_.judge(id, [change](RunRow const& run) {
      auto decision = change_of(run, RunStatus::failed);
      decision.automation_failures = change;
      return decision;
    });
    return gateway_.automation("a1").failures_in_row;
  };
  EXPECT_EQ(judge("r1", 1), 1u);
  EXPECT_EQ(judge("r2", 1), 2u);
  EXPECT_EQ(judge("r3", 0), 2u);
  auto const version = gateway_.automation("a1").version;
  EXPECT_EQ(judge("r4", -1), 0u);
  EXPECT_GT(gateway_.automation("a1").version, version);
  EXPECT_EQ(judge("r5", -1), 0u);
}

TEST_P(Runs, OfAGatewayThatDiedAreTakenOver) {
  gateway_.live("h");
  auto const run = gateway_.begin(run_of("r1"), "h");
  gateway_.enqueue(run_of("r2"));
  auto const ended = [](CleanUp clean_up) {
    return [clean_up](RunRow const& row) {
      auto decision = change_of(row, RunStatus::failed);
      decision.run.clean_up = clean_up;
      return decision;
    };
  };
  gateway_.begin(run_of("r3"), "h");
  gateway_.judge("r3", ended(CleanUp::stop));
  gateway_.begin(run_of("r4"), "h");
  gateway_.judge("r4", ended(CleanUp::nothing));
  EXPECT_THAT(taken_over("g"), IsEmpty()) << "it lives";
  gateway_.die("h");
  EXPECT_THAT(taken_over("g"), ElementsAre("r1", "r3"));
  auto const taken = gateway_.run("r1");
  EXPECT_EQ(taken.holder, "g");
  EXPECT_EQ(taken.fence, run.fence + 1);
  EXPECT_GT(taken.version, run.version);
  EXPECT_FALSE(gateway_.judge("r1", to(RunStatus::completed), run.fence).wrote) << "the dead one is superseded";
  EXPECT_THAT(taken_over("g"), IsEmpty()) << "they are its own now";
}

class RunLists : public Runs {
 protected:
  // r1 to r4 of a1, a2 by turns, at 1 to 4 s; r5 is bob's; r6 is its own.
  RunLists() {
    gateway_.create(automation_of("a1"));
    gateway_.create(automation_of("a2"));
    gateway_.create(automation_of("b1", bob));
    for (int i = 1; i <= 4; ++i) put(run_of("r" + std::to_string(i), i % 2 == 1 ? "a1" : "a2"), i);
    put(run_of("r5", "b1", bob), 5);
    put(run_of("r6", ""), 6);
    gateway_.judge("r2", [](RunRow const& run) {
      auto decision = change_of(run, RunStatus::completed);
      decision.run.sandbox_id = "c1";
      return decision;
    });
    gateway_.judge("r3", [](RunRow const& run) {
      auto decision = change_of(run, RunStatus::failed);
      decision.run.conversation_id = "c1";
      return decision;
    });
  }
  void put(RunRow run, int second) {
    run.created_at = at(std::chrono::seconds(second));
    gateway_.enqueue(std::move(run));
  }
};
INSTANTIATE_TEST_SUITE_P(On, RunLists, testing::ValuesIn(every_database()), by_name);

TEST_P(RunLists, ShowTheNewestFirst) {
  EXPECT_THAT(gateway_.listed({}), ElementsAre("r6", "r5", "r4", "r3", "r2", "r1"));
  auto const page = gateway_.get(store_.list_runs({}, {2, 1}));
  EXPECT_EQ(page.total, 6u);
  EXPECT_THAT(ids_of_rows(page.rows), ElementsAre("r5", "r4"));
}

TEST_P(RunLists, ShowATenantsAndAnAutomations) {
  EXPECT_THAT(gateway_.listed({.tenant = alice}), ElementsAre("r6", "r4", "r3", "r2", "r1"));
  EXPECT_THAT(gateway_.listed({.automation_id = "a1"}), ElementsAre("r3", "r1"));
  EXPECT_THAT(gateway_.listed({.tenant = alice, .automation_id = "a1"}), ElementsAre("r3", "r1"));
  EXPECT_THAT(gateway_.listed({.tenant = bob, .automation_id = "a1"}), IsEmpty()) << "it is alice's";
}

TEST_P(RunLists, ShowWhatIsInSomeStatus) {
  EXPECT_THAT(gateway_.listed({.statuses = {RunStatus::pending}}), ElementsAre("r6", "r5", "r4", "r1"));
  EXPECT_THAT(gateway_.listed({.tenant = alice, .statuses = {RunStatus::completed, RunStatus::failed}}),
              ElementsAre("r3", "r2"));
}

TEST_P(RunLists, ShowAConversations) {
  EXPECT_THAT(gateway_.listed({.conversation = "c1"}), ElementsAre("r3", "r2"));
  EXPECT_THAT(gateway_.listed({.tenant = alice, .automation_id = "a1", .conversation = "c1"}), ElementsAre("r3"));
  EXPECT_THAT(gateway_.listed({.tenant = bob, .conversation = "c1"}), IsEmpty());
}

TEST_P(RunLists, ShowAPeriods) {
  RunFilter filter;
  filter.created_from = at(2s);
  filter.created_until = at(4s);
  EXPECT_THAT(gateway_.listed(filter), ElementsAre("r3", "r2"));
}

TEST_P(RunLists, AreCountedByStatus) {
  using testing::Pair;
  auto const counted = [&](RunFilter const& filter) { return gateway_.get(store_.count_runs(filter)); };
  EXPECT_THAT(counted({}),
              ElementsAre(Pair(RunStatus::pending, 4), Pair(RunStatus::completed, 1), Pair(RunStatus::failed, 1)));
  EXPECT_THAT(counted({.tenant = alice, .statuses = {RunStatus::failed}}),
              ElementsAre(Pair(RunStatus::pending, 3), Pair(RunStatus::completed, 1), Pair(RunStatus::failed, 1)))
      << "whatever status is asked for";
  EXPECT_THAT(counted({.tenant = alice, .automation_id = "a1"}),
              ElementsAre(Pair(RunStatus::pending, 1), Pair(RunStatus::failed, 1)));
  EXPECT_THAT(counted({.tenant = bob, .automation_id = "a1"}), IsEmpty());
  EXPECT_THAT(counted({.conversation = "c1"}), ElementsAre(Pair(RunStatus::completed, 1), Pair(RunStatus::failed, 1)));
  EXPECT_THAT(counted({.created_from = at(2s), .created_until = at(4s)}),
              ElementsAre(Pair(RunStatus::completed, 1), Pair(RunStatus::failed, 1)));
}

class Purge : public Runs {
 protected:
  void end(std::string id, std::chrono::seconds completed, CleanUp clean_up = CleanUp::nothing, bool tells = false) {
    gateway_.judge(std::move(id), [completed, clean_up, tells](RunRow const& run) {
      auto decision = change_of(run, RunStatus::completed);
      decision.run.completed_at = at(completed);
      decision.run.clean_up = clean_up;
      decision.tells = tells;
      return decision;
    });
  }
};
INSTANTIATE_TEST_SUITE_P(On, Purge, testing::ValuesIn(every_database()), by_name);

TEST_P(Purge, TakesWhatIsOldAndOver) {
  EndpointRow endpoint;
  endpoint.id = "e1";
  endpoint.tenant = alice;
  gateway_.get(store_.put_endpoint(std::move(endpoint)));
  UploadRow upload;
  upload.id = "u1";
  upload.tenant = alice;
  upload.status = "COMPLETED";
  gateway_.get(store_.enqueue_own(run_of("old", ""), upload, "bytes", 0));
  enqueue_each({"open", "unclean", "untold", "young", "told"});
  end("old", 10s);
  end("unclean", 10s, CleanUp::tidy);
  end("untold", 10s, CleanUp::nothing, true);
  end("told", 10s, CleanUp::nothing, true);
  end("young", 100s);
  AutomationStore::DeliveryResult result;
  result.delivery_id = gateway_.deliveries("told").at(0).id;
  result.state = DeliveryState::delivered;
  std::vector<AutomationStore::DeliveryResult> results;
  results.push_back(result);
  gateway_.get(store_.record_deliveries(std::move(results)));
  EXPECT_EQ(gateway_.get(store_.purge(at(100s), 1)), 1u);
  EXPECT_EQ(gateway_.get(store_.purge(at(100s), 10)), 1u);
  EXPECT_EQ(gateway_.get(store_.purge(at(100s), 10)), 0u);
  EXPECT_THAT(gateway_.listed({}), testing::UnorderedElementsAre("open", "unclean", "untold", "young"));
  EXPECT_FALSE(gateway_.get(store_.find_upload("u1")));
  EXPECT_EQ(gateway_.get(store_.upload_bytes("u1")), std::nullopt);
  EXPECT_TRUE(gateway_.deliveries("told").empty());
  EXPECT_THAT(gateway_.get(store_.attempts(result.delivery_id)), IsEmpty());
  EXPECT_EQ(gateway_.deliveries("untold").size(), 1u);
}

TEST_P(Purge, SaysThatThereIsMoreOfWhatBelongsToNoRun) {
  auto const soon = std::chrono::system_clock::now() + 1h;
  for (auto const* const id : {"d1", "d2", "d3"}) gateway_.get(store_.take_event("acme", "github", id, {}, 0));
  EXPECT_EQ(gateway_.get(store_.purge(soon, 2)), 2u);
  EXPECT_EQ(gateway_.get(store_.purge(soon, 2)), 1u);
  EXPECT_EQ(gateway_.get(store_.purge(soon, 2)), 0u);
}

TEST_P(Purge, TakesWhatBelongsToNoRun) {
  auto const soon = std::chrono::system_clock::now() + 1h;
  for (auto const* const id : {"a1", "a2", "a3"}) {
    auto row = automation_of(id);
    if (row.id != "a1") row.deleted_at = at(10s);
    gateway_.create(std::move(row));
  }
  enqueue_each({"r1"});
  gateway_.enqueue(run_of("r2", "a2"));
  Firing firing;
  firing.automation_id = "a1";
  firing.skipped.emplace_back();
  gateway_.fire(std::move(firing));
  gateway_.get(store_.take_event("acme", "github", "d1", {}, 0));
  UploadRow upload;
  upload.id = "u1";
  upload.deleted_at = at(10s);
  gateway_.get(store_.add_upload(upload, ""));
  gateway_.get(store_.purge(at(11s), 10));
  EXPECT_TRUE(gateway_.get(store_.find("a2"))) << "it has a run";
  EXPECT_FALSE(gateway_.get(store_.find("a3")));
  EXPECT_FALSE(gateway_.get(store_.find_upload("u1")));
  EXPECT_EQ(gateway_.get(store_.skipped("a1", {})).total, 1u);
  EXPECT_FALSE(gateway_.get(store_.take_event("acme", "github", "d1", {}, 0)).is_new);
  gateway_.get(store_.purge(soon, 10));
  EXPECT_TRUE(gateway_.get(store_.find("a1")));
  EXPECT_EQ(gateway_.get(store_.skipped("a1", {})).total, 0u);
  EXPECT_TRUE(gateway_.get(store_.take_event("acme", "github", "d1", {}, 0)).is_new);
}

}  // namespace
}  // namespace nestgate::store
