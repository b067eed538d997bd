#include "run_environment.hpp"

#include "nestgate/codec/json_writer.hpp"
#include "nestgate/identity/jwt.hpp"
#include "nestgate/upstream/http_client.hpp"
#include "own_run.hpp"

namespace nestgate::automation {
namespace {

// Beside it other variables need room in an exec: half of what one variable may have.
constexpr std::size_t payload_bytes_max = 64 * 1024;

std::string spaced(std::string_view json) {
  std::string out;
  out.reserve(json.size() + json.size() / 8);
  bool in_string = false;
  for (std::size_t at = 0; at < json.size(); ++at) {
    char const c = json[at];
    out += c;
    if (in_string && c == '\\') {
      out += json[++at];
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == ',' || c == ':')) {
      out += ' ';
    }
  }
  return out;
}

enum class Event : bool { whole, left_out };

std::string payload(store::RunRow const& run, store::AutomationRow const* automation, Event event, std::string_view file) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object();
  if (automation) {
    w.member("trigger", automation->trigger_kind).key("trigger_payload").raw(automation->trigger_json);
    w.member("automation_id", automation->id).member("automation_name", automation->name);
  } else {
    w.member("trigger", "manual").key("trigger_payload").begin_object().end_object();
  }
  if (event == Event::left_out) w.member("event_file", file);
  if (event == Event::whole && !run.event_payload_json.empty()) w.key("event").raw(run.event_payload_json);
  if (automation && automation->model) w.member("model", *automation->model);
  w.end_object();
  return spaced(out);
}

}  // namespace

std::string event_payload(store::RunRow const& run, store::AutomationRow const* automation) {
  return payload(run, automation, Event::whole, {});
}

Secret kv_token(Secret const& kv_secret, store::RunRow const& run, store::Time now) {
  auto const seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch());
  std::string claims;
  codec::JsonWriter w(claims);
  w.begin_object().member("automation_id", run.automation_id).member("run_id", run.id);
  w.member("iat", seconds.count()).member("exp", (seconds + std::chrono::hours(24)).count()).end_object();
  return identity::make_jwt(kv_secret, claims);
}

RunEnvironment environment_of(store::RunRow const& run, store::AutomationRow const* automation, Settings const& settings,
                              RunPaths const& paths, RunSurroundings const& around) {
  RunEnvironment out;
  auto const set = [&out](std::string name, std::string value) {
    out.variables.emplace_back(std::move(name), Secret(std::move(value)));
  };
  std::string const run_url = around.base_url + "/v1/runs/" + run.id;
  std::string server = settings.agent_server_url;
  if (server.empty()) server = upstream::url_of(around.server).text();
  // The contract's, in its order.
  set("AGENT_SERVER_URL", std::move(server));
  out.variables.emplace_back("SESSION_API_KEY", around.session_key.clone());
  if (!settings.workspace_base.empty())
    set("WORKSPACE_BASE", settings.workspace_base + "/" + std::string(paths.work_below_base));
  out.variables.emplace_back("AUTOMATION_CALLBACK_API_KEY", around.run_token.clone());
  set("AUTOMATION_CALLBACK_URL", run_url + "/complete");
  set("AUTOMATION_RUN_ID", run.id);
  set("AUTOMATION_USER_ID", run.tenant.user_id);
  set("AUTOMATION_ORG_ID", run.tenant.org_id);
  set("AUTOMATION_API_URL", around.base_url);
  auto told = event_payload(run, automation);
  bool const is_long = told.size() > payload_bytes_max;
  if (is_long) {
    out.event_file = std::move(told);
    told = payload(run, automation, Event::left_out, paths.event);
  }
  set("AUTOMATION_EVENT_PAYLOAD", std::move(told));
  if (automation && automation->model) set("AUTOMATION_MODEL", *automation->model);
  if (!around.kv_token.empty()) out.variables.emplace_back("AUTOMATION_KV_TOKEN", around.kv_token.clone());
  // Later ones, and ours.
  if (is_long) set("AUTOMATION_EVENT_PAYLOAD_FILE", paths.event);
  set("AGENT_SERVER_PORT", std::to_string(around.server.at.port()));
  set("SANDBOX_ID", around.sandbox_id);
  set("AUTOMATION_PHASE_URL", run_url + "/phase");
  set("AUTOMATION_RUN_TRIGGER_SOURCE", run.trigger_source);
  if (automation) {
    set("AUTOMATION_ID", automation->id);
    set("AUTOMATION_NAME", automation->name);
    set("AUTOMATION_TRIGGER_TYPE", automation->trigger_kind);
    set("AUTOMATION_TRIGGER_SOURCE", automation->event_source.empty() ? automation->trigger_kind : automation->event_source);
  }
  for (auto& [name, value] : parse_own_run(run.wish_json).environment) out.variables.emplace_back(name, std::move(value));
  return out;
}

}  // namespace nestgate::automation
