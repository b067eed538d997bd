#include "run_claims.hpp"

#include "counters.hpp"

namespace nestgate::store {
namespace {

using What = ClaimAnswer::What;

constexpr std::chrono::seconds clocks_apart_max{1};  // that of who says it is time, and the store's

constexpr std::string_view select_running =
    "SELECT automation_id, user_id, target, count(*) FROM automation_run WHERE status = 'RUNNING' GROUP BY automation_id, "
    "user_id, target";
constexpr std::string_view begin_run =
    "UPDATE automation_run SET status = 'RUNNING', fence = ?3, holder = ?4, started_at = ?5, version = ?6 WHERE id = ?1 AND "
    "version = ?2";
constexpr std::string_view select_forsaken =
    "SELECT id FROM automation_run WHERE (status = 'RUNNING' OR clean_up <> 'nothing') AND holder <> ?1 AND NOT EXISTS "
    "(SELECT 1 FROM gateway WHERE name = holder AND alive_until > nestgate_now()) LIMIT ?2";
constexpr std::string_view select_ended =
    "SELECT id FROM automation_run WHERE holder = ?1 AND clean_up <> 'nothing' LIMIT ?2";
constexpr std::string_view take_run = "UPDATE automation_run SET fence = fence + 1, holder = ?2, version = ?3 WHERE id = ?1";

// Whether its target names a runtime that others of the same target run in, too.
bool shares_runtime(std::string_view target) { return target.starts_with("conversation:") || target.starts_with("label:"); }

// How many are RUNNING, by what is capped.
class Running {
 public:
  void add(std::string const& automation_id, std::string const& user_id, std::string const& target, std::uint64_t count) {
    in_all_ += count;
    of_user_[user_id] += count;
    if (!automation_id.empty()) of_automation_[automation_id] += count;
    if (shares_runtime(target)) of_runtime_[target] += count;
  }
  void add(RunRow const& run) { add(run.automation_id, run.tenant.user_id, run.target, 1); }

  bool has_room(RunRow const& run, RunCaps const& caps) const {
    auto const within = [](std::uint64_t count, std::uint32_t cap) { return cap == 0 || count < cap; };
    auto const of_automation = count(of_automation_, run.automation_id);
    return within(in_all_, caps.in_all) && within(count(of_user_, run.tenant.user_id), caps.of_user) &&
           within(of_automation, caps.of_automation) && within(of_automation, run.concurrent_max) &&
           within(count(of_runtime_, run.target), caps.of_runtime);
  }

 private:
  using Counts = std::map<std::string, std::uint64_t>;
  static std::uint64_t count(Counts const& counts, std::string const& key) {
    auto const found = counts.find(key);
    return found == counts.end() ? 0 : found->second;
  }

