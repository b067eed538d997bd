#include "run_rows.hpp"

#include <algorithm>
#include <array>
#include <limits>

namespace nestgate::store {
namespace {

using upstream::fail;

// What a run is made with.
constexpr std::string_view made_with =
    "id, automation_id, user_id, org_id, owner, organisation, trigger_source, dedupe_key, scheduled_for, target, priority, "
    "concurrent_max, attempts_max, retry_pause_s, created_at";
// What changes, in the order of changing_of.
constexpr std::string_view changing =
    "status, attempt, attempts_json, not_before, fence, holder, sandbox_id, runtime_epoch, runtime_is_own, bash_command_id, "
    "error_detail, error_is_guess, status_detail_json, conversation_id, cost, exit_code, output_tail, error_tail, clean_up, "
    "started_at, timeout_at, completed_at, additions_json, version";
std::string const columns = std::string(made_with).append(", ").append(changing);

auto const members_count = static_cast<std::size_t>(std::ranges::count(columns, ',')) + 1;
Insertion const insertion("automation_run", columns);
std::string const update_row = "UPDATE automation_run SET " + assignments(changing) +
                               " WHERE id = " + placeholder_behind(changing, 1) +
                               " AND version = " + placeholder_behind(changing, 2);

std::string const select_rows = "SELECT " + columns + " FROM automation_run ";
std::string const joined = "FROM automation_run LEFT JOIN automation_run_input ON run_id = id ";
std::string const select_with_input = "SELECT " + columns + ", wish, event_payload_json " + joined;
std::string const select_one = select_with_input + "WHERE id = ?1";
std::string const select_for_judgement = "SELECT " + columns + ", wish, NULL " + joined + "WHERE id = ?1";
std::string const select_same =
    select_with_input + "WHERE dedupe_key = ?1 AND automation_id = ?2 AND user_id = ?3 AND org_id = ?4";

constexpr std::string_view select_waiting =
    "SELECT id, automation_id, user_id, target, priority, concurrent_max, created_at, not_before, version FROM "
    "automation_run WHERE status = 'PENDING' AND version > ?1 ORDER BY version LIMIT ?2";
constexpr std::string_view add_waiting = "UPDATE counter SET value = value + ?1 WHERE name = 'pending_run' RETURNING value";

// The runs of an automation are its tenant's.
constexpr std::string_view of_automation_of_tenant =
    "automation_id = ?3 AND EXISTS (SELECT 1 FROM automation WHERE automation.id = ?3 AND automation.user_id = ?1 AND "
    "automation.org_id = ?2)";

// A list's statements. What is not asked for is still a parameter, so that a place is always the same one's.
struct ListStatements {
  std::string page, count, by_status;
};
enum class Whose : std::uint8_t { all, tenant, automation, automation_of_tenant };

std::string_view condition(Whose whose) {
  switch (whose) {
    case Whose::all: return "CAST(?1 AS TEXT) = '' AND CAST(?2 AS TEXT) = '' AND CAST(?3 AS TEXT) = ''";
    case Whose::tenant: return "user_id = ?1 AND org_id = ?2 AND CAST(?3 AS TEXT) = ''";
    case Whose::automation: return "automation_id = ?3 AND CAST(?1 AS TEXT) = '' AND CAST(?2 AS TEXT) = ''";
    case Whose::automation_of_tenant: return of_automation_of_tenant;
  }
  return "";
}

// A schedule's run whose moment has not come: nobody has seen it, and it may be taken back.
std::string const is_ahead =
    "status = 'PENDING' AND attempt = 1 AND scheduled_for IS NOT NULL AND not_before > nestgate_now()";

// Where a conversation is asked for its few runs are looked up first.
ListStatements list_statements(Whose whose, bool of_conversation) {
  std::string from = "FROM automation_run ";
  if (of_conversation)
    from =
        "FROM (SELECT id AS found FROM automation_run WHERE sandbox_id = ?12 UNION SELECT id FROM automation_run WHERE "
        "conversation_id = ?12) AS its CROSS JOIN automation_run ";
  from.append("WHERE ").append(condition(whose)).append(" AND NOT coalesce(").append(is_ahead).append(", FALSE)");
  from += " AND created_at >= ?4 AND created_at < ?5 AND status IN (?6, ?7, ?8, ?9, ?10, ?11)";
  if (of_conversation) {
    from += " AND id = found";
  } else {
    from += " AND CAST(?12 AS TEXT) = ''";
  }
  return {"SELECT " + columns + " " + from + " ORDER BY created_at DESC, id DESC LIMIT ?13 OFFSET ?14",
          "SELECT count(*) " + from, "SELECT status, count(*) " + from + " GROUP BY status"};
}

ListStatements const& statements_for(RunFilter const& filter) {
  static auto const all = [] {
    std::array<std::array<ListStatements, 2>, 4> made;
    for (auto const whose : {Whose::all, Whose::tenant, Whose::automation, Whose::automation_of_tenant})
      for (bool const of_conversation : {false, true})
        made[static_cast<std::size_t>(whose)][of_conversation ? 1 : 0] = list_statements(whose, of_conversation);
    return made;
  }();
  auto const whose = (filter.tenant ? 1u : 0u) + (filter.automation_id.empty() ? 0u : 2u);
  return all[whose][filter.conversation.empty() ? 0 : 1];
}

constexpr std::array all_statuses{RunStatus::pending, RunStatus::running,   RunStatus::completed,
                                  RunStatus::failed,  RunStatus::cancelled, RunStatus::skipped};

// In the order of the places of a list's statement.
Values parameters_of(RunFilter const& filter) {
  auto const tenant = filter.tenant.value_or(Tenant());
  auto const from = filter.created_from.value_or(Time(Time::duration(std::numeric_limits<std::int64_t>::min())));
  auto const until = filter.created_until.value_or(Time::max());
  auto packed = values(tenant.user_id, tenant.org_id, filter.automation_id, from, until);
  for (std::size_t i = 0; i < all_statuses.size(); ++i) {
    auto const wanted = filter.statuses.empty() ? all_statuses[i] : filter.statuses[std::min(i, filter.statuses.size() - 1)];
    packed.push_back(Sql::as_value(to_string(wanted)));
  }
  packed.push_back(Sql::as_value(filter.conversation));
  return packed;
}

constexpr std::string_view select_purged =
    "SELECT id FROM automation_run WHERE completed_at < ?1 AND clean_up = 'nothing' AND status NOT IN ('PENDING', "
    "'RUNNING') "
    "AND NOT EXISTS (SELECT 1 FROM delivery WHERE run_id = automation_run.id AND state = 'waiting') ORDER BY completed_at "
    "LIMIT ?2";
// In an order in which each still finds what it looks for.
constexpr std::string_view purges[] = {
    "DELETE FROM delivery_attempt WHERE delivery_id IN (SELECT id FROM delivery WHERE run_id = ?1)",
    "DELETE FROM delivery WHERE run_id = ?1",
    "DELETE FROM upload_content WHERE upload_id IN (SELECT upload_id FROM automation_run_input WHERE run_id = ?1)",
    "DELETE FROM upload WHERE id IN (SELECT upload_id FROM automation_run_input WHERE run_id = ?1)",
    "DELETE FROM automation_run_input WHERE run_id = ?1",
    "DELETE FROM automation_run WHERE id = ?1",
};

std::string const take_back_early =
    "DELETE FROM automation_run WHERE automation_id = ?1 AND " + is_ahead + " RETURNING scheduled_for";

Place place_of_wish(std::string const& id) { return {"automation_run_input", "wish", id}; }

// The run outlives them, as in all that is written of runs.
void append_changing(Values& to, RunRow const& run, std::uint64_t version) {
  append_each(to, to_string(run.status), run.attempt, Lent{run.attempts_json}, run.not_before, run.fence, Lent{run.holder},
              lent_unless_empty(run.sandbox_id), run.runtime_epoch, run.runtime_is_own, Lent{run.bash_command_id},
              Lent{run.error_detail}, run.error_is_guess, Lent{run.status_detail_json},
              lent_unless_empty(run.conversation_id), run.cost, run.exit_code, Lent{run.output_tail}, Lent{run.error_tail},
              to_string(run.clean_up), run.started_at, run.timeout_at, run.completed_at, Lent{run.additions_json}, version);
}

Values members_of(RunRow const& run) {
  Values members;
  members.reserve(members_count);
  append_each(members, Lent{run.id}, Lent{run.automation_id}, Lent{run.tenant.user_id}, Lent{run.tenant.org_id},
              Lent{run.owner}, Lent{run.organisation}, Lent{run.trigger_source}, lent_unless_empty(run.dedupe_key),
              run.scheduled_for, Lent{run.target}, run.priority, run.concurrent_max, run.attempts_max, run.retry_pause_s,
              run.created_at);
  append_changing(members, run, run.version);
  return members;
}

template <class State>
State known(std::optional<State> state, std::string const& id) {
  if (!state) give_up("run " + id + ": its state is none");
  return *state;
}

void read_changing(Rows& rows, RunRow& run) {
  run.status = known(parse_run_status(rows.text()), run.id);
  run.attempt = static_cast<std::uint32_t>(rows.integer());
  run.attempts_json = rows.text();
  run.not_before = rows.optional_time();
  run.fence = rows.count();
  run.holder = rows.text();
  run.sandbox_id = text_or_empty(rows);
  run.runtime_epoch = rows.count();
  run.runtime_is_own = rows.flag();
  run.bash_command_id = rows.text();
  run.error_detail = rows.text();
  run.error_is_guess = rows.flag();
  run.status_detail_json = rows.text();
  run.conversation_id = text_or_empty(rows);
  run.cost = rows.optional_real();
  run.exit_code = rows.optional_integer();
  run.output_tail = rows.text();
  run.error_tail = rows.text();
  run.clean_up = known(parse_clean_up(rows.text()), run.id);
  run.started_at = rows.optional_time();
  run.timeout_at = rows.optional_time();
  run.completed_at = rows.optional_time();
  run.additions_json = rows.text();
  run.version = rows.count();
}

RunRow row_of(Rows& rows) {
  RunRow run;
  run.id = rows.text();
  run.automation_id = rows.text();
  run.tenant.user_id = rows.text();
  run.tenant.org_id = rows.text();
  run.owner = rows.text();
  run.organisation = rows.text();
  run.trigger_source = rows.text();
  run.dedupe_key = text_or_empty(rows);
  run.scheduled_for = rows.optional_time();
  run.target = rows.text();
  run.priority = static_cast<std::int32_t>(rows.integer());
  run.concurrent_max = static_cast<std::uint32_t>(rows.integer());
  run.attempts_max = static_cast<std::uint32_t>(rows.integer());
  run.retry_pause_s = rows.integer();
  run.created_at = rows.time();
  read_changing(rows, run);
  return run;
}

}  // namespace

Task<Outcome<std::vector<Enqueued>>> RunRows::insert(Sql& sql, std::vector<RunRow> runs) const {
  std::vector<Enqueued> kept(runs.size());
  std::vector<Values> rows(runs.size());
  for (std::size_t i = 0; i < runs.size(); ++i) {
    kept[i].run = std::move(runs[i]);
    rows[i] = members_of(kept[i].run);
  }
  auto const added = co_await sql.insert_each(insertion, std::move(rows));
  std::vector<RunRow const*> made;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    kept[i].is_new = added[i];
    if (kept[i].is_new) made.push_back(&kept[i].run);
  }
  co_await insert_inputs(sql, made);
  for (auto& one : kept) {
    if (one.is_new) continue;
    auto same = co_await find_same(sql, one.run);
    if (!same) co_return fail(FaultKind::conflict, "store.enqueue", "there is a run " + one.run.id + " already");
    one.run = std::move(*same);
  }
  co_return kept;
}

