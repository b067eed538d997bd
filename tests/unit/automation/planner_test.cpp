#include "automation/planner.hpp"

#include <filesystem>
#include <set>

#include "service_fixture.hpp"
#include "support/temp_folder.hpp"

namespace nestgate::automation {
namespace {

namespace fs = std::filesystem;
using schedule::Misfire;
using store::AutomationRow;
using store::RunRow;
using store::SkippedRow;
using store::Time;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using SystemClock = std::chrono::system_clock;

constexpr std::string_view yearly = "0 0 1 1 *", monthly = "0 0 1 * *";

Time second_of(Time time) { return std::chrono::floor<std::chrono::seconds>(time); }
Time now() { return SystemClock::now(); }

// The first of this month less so many months, at midnight.
Time month(int back) {
  auto const today = std::chrono::year_month_day(std::chrono::floor<std::chrono::days>(now()));
  auto const first = today.year() / today.month() / 1;
  return std::chrono::sys_days(first - std::chrono::months(back));
}

class Schedules : public testing::Test {
 protected:
  ~Schedules() override {
    for (auto& one : planners_) control.run(one->stop());
  }

  Planner& start() {
    planners_.push_back(
        std::make_unique<Planner>(control.executor(), Planner::With{rows, settings, stats},
                                  Planner::Listeners{[this](RunRow const& run) { made.push_back(run.clone()); },
                                                     [this](std::string const& id) { cancelled.push_back(id); }}));
    planners_.back()->start();
    return *planners_.back();
  }
  // As some gateway stored it: planned for `next_at`.
  std::string store_row(CronTrigger const& trigger, std::optional<Time> next_at, std::string id = new_uuid()) {
    AutomationRow row;
    row.id = id;
    row.tenant = tenant;
    row.owner = "alice";
    row.organisation = "acme";
    row.trigger_json = to_json(Trigger(trigger));
    row.trigger_kind = "cron";
    row.next_at = next_at;
    EXPECT_TRUE(control.run(rows.create(std::move(row))));
    return id;
  }
  static CronTrigger every(std::string_view schedule) {
    CronTrigger trigger;
    trigger.schedule = schedule;
    return trigger;
  }
  AutomationRow find(std::string id) { return control.run(rows.find(std::move(id))).value().value(); }
  std::vector<SkippedRow> skipped(std::string id) { return control.run(rows.skipped(std::move(id), {})).value().rows; }
  std::vector<RunRow> runs_of(std::string id) {
    store::RunFilter filter;
    filter.automation_id = std::move(id);
    return control.run(rows.list_runs(std::move(filter), {})).value().rows;
  }
  void until(std::string const& id, std::function<bool(AutomationRow const&)> const& holds) {
    auto const end = Clock::now() + std::chrono::milliseconds(test::patience_ms);
    while (!holds(find(id))) {
      if (Clock::now() > end) {
        ADD_FAILURE() << "patience is over";
        return;
      }
      control.run(one_turn());
    }
    control.run(one_turn());  // what is kept is told on
  }
  void until_fired(std::string const& id) {
    until(id, [](AutomationRow const& row) { return row.next_at && *row.next_at > now(); });
  }
  static Task<> one_turn() { [[maybe_unused]] auto waited = co_await pause_for(1ms); }
  // A run of it that is open.
  std::string open_run(std::string const& automation_id, bool is_running) {
    RunRow run;
    run.id = new_uuid();
    run.automation_id = automation_id;
    run.tenant = tenant;
    auto id = run.id;
    std::vector<RunRow> runs;
    runs.push_back(std::move(run));
    EXPECT_TRUE(control.run(rows.enqueue(std::move(runs), 0)));
    if (is_running) EXPECT_TRUE(control.run(rows.claim({id}, "gateway", {})));
    return id;
  }

  test::Control control;
  test::Backing backing{control};
  store::AutomationStore& rows = backing.store->automations();
  store::Tenant const tenant{new_uuid(), new_uuid()};
  Settings settings;
  Stats stats;
  std::vector<RunRow> made;
  std::vector<std::string> cancelled;

