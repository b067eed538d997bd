#include "start_body.hpp"

#include <simdjson.h>

#include <algorithm>
#include <map>

#include "body_values.hpp"
#include "nestgate/base/result.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestgate/http/route.hpp"
#include "secret_name.hpp"
#include "wish_body.hpp"

namespace nestgate::api {
namespace {

namespace dom = simdjson::dom;

constexpr std::size_t settings_bytes_max = 1024 * 1024;
constexpr std::size_t providers_max = 32;
constexpr std::size_t secrets_max = 1000;
constexpr std::size_t name_bytes_max = 128;
constexpr std::size_t message_bytes_max = 1024 * 1024;      // a first message, instructions, a configuration of tools
constexpr std::size_t replay_bytes_max = 32 * 1024 * 1024;  // a whole trajectory
constexpr std::size_t images_max = 32;
constexpr std::size_t image_url_bytes_max = 8 * 1024 * 1024;  // mostly data: URLs
constexpr std::size_t repository_bytes_max = 512;

Checked<std::string> checked_name(std::string_view name, std::string const& field) {
  if (!is_secret_name(name)) return Invalid("string_pattern_mismatch", field, std::string(why_not_a_secret_name));
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
  if (text.size() > settings_bytes_max) return over("too_long", "settings", settings_bytes_max);
  return Secret(std::move(text));
}

// Members that the nested server's own POST /api/conversations has (nested_server.md 3.2), told to it as they are.
struct ConversationMember {
  std::string_view name;
  enum class Kind : std::uint8_t { text, line, images, object } kind;
  std::size_t bytes_max;
};
constexpr ConversationMember conversation_members[] = {
    {"initial_user_msg", ConversationMember::Kind::text, message_bytes_max},
    {"image_urls", ConversationMember::Kind::images, image_url_bytes_max},
    {"replay_json", ConversationMember::Kind::text, replay_bytes_max},
    {"repository", ConversationMember::Kind::line, repository_bytes_max},
    {"selected_branch", ConversationMember::Kind::line, repository_bytes_max},
    {"git_provider", ConversationMember::Kind::line, name_bytes_max},
    {"conversation_instructions", ConversationMember::Kind::text, message_bytes_max},
    {"mcp_config", ConversationMember::Kind::object, message_bytes_max},
    {"suggested_task", ConversationMember::Kind::object, message_bytes_max},
    {"create_microagent", ConversationMember::Kind::object, message_bytes_max},
};

ConversationMember const* conversation_member(std::string_view name) {
  auto const* const found = std::find_if(std::begin(conversation_members), std::end(conversation_members),
                                         [&](ConversationMember const& member) { return member.name == name; });
  return found == std::end(conversation_members) ? nullptr : found;
}

// The value as JSON.
Checked<std::string> conversation_value(ConversationMember const& member, dom::element value) {
  std::string const field(member.name);
  std::string json = simdjson::minify(value);
  switch (member.kind) {
    case ConversationMember::Kind::text: {
      if (auto text = text_of(value, field, member.bytes_max); !text) return text.error();
      return json;
    }
    case ConversationMember::Kind::line: {
      if (auto text = line_of(value, field, member.bytes_max); !text) return text.error();
      return json;
    }
    case ConversationMember::Kind::images: {
      NESTGATE_TRY(urls, array_of(value, field, images_max));
      for (auto const url : urls) {
        NESTGATE_TRY(text, line_of(url, field, member.bytes_max));
        if (text.empty()) return Invalid("string_too_short", field, "must be URLs");
      }
      return json;
    }
    case ConversationMember::Kind::object: {
      if (auto object = object_of(value, field); !object) return object.error();
      if (json.size() > member.bytes_max) return over("too_long", field, member.bytes_max);
      return json;
    }
  }
  return json;
}

// A clone URL may bring a token, which no list may show.
std::string without_user_information(std::string_view text) {
  auto const scheme = text.find("://");
  if (scheme == text.npos) return std::string(text);
  auto const begin = scheme + 3;
  auto const at = text.substr(0, text.find('/', begin)).rfind('@');
  if (at == text.npos || at < begin) return std::string(text);
  return std::string(text.substr(0, begin)).append(text.substr(at + 1));
}

void take_about(conversation::About& into, std::string_view name, dom::element value) {
  std::string_view text;
  if (value.get_string().get(text)) return;
  if (name == "repository") into.repository = without_user_information(text);
  if (name == "selected_branch") into.branch = text;
  if (name == "git_provider") into.git_provider = text;
}

Secret object_with(std::map<std::string_view, std::string> const& members) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object();
  for (auto const& [name, json] : members) w.key(name).raw(json);
  w.end_object();
  return Secret(std::move(out));
}

Checked<conversation::StartRequest::Again> again_of(dom::element value) {
  using Again = conversation::StartRequest::Again;
  std::string_view text;
  if (!value.get_string().get(text) && text == "join") return Again::join;
  if (text == "replace") return Again::replace;
  return Invalid("enum", "again", "must be join or replace");
}

// Whether `key` was a member of the configuration, which is taken then.
Checked<bool> take_configuration(nested::Configuration& into, std::string_view key, dom::element value) {
  if (key == "settings") {
    NESTGATE_TRY(settings, settings_of(value));
    into.settings_json = std::move(settings);
  } else if (key == "git_provider_tokens" || key == "provider_tokens") {
    NESTGATE_TRY(tokens, git_tokens_of(value, std::string(key)));
    into.git_tokens = std::move(tokens);
  } else if (key == "secrets" || key == "custom_secrets") {
    NESTGATE_TRY(secrets, secrets_of(value, std::string(key)));
    into.secrets = std::move(secrets);
  } else {
    return false;
  }
  return true;
}

bool is_blank(std::string_view body) { return body.find_first_not_of(" \t\r\n") == body.npos; }

}  // namespace