Task<> RunRows::insert_inputs(Sql& sql, std::vector<RunRow const*> const& runs) const {
  std::vector<Values> inputs;
  for (auto const* const run : runs) {
    if (run->wish_json.empty() && run->event_payload_json.empty()) continue;
    auto const wish = sealed_unless_empty(sealer_, place_of_wish(run->id), run->wish_json);
    inputs.push_back(values(run->id, wish, run->event_payload_json));
  }
  if (inputs.empty()) co_return;
  co_await sql.execute_each("INSERT INTO automation_run_input (run_id, wish, event_payload_json) VALUES (?1, ?2, ?3)",
                            std::move(inputs));
}

Task<> RunRows::own_upload(Sql& sql, std::string const& run_id, std::string const& upload_id) const {
  co_await sql.query(
      "INSERT INTO automation_run_input (run_id, upload_id, event_payload_json) VALUES (?1, ?2, '') ON CONFLICT (run_id) DO "
      "UPDATE SET upload_id = excluded.upload_id",
      run_id, upload_id);
}

Task<> RunRows::count_waiting(Sql& sql, std::int64_t change) const {
  if (change == 0) co_return;
  co_await sql.execute_unseen(add_waiting, values(change));
}

Task<Outcome<>> RunRows::count_waiting(Sql& sql, std::int64_t change, std::uint64_t max) const {
  if (change == 0) co_return Outcome<>{};
  auto row = co_await sql.query(add_waiting, change);
  row.step();
  auto const count = row.count();
  if (max == 0 || count <= max) co_return Outcome<>{};
  auto failure = fail(FaultKind::overloaded, "store.enqueue", "too many runs wait");
  failure.limit = static_cast<std::uint32_t>(max);
  failure.current = static_cast<std::uint32_t>(count - static_cast<std::uint64_t>(change));
  co_return failure;
}

