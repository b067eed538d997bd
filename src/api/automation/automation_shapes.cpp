#include "automation_shapes.hpp"

#include "api/masked.hpp"
#include "api/shapes.hpp"
#include "automation_body.hpp"
#include "json_members.hpp"
#include "nestgate/automation/caller.hpp"
#include "nestgate/automation/completion.hpp"
#include "nestgate/codec/json_writer.hpp"

namespace nestgate::api {
namespace {

using codec::JsonWriter;

void write_time_or_null(JsonWriter& w, std::string_view name, std::optional<store::Time> const& time) {
  w.member(name, time ? std::optional<std::string>(format_time(*time)) : std::nullopt);
}

template <class T>
void write_value_or_null(JsonWriter& w, std::string_view name, std::optional<T> const& value) {
  w.key(name);
  if (value) {
    w.value(*value);
  } else {
    w.null();
  }
}

void write_policy(JsonWriter& w, store::AutomationRow const& row) {
  automation::Policy const plain;
  auto const policy = automation::parse_policy(row.policy_json);
  if (policy.target) w.member("target", automation::to_string(*policy.target));
  if (policy.priority != plain.priority) w.member("priority", policy.priority);
  if (policy.concurrent_max != plain.concurrent_max) w.member("max_concurrent_runs", policy.concurrent_max);
  if (policy.attempts_max != plain.attempts_max || policy.retry_pause != plain.retry_pause) {
    w.key("retry").begin_object().member("max_attempts", policy.attempts_max);
    w.member("pause_seconds", policy.retry_pause.count()).end_object();
  }
  if (row.callback_json.empty()) return;
  auto const callback = automation::parse_plain_callback(row.callback_json);
  w.member("callback_url", callback.url);
  if (!callback.bearer.empty()) w.member("callback_bearer", mask);
}

void write_automation(JsonWriter& w, store::AutomationRow const& row) {
  w.begin_object().member("id", row.id).member("user_id", row.tenant.user_id).member("org_id", row.tenant.org_id);
  w.member("model", row.model);
  w.member("name", row.name);
  w.member("prompt", row.prompt);
  write_json_or_null(w, "preset_metadata", row.preset_metadata_json);
  w.key("trigger").raw(row.trigger_json);
  w.member("tarball_path", row.tarball_path);
  w.member("setup_script_path", row.setup_script_path);
  w.member("entrypoint", row.entrypoint);
  write_value_or_null(w, "timeout", row.timeout_s);
  write_value_or_null(w, "keep_alive", row.keep_alive);
  w.member("enabled", row.enabled);
  write_time_or_null(w, "last_triggered_at", row.last_triggered_at);
  w.member("created_at", format_time(row.created_at)).member("updated_at", format_time(row.updated_at));
  JsonMembers const later(row.additions_json);
  for (auto const name : {"agent_profile_id", "description", "observability_associations", "plugin_spec"})
    write_json_or_null(w, name, later.find(name));
  write_time_or_null(w, "disabled_at", row.disabled_at);
  w.text_or_null("disabled_detail", row.disabled_detail);
  w.text_or_null("disabled_reason", row.disabled_reason);
  w.member("state", row.enabled ? "ACTIVE" : "INACTIVE");
  write_time_or_null(w, "next_fire_at", row.enabled ? row.next_at : std::nullopt);
  write_policy(w, row);
  w.end_object();
}

void write_run(JsonWriter& w, store::RunRow const& run, Tails tails) {
  w.begin_object().member("id", run.id);
  w.text_or_null("automation_id", run.automation_id);
  w.member("status", to_string(run.status));
  w.text_or_null("error_detail", run.error_detail);
  write_json_or_null(w, "status_detail", run.status_detail_json);
  w.text_or_null("conversation_id", run.conversation_id);
  write_value_or_null(w, "cost", run.cost);
  write_time_or_null(w, "timeout_at", run.timeout_at);
  // The one local user has one server for all, which is no sandbox (automation.md 5.2).
  bool const is_local = run.tenant == automation::local_caller().tenant && !run.runtime_is_own;
  w.text_or_null("sandbox_id", is_local ? std::string() : run.sandbox_id);
  w.text_or_null("bash_command_id", run.bash_command_id);
  w.member("created_at", format_time(run.created_at));
  write_time_or_null(w, "started_at", run.started_at);
  write_time_or_null(w, "completed_at", run.completed_at);
  JsonMembers const later(run.additions_json);
  for (auto const name : {"current_phase", "observability_associations", "resolved_runtime", "run_metadata"})
    write_json_or_null(w, name, later.find(name));
  w.text_or_null("trigger_source", run.trigger_source);
  for (auto const name : {"blocking_factor", "task_outcome"}) {
    if (auto const json = later.find(name); !json.empty()) w.key(name).raw(json);
  }
  write_time_or_null(w, "scheduled_for", run.scheduled_for);
  write_value_or_null(w, "exit_code", run.exit_code);
  w.member("attempt", run.attempt).member("max_attempts", run.attempts_max);
  w.key("attempts").raw(run.attempts_json.empty() ? "[]" : run.attempts_json);
  if (run.not_before && run.status == store::RunStatus::pending) w.member("not_before", format_time(*run.not_before));
  if (tails == Tails::shown) w.member("stdout_tail", run.output_tail).member("stderr_tail", run.error_tail);
  w.end_object();
}

void write_upload(JsonWriter& w, store::UploadRow const& row) {
  w.begin_object().member("id", row.id).member("user_id", row.tenant.user_id).member("org_id", row.tenant.org_id);
  w.member("name", row.name);
  w.member("description", row.description);
  w.member("status", row.status);
  w.text_or_null("error_message", row.error_message);
  write_value_or_null(w, "size_bytes", row.size_bytes);
  w.text_or_null("tarball_path", row.status == "COMPLETED" ? tarball_path_of(row.id) : std::string());
  w.member("created_at", format_time(row.created_at)).member("updated_at", format_time(row.updated_at)).end_object();
}

void write_delivery(JsonWriter& w, DeliveryShape const& shown) {
  auto const& delivery = shown.delivery;
  w.begin_object().member("id", delivery.id).member("run_id", delivery.run_id);
  w.text_or_null("endpoint_id", delivery.endpoint_id);
  w.member("state", to_string(delivery.state)).member("created_at", format_time(delivery.created_at));
  bool const waits = delivery.state == store::DeliveryState::waiting;
  write_time_or_null(w, "next_attempt_at", waits ? std::optional(delivery.next_at) : std::nullopt);
  write_time_or_null(w, "ended_at", delivery.ended_at);
  w.key("attempts").begin_array();
  for (auto const& attempt : shown.attempts) {
    w.begin_object().member("number", attempt.number).member("at", format_time(attempt.at));
    w.member("duration_ms", attempt.duration_ms).key("status_code");
    if (attempt.status_code != 0) {
      w.value(attempt.status_code);
    } else {
      w.null();
    }
    w.text_or_null("error", attempt.error);
    w.end_object();
  }
  w.end_array().end_object();
}

void write_endpoint(JsonWriter& w, store::EndpointRow const& row, std::string_view secret) {
  w.begin_object().member("id", row.id).member("user_id", row.tenant.user_id).member("org_id", row.tenant.org_id);
  w.text_or_null("automation_id", row.automation_id);
  w.member("url", row.url).member("enabled", row.enabled);
  w.text_or_null("disabled_reason", row.disabled_reason);
  write_time_or_null(w, "failing_since", row.failing_since);
  w.member("secrets", row.secrets.size());
  w.member("created_at", format_time(row.created_at)).member("updated_at", format_time(row.updated_at));
  if (!secret.empty()) w.member("secret", secret);
  w.end_object();
}

// {"NAME":[…],"total":N}
template <class Row, class Write>
std::string page_json(std::string_view name, store::RowPage<Row> const& page, Write const& write) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().key(name).begin_array();
  for (auto const& row : page.rows) write(w, row);
  w.end_array().member("total", page.total).end_object();
  return out;
}

}  // namespace

