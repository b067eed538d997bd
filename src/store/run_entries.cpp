#include "run_entries.hpp"

#include "counters.hpp"

namespace nestgate::store {
namespace {

using EventTaken = AutomationStore::EventTaken;

constexpr std::string_view of_events = "event";  // a trigger source: its runs do not count as the automation's last moment

constexpr std::string_view insert_delivery =
    "INSERT INTO event_delivery (org_id, source, delivery_id, run_ids, matched, taken_at) VALUES (?1, ?2, ?3, '', ?4, "
    "nestgate_now()) ON CONFLICT (org_id, source, delivery_id) DO NOTHING";
constexpr std::string_view select_delivery =
    "SELECT run_ids, matched FROM event_delivery WHERE org_id = ?1 AND source = ?2 AND delivery_id = ?3";
constexpr std::string_view put_runs_of_delivery =
    "UPDATE event_delivery SET run_ids = ?4 WHERE org_id = ?1 AND source = ?2 AND delivery_id = ?3";
constexpr std::string_view purge_deliveries =
    "DELETE FROM event_delivery WHERE (org_id, source, delivery_id) IN (SELECT org_id, source, delivery_id FROM "
    "event_delivery WHERE taken_at < ?1 ORDER BY taken_at LIMIT ?2)";

// Ids hold no spaces.
std::string joined(std::vector<std::string> const& ids) {
  std::string out;
  for (auto const& id : ids) out.append(out.empty() ? "" : " ").append(id);
  return out;
}

std::vector<std::string> split(std::string_view ids) {
  std::vector<std::string> out;
  while (!ids.empty()) {
    auto const end = std::min(ids.find(' '), ids.size());
    out.emplace_back(ids.substr(0, end));
    ids.remove_prefix(std::min(end + 1, ids.size()));
  }
  return out;
}

std::vector<RunRow> stamped(std::vector<RunRow> const& runs, CountedUp counted) {
  std::vector<RunRow> out;
  out.reserve(runs.size());
  for (auto const& run : runs) {
    out.push_back(run.clone());
    out.back().version = counted.first++;
    if (run.created_at == Time{}) out.back().created_at = counted.at;
  }
  return out;
}

}  // namespace

Task<Outcome<std::vector<Enqueued>>> RunEntries::enqueue(Sql& sql, std::vector<RunRow> const& runs,
                                                         std::uint64_t waiting_max) const {
  auto const counted = co_await count_up_now(sql, run_versions, runs.size());
  NESTGATE_CO_TRY(kept, co_await runs_.insert(sql, stamped(runs, counted)));
  std::int64_t waiting = 0;
  std::vector<std::string> triggered;
  for (auto const& one : kept) {
    if (!one.is_new) continue;
    if (one.run.status == RunStatus::pending) ++waiting;
    bool const counts = !one.run.automation_id.empty() && one.run.trigger_source != of_events;
    if (counts) triggered.push_back(one.run.automation_id);
  }
  NESTGATE_CO_TRY_VOID(co_await runs_.count_waiting(sql, waiting, waiting_max));
  if (!triggered.empty()) co_await automations_.note_triggered(sql, std::move(triggered));
  if (waiting != 0) co_await sql.notify();
  co_return std::move(kept);
}

Task<Outcome<Enqueued>> RunEntries::enqueue_own(Sql& sql, RunRow const& run, UploadRow const& upload,
                                                std::string const& bytes, std::uint64_t waiting_max) const {
  std::vector<RunRow> runs;
  runs.push_back(run.clone());
  NESTGATE_CO_TRY(kept, co_await enqueue(sql, runs, waiting_max));
  auto& one = kept.front();
  if (one.is_new) {
    co_await uploads_.add(sql, upload, bytes);
    co_await runs_.own_upload(sql, one.run.id, upload.id);
  }
  co_return std::move(one);
}

Task<Outcome<EventTaken>> RunEntries::take_event(Sql& sql, std::string const& org_id, std::string const& source,
                                                 std::string const& delivery_id, std::vector<RunRow> const& runs,
                                                 std::uint64_t waiting_max) const {
  EventTaken taken;
  taken.matched = runs.size();
  if (!delivery_id.empty()) {
    auto const noted = co_await sql.query(insert_delivery, org_id, source, delivery_id, taken.matched);
    if (noted.changed() == 0) {
      auto row = co_await sql.query(select_delivery, org_id, source, delivery_id);
      if (!row.step()) give_up("it has lost an event's delivery");
      taken.is_new = false;
      taken.run_ids = split(row.text());
      taken.matched = row.count();
      co_return taken;
    }
  }
  if (runs.empty()) co_return taken;
  NESTGATE_CO_TRY(kept, co_await enqueue(sql, runs, waiting_max));
  for (auto& one : kept) {
    taken.run_ids.push_back(one.run.id);
    if (one.is_new) taken.made.push_back(std::move(one.run));
  }
  if (!delivery_id.empty()) co_await sql.query(put_runs_of_delivery, org_id, source, delivery_id, joined(taken.run_ids));
  co_return taken;
}

Task<std::uint64_t> RunEntries::purge(Sql& sql, Time before, std::size_t limit) const {
  auto const removed = co_await sql.query(purge_deliveries, before, limit);
  co_return static_cast<std::uint64_t>(removed.changed());
}

}  // namespace nestgate::store
