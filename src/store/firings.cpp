#include "firings.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "counters.hpp"

namespace nestgate::store {
namespace {

// One that does not fire has no next moment: who expects one was overtaken where it was disabled meanwhile.
constexpr std::string_view moved =
    "automation_schedule SET next_at = ?2, last_triggered_at = coalesce(?3, last_triggered_at)";
RowUpdate const move_planned(moved, "automation_id = ?1 AND next_at = ?4");
RowUpdate const move_unplanned(moved,
                               "automation_id = ?1 AND next_at IS NULL AND EXISTS (SELECT 1 FROM automation WHERE id = ?1 "
                               "AND enabled = 1 AND deleted_at IS NULL)");
constexpr std::string_view note_moved = "UPDATE automation SET version = ?2 WHERE id = ?1";
constexpr std::string_view disable_row =
    "UPDATE automation SET version = ?2, enabled = 0, disabled_reason = ?3, disabled_detail = ?4, disabled_at = ?5 WHERE id "
    "= ?1";

constexpr std::string_view count_pending =
    "SELECT count(*) FROM automation_run WHERE status = 'PENDING' AND automation_id = ?1";
constexpr std::string_view count_running =
    "SELECT count(*) FROM automation_run WHERE status = 'RUNNING' AND automation_id = ?1";
constexpr std::string_view select_open =
    "SELECT id FROM automation_run WHERE status = 'PENDING' AND automation_id = ?1 UNION ALL SELECT id FROM automation_run "
    "WHERE status = 'RUNNING' AND automation_id = ?1";

constexpr std::string_view insert_skipped =
    "INSERT INTO skipped_firing (automation_id, first_moment, last_moment, moments, reason, detail, decided_at, version) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
constexpr std::string_view select_skipped =
    "SELECT automation_id, first_moment, last_moment, moments, reason, detail, decided_at FROM skipped_firing WHERE "
    "automation_id = ?1 ORDER BY decided_at DESC, version DESC LIMIT ?2 OFFSET ?3";
constexpr std::string_view purge_skipped =
    "DELETE FROM skipped_firing WHERE version IN (SELECT version FROM skipped_firing WHERE decided_at < ?1 ORDER BY "
    "decided_at LIMIT ?2)";

struct Open {
  std::uint64_t pending = 0, running = 0;
};

std::string_view sentence(Overlap overlap) {
  switch (overlap) {
    case Overlap::allow: return "";
    case Overlap::skip: return "a run of it was still open";
    case Overlap::queue_one: return "one run of it was waiting already";
    case Overlap::cancel_running: return "a later moment was due at the same time";
  }
  return "";
}

// Which of `count` runs are made: from the first that is, so many.
struct Made {
  std::size_t first = 0, count = 0;
};

Made made_of(Overlap overlap, std::size_t count, Open open) {
  auto const up_to = [count](std::size_t room) { return Made{0, std::min(count, room)}; };
  switch (overlap) {
    case Overlap::allow: break;
    case Overlap::skip: return up_to(open.pending + open.running == 0 ? 1 : 0);
    case Overlap::queue_one: {
      // One that waits because nothing runs yet is not the queue.
      if (open.running != 0) return up_to(open.pending == 0 ? 1 : 0);
      return up_to(open.pending < 2 ? 2 - open.pending : 0);
    }
    case Overlap::cancel_running: return count == 0 ? Made() : Made{count - 1, 1};
  }
  return {0, count};
}

}  // namespace

// One firing on its way.
struct Firings::Plan {
  Firing const* firing;
  Fired* fired;
  std::uint64_t version;  // the first of enough for its runs and skipped rows
  Time now;
  Made made{};
  std::optional<std::uint64_t> automation_version{};  // where its automation changes
};

// Several firings of one automation follow each other.
Task<Outcome<std::vector<Fired>>> Firings::fire(Sql& sql, std::vector<Firing> const& firings) const {
  std::vector<Fired> fired(firings.size());
  std::uint64_t versions = 0;
  for (auto const& firing : firings) versions += firing.runs.size() * 2 + firing.skipped.size();
  auto const counted = co_await count_up_now(sql, run_versions, versions);
  auto version = counted.first;
  std::vector<Plan> plans;
  std::set<std::string_view> ids;
  for (std::size_t i = 0; i < firings.size(); ++i) {
    auto const& firing = firings[i];
    if (!ids.insert(firing.automation_id).second) {
      NESTGATE_CO_TRY_VOID(co_await fire_distinct(sql, plans));
      plans.clear();
      ids = {firing.automation_id};
    }
    plans.push_back({&firing, &fired[i], version, std::max(counted.at, firing.made_ahead_of.value_or(counted.at))});
    version += firing.runs.size() * 2 + firing.skipped.size();
  }
  NESTGATE_CO_TRY_VOID(co_await fire_distinct(sql, plans));
  co_await sql.notify();
  co_return fired;
}

Task<Outcome<>> Firings::fire_distinct(Sql& sql, std::vector<Plan>& plans) const {
  co_await plan_overlaps(sql, plans);
  co_await number_changes(sql, plans);
  co_await advance(sql, plans);
  std::erase_if(plans, [](Plan const& plan) { return !plan.fired->done; });
  co_await note_changes(sql, plans);
  NESTGATE_CO_TRY_VOID(co_await cancel_open(sql, plans));
  NESTGATE_CO_TRY_VOID(co_await make_runs(sql, plans));
  co_await note_skipped(sql, plans);
  co_return Outcome<>{};
}

Task<> Firings::plan_overlaps(Sql& sql, std::vector<Plan>& plans) const {
  std::vector<Values> ids;
  for (auto const& plan : plans)
    if (plan.firing->overlap != Overlap::allow) ids.push_back(values(plan.firing->automation_id));
  auto pending = co_await sql.execute_each(count_pending, ids);
  auto running = co_await sql.execute_each(count_running, std::move(ids));
  std::size_t next = 0;
  for (auto& plan : plans) {
    Open open;
    if (plan.firing->overlap != Overlap::allow) {
      pending[next].step();
      running[next].step();
      open = {pending[next].count(), running[next].count()};
      ++next;
    }
    plan.made = made_of(plan.firing->overlap, plan.firing->runs.size(), open);
  }
}

// Compare and set: who was first wins.
Task<> Firings::advance(Sql& sql, std::vector<Plan>& plans) const {
  struct Moves {
    std::vector<Values> rows;
    std::vector<Plan*> whose;
  };
  Moves planned, unplanned;
  for (auto& plan : plans) {
    auto const& firing = *plan.firing;
    auto const triggered_at = plan.made.count == 0 ? std::nullopt : std::optional(plan.now);
    auto const next_at = firing.disable ? std::nullopt : firing.new_next_at;
    auto row = values(firing.automation_id, next_at, triggered_at);
    if (firing.expected_next_at) append_each(row, *firing.expected_next_at);
    auto& moves = firing.expected_next_at ? planned : unplanned;
    moves.rows.push_back(std::move(row));
    moves.whose.push_back(&plan);
  }
  for (auto* const moves : {&planned, &unplanned}) {
    if (moves->rows.empty()) continue;
    auto const& update = moves == &planned ? move_planned : move_unplanned;
    auto const done = co_await sql.update_each(update, std::move(moves->rows));
    for (std::size_t i = 0; i < done.size(); ++i) moves->whose[i]->fired->done = done[i];
  }
}

// A moment that made runs is no change that is told on by a version: whoever knows the schedule has looked at that moment
// as well. Versions come before any row, as for all that change automations.
Task<> Firings::number_changes(Sql& sql, std::vector<Plan>& plans) const {
  std::vector<Plan*> changes;
  for (auto& plan : plans)
    if (plan.made.count == 0 || plan.firing->disable) changes.push_back(&plan);
  if (changes.empty()) co_return;
  auto version = co_await count_up(sql, automation_versions, changes.size());
  for (auto* const plan : changes) plan->automation_version = version++;
}

Task<> Firings::note_changes(Sql& sql, std::vector<Plan> const& plans) const {
  std::vector<Values> moved_ones, disabled_ones;
  for (auto const& plan : plans) {
    if (!plan.automation_version) continue;
    auto const& firing = *plan.firing;
    auto row = values(firing.automation_id, *plan.automation_version);
    if (firing.disable) append_each(row, firing.disabled_reason, firing.disabled_detail, plan.now);
    (firing.disable ? disabled_ones : moved_ones).push_back(std::move(row));
  }
  co_await sql.execute_each(note_moved, std::move(moved_ones));
  co_await sql.execute_each(disable_row, std::move(disabled_ones));
}

Task<Outcome<>> Firings::cancel_open(Sql& sql, std::vector<Plan>& plans) const {
  std::vector<Plan*> cancelling;
  std::vector<Values> ids;
  for (auto& plan : plans) {
    if (plan.firing->overlap != Overlap::cancel_running || plan.made.count == 0) continue;
    cancelling.push_back(&plan);
    ids.push_back(values(plan.firing->automation_id));
  }
  if (cancelling.empty()) co_return Outcome<>{};
  auto open = co_await sql.execute_each(select_open, std::move(ids));
  std::vector<ToJudge> runs;
  std::vector<Plan*> whose;
  for (std::size_t i = 0; i < cancelling.size(); ++i)
    while (open[i].step()) {
      runs.push_back({open[i].text(), std::nullopt, cancelling[i]->firing->cancel});
      whose.push_back(cancelling[i]);
    }
  auto const judged = co_await judgements_.judge(sql, runs);
  for (std::size_t i = 0; i < judged.size(); ++i) {
    if (!judged[i]) co_return judged[i].error();
    if (judged[i]->wrote) whose[i]->fired->to_cancel.push_back(runs[i].id);
  }
  co_return Outcome<>{};
}

Task<Outcome<>> Firings::make_runs(Sql& sql, std::vector<Plan>& plans) const {
  std::vector<RunRow> runs;
  std::vector<Plan const*> whose;
  for (auto const& plan : plans)
    for (std::size_t i = 0; i < plan.made.count; ++i) {
      runs.push_back(plan.firing->runs[plan.made.first + i].clone());
      runs.back().version = plan.version + i;
      if (runs.back().created_at == Time{}) runs.back().created_at = plan.now;
      if (plan.firing->made_ahead_of) runs.back().not_before = plan.firing->made_ahead_of;
      whose.push_back(&plan);
    }
  NESTGATE_CO_TRY(kept, co_await runs_.insert(sql, std::move(runs)));
  std::int64_t made = 0;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (!kept[i].is_new) continue;
    ++made;
    whose[i]->fired->made.push_back(std::move(kept[i].run));
  }
  co_await runs_.count_waiting(sql, made);
  co_return Outcome<>{};
}