std::string automation_json(store::AutomationRow const& row) {
  std::string out;
  JsonWriter w(out);
  write_automation(w, row);
  return out;
}

std::string automations_json(store::RowPage<store::AutomationRow> const& page) {
  return page_json("automations", page, write_automation);
}

std::string run_json(store::RunRow const& run, Tails tails) {
  std::string out;
  JsonWriter w(out);
  write_run(w, run, tails);
  return out;
}

std::string runs_json(store::RowPage<store::RunRow> const& page, std::map<store::RunStatus, std::uint64_t> const& counts) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().key("runs").begin_array();
  for (auto const& run : page.rows) write_run(w, run, Tails::left_out);
  w.end_array().member("total", page.total).key("status_counts").begin_object();
  for (auto const& [status, count] : counts) w.member(to_string(status), count);
  w.end_object().end_object();
  return out;
}

std::string upload_json(store::UploadRow const& row) {
  std::string out;
  JsonWriter w(out);
  write_upload(w, row);
  return out;
}

std::string uploads_json(store::RowPage<store::UploadRow> const& page) { return page_json("uploads", page, write_upload); }

std::string skipped_json(store::RowPage<store::SkippedRow> const& page) {
  return page_json("skipped", page, [](JsonWriter& w, store::SkippedRow const& row) {
    w.begin_object().member("reason", row.reason);
    w.text_or_null("detail", row.detail);
    w.member("first", format_time(row.first)).member("last", format_time(row.last)).member("count", row.count);
    w.member("at", format_time(row.at)).end_object();
  });
}

std::string moments_json(std::vector<store::Time> const& moments) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().key("next_fire_times").begin_array();
  for (auto const moment : moments) w.value(format_time(moment));
  w.end_array().end_object();
  return out;
}

std::string delivery_json(DeliveryShape const& delivery) {
  std::string out;
  JsonWriter w(out);
  write_delivery(w, delivery);
  return out;
}

std::string deliveries_json(std::vector<DeliveryShape> const& deliveries, std::uint64_t total) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().key("deliveries").begin_array();
  for (auto const& one : deliveries) write_delivery(w, one);
  w.end_array().member("total", total).end_object();
  return out;
}

std::string endpoint_json(store::EndpointRow const& row, std::string_view secret) {
  std::string out;
  JsonWriter w(out);
  write_endpoint(w, row, secret);
  return out;
}

std::string endpoints_json(store::RowPage<store::EndpointRow> const& page) {
  return page_json("endpoints", page, [](JsonWriter& w, store::EndpointRow const& row) { write_endpoint(w, row, {}); });
}

std::string output_json(store::RunRow const& run) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().member("run_id", run.id).member("status", to_string(run.status));
  write_value_or_null(w, "exit_code", run.exit_code);
  w.member("stdout", run.output_tail).member("stderr", run.error_tail).end_object();
  return out;
}

}  // namespace nestgate::api
