#include "nestgate/nested/configuration.hpp"

#include <simdjson.h>

#include "secret_text.hpp"

namespace nestgate::nested {
namespace {

namespace dom = simdjson::dom;

// A member that is not there is empty; false for one of another type.
bool read_text(dom::object const& from, std::string_view name, std::string& into) {
  dom::element element;
  std::string_view text;
  if (from[name].get(element)) return true;
  if (element.get_string().get(text)) return false;
  into = text;
  return true;
}

bool read_text(dom::object const& from, std::string_view name, Secret& into) {
  std::string text;
  bool const is_good = read_text(from, name, text);
  into = Secret(std::move(text));
  return is_good;
}

// `read_one` makes an item of each object in the list; the list may be missing.
template <class Item, class ReadOne>
bool read_list(dom::object const& from, std::string_view name, std::vector<Item>& into, ReadOne read_one) {
  dom::element element;
  dom::array items;
  if (from[name].get(element)) return true;
  if (element.get_array().get(items)) return false;
  for (auto const item : items) {
    dom::object object;
    if (into.size() == configuration_entries_max || item.get_object().get(object)) return false;
    if (!read_one(object, into.emplace_back())) return false;
  }
  return true;
}

bool read_token(dom::object const& from, GitToken& into) {
  return read_text(from, "provider", into.provider) && !into.provider.empty() && read_text(from, "token", into.token) &&
         read_text(from, "user_id", into.user_id) && read_text(from, "host", into.host);
}

bool read_secret(dom::object const& from, CustomSecret& into) {
  return read_text(from, "name", into.name) && !into.name.empty() && read_text(from, "value", into.value) &&
         read_text(from, "description", into.description);
}

}  // namespace

Configuration Configuration::clone() const {
  Configuration out;
  out.settings_json = settings_json.clone();
  out.conversation_json = conversation_json.clone();
  out.git_tokens.reserve(git_tokens.size());
  out.secrets.reserve(secrets.size());
  for (auto const& token : git_tokens)
    out.git_tokens.push_back(GitToken{token.provider, token.token.clone(), token.user_id, token.host});
  for (auto const& secret : secrets)
    out.secrets.push_back(CustomSecret{secret.name, secret.value.clone(), secret.description});
  return out;
}

Secret configuration_json(Configuration const& told) {
  std::size_t room = 128 + escaped_max(told.settings_json.size() + told.conversation_json.size());
  for (auto const& token : told.git_tokens)
    room += escaped_max(token.provider.size() + token.token.size() + token.user_id.size() + token.host.size()) + 64;
  for (auto const& secret : told.secrets)
    room += escaped_max(secret.name.size() + secret.value.size() + secret.description.size()) + 64;
  return written(room, [&told](codec::JsonWriter& w) {
    w.begin_object().member("settings", told.settings_json.reveal());
    w.member("conversation", told.conversation_json.reveal()).key("git_tokens").begin_array();
    for (auto const& token : told.git_tokens) {
      w.begin_object().member("provider", token.provider).member("token", token.token.reveal());
      w.member("user_id", token.user_id).member("host", token.host).end_object();
    }
    w.end_array().key("secrets").begin_array();
    for (auto const& secret : told.secrets) {
      w.begin_object().member("name", secret.name).member("value", secret.value.reveal());
      w.member("description", secret.description).end_object();
    }
    w.end_array().end_object();
  });
}

std::optional<Configuration> parse_configuration(Secret const& json) {
  if (json.size() > configuration_bytes_max) return std::nullopt;
  dom::parser parser;
  dom::object root;
  Configuration out;
  if (parser.parse(json.reveal().data(), json.size()).get_object().get(root)) return std::nullopt;
  bool const is_good =
      read_text(root, "settings", out.settings_json) && read_text(root, "conversation", out.conversation_json) &&
      read_list(root, "git_tokens", out.git_tokens, read_token) && read_list(root, "secrets", out.secrets, read_secret);
  if (!is_good) return std::nullopt;
  return out;
}

}  // namespace nestgate::nested