  std::uint64_t in_all_ = 0;
  Counts of_user_, of_automation_, of_runtime_;
};

Task<Running> count_running(Sql& sql) {
  auto rows = co_await sql.query(select_running);
  Running running;
  while (rows.step()) {
    auto const automation_id = rows.text();
    auto const user_id = rows.text();
    auto const target = rows.text();
    running.add(automation_id, user_id, target, rows.count());
  }
  co_return running;
}

Task<std::vector<std::string>> find_forsaken(Sql& sql, std::string const& gateway, std::size_t limit) {
  auto rows = co_await sql.query(select_forsaken, gateway, limit);
  std::vector<std::string> ids;
  while (rows.step()) ids.push_back(rows.text());
  co_return ids;
}

// What the row will be.
void begin(RunRow& run, std::string const& gateway, Time now) {
  run.status = RunStatus::running;
  ++run.fence;
  run.holder = gateway;
  if (!run.started_at) run.started_at = now;
}

}  // namespace

Task<std::vector<ClaimAnswer>> RunClaims::claim(Sql& sql, std::vector<std::string> const& ids, std::string const& gateway,
                                                RunCaps caps) const {
  co_await sql.stand_in(Line::claims);
  auto const counted = co_await count_up_now(sql, run_versions, ids.size());
  auto version = counted.first;
  auto running = co_await count_running(sql);
  auto found = co_await runs_.find_each(sql, ids);
  std::vector<ClaimAnswer> answers(ids.size());
  std::vector<std::size_t> taken;
  std::vector<RunRow> runs;
  std::vector<Values> changes;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    auto& run = found[i];
    if (!run || run->status != RunStatus::pending) continue;
    answers[i].what = What::at_cap;
    bool const is_time = !run->not_before || *run->not_before <= counted.at + clocks_apart_max;
    if (!is_time || !running.has_room(*run, caps)) continue;
    running.add(*run);
    begin(*run, gateway, counted.at);
    changes.push_back(values(run->id, run->version, run->fence, run->holder, run->started_at, version));
    run->version = version++;
    runs.push_back(std::move(*run));
    taken.push_back(i);
  }
  auto const written = co_await sql.execute_each(begin_run, std::move(changes));
  auto claimed = co_await with_automations(sql, std::move(runs));
  std::int64_t begun = 0;
  for (std::size_t i = 0; i < taken.size(); ++i) {
    auto& answer = answers[taken[i]];
    answer.what = What::gone;  // of one that is named twice
    if (written[i].changed() == 0) continue;
    answer.what = What::claimed;
    answer.claimed = std::move(claimed[i]);
    ++begun;
  }
  co_await runs_.count_waiting(sql, -begun);
  co_return answers;
}

Task<bool> RunClaims::begin_new(Sql& sql, RunRow& run, std::string const& gateway, RunCaps caps) const {
  auto const running = co_await count_running(sql);
  if (!running.has_room(run, caps)) co_return false;
  begin(run, gateway, co_await store_now(sql));
  co_return true;
}

// There mostly is nothing: then nothing is written. What there is is asked again once nobody else can change it.
Task<std::vector<ClaimedRun>> RunClaims::take_over(Sql& sql, std::string const& gateway, std::size_t limit) const {
  std::vector<RunRow> runs;
  auto const seen = co_await find_forsaken(sql, gateway, limit);
  if (!seen.empty()) {
    auto version = co_await count_up(sql, run_versions, limit);
    auto const ids = co_await find_forsaken(sql, gateway, limit);
    std::vector<Values> changes;
    changes.reserve(ids.size());
    for (auto const& id : ids) changes.push_back(values(id, gateway, version++));
    co_await sql.execute_each(take_run, std::move(changes));
    auto found = co_await runs_.find_each(sql, ids);
    for (auto& run : found)
      if (run) runs.push_back(std::move(*run));
  }
  co_return co_await with_automations(sql, std::move(runs));
}

Task<std::vector<RunRow>> RunClaims::to_clean_up(Sql& sql, std::string const& gateway, std::size_t limit) const {
  auto rows = co_await sql.query(select_ended, gateway, limit);
  std::vector<std::string> ids;
  while (rows.step()) ids.push_back(rows.text());
  auto found = co_await runs_.find_each(sql, ids);
  std::vector<RunRow> runs;
  for (auto& run : found)
    if (run) runs.push_back(std::move(*run));
  co_return runs;
}

Task<std::vector<ClaimedRun>> RunClaims::with_automations(Sql& sql, std::vector<RunRow> runs) const {
  std::vector<std::string> ids;
  for (auto const& run : runs)
    if (!run.automation_id.empty()) ids.push_back(run.automation_id);
  auto const automations = co_await automations_.find_each(sql, std::move(ids));
  std::vector<ClaimedRun> claimed(runs.size());
  for (std::size_t i = 0; i < runs.size(); ++i) {
    auto const its = automations.find(runs[i].automation_id);
    if (its != automations.end()) claimed[i].automation = its->second.clone();
    claimed[i].run = std::move(runs[i]);
  }
  co_return claimed;
}

}  // namespace nestgate::store
