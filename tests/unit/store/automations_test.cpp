// Automations, and the moments of their schedules.
#include "automation_fixture.hpp"

namespace nestgate::store {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Automations : public AutomationCalls {
 protected:
  std::vector<AutomationStore::Planned> plans(std::uint64_t version) {
    return gateway_.get(store_.plans_since(version, 100));
  }
};
INSTANTIATE_TEST_SUITE_P(On, Automations, testing::ValuesIn(every_database()), by_name);

AutomationRow full_automation() {
  auto row = automation_of("a1");
  row.owner = "alice";
  row.organisation = "acme";
  row.model = "opus";
  row.prompt = "do it";
  row.setup_script_path = "setup.sh";
  row.preset_metadata_json = R"({"preset_type":"prompt"})";
  row.template_id = "template";
  row.event_source = "github";
  row.timeout_s = 600;
  row.keep_alive = true;
  row.enabled = false;
  row.disabled_reason = "reason";
  row.disabled_detail = "detail";
  row.disabled_at = at(1s);
  row.additions_json = R"({"x":1})";
  row.target_by_admin = true;
  row.callback_json = Secret(R"({"url":"https://x","bearer":"b"})");
  row.last_triggered_at = at(2s);
  row.next_at = Time(1'700'000'000'123'456'789ns);
  row.failures_in_row = 3;
  row.created_at = at(4s);
  row.updated_at = at(5s);
  row.deleted_at = at(6s);
  return row;
}

TEST_P(Automations, AreAsTheyWereMade) {
  auto wanted = full_automation();
  auto const kept = gateway_.create(wanted.clone());
  wanted.version = kept.version;
  EXPECT_GT(kept.version, 0u);
  EXPECT_TRUE(kept == wanted);
  EXPECT_TRUE(gateway_.automation("a1") == wanted);
  EXPECT_FALSE(gateway_.get(store_.find("a2")));
}

TEST_P(Automations, HaveTheStoresTimeWhereNoneIsGiven) {
  auto const row = gateway_.create(automation_of("a1"));
  EXPECT_GT(row.created_at, at(1'600'000'000s));
  EXPECT_EQ(row.updated_at, row.created_at);
}

TEST_P(Automations, OfATemplateAreMadeOncePerTenant) {
  auto wanted = automation_of("a1");
  wanted.template_id = "t";
  EXPECT_TRUE(gateway_.get(store_.create(wanted.clone())).is_new);
  auto again = wanted.clone();
  again.id = "a2";
  auto const known = gateway_.get(store_.create(again.clone()));
  EXPECT_FALSE(known.is_new);
  EXPECT_EQ(known.row.id, "a1");
  EXPECT_FALSE(gateway_.get(store_.find("a2")));
  again.tenant = bob;
  EXPECT_TRUE(gateway_.get(store_.create(again.clone())).is_new) << "another user's is another";
  auto gone = gateway_.automation("a1");
  gone.deleted_at = at(1s);
  ASSERT_TRUE(gateway_.get(store_.replace(std::move(gone))));
  EXPECT_FALSE(gateway_.get(store_.find_template(alice, "t"))) << "a deleted one is none";
  again.id = "a3";
  again.tenant = alice;
  EXPECT_TRUE(gateway_.get(store_.create(again.clone())).is_new);
}

TEST_P(Automations, AreListedNewestFirstWithoutThoseThatAreDeleted) {
  for (int i = 1; i <= 4; ++i) {
    auto row = automation_of("a" + std::to_string(i));
    row.created_at = at(std::chrono::seconds(i));
    if (i == 2) row.deleted_at = at(9s);
    gateway_.create(std::move(row));
  }
  gateway_.create(automation_of("b1", bob));
  auto const page = gateway_.get(store_.list(alice, {2, 1}));
  EXPECT_EQ(page.total, 3u);
  EXPECT_THAT(ids_of_rows(page.rows), ElementsAre("a3", "a1"));
}

TEST_P(Automations, AreReplacedByWhoReadThemLast) {
  auto const first = gateway_.create(automation_of("a1"));
  auto wanted = first.clone();
  wanted.name = "daily";
  wanted.callback_json = Secret("{}");
  auto const replaced = gateway_.get(store_.replace(wanted.clone()));
  ASSERT_TRUE(replaced);
  EXPECT_EQ(replaced->name, "daily");
  EXPECT_TRUE(replaced->callback_json.equals("{}"));
  EXPECT_GT(replaced->version, first.version);
  EXPECT_GE(replaced->updated_at, first.updated_at);
  EXPECT_FALSE(gateway_.get(store_.replace(wanted.clone()))) << "of a version that is no more";
  EXPECT_TRUE(gateway_.automation("a1") == *replaced);
}

TEST_P(Automations, GetNewCodeAndLoseTheOldInOneStep) {
  UploadRow old;
  old.id = "u1";
  old.tenant = alice;
  old.status = "COMPLETED";
  gateway_.get(store_.add_upload(old, "old bytes"));
  auto row = gateway_.create(automation_of("a1"));
  row.tarball_path = "oh-internal://uploads/u2";
  auto fresh = old;
  fresh.id = "u2";
  ASSERT_TRUE(gateway_.get(store_.replace_with_upload(row.clone(), fresh, "new bytes", "u1")));
  EXPECT_EQ(gateway_.get(store_.upload_bytes("u2")), "new bytes");
  EXPECT_EQ(gateway_.get(store_.upload_bytes("u1")), std::nullopt);
  EXPECT_TRUE(gateway_.get(store_.find_upload("u1"))->deleted_at);
  fresh.id = "u3";
  EXPECT_FALSE(gateway_.get(store_.replace_with_upload(row.clone(), fresh, "x", "u2"))) << "of a version that is no more";
  EXPECT_FALSE(gateway_.get(store_.find_upload("u3")));
  EXPECT_EQ(gateway_.get(store_.upload_bytes("u2")), "new bytes");
}

TEST_P(Automations, AreToldToThePlannerByTheirVersions) {
  auto first = automation_of("a1");
  first.owner = "alice";
  first.organisation = "acme";
  gateway_.create(std::move(first));
  auto event = automation_of("a2");
  event.trigger_kind = "event";
  gateway_.create(std::move(event));
  auto off = automation_of("a3");
  off.enabled = false;
  gateway_.create(std::move(off));
  auto const a4 = gateway_.create(automation_of("a4"));
  auto const all = plans(0);
  EXPECT_THAT(ids_of_rows(all), ElementsAre("a1", "a4")) << "those that need no planning are left out";
  EXPECT_EQ(all[0].tenant, alice);
  EXPECT_EQ(all[0].owner + " " + all[0].organisation, "alice acme");
  EXPECT_THAT(plans(a4.version), IsEmpty());
  gateway_.get(store_.disable("a1", "reason", "detail"));
  auto const changed = plans(a4.version);
  ASSERT_EQ(changed.size(), 1u);
  EXPECT_EQ(changed[0].id, "a1");
  EXPECT_FALSE(changed[0].is_live);
  EXPECT_EQ(gateway_.get(store_.plans_since(0, 1)).size(), 1u);
}

TEST_P(Automations, AreDisabledOnceWithTheReasonThatWasFirst) {
  gateway_.create(automation_of("a1"));
  gateway_.get(store_.disable("a1", "first", "detail"));
  gateway_.get(store_.disable("a1", "second", ""));
  auto const row = gateway_.automation("a1");
  EXPECT_FALSE(row.enabled);
  EXPECT_EQ(row.disabled_reason + " " + row.disabled_detail, "first detail");
  EXPECT_TRUE(row.disabled_at);
}

TEST_P(Automations, ListenToTheirOrganisationsEvents) {
  auto const listening = [](std::string id, std::string source, std::string org) {
    auto row = automation_of(std::move(id), {"user-alice", std::move(org)});
    row.trigger_kind = "event";
    row.event_source = std::move(source);
    row.trigger_json = row.id;
    return row;
  };
  gateway_.create(listening("a1", "github", "acme"));
  gateway_.create(listening("a2", "gitlab", "acme"));
  gateway_.create(listening("a3", "github", "other"));
  auto off = listening("a4", "github", "acme");
  off.enabled = false;
  gateway_.create(std::move(off));
  EXPECT_THAT(ids_of_rows(gateway_.get(store_.listening("acme", "github"))), ElementsAre("a1"));
  EXPECT_THAT(gateway_.get(store_.triggers_of("github")), testing::UnorderedElementsAre("a1", "a3"));
}

class Schedules : public AutomationCalls {
 protected:
  // Planned at 100 s, next at 200 s.
  Schedules() {
    auto row = automation_of("a1");
    row.next_at = at(100s);
    gateway_.create(std::move(row));
  }
  static Firing firing(Overlap overlap, std::vector<RunRow> runs) {
    Firing firing;
    firing.automation_id = "a1";
    firing.expected_next_at = at(100s);
    firing.new_next_at = at(200s);
    firing.overlap = overlap;
    firing.cancel = ending(RunStatus::cancelled);
    firing.runs = std::move(runs);
    return firing;
  }
  std::vector<std::string> reasons() {
    std::vector<std::string> out;
    for (auto const& row : gateway_.get(store_.skipped("a1", {})).rows) out.push_back(row.reason);
    return out;
  }
  // The ids of the runs that the firing made.
  std::vector<std::string> made(Overlap overlap, std::vector<RunRow> runs) {
    return ids_of_rows(gateway_.fire(firing(overlap, std::move(runs))).made);
  }
};
INSTANTIATE_TEST_SUITE_P(On, Schedules, testing::ValuesIn(every_database()), by_name);

TEST_P(Schedules, FireOnceForAPlannedMoment) {
  auto const first = gateway_.fire(firing(Overlap::allow, runs_of(run_of("r1"))));
  EXPECT_TRUE(first.done);
  ASSERT_EQ(first.made.size(), 1u);
  EXPECT_TRUE(first.made.front() == gateway_.run("r1"));
  auto const row = gateway_.automation("a1");
  EXPECT_EQ(row.next_at, at(200s));
  EXPECT_TRUE(row.last_triggered_at);
  auto const second = gateway_.fire(firing(Overlap::allow, runs_of(run_of("r2"))));
  EXPECT_FALSE(second.done);
  EXPECT_FALSE(gateway_.get(store_.find_run("r2")));
  EXPECT_TRUE(gateway_.automation("a1") == row);
}

TEST_P(Schedules, KeepTheirNextMomentWhereTheyAreReplacedAsTheyWereReadBeforeIt) {
  auto row = gateway_.automation("a1");
  ASSERT_TRUE(gateway_.fire(firing(Overlap::allow, runs_of(run_of("r1")))).done);
  row.name = "renamed";
  auto const renamed = gateway_.get(store_.replace(std::move(row)));
  ASSERT_TRUE(renamed);
  EXPECT_EQ(renamed->name, "renamed");
  EXPECT_EQ(renamed->next_at, at(200s));
  auto off = renamed->clone();
  off.enabled = false;
  off.next_at.reset();
  auto on = gateway_.get(store_.replace(std::move(off)));
  EXPECT_EQ(on->next_at, std::nullopt);
  on->enabled = true;
  on->next_at = at(300s);
  auto changed = gateway_.get(store_.replace(*std::move(on)));
  EXPECT_EQ(changed->next_at, at(300s));
  changed->trigger_json = "another";
  changed->next_at = at(400s);
  EXPECT_EQ(gateway_.get(store_.replace(*std::move(changed)))->next_at, at(400s));
}

TEST_P(Schedules, ThatMoveOnWithoutARunAreToldToOtherPlanners) {
  auto const version = gateway_.automation("a1").version;
  ASSERT_TRUE(gateway_.fire(firing(Overlap::allow, runs_of(run_of("r1")))).done);
  EXPECT_THAT(gateway_.get(store_.plans_since(version, 10)), IsEmpty());
  auto moved = firing(Overlap::allow, {});
  moved.expected_next_at = at(200s);
  moved.new_next_at = at(300s);
  ASSERT_TRUE(gateway_.fire(std::move(moved)).done);
  EXPECT_THAT(ids_of_rows(gateway_.get(store_.plans_since(version, 10))), ElementsAre("a1"));
}

TEST_P(Schedules, ArePlannedForTheFirstTimeWhereNothingWas) {
  auto unplanned = automation_of("a2");
  gateway_.create(std::move(unplanned));
  Firing first;
  first.automation_id = "a2";
  first.new_next_at = at(300s);
  EXPECT_TRUE(gateway_.fire(std::move(first)).done);
  auto const row = gateway_.automation("a2");
  EXPECT_EQ(row.next_at, at(300s));
  EXPECT_FALSE(row.last_triggered_at) << "nothing ran";
  Firing again;
  again.automation_id = "a2";
  again.new_next_at = at(400s);
  EXPECT_FALSE(gateway_.fire(std::move(again)).done);
}

TEST_P(Schedules, DoNotFireOfWhatIsDisabled) {
  gateway_.get(store_.disable("a1", "", ""));
  EXPECT_FALSE(gateway_.automation("a1").next_at);
  EXPECT_FALSE(gateway_.fire(firing(Overlap::allow, runs_of(run_of("r1")))).done);
  auto unplanned = firing(Overlap::allow, {});
  unplanned.expected_next_at.reset();
  EXPECT_FALSE(gateway_.fire(std::move(unplanned)).done);
  EXPECT_FALSE(gateway_.automation("a1").next_at);
}

TEST_P(Schedules, DoNotFireOfWhatIsDeletedOrSwitchedOffWhateverMomentItIsWrittenWith) {
  auto const write = [this](auto edit) {
    auto row = gateway_.automation("a1");
    edit(row);
    row.next_at = at(100s);
    return gateway_.get(store_.replace(std::move(row)));
  };
  EXPECT_FALSE(write([](AutomationRow& row) { row.enabled = false; })->next_at);
  EXPECT_FALSE(gateway_.fire(firing(Overlap::allow, runs_of(run_of("r1")))).done);
  EXPECT_EQ(write([](AutomationRow& row) { row.enabled = true; })->next_at, at(100s));
  write([](AutomationRow& row) { row.deleted_at = at(50s); });
  EXPECT_FALSE(gateway_.automation("a1").next_at);
  EXPECT_FALSE(gateway_.fire(firing(Overlap::allow, runs_of(run_of("r2")))).done);
}

class SchedulesAhead : public Schedules {
 protected:
  // "r1" is made ahead of a moment that is far away.
  SchedulesAhead() {
    auto early = run_of("r1");
    early.scheduled_for = moment_;
    early.dedupe_key = "moment";
    EXPECT_TRUE(fire_ahead(std::move(early)));
  }
  bool fire_ahead(RunRow run) {
    auto ahead = firing(Overlap::allow, runs_of(std::move(run)));
    ahead.expected_next_at = gateway_.automation("a1").next_at;
    ahead.new_next_at = moment_ + 100s;
    ahead.made_ahead_of = moment_ + 1s;  // its jitter
    return gateway_.fire(std::move(ahead)).done;
  }
  AutomationRow replace(std::function<void(AutomationRow&)> const& edit) {
    auto row = gateway_.automation("a1");
    edit(row);
    return std::move(*gateway_.get(store_.replace(std::move(row))));
  }
  bool is_there(std::string id) { return gateway_.get(store_.find_run(std::move(id))).has_value(); }

  Time const moment_ = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now()) + 1h;
};
INSTANTIATE_TEST_SUITE_P(On, SchedulesAhead, testing::ValuesIn(every_database()), by_name);

TEST_P(SchedulesAhead, MakeRunsThatCountFromTheirMoment) {
  auto const run = gateway_.run("r1");
  EXPECT_EQ(run.created_at, moment_ + 1s);
  EXPECT_EQ(run.not_before, moment_ + 1s);
  EXPECT_EQ(gateway_.automation("a1").last_triggered_at, moment_ + 1s);
  EXPECT_EQ(gateway_.claim_runs({"r1"}).front().what, ClaimAnswer::What::at_cap);
}

TEST_P(SchedulesAhead, ShowThemOnceTheirMomentHasCome) {
  auto due = run_of("due"), again = run_of("again"), by_hand = run_of("by hand");
  due.scheduled_for = due.not_before = at(100s);
  again.scheduled_for = by_hand.not_before = again.not_before = moment_;
  again.attempt = 2;
  for (auto* const run : {&due, &again, &by_hand}) gateway_.enqueue(std::move(*run));
  EXPECT_THAT(gateway_.listed({}), testing::UnorderedElementsAre("due", "again", "by hand"));
  EXPECT_EQ(gateway_.count(RunStatus::pending), 3u);
}

TEST_P(SchedulesAhead, TakeThemBackWhereTheirAutomationChangesBefore) {
  auto const row = replace([](AutomationRow& changed) { changed.policy_json = R"({"priority":7})"; });
  EXPECT_FALSE(is_there("r1"));
  EXPECT_EQ(row.next_at, moment_);
  EXPECT_FALSE(row.last_triggered_at);
  EXPECT_TRUE(gateway_.waiting().empty());
  EXPECT_TRUE(gateway_.ask(store_.enqueue(runs_of(run_of("the only one")), 1))) << "it waits no more";
  auto again = run_of("r2");
  again.scheduled_for = moment_;
  again.dedupe_key = "moment";
  EXPECT_TRUE(fire_ahead(std::move(again)));
  EXPECT_TRUE(is_there("r2"));
}

TEST_P(SchedulesAhead, KeepThemWhereWhatTheyAreMadeOfStays) {
  auto const row = replace([](AutomationRow& changed) { changed.name = "another"; });
  EXPECT_TRUE(is_there("r1"));
  EXPECT_EQ(row.next_at, moment_ + 100s);
}

TEST_P(SchedulesAhead, TakeThemBackWhereTheirScheduleChangesBefore) {
  auto const next = moment_ - 60s;
  auto const row = replace([next](AutomationRow& changed) {
    changed.trigger_json = R"({"type":"cron","schedule":"1 1 1 1 *"})";
    changed.next_at = next;
  });
  EXPECT_FALSE(is_there("r1"));
  EXPECT_EQ(row.next_at, next);
}

TEST_P(SchedulesAhead, TakeThemBackWhereTheyAreDisabledOrDeletedBefore) {
  gateway_.get(store_.disable("a1", "", ""));
  EXPECT_FALSE(is_there("r1"));
  EXPECT_FALSE(gateway_.automation("a1").next_at);
  replace([this](AutomationRow& changed) {
    changed.enabled = true;
    changed.next_at = moment_;
  });
  auto again = run_of("r2");
  again.scheduled_for = moment_;
  ASSERT_TRUE(fire_ahead(std::move(again)));
  replace([this](AutomationRow& changed) { changed.deleted_at = moment_; });
  EXPECT_FALSE(is_there("r2"));
  EXPECT_FALSE(gateway_.automation("a1").next_at);
}

TEST_P(SchedulesAhead, LeaveWhatIsDueOrWasMadeOtherwise) {
  auto due = run_of("due"), by_hand = run_of("by hand"), of_another = run_of("of another", "a2");
  due.scheduled_for = due.not_before = at(100s);
  by_hand.not_before = of_another.not_before = of_another.scheduled_for = moment_;
  for (auto* const run : {&due, &by_hand, &of_another}) gateway_.enqueue(std::move(*run));
  auto const triggered_at = gateway_.run("by hand").created_at;
  auto const row = replace([](AutomationRow& changed) { changed.owner = "bob"; });
  EXPECT_EQ(row.last_triggered_at, triggered_at);
  EXPECT_THAT(gateway_.waiting(), testing::UnorderedElementsAre("due", "by hand", "of another"));
}

TEST_P(Schedules, FireTogetherEachByItself) {
  std::vector<Firing> firings;
  for (std::string const id : {"a1", "a2", "a3"}) {
    if (id != "a1") {
      auto row = automation_of(id);
      row.next_at = at(100s);
      gateway_.create(std::move(row));
    }
    auto one = firing(Overlap::allow, runs_of(run_of("r-" + id, id), run_of("s-" + id, id)));
    one.automation_id = id;
    firings.push_back(std::move(one));
  }
  firings[1].expected_next_at = at(99s);
  firings[2].runs.pop_back();
  firings[2].runs[0].scheduled_for = at(100s);
  auto const fired = gateway_.get(store_.fire(std::move(firings)));
  EXPECT_THAT(ids_of_rows(fired[0].made), ElementsAre("r-a1", "s-a1"));
  EXPECT_FALSE(fired[1].done);
  EXPECT_THAT(ids_of_rows(fired[2].made), ElementsAre("r-a3"));
  EXPECT_TRUE(fired[2].made[0] == gateway_.run("r-a3"));
  EXPECT_EQ(gateway_.automation("a2").next_at, at(100s));
  EXPECT_EQ(gateway_.automation("a3").next_at, at(200s));
  EXPECT_THAT(gateway_.waiting(), ElementsAre("r-a1", "s-a1", "r-a3"));
  EXPECT_EQ(gateway_.count(RunStatus::pending), 3u);
}

TEST_P(Schedules, FollowEachOtherWithinOneCall) {
  auto next = firing(Overlap::skip, runs_of(run_of("r2")));
  next.expected_next_at = at(200s);
  next.new_next_at = at(300s);
  std::vector<Firing> firings;
  firings.push_back(firing(Overlap::skip, runs_of(run_of("r1"))));
  firings.push_back(std::move(next));
  auto const fired = gateway_.get(store_.fire(std::move(firings)));
  EXPECT_THAT(ids_of_rows(fired[0].made), ElementsAre("r1"));
  EXPECT_TRUE(fired[1].done);
  EXPECT_TRUE(fired[1].made.empty()) << "the first one's run is open";
  EXPECT_EQ(gateway_.automation("a1").next_at, at(300s));
}

TEST_P(Schedules, DoNotMakeARunOfAKnownMomentAgain) {
  auto known = run_of("r1");
  known.dedupe_key = "moment";
  gateway_.enqueue(known.clone());
  known.id = "r2";
  auto const fired = gateway_.fire(firing(Overlap::allow, runs_of(known.clone())));
  EXPECT_TRUE(fired.done);
  EXPECT_TRUE(fired.made.empty());
}

TEST_P(Schedules, ThatAllowOverlapsMakeEveryRun) {
  gateway_.begin(run_of("r0"));
  EXPECT_THAT(made(Overlap::allow, runs_of(run_of("r1"), run_of("r2"))), ElementsAre("r1", "r2"));
}

TEST_P(Schedules, ThatSkipMakeNoRunBesideAnOpenOne) {
  auto late = run_of("r2");
  late.scheduled_for = at(99s);
  auto const fired = gateway_.fire(firing(Overlap::skip, runs_of(run_of("r1"), std::move(late))));
  EXPECT_THAT(ids_of_rows(fired.made), ElementsAre("r1"));
  ASSERT_EQ(fired.skipped.size(), 1u);
  EXPECT_EQ(fired.skipped[0].reason, "overlap");
  EXPECT_EQ(fired.skipped[0].first, at(99s));
  EXPECT_THAT(reasons(), ElementsAre("overlap"));
}

TEST_P(Schedules, ThatSkipDoNotSayThatTheyTriggered) {
  gateway_.begin(run_of("r0", "a1"));
  auto const before = gateway_.automation("a1").last_triggered_at;
  EXPECT_THAT(made(Overlap::skip, runs_of(run_of("r1"))), IsEmpty());
  EXPECT_EQ(gateway_.automation("a1").last_triggered_at, before);
}

TEST_P(Schedules, ThatQueueOneLetOneWaitBehindTheOneThatRuns) {
  gateway_.begin(run_of("r0"));
  EXPECT_THAT(made(Overlap::queue_one, runs_of(run_of("r1"), run_of("r2"))), ElementsAre("r1"));
}

TEST_P(Schedules, ThatQueueOneCountTheOneThatIsAboutToRun) {
  EXPECT_THAT(made(Overlap::queue_one, runs_of(run_of("r1"), run_of("r2"), run_of("r3"))), ElementsAre("r1", "r2"));
}

TEST_P(Schedules, ThatCancelEndWhatIsOpenAndRunTheLastMoment) {
  gateway_.begin(run_of("r0"));
  gateway_.enqueue(run_of("r1"));
  gateway_.enqueue(run_of("r2", "a9"));
  EndpointRow endpoint;
  endpoint.id = "e1";
  endpoint.tenant = alice;
  gateway_.get(store_.put_endpoint(std::move(endpoint)));
  auto const fired = gateway_.fire(firing(Overlap::cancel_running, runs_of(run_of("r3"), run_of("r4"))));
  EXPECT_THAT(ids_of_rows(fired.made), ElementsAre("r4"));
  EXPECT_THAT(fired.to_cancel, testing::UnorderedElementsAre("r0", "r1"));
  EXPECT_EQ(gateway_.run("r0").status, RunStatus::cancelled);
  EXPECT_EQ(gateway_.run("r2").status, RunStatus::pending) << "another automation's";
  EXPECT_EQ(gateway_.deliveries("r0").size(), 1u) << "its end is told";
  EXPECT_THAT(gateway_.waiting(), testing::UnorderedElementsAre("r2", "r4"));
  EXPECT_EQ(gateway_.count(RunStatus::pending), 2u);
}

TEST_P(Schedules, NoteWhatDidNotBecomeARun) {
  auto wanted = firing(Overlap::allow, {});
  SkippedRow missed;
  missed.automation_id = "a1";
  missed.first = at(10s);
  missed.last = at(90s);
  missed.count = 9;
  missed.reason = "missed";
  missed.detail = "the gateway was down";
  missed.at = at(100s);
  wanted.skipped.push_back(missed);
  EXPECT_TRUE(gateway_.fire(std::move(wanted)).done);
  auto const page = gateway_.get(store_.skipped("a1", {}));
  EXPECT_EQ(page.total, 1u);
  ASSERT_EQ(page.rows.size(), 1u);
  EXPECT_TRUE(page.rows[0] == missed);
}

TEST_P(Schedules, ThatCannotBeEvaluatedAreDisabled) {
  auto wanted = firing(Overlap::allow, {});
  wanted.new_next_at.reset();
  wanted.disable = true;
  wanted.disabled_reason = "schedule";
  EXPECT_TRUE(gateway_.fire(std::move(wanted)).done);
  auto const row = gateway_.automation("a1");
  EXPECT_FALSE(row.enabled);
  EXPECT_EQ(row.disabled_reason, "schedule");
  EXPECT_FALSE(row.next_at);
}

}  // namespace
}  // namespace nestgate::store
