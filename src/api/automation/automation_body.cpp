#include "automation_body.hpp"

#include <algorithm>

#include "json_members.hpp"
#include "nestgate/automation/command_text.hpp"
#include "nestgate/automation/completion.hpp"
#include "nestgate/http/field.hpp"
#include "nestgate/upstream/http_client.hpp"
#include "nestgate/upstream/public_address.hpp"

namespace nestgate::api {
namespace {

namespace dom = simdjson::dom;
using store::AutomationRow;

constexpr std::size_t template_config_characters_max = 16'384;
constexpr std::size_t description_characters_max = 2'000;
constexpr std::size_t url_characters_max = 2'048;
constexpr std::size_t bearer_characters_max = 4'096;
constexpr std::int64_t retry_pause_seconds_max = 24 * 3600;
constexpr std::string_view internal_scheme = "oh-internal://";

bool is_model_name(std::string_view text) {
  auto const is_alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  auto const is_inner = [&](char c) { return is_alphanumeric(c) || c == '.' || c == '_' || c == '-'; };
  return !text.empty() && text.size() <= 64 && is_alphanumeric(text.front()) &&
         std::all_of(text.begin(), text.end(), is_inner);
}

// How long Python writes a text, quotes left out: all but ASCII escaped, beyond the first plane as two.
std::size_t python_length(std::string_view text) {
  std::size_t length = 0;
  for (char const c : text) {
    auto const byte = static_cast<unsigned char>(c);
    bool const is_short_escape = std::string_view("\"\\\n\r\t\b\f").find(c) != std::string_view::npos;
    if (is_short_escape) {
      length += 2;
    } else if (byte < 0x20) {
      length += 6;
    } else if (byte < 0x80) {
      length += 1;
    } else if (byte >= 0xF0) {
      length += 12;
    } else if (byte >= 0xC0) {
      length += 6;
    }
  }
  return length;
}

// How long Python's json.dumps writes it: ", " and ": " between.
std::size_t python_length(dom::element value) {
  std::string_view text;
  dom::object members;
  dom::array items;
  if (!value.get_string().get(text)) return python_length(text) + 2;
  std::size_t length = 2;
  if (!value.get_object().get(members)) {
    for (auto const [name, member] : members) length += python_length(name) + 2 + 2 + python_length(member) + 2;
    return members.size() == 0 ? length : length - 2;
  }
  if (!value.get_array().get(items)) {
    for (auto const item : items) length += python_length(item) + 2;
    return items.size() == 0 ? length : length - 2;
  }
  return simdjson::minify(value).size();
}

Rule<std::string> template_config() {
  return [](Value const& value, std::string& out) {
    if (!any_object()(value, out)) return false;
    bool const fits = python_length(*value.json()) <= template_config_characters_max;
    return fits || value.refuse_value("config must serialize to at most " + std::to_string(template_config_characters_max) +
                                      " bytes");
  };
}

std::optional<std::string> why_no_tarball_path(std::string const& text) {
  for (std::string_view const scheme : {"s3://", "gs://", "http://", "https://"}) {
    if (text.starts_with(scheme)) return std::nullopt;
  }
  if (http::equals_ignoring_case(std::string_view(text).substr(0, internal_scheme.size()), internal_scheme))
    return std::nullopt;
  return "tarball_path must start with s3://, gs://, http://, or https://";
}

Rule<std::string> tarball_path() { return checked<std::string>(text(), &why_no_tarball_path); }

std::optional<std::string> why_no_web_url(std::string const& field, std::string const& text,
                                          automation::PrivateCallbacks private_ones) {
  auto const url = upstream::parse_url(text);
  if (!url) return field + " must be an absolute http or https URL without user info and fragment";
  error_code not_numeric;
  auto const address = asio::ip::make_address(url->host, not_numeric);
  // Names are looked at when they are resolved, at each delivery.
  bool const is_refused =
      private_ones == automation::PrivateCallbacks::refuse && !not_numeric && !upstream::is_public(address);
  return is_refused ? std::optional<std::string>(field + ": its address is not a public one") : std::nullopt;
}

Rule<automation::Target> target() {
  return [](Value const& value, automation::Target& out) {
    std::string given;
    if (!text(1, 200)(value, given)) return false;
    auto parsed = automation::parse_target(given);
    if (!parsed) return value.refuse_value("target must be fresh, warm, conversation:ID or label:NAME");
    out = *std::move(parsed);
    return true;
  };
}

Rule<RetryBody> retry() {
  return [](Value const& value, RetryBody& out) {
    Model in(value);
    in.may("max_attempts", out.max_attempts, whole(1, 10));
    in.may("pause_seconds", out.pause_seconds, whole(0, retry_pause_seconds_max));
    return in.done();
  };
}

Rule<Secret> bearer() {
  return [](Value const& value, Secret& out) {
    std::string given;
    if (!hidden_text(1, bearer_characters_max)(value, given)) return false;
    auto const is_visible = [](char c) { return c > ' ' && c < 0x7f; };
    if (!std::all_of(given.begin(), given.end(), is_visible))
      return value.concealed().refuse_value("callback_bearer must be visible ASCII");
    out = Secret(std::move(given));
    return true;
  };
}

void set_json(JsonMembers& members, std::string_view name, std::optional<std::string> json) {
  if (json) {
    members.set(std::string(name), *std::move(json));
  } else {
    members.erase(name);
  }
}

std::optional<std::string> as_json(std::optional<std::string> const& text) {
  return text ? std::optional<std::string>(json_text(*text)) : std::nullopt;
}

}  // namespace

std::string TemplateBody::json() const {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("id", id).member("version", version);
  if (config_json) w.key("config").raw(*config_json);
  w.end_object();
  return out;
}

Rule<std::string> model_name() { return text(1, 64, Pattern{"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", is_model_name}); }

Rule<std::int64_t> timeout(BodyRules const& rules) {
  return checked<std::int64_t>(
      whole(), [max = rules.run_time_max.count()](std::int64_t& seconds) -> std::optional<std::string> {
        if (seconds <= 0) return "timeout must be a positive number";
        if (seconds <= max) return std::nullopt;
        return "timeout must not exceed " + std::to_string(max) + " seconds (" + std::to_string(max / 60) + " minutes)";
      });
}

Rule<std::string> command(std::string field) {
  return checked<std::string>(
      text(), [field = std::move(field)](std::string& given) { return automation::why_not_a_command(field, given); });
}

Rule<std::string> web_url(std::string field, automation::PrivateCallbacks private_ones) {
  return checked<std::string>(text(1, url_characters_max), [field = std::move(field), private_ones](std::string& url) {
    return why_no_web_url(field, url, private_ones);
  });
}

Rule<TemplateBody> template_provenance() {
  return [](Value const& value, TemplateBody& out) {
    Model in(value);
    in.need("id", out.id, text(1, 100));
    in.need("version", out.version, text(1, 50));
    in.may("config", out.config_json, template_config());
    return in.done();
  };
}

void read_later_members(Model& in, LaterMembers& out) {
  in.change("agent_profile_id", out.agent_profile_id, uuid());
  in.change("description", out.description, text(0, description_characters_max));
  in.change("observability_associations", out.observability_associations_json, any_object());
  in.may("state", out.state, one_of({"ACTIVE", "INACTIVE"}));
}

void read_our_members(Model& in, OurMembers& out, BodyRules const& rules) {
  in.change("target", out.target, target());
  in.change("priority", out.priority, whole(-100, 100));
  in.change("max_concurrent_runs", out.max_concurrent_runs, whole(0, 100'000));
  in.change("retry", out.retry, retry());
  in.change("callback_url", out.callback_url, web_url("callback_url", rules.private_callbacks));
  in.change("callback_bearer", out.callback_bearer, bearer());
}

void apply(LaterMembers later, AutomationRow& row) {
  JsonMembers members(row.additions_json);
  if (later.agent_profile_id.is_given) set_json(members, "agent_profile_id", as_json(later.agent_profile_id.value));
  if (later.description.is_given) set_json(members, "description", as_json(later.description.value));
  if (later.observability_associations_json.is_given)
    set_json(members, "observability_associations", later.observability_associations_json.value);
  row.additions_json = members.json();
  if (later.state) row.enabled = *later.state == "ACTIVE";
}

std::optional<std::string> apply(OurMembers ours, AutomationRow& row) {
  auto policy = automation::parse_policy(row.policy_json);
  automation::Policy const plain;
  if (ours.target.is_given) policy.target = std::move(ours.target.value);
  if (ours.priority.is_given) policy.priority = static_cast<std::int32_t>(ours.priority.value.value_or(0));
  if (ours.max_concurrent_runs.is_given)
    policy.concurrent_max = static_cast<std::uint32_t>(ours.max_concurrent_runs.value.value_or(0));
  if (ours.retry.is_given) {
    auto const retry = ours.retry.value.value_or(RetryBody{plain.attempts_max, plain.retry_pause.count()});
    policy.attempts_max = static_cast<std::uint32_t>(retry.max_attempts);
    policy.retry_pause = std::chrono::seconds(retry.pause_seconds);
  }
  row.policy_json = automation::to_json(policy);
  if (!ours.callback_url.is_given && !ours.callback_bearer.is_given) return std::nullopt;
  auto callback = automation::parse_plain_callback(row.callback_json);
  if (ours.callback_bearer.is_given)
    callback.bearer = ours.callback_bearer.value ? std::move(*ours.callback_bearer.value) : Secret();
  if (ours.callback_url.is_given) callback.url = ours.callback_url.value.value_or("");
  if (callback.url.empty() && ours.callback_url.is_given && !ours.callback_bearer.is_given) callback.bearer = Secret();
  if (callback.url.empty() && !callback.bearer.empty()) return "callback_bearer needs a callback_url";
  row.callback_json = callback.url.empty() ? Secret() : automation::to_json(callback);
  return std::nullopt;
}

CreateBody read_create(Model in, BodyRules const& rules) {
  CreateBody out;
  in.need("name", out.name, text(1, name_characters_max));
  in.may("model", out.model, model_name());
  in.need("trigger", out.trigger, trigger(rules));
  in.need("tarball_path", out.tarball_path, tarball_path());
  in.may("setup_script_path", out.setup_script_path, command("setup_script_path"));
  in.need("entrypoint", out.entrypoint, command("entrypoint"));
  in.may("timeout", out.timeout, timeout(rules));
  in.may("keep_alive", out.keep_alive, flag());
  in.may("template", out.provenance, template_provenance());
  in.may("enabled", out.enabled, flag());
  read_later_members(in, out.later);
  read_our_members(in, out.ours, rules);
  in.done();
  return out;
}

ChangeBody read_change(Model in, BodyRules const& rules) {
  ChangeBody out;
  in.change("name", out.name, text(1, name_characters_max));
  in.change("model", out.model, model_name());
  in.change("prompt", out.prompt, text(0, prompt_characters_max));
  in.change("trigger", out.trigger, trigger(rules));
  in.change("tarball_path", out.tarball_path, tarball_path());
  in.change("setup_script_path", out.setup_script_path, command("setup_script_path"));
  in.change("entrypoint", out.entrypoint, command("entrypoint"));
  in.change("timeout", out.timeout, timeout(rules));
  in.change("keep_alive", out.keep_alive, flag());
  in.change("enabled", out.enabled, flag());
  auto const plugin = in.take("plugin"), repos = in.take("repos");
  out.changes_sources = plugin.has_value() || repos.has_value();
  read_later_members(in, out.later);
  read_our_members(in, out.ours, rules);
  in.done();
  return out;
}

void set_trigger(AutomationRow& row, automation::Trigger const& trigger) {
  row.trigger_json = automation::to_json(trigger);
  row.trigger_kind = automation::kind_of(trigger);
  auto const* const event = std::get_if<automation::EventTrigger>(&trigger);
  row.event_source = event != nullptr ? event->source : std::string();
}

std::optional<std::string> apply(ChangeBody body, AutomationRow& row) {
  if (body.name) row.name = *std::move(body.name);
  if (body.model.is_given) row.model = std::move(body.model.value);
  if (body.prompt.is_given) row.prompt = std::move(body.prompt.value);
  if (body.trigger) set_trigger(row, *body.trigger);
  if (body.setup_script_path.is_given) row.setup_script_path = std::move(body.setup_script_path.value);
  if (body.entrypoint) row.entrypoint = *std::move(body.entrypoint);
  if (body.timeout.is_given) row.timeout_s = body.timeout.value;
  if (body.keep_alive.is_given) row.keep_alive = body.keep_alive.value;
  if (body.enabled) row.enabled = *body.enabled;
  apply(std::move(body.later), row);
  if (row.enabled && row.disabled_at) {
    row.disabled_reason.clear();
    row.disabled_detail.clear();
    row.disabled_at.reset();
    row.failures_in_row = 0;
  }
  return apply(std::move(body.ours), row);
}

TarballPath parse_tarball_path(std::string_view text) {
  using Kind = TarballPath::Kind;
  constexpr std::string_view uploads = "oh-internal://uploads/";
  if (http::equals_ignoring_case(text.substr(0, uploads.size()), uploads)) {
    auto const given = text.substr(uploads.size());
    Faults faults;
    std::string id;
    bool const is_id = given.size() == 36 && uuid()(Value(faults, {}, given), id);
    return is_id ? TarballPath{Kind::internal, id} : TarballPath{Kind::bad_internal, {}};
  }
  if (http::equals_ignoring_case(text.substr(0, internal_scheme.size()), internal_scheme)) return {Kind::bad_internal, {}};
  for (std::string_view const scheme : {"https://", "s3://", "gs://"}) {
    if (text.starts_with(scheme)) return {Kind::external, {}};
  }
  return {Kind::bad, {}};
}

std::string tarball_path_of(std::string_view upload_id) { return "oh-internal://uploads/" + std::string(upload_id); }

}  // namespace nestgate::api
