#include "nestlet/vault.hpp"

#include <algorithm>
#include <array>

namespace nestgate::nestlet {
namespace {

constexpr std::array<std::string_view, 3> secret_settings = {"llm_api_key", "search_api_key", "sandbox_api_key"};
// Those that a null leaves as they are.
constexpr std::array<std::string_view, 2> sticky_settings = {"llm_model", "llm_base_url"};
constexpr std::array<std::string_view, 25> plain_settings = {
    "language", "agent", "max_iterations", "security_analyzer", "confirmation_mode", "llm_model", "llm_base_url",
    "remote_runtime_resource_factor", "enable_default_condenser", "enable_sound_notifications",
    "enable_proactive_conversation_starters", "enable_solvability_analysis", "user_consents_to_analytics",
    "sandbox_base_container_image", "sandbox_runtime_container_image", "mcp_config", "max_budget_per_task",
    "condenser_max_size", "email", "email_verified", "git_user_name", "git_user_email",
    // Today's agent server keeps these three (agent_server.md 1.4).
    "agent_settings", "conversation_settings", "misc_settings"};

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
  for (auto const name : secret_settings) {
    NESTGATE_TRY(value, maybe_string(body, name));
    if (value) setting_secrets_[std::string(name)] = Secret(std::move(*value));
  }
  for (auto const& field : body) {
    if (!is_one_of(plain_settings, field.key())) continue;
    if (field.value().is_null() && is_one_of(sticky_settings, field.key())) continue;
    // An object may hold keys (mcp_config, agent_settings). Nothing here reads it, and it is never shown: only that it is
    // set.
    settings_[field.key()] = field.value().is_object() ? JsonValue(nullptr) : field.value();
  }
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
