#include "user_settings.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <set>

#include "body_values.hpp"
#include "masked.hpp"
#include "nestgate/base/result.hpp"
#include "nestgate/codec/json_writer.hpp"

namespace nestgate::api {
namespace {

namespace dom = simdjson::dom;
using codec::JsonWriter;

constexpr std::size_t settings_bytes_max = 1024 * 1024;
constexpr std::size_t depth_max = 32;
constexpr std::size_t description_bytes_max = 1024;

Checked<dom::object> object_in(dom::parser& parser, std::string_view json) {
  dom::element root;
  simdjson::error_code error = parser.allocate(std::max(json.size(), std::size_t{64}), depth_max);
  if (!error) error = parser.parse(json.data(), json.size()).get(root);
  if (error) return Invalid("json_invalid", "", std::string("is not JSON: ") + simdjson::error_message(error));
  dom::object object;
  if (root.get_object().get(object)) return Invalid("dict_type", "", "must be an object");
  return object;
}

void write_merged(JsonWriter& w, std::optional<dom::object> target, dom::object changes);

// `target` is what is there; `change` is not null.
void write_changed(JsonWriter& w, std::optional<dom::element> target, dom::element change) {
  dom::object changes, below;
  if (change.get_object().get(changes)) {
    w.raw(simdjson::minify(change));
  } else if (target && !target->get_object().get(below)) {
    write_merged(w, below, changes);
  } else {
    write_merged(w, std::nullopt, changes);
  }
}

void write_merged(JsonWriter& w, std::optional<dom::object> target, dom::object changes) {
  std::set<std::string_view> written;
  w.begin_object();
  if (target) {
    for (auto const [name, value] : *target) {
      if (!written.insert(name).second) continue;
      dom::element change;
      if (changes.at_key(name).get(change)) {
        w.key(name).raw(simdjson::minify(value));
      } else if (!change.is_null()) {
        w.key(name);
        write_changed(w, value, change);
      }
    }
  }
  for (auto const [name, change] : changes) {
    if (change.is_null() || !written.insert(name).second) continue;
    w.key(name);
    write_changed(w, std::nullopt, change);
  }
  w.end_object();
}

}  // namespace

Checked<Secret> merge_settings(Secret const& settings, std::string_view patch) {
  dom::parser patch_parser, settings_parser;
  NESTGATE_TRY(changes, object_in(patch_parser, patch));
  dom::element id;
  if (!changes.at_key("id").get(id)) return Invalid("extra_forbidden", "id", "is the gateway's");
  // tidy-ok(reveal): what is merged is sealed again
  std::string_view const known = settings.empty() ? std::string_view("{}") : settings.reveal();
  NESTGATE_TRY(target, object_in(settings_parser, known));
  std::string out;
  out.reserve(known.size() + patch.size());  // so that no copy stays behind in memory
  JsonWriter w(out);
  write_merged(w, target, changes);
  if (out.size() > settings_bytes_max)
    return Invalid("too_long", "", "the settings must not exceed " + std::to_string(settings_bytes_max) + " bytes");
  return Secret(std::move(out));
}

std::optional<std::string> user_json(std::string_view owner, Secret const& settings, Shown shown) {
  dom::parser parser;
  // tidy-ok(reveal): shown to whom they belong, masked but for `shown`
  auto const members = object_in(parser, settings.empty() ? std::string_view("{}") : settings.reveal());
  if (!members) return std::nullopt;
  std::string out;
  JsonWriter w(out);
  w.begin_object().key("id");
  if (owner.empty()) {
    w.null();
  } else {
    w.value(owner);
  }
  for (auto const [name, value] : *members) {
    bool const is_shown = shown == Shown::all_secrets || (shown == Shown::tool_servers && name == "mcp_config");
    w.key(name);
    if (is_shown) {
      w.raw(simdjson::minify(value));
    } else {
      write_masked(w, value, names_secrets(name) ? Here::secret : Here::plain);
    }
  }
  w.end_object();
  return out;
}

Checked<SecretBody> parse_secret_body(std::string_view body) {
  dom::parser parser;
  NESTGATE_TRY(members, object_in(parser, body));
  SecretBody out;
  for (auto const [name, value] : members) {
    std::string const field(name);
    if (name == "value") {
      NESTGATE_TRY(text, text_of(value, field, value_bytes_max));
      out.value = Secret(std::move(text));
    } else if (name == "description") {
      NESTGATE_TRY(text, text_of(value, field, description_bytes_max));
      out.description = std::move(text);
    } else {
      return Invalid("extra_forbidden", field, "is none of value, description");
    }
  }
  if (out.value.empty()) return Invalid("missing", "value", "must be a text that is not empty");
  return out;
}

}  // namespace nestgate::api
