#include "nestlet/init.hpp"

#include <algorithm>

#include "nestgate/base/result.hpp"
#include "nestlet/text.hpp"

namespace nestgate::nestlet {
namespace {

constexpr std::string_view known_fields[] = {
    "session_api_keys", "secret_key", "conversations_path", "bash_events_dir",     "conversation_worktree_root",
    "webhooks",         "web_url",    "allow_cors_origins", "max_concurrent_runs", "env",
    "telemetry",
};

Checked<> check_fields(JsonObject const& body) {
  for (auto const& field : body) {
    std::string_view const name = field.key();
    if (std::find(std::begin(known_fields), std::end(known_fields), name) == std::end(known_fields))
      return invalid("body", "", "extra_forbidden", "Extra inputs are not permitted");
  }
  for (auto const name : {"secret_key", "conversations_path", "bash_events_dir", "conversation_worktree_root", "web_url"})
    NESTGATE_TRY_VOID(maybe_string(body, name));
  NESTGATE_TRY_VOID(maybe_integer(body, "max_concurrent_runs"));
  return {};
}

// An empty list would open the server to everybody.
Checked<std::optional<SessionKeys>> read_keys(JsonObject const& body) {
  auto const* value = body.if_contains("session_api_keys");
  if (value == nullptr || value->is_null()) return std::optional<SessionKeys>();
  auto fault = invalid("body", "session_api_keys", "list_type", "Input should be a list of keys that are not empty");
  if (!value->is_array() || value->get_array().empty()) return fault;
  std::vector<Secret> keys;
  for (auto const& key : value->get_array()) {
    if (!key.is_string() || key.get_string().empty()) return fault;
    keys.emplace_back(std::string(key.get_string()));
  }
  return std::optional(SessionKeys(std::move(keys)));
}

bool is_environment_text(std::string_view text) { return text.find('\0') == text.npos; }

Checked<std::vector<std::pair<std::string, std::string>>> read_environment(JsonObject const& body) {
  std::vector<std::pair<std::string, std::string>> out;
  auto const* value = body.if_contains("env");
  if (value == nullptr || value->is_null()) return out;
  NESTGATE_TRY(members, need_object(body, "env"));
  for (auto const& member : members) {
    std::string_view const name = member.key();
    auto const* text = member.value().if_string();
    bool const is_good = !name.empty() && name.find('=') == name.npos && is_environment_text(name) && text != nullptr;
    if (!is_good || !is_environment_text(*text))
      return invalid("body", "env", "string_type", "Input should be names of variables and their texts");
    if (!is_secret_name(name)) out.emplace_back(name, *text);
  }
  return out;
}

}  // namespace

std::string_view to_string(InitState state) noexcept {
  switch (state) {
    case InitState::not_deferred: return "";
    case InitState::dormant: return "dormant";
    case InitState::ready: return "ready";
  }
  return "";
}

boost::system::result<Boot, KeyFault> boot_from(std::vector<std::string_view> const& environment, SessionKeys const& keys) {
  Boot boot;
  boot.init_key = Secret(std::string(keys.first()));
  JsonObject webhook;
  for (auto const entry : environment) {
    auto const name = entry.substr(0, entry.find('='));
    auto const value = entry.substr(std::min(entry.size(), name.size() + 1));
    if (name == "OH_SECRET_KEY" && !value.empty()) boot.init_key = Secret(std::string(value));
    if (name == "OH_DEFERRED_INIT") {
      auto const is_deferred = parse_boolean(value);
      if (!is_deferred) return KeyFault{"OH_DEFERRED_INIT: neither true nor false"};
      if (*is_deferred) boot.state = InitState::dormant;
    }
    if (auto const field = webhook_field(name); !field.empty()) webhook[field] = value;
  }
  if (webhook.contains("base_url")) {
    auto spec = read_webhook(webhook, "OH_WEBHOOKS_0");
    if (!spec) return KeyFault{"OH_WEBHOOKS_0_BASE_URL: not an http:// URL with a host, or a number beside it is none"};
    boot.webhooks.push_back(std::move(*spec));
  }
  return boot;
}

Checked<InitRequest> read_init(JsonObject const& body) {
  NESTGATE_TRY_VOID(check_fields(body));
  InitRequest out;
  NESTGATE_TRY(keys, read_keys(body));
  out.keys = std::move(keys);
  NESTGATE_TRY(environment, read_environment(body));
  out.environment = std::move(environment);
  NESTGATE_TRY(webhooks, read_webhooks(body));
  out.webhooks = std::move(webhooks);
  return out;
}

}  // namespace nestgate::nestlet