 private:
  std::vector<std::unique_ptr<Planner>> planners_;
};

TEST_F(Schedules, MakeOneRunOfAMoment) {
  auto const moment = second_of(now()) - 2s;
  auto const id = store_row(every(yearly), moment);
  start();
  until_fired(id);
  ASSERT_EQ(made.size(), 1U);
  EXPECT_EQ(made[0].automation_id, id);
  EXPECT_EQ(made[0].scheduled_for, moment);
  EXPECT_EQ(made[0].trigger_source, "cron");
  EXPECT_EQ(made[0].tenant, tenant);
  EXPECT_EQ(made[0].owner, "alice");
  EXPECT_EQ(made[0].organisation, "acme");
  EXPECT_EQ(made[0].target, "fresh");
  EXPECT_THAT(skipped(id), IsEmpty());
  EXPECT_EQ(stats.firings.read(), 1U);
  EXPECT_EQ(stats.schedules.read(), 1);
}

TEST_F(Schedules, OfTwoGatewaysMakeOneRunOfAMoment) {
  std::vector<std::string> ids;
  for (int i = 0; i < 20; ++i) ids.push_back(store_row(every(yearly), second_of(now()) - 2s));
  start();
  start();
  for (auto const& id : ids) until_fired(id);
  EXPECT_EQ(made.size(), 20U);
  for (auto const& id : ids) EXPECT_EQ(runs_of(id).size(), 1U);
}

TEST_F(Schedules, OfTwoGatewaysGoOnFromMomentToMoment) {
  auto const id = store_row(every("* * * * * *"), second_of(now()) + 1s);
  start();
  start();
  until(id, [&](AutomationRow const&) { return made.size() >= 3; });
  std::set<Time> moments;
  for (auto const& run : made) EXPECT_TRUE(moments.insert(run.scheduled_for.value()).second);
}

TEST_F(Schedules, ThatAreManyAtOnceFireInStepsThatGrowOnceEach) {
  std::vector<std::string> ids;
  for (int i = 0; i < 400; ++i) ids.push_back(store_row(every(yearly), second_of(now()) - 2s));
  start();
  for (auto const& id : ids) until_fired(id);
  std::set<std::string> fired;
  for (auto const& run : made) EXPECT_TRUE(fired.insert(run.automation_id).second);
  EXPECT_EQ(fired, std::set(ids.begin(), ids.end()));
  std::map<Time, int> steps;  // each is one transaction, with its time
  for (auto const& id : ids) ++steps[find(id).last_triggered_at.value()];
  std::vector<int> sizes;
  for (auto const& [at, size] : steps) sizes.push_back(size);
  EXPECT_THAT(sizes, ElementsAre(96, 192, 112));
}

TEST_F(Schedules, AreReadWhenAnotherGatewayMadeThem) {
  start();
  auto const id = store_row(every(yearly), second_of(now()) - 2s);
  until_fired(id);
  EXPECT_EQ(made.size(), 1U);
}

TEST_F(Schedules, CatchUpOnceForAllThatWasMissed) {
  auto const id = store_row(every(monthly), month(3));
  start();
  until_fired(id);
  ASSERT_EQ(made.size(), 1U);
  EXPECT_EQ(made[0].scheduled_for, month(0));
  auto const left = skipped(id);
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].reason, "missed");
  EXPECT_EQ(left[0].count, 3U);
  EXPECT_EQ(left[0].first, month(3));
  EXPECT_EQ(left[0].last, month(1));
  EXPECT_THAT(left[0].detail, HasSubstr("superseded by a newer one"));
}

TEST_F(Schedules, CatchUpWithEachMomentWhereThatIsWished) {
  auto trigger = every(monthly);
  trigger.misfire = Misfire::all;
  auto const id = store_row(trigger, month(3));
  start();
  until_fired(id);
  std::vector<Time> moments;
  for (auto const& run : made) moments.push_back(run.scheduled_for.value());
  EXPECT_THAT(moments, ElementsAre(month(3), month(2), month(1), month(0)));
  EXPECT_THAT(skipped(id), IsEmpty());
}

TEST_F(Schedules, SkipWhatWasMissedWhereThatIsWished) {
  auto trigger = every(monthly);
  trigger.misfire = Misfire::skip;
  auto const id = store_row(trigger, month(3));
  start();
  until_fired(id);
  EXPECT_THAT(made, IsEmpty());
  auto const left = skipped(id);
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].count, 4U);
}

TEST_F(Schedules, CatchUpNoFurtherBackThanTheirWindow) {
  auto trigger = every(monthly);
  trigger.misfire = Misfire::all;
  trigger.catch_up = std::chrono::duration_cast<std::chrono::seconds>(now() - month(1)) + 1h;
  auto const id = store_row(trigger, month(3));
  start();
  until_fired(id);
  ASSERT_EQ(made.size(), 2U);
  EXPECT_EQ(made[0].scheduled_for, month(1));
  auto const left = skipped(id);
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].count, 2U);
  EXPECT_EQ(left[0].last, month(2));
}

