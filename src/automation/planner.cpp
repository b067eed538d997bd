#include "planner.hpp"

#include <algorithm>

#include "nestgate/net/interruptible.hpp"
#include "run_book.hpp"

namespace nestgate::automation {
namespace {

using namespace std::chrono_literals;
using schedule::Moment;
using store::Firing;
using store::RunRow;
using store::Time;
using SystemClock = std::chrono::system_clock;

// Those of one transaction are durable together: the first ones do not wait for all that are due at their moment.
constexpr std::size_t fired_at_first = 96;  // twice as many each time
constexpr std::size_t fired_at_once_max = 1'000;
constexpr std::size_t read_at_once_max = 5'000;
constexpr std::size_t moved_at_once_max = 500;
constexpr Clock::duration behind_store = 1ms;    // a server next door is not kept from the processor
constexpr Clock::duration store_pause = 500ms;   // while it is away
constexpr Clock::duration follow_interval = 1s;  // changes by other gateways; a clock that was set
constexpr Clock::duration zone_interval = 3s;

store::AutomationStore::Planned planned_of(store::AutomationRow const& row) {
  store::AutomationStore::Planned planned;
  planned.id = row.id;
  planned.tenant = row.tenant;
  planned.owner = row.owner;
  planned.organisation = row.organisation;
  planned.is_live = row.enabled && !row.deleted_at && row.trigger_kind == "cron";
  planned.trigger_json = row.trigger_json;
  planned.policy_json = row.policy_json;
  planned.next_at = row.next_at;
  planned.version = row.version;
  return planned;
}

Moment moment_of(Time time) { return std::chrono::floor<std::chrono::seconds>(time); }

RunRow run_of(std::string const& automation_id, Policy const& policy, Settings const& settings, Moment moment) {
  RunRow run;
  run.id = timed_id();
  run.automation_id = automation_id;
  run.trigger_source = "cron";
  run.scheduled_for = moment;
  run.dedupe_key = "at:" + std::to_string(moment.time_since_epoch().count());
  apply(policy, settings.target, run);
  return run;
}

// A clock that is set meanwhile is noticed.
template <class ByTime>
Clock::duration until_first_of(ByTime const& all) {
  if (all.empty()) return follow_interval;
  return std::min<Clock::duration>(follow_interval, all.begin()->first - SystemClock::now());
}

}  // namespace

Planner::Planner(Executor control, With around, Listeners listeners)
    : with_(around),
      listeners_(std::move(listeners)),
      zones_(around.settings.zone_folder),
      held_until_(control),
      wake_(control),
      tasks_(control) {}

void Planner::start() {
  tasks_.spawn("automation.plan", loop());
  tasks_.spawn("automation.held", hand_over_held());
}

Task<> Planner::stop() {
  tasks_.stop();
  [[maybe_unused]] auto joined = co_await tasks_.join();
}

std::optional<schedule::Rule> Planner::rule_of(CronTrigger const& trigger) {
  auto cron = schedule::Cron::parse(trigger.schedule);
  auto zone = zones_.find(trigger.timezone);
  if (!cron || !zone) return std::nullopt;
  return schedule::Rule{*cron, std::move(*zone), trigger.dst_gap, trigger.dst_overlap};
}

std::vector<Time> Planner::next_ones(Trigger const& trigger, Time after, std::size_t count) {
  std::vector<Time> out;
  auto const* const cron = std::get_if<CronTrigger>(&trigger);
  auto const rule = cron ? rule_of(*cron) : std::nullopt;
  while (rule && out.size() < count) {
    auto const next = rule->next(after);
    if (!next) break;
    after = *next;
    out.push_back(after);
  }
  return out;
}

std::optional<Time> Planner::next_of(Trigger const& trigger, Time after) {
  auto const found = next_ones(trigger, after, 1);
  if (found.empty()) return std::nullopt;
  return found.front();
}

void Planner::note(store::AutomationRow const& row) {
  put(planned_of(row));
  wake_.cancel();
}

void Planner::remove(std::string const& id) {
  auto const found = plans_.find(id);
  if (found == plans_.end()) return;
  ++changes_;
  due_.erase({found->second.fire_at, &*found});
  std::erase_if(held_, [&id](auto const& held) { return held.second.automation_id == id; });
  plans_.erase(found);
}

void Planner::put(Planned planned) {
  if (auto const known = plans_.find(planned.id); known != plans_.end()) {
    auto& plan = known->second;
    if (plan.owner != planned.owner || plan.organisation != planned.organisation) ++changes_;
    plan.owner = planned.owner;
    plan.organisation = planned.organisation;
    // Also one that fires no more: looking at it again would write it again, and so on for ever.
    bool const is_same = plan.next_at == planned.next_at && plan.trigger_json == planned.trigger_json &&
                         plan.policy_json == planned.policy_json;
    if (planned.is_live && is_same && plan.rule) return;
  }
  remove(planned.id);
  auto trigger = parse_trigger(planned.trigger_json);
  auto* const cron = trigger ? std::get_if<CronTrigger>(&*trigger) : nullptr;
  if (!planned.is_live || !cron) return;
  Plan plan;
  plan.trigger = std::move(*cron);
  plan.policy = parse_policy(planned.policy_json);
  plan.trigger_json = std::move(planned.trigger_json);
  plan.policy_json = std::move(planned.policy_json);
  plan.tenant = std::move(planned.tenant);
  plan.owner = std::move(planned.owner);
  plan.organisation = std::move(planned.organisation);
  plan.rule = rule_of(plan.trigger);
  ++changes_;
  auto& one = *plans_.emplace(std::move(planned.id), std::move(plan)).first;
  schedule_next(one, planned.next_at);
  // One that was never planned, or cannot be any more, is looked at at once.
  if (!planned.next_at || !one.second.rule) set_due(one, SystemClock::now());
}

void Planner::schedule_next(Plans::value_type& planned, std::optional<Time> next_at) {
  auto& [id, plan] = planned;
  plan.next_at = next_at;
  if (next_at) {
    set_due(planned, *next_at + schedule::jitter_of(id, moment_of(*next_at), plan.trigger.jitter));
  } else {
    due_.erase({plan.fire_at, &planned});
  }
}

// What an overlap policy says is known at the moment itself.
void Planner::set_due(Plans::value_type& planned, Time due) {
  auto& plan = planned.second;
  due_.erase({plan.fire_at, &planned});
  plan.due = plan.fire_at = due;
  if (plan.trigger.overlap == Overlap::allow) plan.fire_at -= with_.settings.fire_ahead;
  due_.emplace(plan.fire_at, &planned);
}

Firing Planner::firing_of(std::string const& id, Plan const& plan, Time now) const {
  Firing firing;
  firing.automation_id = id;
  if (plan.due > now) {
    firing.made_ahead_of = plan.due;
    now = plan.due;
  }
  firing.overlap = plan.trigger.overlap;
  if (firing.overlap == Overlap::cancel_running) firing.cancel = cancelling_for_successor(now);
  firing.expected_next_at = plan.next_at;
  if (!plan.rule) {
    firing.disable = true;
    firing.disabled_reason = "invalid_schedule";
    firing.disabled_detail = "its schedule or time zone cannot be evaluated any more";
    return firing;
  }
  if (!plan.next_at) {
    firing.new_next_at = plan.rule->next(now);
    return firing;
  }
  schedule::CatchUp catch_up;
  catch_up.misfire = plan.trigger.misfire;
  if (plan.trigger.catch_up > 0s) catch_up.window = plan.trigger.catch_up;
  catch_up.lateness_max += plan.trigger.jitter;
  // A moment whose jitter is not over has not come: what follows it must not be taken for it.
  auto const planned = schedule::plan(*plan.rule, moment_of(*plan.next_at), now, catch_up);
  firing.new_next_at = planned.next;
  for (auto const moment : planned.fire) {
    auto& run = firing.runs.emplace_back(run_of(id, plan.policy, with_.settings, moment));
    run.tenant = plan.tenant;
    run.owner = plan.owner;
    run.organisation = plan.organisation;
    // The one that is queued waits for its turn.
    if (firing.overlap == Overlap::queue_one) run.concurrent_max = 1;
  }
  for (auto const& skipped : planned.skipped) {
    store::SkippedRow row;
    row.automation_id = id;
    row.first = skipped.first;
    row.last = skipped.last;
    row.count = skipped.count;
    row.reason = "missed";
    row.detail = describe(skipped);
    firing.skipped.push_back(std::move(row));
  }
  return firing;
}

Planner::Batch Planner::batch_of(Due::const_iterator from, Time now, std::size_t count) const {
  Batch batch;
  batch.changes = changes_;
  for (auto one = from; one != due_.end() && one->first <= now && batch.ids.size() < count; ++one) {
    auto const& [id, plan] = *one->second;
    batch.ids.push_back(id);
    batch.firings.push_back(firing_of(id, plan, now));
  }
  return batch;
}

Task<Planner::Batch> Planner::batch_behind(Due::value_type last, std::size_t count) const {
  [[maybe_unused]] auto waited = co_await pause_for(behind_store);
  co_return batch_of(due_.upper_bound(last), SystemClock::now(), count);
}

// The next one is made ready while the store has this one.
Task<Planner::Batch> Planner::fire(Batch batch, std::size_t next_count) {
  auto const last = plans_.find(batch.ids.back());
  std::vector<std::optional<Time>> nexts;
  nexts.reserve(batch.firings.size());
  for (auto const& firing : batch.firings) nexts.push_back(firing.new_next_at);
  auto const executor = co_await asio::this_coro::executor;
  auto stored = asio::co_spawn(executor, kept(with_.rows.fire(std::move(batch.firings))), asio::deferred);
  auto prepared = asio::co_spawn(executor, kept(batch_behind({last->second.fire_at, &*last}, next_count)), asio::deferred);
  auto both = asio::experimental::make_parallel_group(std::move(stored), std::move(prepared));
  auto every = asio::experimental::wait_for_all();
  auto [order, bug, fired, prepare_bug, next] = co_await std::move(both).async_wait(every, asio::deferred);
  for (auto const& one : {bug, prepare_bug})
    if (one) std::rethrow_exception(one);
  if (!*fired) {
    // They stay due.
    [[maybe_unused]] auto waited = co_await pause_for(store_pause);
    co_return Batch();
  }
  for (auto& one : **fired)
    if (one.done) tell(std::move(one));
  std::vector<std::string> others;
  for (std::size_t i = 0; i < batch.ids.size(); ++i) {
    auto const planned = plans_.find(batch.ids[i]);
    if (!(**fired)[i].done) {
      others.push_back(std::move(batch.ids[i]));
    } else if (planned != plans_.end()) {
      schedule_next(*planned, nexts[i]);
    }
  }
  for (auto& id : others) co_await reread(std::move(id));
  co_return *std::move(next);
}

// Its runs first: they are what somebody waits for.
void Planner::tell(store::Fired fired) {
  for (auto& run : fired.made) {
    bool const is_ahead = run.not_before && *run.not_before > SystemClock::now();
    if (is_ahead) {
      held_.emplace(*run.not_before, std::move(run));
      held_until_.cancel();
    } else {
      hand_over(run);
    }
  }
  with_.stats.firings_skipped.add(fired.skipped.size());
  for (auto const& id : fired.to_cancel) listeners_.cancelled(id);
}

void Planner::hand_over(RunRow const& run) {
  auto const late = SystemClock::now() - *run.scheduled_for;
  auto const late_us = std::chrono::duration_cast<std::chrono::microseconds>(late).count();
  with_.stats.lateness.observe_us(static_cast<std::uint64_t>(std::max<std::int64_t>(late_us, 0)));
  with_.stats.firings.add();
  listeners_.made(run);
}

// When its time comes, whatever the store does meanwhile.
Task<> Planner::hand_over_held() {
  for (;;) {
    while (!held_.empty() && held_.begin()->first <= SystemClock::now()) {
      auto const run = held_.extract(held_.begin());
      hand_over(run.mapped());
    }
    held_until_.expires_after(until_first_of(held_));
    auto const woken = co_await until_woken(held_until_);
    if (!woken) co_return;
  }
}

// Another gateway fired it, or it was changed.
Task<> Planner::reread(std::string id) {
  auto row = co_await with_.rows.find(id);
  if (!row) {
    // Where the row is what cannot be read, its schedule still can.
    [[maybe_unused]] auto waited = co_await pause_for(store_pause);
    co_await read_changes();
    co_return;
  }
  if (*row) {
    note(**row);
  } else {
    remove(id);
  }
}

Task<> Planner::fire_due() {
  auto batch = batch_of(due_.begin(), SystemClock::now(), fired_at_first);
  for (auto at_once = fired_at_first; !batch.ids.empty();) {
    bool const is_cut = co_await is_cancelled();
    if (is_cut) co_return;
    at_once = std::min(at_once * 2, fired_at_once_max);
    batch = co_await fire(std::move(batch), at_once);
    bool const is_outdated = batch.changes != changes_;
    if (is_outdated) batch = batch_of(due_.begin(), SystemClock::now(), at_once);
  }
}

Task<> Planner::read_changes() {
  changes_read_at_ = Clock::now();
  for (;;) {
    auto found = co_await with_.rows.plans_since(seen_version_, read_at_once_max);
    if (!found) co_return;
    for (auto& planned : *found) {
      seen_version_ = std::max(seen_version_, planned.version);
      put(std::move(planned));
    }
    with_.stats.schedules.add(static_cast<std::int64_t>(plans_.size()) - with_.stats.schedules.read());
    if (found->size() < read_at_once_max) break;
  }
  if (std::exchange(is_read_, true)) co_return;
  // What was planned by another release of the zones, while no gateway ran.
  std::vector<std::string> ids;
  ids.reserve(plans_.size());
  for (auto const& [id, plan] : plans_) ids.push_back(id);
  co_await move_plans(std::move(ids));
}

// An update of the zones moves what is planned by them.
Task<> Planner::follow_zones() {
  zones_looked_at_ = Clock::now();
  if (!zones_.has_changed()) co_return;
  auto const reloaded = zones_.reload();
  std::vector<std::string> ids;
  for (auto& [id, plan] : plans_) {
    bool const is_moved =
        std::find(reloaded.changed.begin(), reloaded.changed.end(), plan.trigger.timezone) != reloaded.changed.end();
    if (!is_moved) continue;
    plan.rule = rule_of(plan.trigger);
    ++changes_;
    ids.push_back(id);
  }
  co_await move_plans(std::move(ids));
}

// Of plans whose moment is still to come and is another one by their rules as they are now.
std::vector<Firing> Planner::moves_of(std::vector<std::string> const& ids) const {
  auto const now = SystemClock::now();
  std::vector<Firing> firings;
  for (auto const& id : ids) {
    auto const found = plans_.find(id);
    if (found == plans_.end()) continue;
    auto const& plan = found->second;
    if (!plan.rule || !plan.next_at || *plan.next_at <= now) continue;
    auto const next = plan.rule->next(now);
    if (next && Time(*next) == *plan.next_at) continue;
    Firing firing;
    firing.automation_id = id;
    firing.expected_next_at = plan.next_at;
    firing.new_next_at = next;
    firings.push_back(std::move(firing));
  }
  return firings;
}

// Some at a time, so that nothing waits for it.
Task<> Planner::move_plans(std::vector<std::string> ids) {
  while (!ids.empty()) {
    auto const count = std::min(ids.size(), moved_at_once_max);
    std::vector<std::string> const some(ids.end() - static_cast<std::ptrdiff_t>(count), ids.end());
    auto firings = moves_of(some);
    std::vector<std::string> moved;
    moved.reserve(firings.size());
    for (auto const& firing : firings) moved.push_back(firing.automation_id);
    auto pause = Clock::duration::zero();
    if (!moved.empty()) {
      auto const written = co_await with_.rows.fire(std::move(firings));
      if (!written) pause = store_pause;
    }
    if (pause == Clock::duration::zero()) {
      for (auto& id : moved) co_await reread(std::move(id));
      ids.resize(ids.size() - count);
    }
    auto const waited = co_await pause_for(pause);
    if (!waited) co_return;
  }
}

Task<> Planner::loop() {
  for (;;) {
    bool const was_cut = co_await is_cancelled();
    if (was_cut) co_return;
    co_await fire_due();  // first: a moment waits for nothing
    auto const begin = Clock::now();
    if (begin - changes_read_at_ >= follow_interval) co_await read_changes();
    if (begin - zones_looked_at_ >= zone_interval) co_await follow_zones();
    wake_.expires_after(until_first_of(due_));
    [[maybe_unused]] auto woken = co_await until_woken(wake_);
  }
}

}  // namespace nestgate::automation