Task<> Firings::note_skipped(Sql& sql, std::vector<Plan>& plans) const {
  std::vector<Values> rows;
  for (auto& plan : plans) {
    auto const& firing = *plan.firing;
    for (std::size_t i = 0; i < firing.runs.size(); ++i) {
      if (i >= plan.made.first && i < plan.made.first + plan.made.count) continue;
      SkippedRow row;
      row.automation_id = firing.automation_id;
      row.first = row.last = firing.runs[i].scheduled_for.value_or(plan.now);
      row.reason = "overlap";
      row.detail = sentence(firing.overlap);
      row.at = plan.now;
      plan.fired->skipped.push_back(std::move(row));
    }
    auto version = plan.version + firing.runs.size();
    auto const add = [&rows, &version, &plan](SkippedRow const& row) {
      auto const decided_at = row.at == Time{} ? plan.now : row.at;
      rows.push_back(
          values(plan.firing->automation_id, row.first, row.last, row.count, row.reason, row.detail, decided_at, version++));
    };
    for (auto const& row : plan.fired->skipped) add(row);
    for (auto const& row : firing.skipped) add(row);
  }
  if (!rows.empty()) co_await sql.execute_each(insert_skipped, std::move(rows));
}

Task<RowPage<SkippedRow>> Firings::skipped(Sql& sql, std::string const& automation_id, PageOf page) const {
  RowPage<SkippedRow> out;
  out.total = co_await count_of(sql, "SELECT count(*) FROM skipped_firing WHERE automation_id = ?1", values(automation_id));
  auto rows = co_await sql.query(select_skipped, automation_id, page.limit, page.offset);
  while (rows.step()) {
    SkippedRow row;
    row.automation_id = rows.text();
    row.first = rows.time();
    row.last = rows.time();
    row.count = rows.count();
    row.reason = rows.text();
    row.detail = rows.text();
    row.at = rows.time();
    out.rows.push_back(std::move(row));
  }
  co_return out;
}

Task<std::uint64_t> Firings::purge(Sql& sql, Time before, std::size_t limit) const {
  auto const removed = co_await sql.query(purge_skipped, before, limit);
  co_return static_cast<std::uint64_t>(removed.changed());
}

}  // namespace nestgate::store