Task<std::optional<Time>> RunRows::take_back(Sql& sql, std::string const& automation_id) const {
  auto rows = co_await sql.query(take_back_early, automation_id);
  std::optional<Time> first;
  while (rows.step()) {
    auto const moment = rows.time();
    first = std::min(first.value_or(moment), moment);
  }
  co_await count_waiting(sql, -static_cast<std::int64_t>(rows.size()));
  co_return first;
}

Task<std::vector<bool>> RunRows::update(Sql& sql, std::vector<Change> const& changes) const {
  std::vector<Values> rows;
  rows.reserve(changes.size());
  for (auto const& change : changes) {
    auto& row = rows.emplace_back();
    row.reserve(members_count);
    append_changing(row, *change.run, change.to_version);
    append_each(row, Lent{change.run->id}, change.of_version);
  }
  co_return which_changed(co_await sql.execute_each(update_row, std::move(rows)));
}

std::optional<RunRow> RunRows::with_input(Rows rows) const {
  if (!rows.step()) return std::nullopt;
  auto run = row_of(rows);
  auto wish = opened_if_possible(sealer_, place_of_wish(run.id), rows.blob());
  run.is_unreadable = !wish;
  if (wish) run.wish_json = std::move(*wish);
  run.event_payload_json = text_or_empty(rows);
  return run;
}