Checked<StartBody> parse_start_body(std::string_view body) {
  StartBody out;
  if (is_blank(body)) return out;
  dom::parser parser;
  NESTGATE_TRY(members, members_of(parser, body));
  std::map<std::string_view, std::string> of_conversation;
  for (auto const [key, value] : members) {
    if (value.is_null()) continue;
    NESTGATE_TRY(is_configuration, take_configuration(out.configuration, key, value));
    if (is_configuration) continue;
    NESTGATE_TRY(is_wish, take_wish(out.wish, key, value));
    if (is_wish) continue;
    if (auto const* const member = conversation_member(key)) {
      NESTGATE_TRY(json, conversation_value(*member, value));
      of_conversation.insert_or_assign(member->name, std::move(json));
      take_about(out.about, key, value);
    } else if (key == "title") {  // the gateway's own: an older server would refuse it
      NESTGATE_TRY(title, line_of(value, "title", conversation::About::title_bytes_max));
      out.about.title = std::move(title);
    } else if (key == "label") {
      NESTGATE_TRY(label, line_of(value, "label", name_bytes_max));
      out.about.label = std::move(label);
    } else if (key == "conversation_id") {
      NESTGATE_TRY(id, id_of(value));
      out.id = std::move(id);
    } else if (key == "again") {
      NESTGATE_TRY(again, again_of(value));
      out.again = again;
    } else {
      return Invalid("extra_forbidden", std::string(key), "is no member of this body (see /openapi.json)");
    }
  }
  if (!of_conversation.empty()) out.configuration.conversation_json = object_with(of_conversation);
  return out;
}

Checked<nested::Configuration> parse_change_body(std::string_view body) {
  dom::parser parser;
  NESTGATE_TRY(members, members_of(parser, body));
  nested::Configuration out;
  for (auto const [key, value] : members) {
    if (value.is_null()) continue;
    NESTGATE_TRY(is_known, take_configuration(out, key, value));
    if (!is_known)
      return Invalid("extra_forbidden", std::string(key),
                     "is none of settings, git_provider_tokens, provider_tokens, secrets, custom_secrets");
  }
  if (out.empty()) return Invalid("missing", "", "must have settings, tokens or secrets");
  return out;
}

}  // namespace nestgate::api
