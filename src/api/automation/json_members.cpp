#include "json_members.hpp"

#include <simdjson.h>

#include <algorithm>

namespace nestgate::api {

namespace dom = simdjson::dom;

JsonMembers::JsonMembers(std::string_view json) {
  dom::parser parser;
  dom::object object;
  if (json.empty() || parser.parse(json.data(), json.size()).get_object().get(object)) return;
  for (auto const [name, value] : object) members_.insert_or_assign(std::string(name), simdjson::minify(value));
}

std::string_view JsonMembers::find(std::string_view name) const {
  auto const at = members_.find(name);
  return at == members_.end() ? std::string_view() : std::string_view(at->second);
}

std::optional<std::string> JsonMembers::text(std::string_view name) const {
  auto const json = find(name);
  dom::parser parser;
  std::string_view text;
  if (json.empty() || parser.parse(json.data(), json.size()).get_string().get(text)) return std::nullopt;
  return std::string(text);
}

void JsonMembers::erase(std::string_view name) {
  if (auto const at = members_.find(name); at != members_.end()) members_.erase(at);
}

bool JsonMembers::has_value(std::string_view json) const {
  return std::any_of(members_.begin(), members_.end(), [&](auto const& member) { return member.second == json; });
}

std::string JsonMembers::json() const {
  std::string out;
  if (members_.empty()) return out;
  codec::JsonWriter w(out);
  w.begin_object();
  for (auto const& [name, value] : members_) w.key(name).raw(value);
  w.end_object();
  return out;
}

std::string json_text(std::string_view text) {
  std::string out;
  codec::append_json_string(out, text);
  return out;
}

void write_json_or_null(codec::JsonWriter& w, std::string_view name, std::string_view json) {
  w.key(name);
  if (json.empty()) {
    w.null();
  } else {
    w.raw(json);
  }
}

}  // namespace nestgate::api