Task<std::optional<RunRow>> RunRows::find(Sql& sql, std::string const& id) const {
  co_return with_input(co_await sql.query(select_one, id));
}

Task<std::optional<RunRow>> RunRows::find_same(Sql& sql, RunRow const& run) const {
  co_return with_input(
      co_await sql.query(select_same, run.dedupe_key, run.automation_id, run.tenant.user_id, run.tenant.org_id));
}

Task<std::vector<std::optional<RunRow>>> RunRows::find_each_for_judgement(Sql& sql,
                                                                          std::vector<std::string> const& ids) const {
  return find_each(sql, select_for_judgement, ids);
}

Task<std::vector<std::optional<RunRow>>> RunRows::find_each(Sql& sql, std::vector<std::string> const& ids) const {
  return find_each(sql, select_one, ids);
}

Task<std::vector<std::optional<RunRow>>> RunRows::find_each(Sql& sql, std::string_view statement,
                                                            std::vector<std::string> const& ids) const {
  std::vector<Values> questions;
  questions.reserve(ids.size());
  for (auto const& id : ids) questions.push_back(values(id));
  auto answers = co_await sql.execute_each(statement, std::move(questions));
  std::vector<std::optional<RunRow>> found;
  found.reserve(answers.size());
  for (auto& answer : answers) found.push_back(with_input(std::move(answer)));
  co_return found;
}

Task<std::vector<WaitingRun>> RunRows::waiting_since(Sql& sql, std::uint64_t version, std::size_t limit) const {
  auto rows = co_await sql.query(select_waiting, version, limit);
  std::vector<WaitingRun> waiting;
  waiting.reserve(rows.size());
  while (rows.step()) {
    WaitingRun run;
    run.id = rows.text();
    run.automation_id = rows.text();
    run.user_id = rows.text();
    run.target = rows.text();
    run.priority = static_cast<std::int32_t>(rows.integer());
    run.concurrent_max = static_cast<std::uint32_t>(rows.integer());
    run.created_at = rows.time();
    run.not_before = rows.optional_time();
    run.version = rows.count();
    waiting.push_back(std::move(run));
  }
  co_return waiting;
}

Task<RowPage<RunRow>> RunRows::list(Sql& sql, RunFilter const& filter, PageOf page) const {
  auto const& statements = statements_for(filter);
  auto parameters = parameters_of(filter);
  RowPage<RunRow> out;
  out.total = co_await count_of(sql, statements.count, parameters);
  append(parameters, values(page.limit, page.offset));
  auto rows = co_await sql.execute(statements.page, std::move(parameters));
  out.rows.reserve(rows.size());
  while (rows.step()) out.rows.push_back(row_of(rows));
  co_return out;
}

Task<std::map<RunStatus, std::uint64_t>> RunRows::count(Sql& sql, RunFilter const& filter) const {
  auto rows = co_await sql.execute(statements_for(filter).by_status, parameters_of(filter));
  std::map<RunStatus, std::uint64_t> counts;
  while (rows.step()) {
    auto const status = known(parse_run_status(rows.text()), filter.automation_id);
    counts.emplace(status, rows.count());
  }
  co_return counts;
}

Task<std::uint64_t> RunRows::purge(Sql& sql, Time before, std::size_t limit) const {
  auto rows = co_await sql.query(select_purged, before, limit);
  std::vector<Values> ids;
  while (rows.step()) ids.push_back(values(rows.text()));
  for (auto const statement : purges) co_await sql.execute_each(statement, ids);
  co_return ids.size();
}

}  // namespace nestgate::store