TEST_F(Schedules, SkipAMomentWhileARunIsOpen) {
  auto trigger = every(yearly);
  trigger.overlap = Overlap::skip;
  auto const id = store_row(trigger, second_of(now()) - 2s);
  open_run(id, false);
  start();
  until_fired(id);
  EXPECT_THAT(made, IsEmpty());
  auto const left = skipped(id);
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].reason, "overlap");
  EXPECT_EQ(left[0].detail, "a run of it was still open");
  EXPECT_EQ(stats.firings_skipped.read(), 1U);
}

TEST_F(Schedules, QueueOneBehindTheRunThatIsOpen) {
  auto trigger = every(monthly);
  trigger.overlap = Overlap::queue_one;
  trigger.misfire = Misfire::all;
  auto const id = store_row(trigger, month(1));
  open_run(id, true);
  start();
  until_fired(id);
  ASSERT_EQ(made.size(), 1U);
  auto const left = skipped(id);
  ASSERT_EQ(left.size(), 1U);
  EXPECT_EQ(left[0].detail, "one run of it was waiting already");
  auto const claimed = control.run(rows.claim({made[0].id}, "gateway", {})).value();
  ASSERT_EQ(claimed.size(), 1U);
  EXPECT_EQ(claimed[0].what, store::ClaimAnswer::What::at_cap) << "it would run beside the other";
}

TEST_F(Schedules, CancelTheRunThatIsOpen) {
  auto trigger = every(yearly);
  trigger.overlap = Overlap::cancel_running;
  auto const id = store_row(trigger, second_of(now()) - 2s);
  auto const open = open_run(id, true);
  start();
  until_fired(id);
  EXPECT_EQ(made.size(), 1U);
  EXPECT_THAT(cancelled, ElementsAre(open));
  auto const run = control.run(rows.find_run(open)).value().value();
  EXPECT_EQ(run.status, RunStatus::cancelled);
  EXPECT_EQ(run.error_detail, "Ended by a later moment of its schedule");
  EXPECT_EQ(run.clean_up, store::CleanUp::stop);
}

TEST_F(Schedules, WithJitterFireLaterButNameTheirMoment) {
  auto trigger = every(yearly);
  trigger.jitter = 3600s;
  auto const moment = second_of(now()) - 2s;
  auto const jitter = [&](std::string const& id) {
    return schedule::jitter_of(id, std::chrono::floor<std::chrono::seconds>(moment), trigger.jitter);
  };
  auto late = new_uuid(), early = new_uuid();
  while (jitter(late) < 60s) late = new_uuid();
  while (jitter(early) > 1500ms) early = new_uuid();
  store_row(trigger, moment, late);
  store_row(trigger, moment, early);
  start();
  until_fired(early);
  ASSERT_EQ(made.size(), 1U);
  EXPECT_EQ(made[0].automation_id, early);
  EXPECT_EQ(made[0].scheduled_for, moment);
  EXPECT_EQ(find(late).next_at, moment);
}

class SchedulesAhead : public Schedules {
 protected:
  SchedulesAhead() { settings.fire_ahead = 1h; }
  // Once a year at that moment, in UTC.
  static CronTrigger once_a_year_at(Time moment) {
    auto const day = std::chrono::floor<std::chrono::days>(moment);
    std::chrono::year_month_day const date(day);
    std::chrono::hh_mm_ss const time(std::chrono::floor<std::chrono::seconds>(moment - day));
    std::string schedule;
    for (auto const part : {time.minutes().count(), time.hours().count()}) schedule += std::to_string(part) + " ";
    for (auto const part : {unsigned(date.day()), unsigned(date.month())}) schedule += std::to_string(part) + " ";
    return every(schedule + "* " + std::to_string(time.seconds().count()));
  }
  std::string store_once_at(Time moment) { return store_row(once_a_year_at(moment), moment); }
  void until_stored(std::string const& id, Time moment) {
    until(id, [moment](AutomationRow const& row) { return row.next_at > moment; });
  }
  // The only one that waits.
  RunRow run_of(std::string const& id) {
    std::vector<std::string> found;
    for (auto& waiting : control.run(rows.waiting_since(0, 100)).value())
      if (waiting.automation_id == id) found.push_back(std::move(waiting.id));
    EXPECT_EQ(found.size(), 1U);
    return std::move(*control.run(rows.find_run(found.at(0))).value());
  }

  Time const soon = second_of(now()) + 1s, later = soon + 30min;
};

