#include "automation_rows.hpp"

#include <algorithm>

#include "counters.hpp"

namespace nestgate::store {
namespace {

// What an automation is made with.
constexpr std::string_view made_with = "id, user_id, org_id, created_at";
// What `replace` writes, in the order of members_of.
constexpr std::string_view members =
    "owner, organisation, name, model, prompt, setup_script_path, preset_metadata_json, template_id, trigger_json, "
    "trigger_kind, event_source, tarball_path, entrypoint, timeout_s, keep_alive, enabled, disabled_reason, "
    "disabled_detail, disabled_at, additions_json, policy_json, target_by_admin, callback, failures_in_row, deleted_at, "
    "updated_at, version";
std::string const columns = std::string(made_with).append(", ").append(members);

std::string const insert_row = "INSERT INTO automation (" + columns + ") VALUES (" + placeholders(columns) + ")";
constexpr std::string_view insert_schedule =
    "INSERT INTO automation_schedule (automation_id, next_at, last_triggered_at) VALUES (?1, ?2, ?3)";
std::string const update_row = "UPDATE automation SET " + assignments(members) +
                               " WHERE id = " + placeholder_behind(members, 1) +
                               " AND version = " + placeholder_behind(members, 2);
// Whether what its runs are made of stays, too.
constexpr std::string_view select_same_schedule =
    "SELECT CASE WHEN policy_json = ?4 AND owner = ?5 AND organisation = ?6 THEN 1 ELSE 0 END FROM automation WHERE id = ?1 "
    "AND version = ?2 AND enabled = 1 AND trigger_json = ?3";
constexpr std::string_view plan_row = "UPDATE automation_schedule SET next_at = ?2 WHERE automation_id = ?1";
constexpr std::string_view note_last_triggered =
    "UPDATE automation_schedule SET last_triggered_at = (SELECT max(created_at) FROM automation_run WHERE automation_id = "
    "?1) WHERE automation_id = ?1";
std::string const joined = "FROM automation JOIN automation_schedule ON automation_id = id ";
std::string const select_rows = "SELECT " + columns + ", last_triggered_at, next_at " + joined;
std::string const select_one = select_rows + "WHERE id = ?1";
std::string const select_template =
    select_rows +
    "WHERE user_id = ?1 AND org_id = ?2 AND template_id = ?3 AND deleted_at IS NULL ORDER BY created_at, id LIMIT 1";
std::string const select_page = select_rows +
                                "WHERE user_id = ?1 AND org_id = ?2 AND deleted_at IS NULL ORDER BY created_at DESC, id "
                                "DESC LIMIT ?3 OFFSET ?4";
constexpr std::string_view count_page =
    "SELECT count(*) FROM automation WHERE user_id = ?1 AND org_id = ?2 AND deleted_at IS NULL";
std::string const select_listening =
    select_rows + "WHERE event_source = ?2 AND org_id = ?1 AND enabled = 1 AND deleted_at IS NULL ORDER BY created_at, id";
constexpr std::string_view select_triggers =
    "SELECT trigger_json FROM automation WHERE event_source = ?1 AND enabled = 1 AND deleted_at IS NULL";

std::string const select_plans =
    "SELECT id, user_id, org_id, owner, organisation, enabled, trigger_kind, deleted_at, trigger_json, policy_json, "
    "next_at, version " +
    joined + "WHERE version > ?1 ";
std::string const order_of_plans = "ORDER BY version LIMIT ?2";
std::string const select_all_plans =
    select_plans + "AND enabled = 1 AND deleted_at IS NULL AND trigger_kind = 'cron' " + order_of_plans;
std::string const select_changed_plans = select_plans + order_of_plans;

constexpr std::string_view disable_row =
    "UPDATE automation SET enabled = 0, disabled_reason = ?2, disabled_detail = ?3, disabled_at = nestgate_now(), "
    "updated_at = nestgate_now(), version = ?4 WHERE id = ?1 AND enabled = 1";
constexpr std::string_view add_failures =
    "UPDATE automation SET failures_in_row = failures_in_row * ?2 + ?3, version = ?4 WHERE id = ?1";
constexpr std::string_view select_purged =
    "SELECT id FROM automation WHERE deleted_at < ?1 AND NOT EXISTS (SELECT 1 FROM automation_run WHERE automation_id = "
    "automation.id) ORDER BY deleted_at LIMIT ?2";
constexpr std::string_view purges[] = {
    "DELETE FROM automation_kv WHERE automation_id = ?1",
    "DELETE FROM automation_schedule WHERE automation_id = ?1",
    "DELETE FROM automation WHERE id = ?1",
};

// One that does not fire has no next moment, and so nobody fires it who has not heard of that yet.
bool fires(AutomationRow const& row) { return row.enabled && !row.deleted_at; }

Place place_of_callback(std::string const& id) { return {"automation", "callback", id}; }

std::vector<Values> each_alone(std::vector<std::string> const& ids) {
  std::vector<Values> out;
  out.reserve(ids.size());
  for (auto const& id : ids) out.push_back(values(id));
  return out;
}

void keep_distinct(std::vector<std::string>& ids) {
  std::ranges::sort(ids);
  auto const rest = std::ranges::unique(ids);
  ids.erase(rest.begin(), rest.end());
}

}  // namespace

Task<AutomationStore::Created> AutomationRows::create(Sql& sql, AutomationRow const& row) const {
  auto const version = co_await note_change(sql, automation_versions);
  AutomationStore::Created created;
  if (!row.template_id.empty()) {
    auto known = co_await find_template(sql, row.tenant, row.template_id);
    if (known) {
      created.row = std::move(*known);
      created.is_new = false;
      co_return created;
    }
  }
  auto const now = co_await store_now(sql);
  created.row = row.clone();
  created.row.version = version;
  if (row.created_at == Time{}) created.row.created_at = now;
  if (row.updated_at == Time{}) created.row.updated_at = created.row.created_at;
  auto parameters = values(row.id, row.tenant.user_id, row.tenant.org_id, created.row.created_at);
  append(parameters, members_of(created.row));
  co_await sql.execute(insert_row, std::move(parameters));
  co_await sql.query(insert_schedule, row.id, row.next_at, row.last_triggered_at);
  co_return created;
}

Task<std::optional<AutomationRow>> AutomationRows::find_template(Sql& sql, Tenant const& tenant,
                                                                 std::string const& template_id) const {
  co_return first_of(co_await sql.query(select_template, tenant.user_id, tenant.org_id, template_id));
}

Task<std::optional<AutomationRow>> AutomationRows::find(Sql& sql, std::string const& id) const {
  co_return first_of(co_await sql.query(select_one, id));
}

Task<std::map<std::string, AutomationRow>> AutomationRows::find_each(Sql& sql, std::vector<std::string> ids) const {
  keep_distinct(ids);
  std::map<std::string, AutomationRow> found;
  auto answers = co_await sql.execute_each(select_one, each_alone(ids));
  for (auto& answer : answers)
    if (answer.step()) {
      auto row = row_of(answer, Callback::left_sealed);
      found.emplace(row.id, std::move(row));
    }
  co_return found;
}

Task<RowPage<AutomationRow>> AutomationRows::list(Sql& sql, Tenant const& tenant, PageOf page) const {
  RowPage<AutomationRow> out;
  out.total = co_await count_of(sql, count_page, values(tenant.user_id, tenant.org_id));
  out.rows = all_of(co_await sql.query(select_page, tenant.user_id, tenant.org_id, page.limit, page.offset));
  co_return out;
}

// A schedule that stays as it is keeps its next moment: it may have fired since the row was read.
Task<std::optional<AutomationRow>> AutomationRows::replace(Sql& sql, AutomationRow const& row) const {
  auto wanted = row.clone();
  co_await count_up(sql, run_versions);  // nobody fires meanwhile
  wanted.version = co_await note_change(sql, automation_versions);
  wanted.updated_at = co_await store_now(sql);
  auto same = co_await sql.query(select_same_schedule, row.id, row.version, row.trigger_json, row.policy_json, row.owner,
                                 row.organisation);
  bool const keeps_schedule = fires(row) && same.step();
  bool const keeps_runs = keeps_schedule && same.flag();
  auto parameters = members_of(wanted);
  append(parameters, values(row.id, row.version));
  auto const written = co_await sql.execute(update_row, std::move(parameters));
  if (written.changed() == 0) co_return std::nullopt;
  std::optional<Time> taken_back;
  if (!keeps_runs) taken_back = co_await take_back_runs(sql, row.id);
  if (keeps_schedule) wanted.next_at = taken_back;
  if (!fires(row)) wanted.next_at.reset();
  if (!keeps_schedule || taken_back) co_await sql.query(plan_row, row.id, wanted.next_at);
  co_return co_await find(sql, row.id);
}

Task<std::optional<Time>> AutomationRows::take_back_runs(Sql& sql, std::string const& id) const {
  auto const first = co_await runs_.take_back(sql, id);
  if (first) co_await sql.query(note_last_triggered, id);
  co_return first;
}

Task<std::vector<AutomationStore::Planned>> AutomationRows::plans_since(Sql& sql, std::uint64_t version,
                                                                        std::size_t limit) const {
  std::string_view const statement = version == 0 ? select_all_plans : select_changed_plans;
  auto rows = co_await sql.query(statement, version, limit);
  std::vector<AutomationStore::Planned> plans;
  plans.reserve(rows.size());
  while (rows.step()) {
    AutomationStore::Planned plan;
    plan.id = rows.text();
    plan.tenant.user_id = rows.text();
    plan.tenant.org_id = rows.text();
    plan.owner = rows.text();
    plan.organisation = rows.text();
    bool const is_enabled = rows.flag();
    bool const is_cron = rows.text() == "cron";
    bool const is_deleted = rows.optional_time().has_value();
    plan.is_live = is_enabled && is_cron && !is_deleted;
    plan.trigger_json = rows.text();
    plan.policy_json = rows.text();
    plan.next_at = rows.optional_time();
    plan.version = rows.count();
    plans.push_back(std::move(plan));
  }
  co_return plans;
}

Task<std::vector<AutomationRow>> AutomationRows::listening(Sql& sql, std::string const& org_id,
                                                           std::string const& source) const {
  co_return all_of(co_await sql.query(select_listening, org_id, source), Callback::left_sealed);
}

Task<std::vector<std::string>> AutomationRows::triggers_of(Sql& sql, std::string const& source) const {
  auto rows = co_await sql.query(select_triggers, source);
  std::vector<std::string> triggers;
  while (rows.step()) triggers.push_back(rows.text());
  co_return triggers;
}

Task<> AutomationRows::disable(Sql& sql, std::string const& id, std::string const& reason, std::string const& detail) const {
  co_await count_up(sql, run_versions);
  auto const version = co_await note_change(sql, automation_versions);
  auto const disabled = co_await sql.query(disable_row, id, reason, detail, version);
  if (disabled.changed() == 0) co_return;
  co_await take_back_runs(sql, id);
  co_await sql.query(plan_row, id, std::optional<Time>());
}

Task<std::optional<Secret>> AutomationRows::callback(Sql& sql, std::string const& id) const {
  auto row = co_await sql.query("SELECT callback FROM automation WHERE id = ?1", id);
  if (!row.step()) co_return Secret();
  co_return opened_if_possible(sealer_, place_of_callback(id), row.blob());
}

// Most runs go well, of automations whose runs did before: then nothing is written.
Task<> AutomationRows::count_failures(Sql& sql, std::map<std::string, FailureCount> const& counts) const {
  std::vector<Values> questions;
  questions.reserve(counts.size());
  for (auto const& [id, count] : counts) questions.push_back(values(id));
  auto answers = co_await sql.execute_each("SELECT failures_in_row FROM automation WHERE id = ?1", std::move(questions));
  std::vector<Values> changes;
  auto answer = answers.begin();
  for (auto const& [id, count] : counts) {
    auto& row = *answer++;
    if (!row.step() || (count.more == 0 && row.integer() == 0)) continue;
    changes.push_back(values(id, !count.begins_anew, count.more));
  }
  if (changes.empty()) co_return;
  auto version = co_await count_up(sql, automation_versions, changes.size());
  for (auto& change : changes) change.push_back(Sql::as_value(version++));
  co_await sql.execute_each(add_failures, std::move(changes));
}

Task<> AutomationRows::note_triggered(Sql& sql, std::vector<std::string> ids) const {
  keep_distinct(ids);
  co_await sql.execute_each("UPDATE automation_schedule SET last_triggered_at = nestgate_now() WHERE automation_id = ?1",
                            each_alone(ids));
}

Task<std::uint64_t> AutomationRows::purge(Sql& sql, Time before, std::size_t limit) const {
  auto rows = co_await sql.query(select_purged, before, limit);
  std::vector<std::string> ids;
  while (rows.step()) ids.push_back(rows.text());
  for (auto const statement : purges) co_await sql.execute_each(statement, each_alone(ids));
  co_return ids.size();
}

Values AutomationRows::members_of(AutomationRow const& row) const {
  return values(row.owner, row.organisation, row.name, row.model, row.prompt, row.setup_script_path,
                row.preset_metadata_json, unless_empty(row.template_id), row.trigger_json, row.trigger_kind,
                unless_empty(row.event_source), row.tarball_path, row.entrypoint, row.timeout_s, row.keep_alive, row.enabled,
                row.disabled_reason, row.disabled_detail, row.disabled_at, row.additions_json, row.policy_json,
                row.target_by_admin, sealed_unless_empty(sealer_, place_of_callback(row.id), row.callback_json),
                row.failures_in_row, row.deleted_at, row.updated_at, row.version);
}

AutomationRow AutomationRows::row_of(Rows& rows, Callback callback) const {
  AutomationRow row;
  row.id = rows.text();
  row.tenant.user_id = rows.text();
  row.tenant.org_id = rows.text();
  row.created_at = rows.time();
  row.owner = rows.text();
  row.organisation = rows.text();
  row.name = rows.text();
  row.model = rows.optional_text();
  row.prompt = rows.optional_text();
  row.setup_script_path = rows.optional_text();
  row.preset_metadata_json = rows.text();
  row.template_id = text_or_empty(rows);
  row.trigger_json = rows.text();
  row.trigger_kind = rows.text();
  row.event_source = text_or_empty(rows);
  row.tarball_path = rows.text();
  row.entrypoint = rows.text();
  row.timeout_s = rows.optional_integer();
  if (auto const keep_alive = rows.optional_integer()) row.keep_alive = *keep_alive != 0;
  row.enabled = rows.flag();
  row.disabled_reason = rows.text();
  row.disabled_detail = rows.text();
  row.disabled_at = rows.optional_time();
  row.additions_json = rows.text();
  row.policy_json = rows.text();
  row.target_by_admin = rows.flag();
  auto const sealed = rows.blob();
  if (callback == Callback::opened) row.callback_json = opened_or_empty(sealer_, place_of_callback(row.id), sealed);
  row.failures_in_row = static_cast<std::uint32_t>(rows.integer());
  row.deleted_at = rows.optional_time();
  row.updated_at = rows.time();
  row.version = rows.count();
  row.last_triggered_at = rows.optional_time();
  row.next_at = rows.optional_time();
  return row;
}

std::vector<AutomationRow> AutomationRows::all_of(Rows rows, Callback callback) const {
  std::vector<AutomationRow> all;
  all.reserve(rows.size());
  while (rows.step()) all.push_back(row_of(rows, callback));
  return all;
}

std::optional<AutomationRow> AutomationRows::first_of(Rows rows) const {
  if (!rows.step()) return std::nullopt;
  return row_of(rows);
}

}  // namespace nestgate::store
