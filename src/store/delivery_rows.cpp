#include "delivery_rows.hpp"

#include <algorithm>
#include <charconv>
#include <tuple>

#include "nestgate/upstream/random.hpp"

namespace nestgate::store {
namespace {

using upstream::fail;
using DeliveryResult = AutomationStore::DeliveryResult;
using DueDelivery = AutomationStore::DueDelivery;

constexpr std::size_t id_bytes = 16;  // of randomness

constexpr std::string_view endpoint_columns =
    "id, user_id, org_id, created_at, automation_id, url, secrets, enabled, disabled_reason, failing_since, updated_at";
std::string const put_endpoint_row =
    "INSERT INTO endpoint (" + std::string(endpoint_columns) + ") VALUES (" + placeholders(endpoint_columns) +
    ") ON CONFLICT (id) DO UPDATE SET automation_id = excluded.automation_id, url = excluded.url, secrets = "
    "excluded.secrets, "
    "enabled = excluded.enabled, disabled_reason = excluded.disabled_reason, failing_since = excluded.failing_since, "
    "updated_at = excluded.updated_at";
// Of one that was read.
constexpr std::string_view replace_endpoint_row =
    "UPDATE endpoint SET automation_id = ?2, url = ?3, secrets = ?4, enabled = ?5, disabled_reason = ?6, failing_since = "
    "?7, "
    "updated_at = ?8 WHERE id = ?1 AND updated_at = ?9";
std::string const select_endpoints = "SELECT " + std::string(endpoint_columns) + " FROM endpoint ";
std::string const select_endpoint = select_endpoints + "WHERE id = ?1";
std::string const select_endpoint_page =
    select_endpoints + "WHERE user_id = ?1 AND org_id = ?2 ORDER BY created_at DESC, id DESC LIMIT ?3 OFFSET ?4";
constexpr std::string_view select_listeners =
    "SELECT id FROM endpoint WHERE user_id = ?1 AND org_id = ?2 AND enabled = 1 AND (automation_id = '' OR automation_id = "
    "?3) ORDER BY created_at, id";
constexpr std::string_view note_success =
    "UPDATE endpoint SET failing_since = NULL WHERE id = ?1 AND failing_since IS NOT NULL";
constexpr std::string_view note_failure = "UPDATE endpoint SET failing_since = ?2 WHERE id = ?1 AND failing_since IS NULL";
constexpr std::string_view switch_off =
    "UPDATE endpoint SET enabled = 0, disabled_reason = ?2, updated_at = nestgate_now() WHERE id = ?1 AND enabled = 1";

constexpr std::string_view delivery_columns =
    "id, run_id, user_id, org_id, endpoint_id, callback, payload, state, attempts, next_at, created_at, ended_at, fence";
constexpr std::string_view insert_delivery =
    "INSERT INTO delivery (id, run_id, user_id, org_id, endpoint_id, callback, payload, state, attempts, next_at, "
    "created_at, fence) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'waiting', 0, nestgate_now(), nestgate_now(), 0)";
// A server may run a plain sub-select again, and lock other rows then.
std::string const claim_due =
    "WITH due AS MATERIALIZED (SELECT id FROM delivery WHERE state = 'waiting' AND next_at <= (SELECT nestgate_now()) ORDER "
    "BY next_at LIMIT ?2 /*skip locked*/) UPDATE delivery SET next_at = nestgate_now() + CAST(?1 AS BIGINT), fence = fence "
    "+ 1, holder = ?3 WHERE id IN (SELECT id FROM due) RETURNING " +
    std::string(delivery_columns);
// As of runs: dead is who is not there, too.
constexpr std::string_view free_forsaken =
    "WITH forsaken AS MATERIALIZED (SELECT id FROM delivery WHERE state = 'waiting' AND holder > '' AND holder <> ?1 AND "
    "NOT EXISTS (SELECT 1 FROM gateway WHERE name = holder AND alive_until > nestgate_now()) /*skip locked*/) UPDATE "
    "delivery SET next_at = nestgate_now(), holder = '' WHERE id IN (SELECT id FROM forsaken)";
std::string const select_deliveries = "SELECT " + std::string(delivery_columns) + " FROM delivery ";
std::string const select_delivery_page =
    select_deliveries + "WHERE run_id = ?1 ORDER BY created_at DESC, id DESC LIMIT ?2 OFFSET ?3";
std::string const resend_one =
    "UPDATE delivery SET state = 'waiting', next_at = nestgate_now(), ended_at = NULL, fence = fence + 1, holder = '' WHERE "
    "id = ?1 AND "
    "run_id = ?2 RETURNING " +
    std::string(delivery_columns);

// Whoever notes an attempt holds the delivery meanwhile: attempts are numbered here.
constexpr std::string_view lock_delivery = "SELECT 1 FROM delivery WHERE id = ?1 /*for update*/";
constexpr std::string_view insert_attempt =
    "INSERT INTO delivery_attempt (delivery_id, number, began_at, duration_ms, status_code, error) SELECT ?1, "
    "coalesce(max(number), 0) + 1, CAST(?2 AS BIGINT), CAST(?3 AS BIGINT), CAST(?4 AS BIGINT), CAST(?5 AS TEXT) FROM "
    "delivery_attempt WHERE delivery_id = ?1";
constexpr std::string_view record_result =
    "UPDATE delivery SET state = ?3, next_at = ?4, holder = '', attempts = (SELECT max(number) FROM delivery_attempt WHERE "
    "delivery_id = "
    "?1), ended_at = CASE WHEN ?3 = 'waiting' THEN NULL ELSE nestgate_now() END WHERE id = ?1 AND fence = ?2";
constexpr std::string_view select_attempts =
    "SELECT delivery_id, number, began_at, duration_ms, status_code, error FROM delivery_attempt WHERE delivery_id = ?1 "
    "ORDER BY number";

std::string new_id() { return "msg_" + upstream::random_hex(id_bytes); }

Place place_of_secrets(std::string const& id) { return {"endpoint", "secrets", id}; }
Place place_of_callback(std::string const& id) { return {"delivery", "callback", id}; }

// "5:first6:second"
Secret packed(std::vector<Secret> const& secrets) {
  std::string out;
  for (auto const& secret : secrets) out.append(std::to_string(secret.size())).append(":").append(secret.reveal());
  return Secret(std::move(out));
}

std::vector<Secret> unpacked(Secret const& all, std::string const& id) {
  std::vector<Secret> secrets;
  auto rest = all.reveal();
  while (!rest.empty()) {
    std::size_t size = 0;
    auto const [end, fault] = std::from_chars(rest.data(), rest.data() + rest.size(), size);
    auto const head = static_cast<std::size_t>(end - rest.data()) + 1;
    if (fault != std::errc() || head > rest.size() || size > rest.size() - head)
      give_up("endpoint " + id + ": its secrets are none");
    secrets.emplace_back(std::string(rest.substr(head, size)));
    rest.remove_prefix(head + size);
  }
  return secrets;
}

// What asks for the same listeners.
using Audience = std::tuple<std::string, std::string, std::string>;
Audience audience_of(RunRow const& run) { return {run.tenant.user_id, run.tenant.org_id, run.automation_id}; }

Task<std::map<Audience, std::vector<std::string>>> find_listeners(Sql& sql, std::vector<DeliveryRows::End> const& ends) {
  std::map<Audience, std::vector<std::string>> listeners;
  for (auto const& end : ends) listeners.try_emplace(audience_of(end.decision->run));
  std::vector<Values> questions;
  questions.reserve(listeners.size());
  for (auto const& [audience, ids] : listeners)
    questions.push_back(values(std::get<0>(audience), std::get<1>(audience), std::get<2>(audience)));
  auto answers = co_await sql.execute_each(select_listeners, std::move(questions));
  auto answer = answers.begin();
  for (auto& [audience, ids] : listeners) {
    while (answer->step()) ids.push_back(answer->text());
    ++answer;
  }
  co_return listeners;
}

Task<> record_attempts(Sql& sql, std::vector<DeliveryResult> const& results) {
  std::multimap<std::string_view, DeliveryResult const*> ordered;
  std::vector<Values> locks, attempts, states;
  for (auto const& result : results) ordered.emplace(result.delivery_id, &result);
  for (auto const& [id, result] : ordered) locks.push_back(values(id));
  auto held = co_await sql.execute_each(lock_delivery, std::move(locks));
  auto next = held.begin();
  for (auto const& [id, result] : ordered) {
    auto const& attempt = result->attempt;
    auto& delivery = *next++;
    if (!delivery.step()) continue;  // its run was purged
    attempts.push_back(values(id, attempt.at, attempt.duration_ms, attempt.status_code, attempt.error));
    states.push_back(values(id, result->fence, to_string(result->state), result->next_at));
  }
  co_await sql.execute_each(insert_attempt, std::move(attempts));
  co_await sql.execute_each(record_result, std::move(states));
}

// The end of a delivery that there is nobody to post to.
DeliveryResult never_posted(std::string delivery_id) {
  DeliveryResult result;
  result.delivery_id = std::move(delivery_id);
  result.attempt.at = std::chrono::system_clock::now();
  result.attempt.error = "callback: its secret cannot be opened";
  result.state = DeliveryState::failed;
  result.next_at = result.attempt.at;
  return result;
}

// What an endpoint's attempts in their order come to.
struct EndpointCourse {
  bool has_worked = false;
  std::optional<Time> failing_since;  // the first failure behind the last success
  std::string_view end_reason;
};

Task<std::uint64_t> record_endpoints(Sql& sql, std::vector<DeliveryResult> const& results) {
  std::map<std::string_view, EndpointCourse> courses;
  for (auto const& result : results) {
    if (result.endpoint_id.empty()) continue;
    auto& course = courses[result.endpoint_id];
    if (result.attempt.error.empty()) {
      course.has_worked = true;
      course.failing_since.reset();
    } else if (!course.failing_since) {
      course.failing_since = result.attempt.at;
    }
    if (!result.disable_endpoint_reason.empty()) course.end_reason = result.disable_endpoint_reason;
  }
  std::vector<Values> working, failing, ended;
  for (auto const& [id, course] : courses) {
    if (course.has_worked) working.push_back(values(id));
    if (course.failing_since) failing.push_back(values(id, course.failing_since));
    if (!course.end_reason.empty()) ended.push_back(values(id, course.end_reason));
  }
  co_await sql.execute_each(note_success, std::move(working));
  co_await sql.execute_each(note_failure, std::move(failing));
  std::uint64_t switched_off = 0;
  auto const done = co_await sql.execute_each(switch_off, std::move(ended));
  for (auto const& one : done) switched_off += static_cast<std::uint64_t>(one.changed());
  co_return switched_off;
}

}  // namespace

Task<Outcome<>> DeliveryRows::put_endpoint(Sql& sql, EndpointRow const& endpoint) const {
  auto const now = co_await store_now(sql);
  if (endpoint.updated_at != Time{}) {
    auto const written =
        co_await sql.query(replace_endpoint_row, endpoint.id, endpoint.automation_id, endpoint.url, seal_secrets(endpoint),
                           endpoint.enabled, endpoint.disabled_reason, endpoint.failing_since, now, endpoint.updated_at);
    if (written.changed() != 0) co_return Outcome<>{};
    co_return fail(FaultKind::conflict, "store.put_endpoint", "the endpoint was changed or removed meanwhile");
  }
  auto const created_at = endpoint.created_at == Time{} ? now : endpoint.created_at;
  co_await sql.query(put_endpoint_row, endpoint.id, endpoint.tenant.user_id, endpoint.tenant.org_id, created_at,
                     endpoint.automation_id, endpoint.url, seal_secrets(endpoint), endpoint.enabled,
                     endpoint.disabled_reason, endpoint.failing_since, now);
  co_return Outcome<>{};
}

Task<std::optional<EndpointRow>> DeliveryRows::find_endpoint(Sql& sql, std::string const& id) const {
  auto rows = co_await sql.query(select_endpoint, id);
  if (!rows.step()) co_return std::nullopt;
  co_return endpoint_of(rows);
}

Task<RowPage<EndpointRow>> DeliveryRows::list_endpoints(Sql& sql, Tenant const& tenant, PageOf page) const {
  RowPage<EndpointRow> out;
  out.total = co_await count_of(sql, "SELECT count(*) FROM endpoint WHERE user_id = ?1 AND org_id = ?2",
                                values(tenant.user_id, tenant.org_id));
  auto rows = co_await sql.query(select_endpoint_page, tenant.user_id, tenant.org_id, page.limit, page.offset);
  while (rows.step()) out.rows.push_back(endpoint_of(rows));
  co_return out;
}

Task<> DeliveryRows::remove_endpoint(Sql& sql, std::string const& id) const {
  co_await sql.query("DELETE FROM endpoint WHERE id = ?1", id);
}

Task<> DeliveryRows::post(Sql& sql, std::vector<End> const& ends) const {
  auto const listeners = co_await find_listeners(sql, ends);
  auto const callbacks = co_await find_callbacks(sql, ends);
  std::vector<Values> rows;
  std::vector<DeliveryResult> unreadable;
  for (auto const& end : ends) {
    auto const& decision = *end.decision;
    auto const before = rows.size();
    for (auto const& id : listeners.at(audience_of(decision.run)))
      rows.push_back(new_delivery(decision, new_id(), id, decision.payload, Secret()));
    auto const its = callbacks.find(decision.run.automation_id);
    if (its != callbacks.end() && !its->second) {
      unreadable.push_back(never_posted(new_id()));
      rows.push_back(new_delivery(decision, unreadable.back().delivery_id, "", decision.plain_payload, Secret()));
    } else {
      auto const& callback = its == callbacks.end() ? decision.callback_json : *its->second;
      if (!callback.empty()) rows.push_back(new_delivery(decision, new_id(), "", decision.plain_payload, callback));
    }
    *end.told = rows.size() != before;
  }
  if (rows.empty()) co_return;
  co_await sql.execute_each(insert_delivery, std::move(rows));
  if (!unreadable.empty()) co_await record_attempts(sql, unreadable);
  co_await sql.notify();
}

Task<std::map<std::string, std::optional<Secret>>> DeliveryRows::find_callbacks(Sql& sql,
                                                                                std::vector<End> const& ends) const {
  std::map<std::string, std::optional<Secret>> callbacks;
  for (auto const& end : ends) {
    auto const& automation = end.decision->run.automation_id;
    if (automation.empty() || callbacks.contains(automation)) continue;
    auto callback = co_await automations_.callback(sql, automation);
    callbacks.emplace(automation, std::move(callback));
  }
  co_return callbacks;
}

Values DeliveryRows::new_delivery(RunDecision const& end, std::string const& id, std::string const& endpoint_id,
                                  std::string const& payload, Secret const& callback) const {
  return values(id, end.run.id, end.run.tenant.user_id, end.run.tenant.org_id, endpoint_id,
                sealed_unless_empty(sealer_, place_of_callback(id), callback), payload);
}

Task<std::vector<DueDelivery>> DeliveryRows::claim(Sql& sql, std::string const& gateway, std::chrono::milliseconds lease,
                                                   std::size_t limit) const {
  auto const for_time = std::chrono::duration_cast<Time::duration>(lease).count();
  auto rows = co_await sql.query(claim_due, for_time, limit, gateway);
  std::vector<DueDelivery> due;
  std::vector<Values> questions;
  while (rows.step()) due.push_back({delivery_of(rows), std::nullopt});
  std::ranges::sort(due, {}, [](DueDelivery const& one) { return std::tie(one.delivery.created_at, one.delivery.id); });
  questions.reserve(due.size());
  for (auto const& one : due) questions.push_back(values(one.delivery.endpoint_id));
  auto endpoints = co_await sql.execute_each(select_endpoint, std::move(questions));
  for (std::size_t i = 0; i < due.size(); ++i)
    if (endpoints[i].step()) due[i].endpoint = endpoint_of(endpoints[i], Unreadable::is_told);
  co_return due;
}

Task<std::uint64_t> DeliveryRows::free(Sql& sql, std::string const& gateway) const {
  auto freed = co_await sql.query(free_forsaken, gateway);
  co_return static_cast<std::uint64_t>(freed.changed());
}

Task<std::optional<Time>> DeliveryRows::next_at(Sql& sql) const {
  auto row = co_await sql.query("SELECT min(next_at) FROM delivery WHERE state = 'waiting'");
  row.step();
  co_return row.optional_time();
}

// In one order in all gateways, so that none waits for another in a circle.
Task<std::uint64_t> DeliveryRows::record(Sql& sql, std::vector<DeliveryResult> const& results) const {
  co_await record_attempts(sql, results);
  co_return co_await record_endpoints(sql, results);
}

Task<RowPage<DeliveryRow>> DeliveryRows::list(Sql& sql, std::string const& run_id, PageOf page) const {
  RowPage<DeliveryRow> out;
  out.total = co_await count_of(sql, "SELECT count(*) FROM delivery WHERE run_id = ?1", values(run_id));
  auto rows = co_await sql.query(select_delivery_page, run_id, page.limit, page.offset);
  while (rows.step()) out.rows.push_back(delivery_of(rows));
  co_return out;
}

Task<std::vector<DeliveryAttemptRow>> DeliveryRows::attempts(Sql& sql, std::string const& delivery_id) const {
  auto rows = co_await sql.query(select_attempts, delivery_id);
  std::vector<DeliveryAttemptRow> out;
  while (rows.step()) {
    DeliveryAttemptRow row;
    row.delivery_id = rows.text();
    row.number = static_cast<std::uint32_t>(rows.integer());
    row.at = rows.time();
    row.duration_ms = rows.integer();
    row.status_code = rows.integer();
    row.error = rows.text();
    out.push_back(std::move(row));
  }
  co_return out;
}

// The result of an attempt that is under way is noted, but no longer decides.
Task<Outcome<DeliveryRow>> DeliveryRows::resend(Sql& sql, std::string const& run_id, std::string const& delivery_id) const {
  auto rows = co_await sql.query(resend_one, delivery_id, run_id);
  if (!rows.step()) co_return fail(FaultKind::not_found, "store.resend", "the run has no delivery " + delivery_id);
  co_await sql.notify();
  co_return delivery_of(rows);
}

Blob DeliveryRows::seal_secrets(EndpointRow const& endpoint) const {
  return sealed_unless_empty(sealer_, place_of_secrets(endpoint.id), packed(endpoint.secrets));
}

EndpointRow DeliveryRows::endpoint_of(Rows& rows, Unreadable unreadable) const {
  EndpointRow row;
  row.id = rows.text();
  row.tenant.user_id = rows.text();
  row.tenant.org_id = rows.text();
  row.created_at = rows.time();
  row.automation_id = rows.text();
  row.url = rows.text();
  auto const sealed = rows.blob();
  auto secrets = unreadable == Unreadable::is_told ? opened_if_possible(sealer_, place_of_secrets(row.id), sealed)
                                                   : opened_or_empty(sealer_, place_of_secrets(row.id), sealed);
  row.is_unreadable = !secrets;
  if (secrets) row.secrets = unpacked(*secrets, row.id);
  row.enabled = rows.flag();
  row.disabled_reason = rows.text();
  row.failing_since = rows.optional_time();
  row.updated_at = rows.time();
  return row;
}

DeliveryRow DeliveryRows::delivery_of(Rows& rows) const {
  DeliveryRow row;
  row.id = rows.text();
  row.run_id = rows.text();
  row.tenant.user_id = rows.text();
  row.tenant.org_id = rows.text();
  row.endpoint_id = rows.text();
  auto callback = opened_if_possible(sealer_, place_of_callback(row.id), rows.blob());
  row.is_unreadable = !callback;
  if (callback) row.callback_json = std::move(*callback);
  row.payload = rows.text();
  auto const state = parse_delivery_state(rows.text());
  if (!state) give_up("delivery " + row.id + ": its state is none");
  row.state = *state;
  row.attempts = static_cast<std::uint32_t>(rows.integer());
  row.next_at = rows.time();
  row.created_at = rows.time();
  row.ended_at = rows.optional_time();
  row.fence = rows.count();
  return row;
}

}  // namespace nestgate::store