TEST_F(SchedulesAhead, StoreTheirRunsAndHandThemOverAtTheirMoment) {
  auto const first = store_once_at(soon), second = store_once_at(later);
  start();
  until_stored(second, later);
  auto const stored = run_of(second);
  EXPECT_EQ(stored.scheduled_for, later);
  EXPECT_EQ(stored.not_before, later);
  EXPECT_EQ(stored.created_at, later);
  EXPECT_EQ(find(second).last_triggered_at, later);
  control.run_until([&] { return !made.empty(); });
  EXPECT_GE(now(), soon);
  ASSERT_EQ(made.size(), 1U);
  EXPECT_EQ(made[0].automation_id, first);
  EXPECT_EQ(stats.firings.read(), 1U);
}

TEST_F(SchedulesAhead, WithJitterStartByIt) {
  auto trigger = once_a_year_at(later);
  trigger.jitter = 600s;
  auto const id = store_row(trigger, later);
  start();
  until_stored(id, later);
  auto const run = run_of(id);
  EXPECT_EQ(run.scheduled_for, later);
  EXPECT_EQ(run.not_before,
            later + schedule::jitter_of(id, std::chrono::floor<std::chrono::seconds>(later), trigger.jitter));
}

TEST_F(SchedulesAhead, ThatLookAtOpenRunsFireAtTheirMoment) {
  auto skipping = once_a_year_at(later);
  skipping.overlap = Overlap::skip;
  auto const id = store_row(skipping, later);
  start();
  until_stored(store_once_at(later + 1s), later + 1s);
  EXPECT_EQ(find(id).next_at, later);
}

TEST_F(SchedulesAhead, ThatChangeBeforeTheirMomentFireAsTheyAreThen) {
  auto& planner = start();
  auto const id = store_once_at(later);
  until_stored(id, later);
  Policy changed;
  changed.priority = 7;
  auto row = find(id);
  row.policy_json = to_json(changed);
  auto const kept = control.run(rows.replace(std::move(row))).value().value();
  EXPECT_EQ(kept.next_at, later);
  planner.note(kept);
  until_stored(id, later);
  EXPECT_EQ(run_of(id).priority, changed.priority);
}

TEST_F(SchedulesAhead, ThatAreSwitchedOffBeforeTheirMomentHandNothingOver) {
  auto& planner = start();
  for (bool is_in_time = false; !is_in_time;) {
    made.clear();
    auto const moment = second_of(now()) + 1s;
    auto const off = store_once_at(moment), on = store_once_at(moment + 1s);
    for (auto const& id : {off, on}) planner.note(find(id));
    until_stored(off, moment);
    auto row = find(off);
    row.enabled = false;
    planner.note(control.run(rows.replace(std::move(row))).value().value());
    is_in_time = now() < moment;
    control.run_until([&] { return !made.empty() && made.back().automation_id == on; });
    if (is_in_time) EXPECT_EQ(made.size(), 1U);
  }
}

TEST_F(Schedules, ThatWereNeverPlannedBeginNow) {
  auto const id = store_row(every(monthly), std::nullopt);
  start();
  until_fired(id);
  EXPECT_THAT(made, IsEmpty());
  EXPECT_EQ(find(id).next_at, month(-1));
}

TEST_F(Schedules, ThatFireNoMoreAreWrittenNoMore) {
  auto const year = static_cast<int>(std::chrono::year_month_day(std::chrono::floor<std::chrono::days>(now())).year());
  auto const id = store_row(every("0 0 1 1 * 0 " + std::to_string(year)), second_of(now()) - 2s);
  start();
  until(id, [](AutomationRow const& row) { return !row.next_at; });
  EXPECT_EQ(made.size(), 1U);
  auto const version = find(id).version;
  for (int looks = 0; looks < 2; ++looks) until_fired(store_row(every(yearly), second_of(now()) - 2s));
  EXPECT_EQ(find(id).version, version);
  EXPECT_TRUE(find(id).enabled);
}

TEST_F(Schedules, ThatCannotBeReadDisableTheirAutomation) {
  auto zoneless = every(yearly);
  zoneless.timezone = "Nowhere/Land";
  auto const bad_zone = store_row(zoneless, second_of(now()) + 1h);
  auto const bad_text = store_row(every("whenever"), second_of(now()) - 2s);
  start();
  for (auto const& id : {bad_zone, bad_text}) {
    until(id, [](AutomationRow const& row) { return !row.enabled; });
    EXPECT_EQ(find(id).disabled_reason, "invalid_schedule");
    EXPECT_EQ(find(id).disabled_detail, "its schedule or time zone cannot be evaluated any more");
  }
  EXPECT_THAT(made, IsEmpty());
}

