#include "nestlet/vault.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "nestlet/text.hpp"

namespace nestgate::nestlet {
namespace {

constexpr std::array<std::string_view, 3> secret_settings = {"llm_api_key", "search_api_key", "sandbox_api_key"};
// Those that a null leaves as they are.
constexpr std::array<std::string_view, 2> sticky_settings = {"llm_model", "llm_base_url"};
enum class Kind : std::uint8_t { text, integer, number, boolean, object };
struct PlainSetting {
  std::string_view name;
  Kind kind;
};
constexpr std::array plain_settings = {
    PlainSetting{"language", Kind::text},
    PlainSetting{"agent", Kind::text},
    PlainSetting{"max_iterations", Kind::integer},
    PlainSetting{"security_analyzer", Kind::text},
    PlainSetting{"confirmation_mode", Kind::boolean},
    PlainSetting{"llm_model", Kind::text},
    PlainSetting{"llm_base_url", Kind::text},
    PlainSetting{"remote_runtime_resource_factor", Kind::integer},
    PlainSetting{"enable_default_condenser", Kind::boolean},
    PlainSetting{"enable_sound_notifications", Kind::boolean},
    PlainSetting{"enable_proactive_conversation_starters", Kind::boolean},
    PlainSetting{"enable_solvability_analysis", Kind::boolean},
    PlainSetting{"user_consents_to_analytics", Kind::boolean},
    PlainSetting{"sandbox_base_container_image", Kind::text},
    PlainSetting{"sandbox_runtime_container_image", Kind::text},
    PlainSetting{"mcp_config", Kind::object},
    PlainSetting{"max_budget_per_task", Kind::number},
    PlainSetting{"condenser_max_size", Kind::integer},
    PlainSetting{"email", Kind::text},
    PlainSetting{"email_verified", Kind::boolean},
    PlainSetting{"git_user_name", Kind::text},
    PlainSetting{"git_user_email", Kind::text},
    // Today's agent server keeps these three (agent_server.md 1.4).
    PlainSetting{"agent_settings", Kind::object},
    PlainSetting{"conversation_settings", Kind::object},
    PlainSetting{"misc_settings", Kind::object},
};
constexpr std::int64_t condenser_size_min = 20;

Refusal wrong_type(std::string_view name, std::string_view type, std::string_view wanted) {
  return invalid("body", name, type, "Input should be a valid " + std::string(wanted));
}

// The value as it is kept: as pydantic, a number or a boolean may come as text.
Checked<JsonValue> typed(PlainSetting const& setting, JsonValue const& value) {
  if (value.is_null()) return value;
  std::string_view const text = value.is_string() ? std::string_view(value.get_string()) : std::string_view();
  boost::system::error_code ec;
  switch (setting.kind) {
    case Kind::text:
      if (value.is_string()) return value;
      return wrong_type(setting.name, "string_type", "string");
    case Kind::integer: {
      auto const number = value.is_string() ? parse_integer(text) : std::optional(value.to_number<std::int64_t>(ec));
      if (ec || !number) return wrong_type(setting.name, "int_parsing", "integer");
      if (setting.name == "condenser_max_size" && *number < condenser_size_min) {
        return invalid("body", setting.name, "greater_than_equal", "Input should be greater than or equal to 20");
      }
      return JsonValue(*number);
    }
    case Kind::number: {
      double number = 0;
      auto const [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
      bool const parsed = value.is_string() && fault == std::errc{} && end == text.data() + text.size();
      if (!parsed && !value.is_number()) return wrong_type(setting.name, "float_parsing", "number");
      return parsed ? JsonValue(number) : value;
    }
    case Kind::boolean: {
      if (value.is_bool()) return value;
      auto const parsed = parse_boolean(value.is_number() ? boost::json::serialize(value) : std::string(text));
      if (!parsed) return wrong_type(setting.name, "bool_parsing", "boolean");
      return JsonValue(*parsed);
    }
    case Kind::object:
      // It may hold keys (mcp_config, agent_settings). Nothing here reads it, and it is never shown: only that it is set.
      if (value.is_object()) return JsonValue(nullptr);
      return wrong_type(setting.name, "dict_type", "dictionary");
  }
  return value;
}

template <class Names>
bool is_one_of(Names const& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_blank(std::string_view text) { return text.find_first_not_of(" \t\r\n") == text.npos; }

// Upper-cased; nothing when it cannot be a variable's name.
std::optional<std::string> variable_name(std::string_view name) {
  std::string out;
  for (char c : name) {
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    bool const digit = c >= '0' && c <= '9';
    if (!(c >= 'A' && c <= 'Z') && c != '_' && !(digit && !out.empty())) return std::nullopt;
    out.push_back(c);
  }
  if (out.empty()) return std::nullopt;
  return out;
}

}  // namespace

std::optional<Vault::NotReady> Vault::why_not_ready() const {
  if (!has_settings_) return NotReady{"Settings not found", "CONFIGURATION$SETTINGS_NOT_FOUND"};
  auto const model = maybe_string(settings_, "llm_model");
  std::string const name = model && *model ? **model : "";
  if (name.starts_with("bedrock/") || name.starts_with("lemonade/")) return std::nullopt;
  auto const key = setting_secrets_.find("llm_api_key");
  if (key == setting_secrets_.end() || is_blank(key->second.reveal())) {
    return NotReady{"Error authenticating with the LLM provider. Please check your API key",
                    "STATUS$ERROR_LLM_AUTHENTICATION"};
  }
  return std::nullopt;
}

Checked<> Vault::store_settings(JsonObject const& body) {
  std::vector<std::pair<std::string, Secret>> secrets;
  for (auto const name : secret_settings) {
    NESTGATE_TRY(value, maybe_string(body, name));
    if (value) secrets.emplace_back(std::string(name), Secret(std::move(*value)));
  }
  auto settings = settings_;
  for (auto const& setting : plain_settings) {
    auto const* given = body.if_contains(setting.name);
    if (given == nullptr || (given->is_null() && is_one_of(sticky_settings, setting.name))) continue;
    NESTGATE_TRY(value, typed(setting, *given));
    settings[setting.name] = std::move(value);
  }
  // All or nothing: no fault from here on.
  for (auto& [name, secret] : secrets) setting_secrets_[name] = std::move(secret);
  settings_ = std::move(settings);
  has_settings_ = true;
  return {};
}

std::optional<std::string> Vault::settings_json() const {
  if (!has_settings_) return std::nullopt;
  auto const is_set = [this](std::string_view name) {
    auto const at = setting_secrets_.find(name);
    return at != setting_secrets_.end() && !at->second.empty();
  };
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object();
  for (auto const& field : settings_) w.key(field.key()).raw(boost::json::serialize(field.value()));
  for (auto const name : secret_settings) w.key(name).null();
  w.member("llm_api_key_set", is_set("llm_api_key")).member("llm_api_key_is_set", is_set("llm_api_key"));
  w.member("search_api_key_set", is_set("search_api_key")).key("provider_tokens_set").begin_object();
  for (auto const& [name, provider] : providers_) {
    w.key(name);
    if (provider.host.empty()) {
      w.null();
    } else {
      w.value(provider.host);
    }
  }
  w.end_object().end_object();
  return out;
}

Checked<> Vault::set_providers(JsonObject const& tokens) {
  std::map<std::string, Provider, std::less<>> next;
  for (auto const& field : tokens) {
    std::string const name(field.key());
    auto const* object = field.value().if_object();
    if (object == nullptr) return invalid("body", "provider_tokens", "model_type", "A provider's token should be an object");
    NESTGATE_TRY(token, maybe_string(*object, "token"));
    NESTGATE_TRY(user, maybe_string(*object, "user_id"));
    NESTGATE_TRY(host, maybe_string(*object, "host"));
    Provider provider{Secret(token.value_or("")), user.value_or(""), host.value_or("")};
    auto const known = providers_.find(name);
    if (provider.token.empty() && known != providers_.end()) provider.token = known->second.token.clone();
    next.emplace(name, std::move(provider));
  }
  providers_ = std::move(next);
  return {};
}

void Vault::put_secret(std::string name, Secret value, std::string description) {
  secrets_.insert_or_assign(std::move(name), CustomSecret{std::move(value), std::move(description)});
}

Vault::Done Vault::describe_secret(std::string_view name, std::string description) {
  auto const at = secrets_.find(name);
  if (at == secrets_.end()) return Done::no;
  at->second.description = std::move(description);
  return Done::yes;
}

Vault::Done Vault::remove_secret(std::string_view name) {
  auto const at = secrets_.find(name);
  if (at == secrets_.end()) return Done::no;
  secrets_.erase(at);
  return Done::yes;
}

std::string_view Vault::secret_value(std::string_view name) const {
  auto const at = secrets_.find(name);
  return at == secrets_.end() ? std::string_view{} : at->second.value.reveal();
}

std::vector<std::string> Vault::command_environment() const {
  std::map<std::string, std::string_view> variables;
  for (auto const& [name, provider] : providers_) {
    auto const variable = variable_name(name + "_token");
    if (variable && !provider.token.empty()) variables[*variable] = provider.token.reveal();
  }
  for (auto const& [name, secret] : secrets_) {
    if (auto const variable = variable_name(name)) variables[*variable] = secret.value.reveal();
  }
  std::vector<std::string> out;
  out.reserve(variables.size());
  for (auto const& [name, value] : variables) out.push_back(name + "=" + std::string(value));
  return out;
}

}  // namespace nestgate::nestlet
