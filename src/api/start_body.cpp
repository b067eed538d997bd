#include "start_body.hpp"

#include <simdjson.h>

#include <algorithm>

#include "nestgate/base/result.hpp"
#include "nestgate/http/route.hpp"

namespace nestgate::api {
namespace {

namespace dom = simdjson::dom;

constexpr std::size_t settings_bytes_max = 1024 * 1024;
constexpr std::size_t providers_max = 32;
constexpr std::size_t secrets_max = 1000;
constexpr std::size_t name_bytes_max = 128;
constexpr std::size_t value_bytes_max = 64 * 1024;

// Refuses control bytes: names become environment variables and parts of paths in the nested server.
bool is_name(std::string_view name) {
  return !name.empty() && name.size() <= name_bytes_max && std::all_of(name.begin(), name.end(), [](char c) {
    return static_cast<unsigned char>(c) > ' ' && c != 0x7f && c != '/';
  });
}

Checked<std::string> text_of(dom::element value, std::string const& field) {
  std::string_view text;
  if (value.is_null()) return std::string();
  if (value.get_string().get(text)) return Invalid("string_type", field, "must be a string");
  if (text.size() > value_bytes_max)
    return Invalid("string_too_long", field, "must not exceed " + std::to_string(value_bytes_max) + " bytes");
  return std::string(text);
}

Checked<dom::object> object_of(dom::element value, std::string const& field) {
  dom::object object;
  if (value.get_object().get(object)) return Invalid("dict_type", field, "must be an object");
  return object;
}

Checked<std::string> checked_name(std::string_view name, std::string const& field) {
  if (!is_name(name))
    return Invalid(
        "string_pattern_mismatch", field,
        "a name must be 1 to " + std::to_string(name_bytes_max) + " bytes without spaces, slashes and control bytes");
  return std::string(name);
}

// {"github": {"token": "…", "user_id": …, "host": …}} or {"github": "…"}; entries without a token are left out.
Checked<std::vector<nested::GitToken>> git_tokens_of(dom::element value, std::string const& field) {
  NESTGATE_TRY(providers, object_of(value, field));
  if (providers.size() > providers_max)
    return Invalid("too_long", field, "must not have more than " + std::to_string(providers_max) + " entries");
  std::vector<nested::GitToken> out;
  for (auto const [name, entry] : providers) {
    NESTGATE_TRY(provider, checked_name(name, field));
    std::string const at = field + "." + provider;
    nested::GitToken token;
    token.provider = provider;
    if (entry.is_string()) {
      NESTGATE_TRY(text, text_of(entry, at));
      token.token = Secret(std::move(text));
    } else {
      NESTGATE_TRY(members, object_of(entry, at));
      for (auto const [key, member] : members) {
        std::string const member_at = at + "." + std::string(key);
        NESTGATE_TRY(text, text_of(member, member_at));
        if (key == "token") {
          token.token = Secret(std::move(text));
        } else if (key == "user_id") {
          token.user_id = std::move(text);
        } else if (key == "host") {
          token.host = std::move(text);
        } else {
          return Invalid("extra_forbidden", member_at, "is none of token, user_id, host");
        }
      }
    }
    if (!token.token.empty()) out.push_back(std::move(token));
  }
  return out;
}

// {"NAME": "value"} or {"NAME": {"value" or "secret": "…", "description": "…"}}.
Checked<std::vector<nested::CustomSecret>> secrets_of(dom::element value, std::string const& field) {
  NESTGATE_TRY(entries, object_of(value, field));
  if (entries.size() > secrets_max)
    return Invalid("too_long", field, "must not have more than " + std::to_string(secrets_max) + " entries");
  std::vector<nested::CustomSecret> out;
  for (auto const [key_text, entry] : entries) {
    NESTGATE_TRY(name, checked_name(key_text, field));
    std::string const at = field + "." + name;
    nested::CustomSecret secret;
    secret.name = name;
    if (entry.is_string()) {
      NESTGATE_TRY(text, text_of(entry, at));
      secret.value = Secret(std::move(text));
    } else {
      NESTGATE_TRY(members, object_of(entry, at));
      for (auto const [key, member] : members) {
        std::string const member_at = at + "." + std::string(key);
        NESTGATE_TRY(text, text_of(member, member_at));
        if (key == "value" || key == "secret") {
          secret.value = Secret(std::move(text));
        } else if (key == "description") {
          secret.description = std::move(text);
        } else {
          return Invalid("extra_forbidden", member_at, "is none of value, secret, description");
        }
      }
    }
    if (secret.value.empty()) return Invalid("missing", at, "must have a value that is not empty");
    out.push_back(std::move(secret));
  }
  return out;
}

Checked<ConversationId> id_of(dom::element value) {
  std::string_view text;
  if (value.get_string().get(text)) return Invalid("string_type", "conversation_id", "must be a string");
  if (auto const why = http::why_not_an_id(text))
    return Invalid("string_pattern_mismatch", "conversation_id", std::string(*why));
  return *ConversationId::parse(text);
}

Checked<Secret> settings_of(dom::element value) {
  NESTGATE_TRY(object, object_of(value, "settings"));
  std::string text = simdjson::minify(object);
  if (text.size() > settings_bytes_max)
    return Invalid("too_long", "settings", "must not exceed " + std::to_string(settings_bytes_max) + " bytes");
  return Secret(std::move(text));
}

}  // namespace

Checked<StartBody> parse_start_body(std::string_view body) {
  StartBody out;
  if (body.find_first_not_of(" \t\r\n") == body.npos) return out;
  dom::parser parser;
  dom::element root;
  if (auto const error = parser.parse(body.data(), body.size()).get(root))
    return Invalid("json_invalid", "", std::string("is not JSON: ") + simdjson::error_message(error));
  dom::object members;
  if (root.get_object().get(members)) return Invalid("dict_type", "", "must be an object");
  for (auto const [key, value] : members) {
    if (value.is_null()) continue;
    if (key == "conversation_id") {
      NESTGATE_TRY(id, id_of(value));
      out.id = std::move(id);
    } else if (key == "settings") {
      NESTGATE_TRY(settings, settings_of(value));
      out.configuration.settings_json = std::move(settings);
    } else if (key == "git_provider_tokens" || key == "provider_tokens") {
      NESTGATE_TRY(tokens, git_tokens_of(value, std::string(key)));
      out.configuration.git_tokens = std::move(tokens);
    } else if (key == "secrets" || key == "custom_secrets") {
      NESTGATE_TRY(secrets, secrets_of(value, std::string(key)));
      out.configuration.secrets = std::move(secrets);
    } else if (key != "image" && key != "command") {
      return Invalid("extra_forbidden", std::string(key),
                     "is none of conversation_id, settings, git_provider_tokens, provider_tokens, secrets, custom_secrets, "
                     "image, command");
    }
  }
  return out;
}

}  // namespace nestgate::api