TEST_F(Schedules, ThatAreDisabledElsewhereStop) {
  auto const id = store_row(every(yearly), month(-1));
  start();
  control.run_until([this] { return stats.schedules.read() == 1; });
  ASSERT_TRUE(control.run(rows.disable(id, "because", "")));
  control.run_until([this] { return stats.schedules.read() == 0; });
}

class ZoneUpdates : public Schedules {
 protected:
  ZoneUpdates() {
    settings.zone_folder = folder.path().string();
    fs::create_directories(folder.path() / "Europe");
    bring("Europe/Berlin");
    trigger.timezone = "Europe/Berlin";
  }
  // What is installed as Europe/Berlin, as package managers do: another file takes its place.
  void bring(std::string const& zone) const {
    fs::copy_file(fs::path("/usr/share/zoneinfo") / zone, folder.path() / "new");
    fs::rename(folder.path() / "new", folder.path() / "Europe/Berlin");
  }
  static Time next_in(std::string_view zone) {
    schedule::Zones zones;
    schedule::Rule const rule{schedule::Cron::parse(monthly).value(), zones.find(zone).value()};
    return rule.next(now()).value();
  }

  test::TempFolder folder;
  CronTrigger trigger = every(monthly);
};

TEST_F(ZoneUpdates, MoveWhatIsPlannedWithoutARestart) {
  auto const id = store_row(trigger, next_in("Europe/Berlin"));
  start();
  control.run_until([this] { return stats.schedules.read() == 1; });
  bring("Asia/Tokyo");
  until(id, [](AutomationRow const& row) { return row.next_at == next_in("Asia/Tokyo"); });
  EXPECT_THAT(made, IsEmpty());
  EXPECT_THAT(skipped(id), IsEmpty());
}

TEST_F(ZoneUpdates, WhileNoGatewayRanMoveWhatIsPlanned) {
  auto const id = store_row(trigger, next_in("Asia/Tokyo"));
  start();
  until(id, [](AutomationRow const& row) { return row.next_at == next_in("Europe/Berlin"); });
  EXPECT_THAT(made, IsEmpty());
}

class ServedSchedules : public Automations {
 protected:
  AutomationRow cron_row(std::string_view schedule) {
    auto row = automation_row();
    CronTrigger trigger;
    trigger.schedule = schedule;
    row.trigger_json = to_json(Trigger(trigger));
    row.trigger_kind = "cron";
    row.event_source.clear();
    return row;
  }
  AutomationRow replace(AutomationRow row) {
    auto kept = control.run(service().replace(std::move(row)));
    EXPECT_TRUE(kept && *kept);
    return std::move(**kept);
  }
};

TEST_F(ServedSchedules, BeginNowWhenTheyAreMadeChangedOrSwitchedOn) {
  auto const next = [this](AutomationRow const& row) { return service().next_moments(row, 1).at(0); };
  auto row = create(cron_row(yearly));
  ASSERT_TRUE(row.next_at);
  EXPECT_EQ(row.next_at, next(row));
  auto changed = row.clone();
  changed.trigger_json = cron_row(monthly).trigger_json;
  changed.next_at = now() - 1h;  // whatever a caller says
  changed = replace(std::move(changed));
  EXPECT_EQ(changed.next_at, month(-1));
  changed.enabled = false;
  changed = replace(std::move(changed));
  EXPECT_EQ(changed.next_at, std::nullopt);
  changed.enabled = true;
  changed = replace(std::move(changed));
  EXPECT_EQ(changed.next_at, month(-1));
  auto renamed = changed.clone();
  renamed.name = "another";
  EXPECT_EQ(replace(std::move(renamed)).next_at, month(-1));
  EXPECT_THAT(control.run(rows.list_runs({}, {})).value().rows, IsEmpty());
}

TEST_F(ServedSchedules, AreDispatchedAtTheirMoment) {
  auto const row = create(cron_row("* * * * * *"));
  control.run_until([this] { return agent.count(start_line) >= 1; });
  store::RunFilter filter;
  filter.automation_id = row.id;
  auto const runs = control.run(rows.list_runs(filter, {})).value().rows;
  ASSERT_FALSE(runs.empty());
  EXPECT_EQ(runs.back().scheduled_for, row.next_at);
  EXPECT_EQ(environment_of(runs.back().id).at("AUTOMATION_RUN_TRIGGER_SOURCE"), "cron");
}

}  // namespace
}  // namespace nestgate::automation
