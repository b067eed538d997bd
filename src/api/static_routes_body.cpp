#include "static_routes_body.hpp"

#include <simdjson.h>

#include <algorithm>
#include <unordered_set>

#include "body_values.hpp"
#include "nestgate/base/result.hpp"
#include "nestgate/http/route.hpp"

namespace nestgate::api {
namespace {

namespace dom = simdjson::dom;
using conversation::StaticRuntime;

constexpr std::size_t batch_values_max = 4 * values_max;  // the largest batch, with all ports
constexpr std::size_t url_bytes_max = 2048;
constexpr std::size_t key_bytes_max = 512;
constexpr std::size_t ports_max = 32;
constexpr std::size_t name_bytes_max = 64;

bool is_visible(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

Checked<std::string> visible_text(dom::element value, std::string const& field, std::size_t bytes_max) {
  std::string_view text;
  if (value.get_string().get(text)) return Invalid("string_type", field, "must be a string");
  if (text.empty() || text.size() > bytes_max || !is_visible(text))
    return Invalid("string_pattern_mismatch", field,
                   "must be 1 to " + std::to_string(bytes_max) + " bytes of visible ASCII without spaces");
  return std::string(text);
}

Checked<std::vector<std::pair<std::string, std::uint16_t>>> ports_of(dom::element value) {
  dom::object members;
  if (value.get_object().get(members)) return Invalid("dict_type", "ports", "must be an object of port numbers");
  if (members.size() > ports_max)
    return Invalid("too_long", "ports", "must not have more than " + std::to_string(ports_max) + " entries");
  std::vector<std::pair<std::string, std::uint16_t>> out;
  for (auto const [name, member] : members) {
    std::int64_t number = 0;
    if (name.empty() || name.size() > name_bytes_max || !is_visible(name))
      return Invalid("string_pattern_mismatch", "ports", "names must be 1 to 64 bytes of visible ASCII");
    if (member.get_int64().get(number) || number < 1 || number > 65535)
      return Invalid("int_type", "ports." + std::string(name), "must be 1 to 65535");
    out.emplace_back(name, static_cast<std::uint16_t>(number));
  }
  return out;
}

// All but the id, which a batch has here and PUT in its path.
Checked<StaticRuntime> route_of(ConversationId id, dom::object members) {
  StaticRuntime out{std::move(id), {}, {}, {}};
  for (auto const [key, value] : members) {
    if (value.is_null()) continue;
    if (key == "url") {
      NESTGATE_TRY(url, visible_text(value, "url", url_bytes_max));
      out.url = std::move(url);
    } else if (key == "session_api_key") {
      NESTGATE_TRY(text, visible_text(value, "session_api_key", key_bytes_max));
      out.session_key.emplace(std::move(text));
    } else if (key == "ports") {
      NESTGATE_TRY(ports, ports_of(value));
      out.ports = std::move(ports);
    } else if (key != "id") {
      return Invalid("extra_forbidden", std::string(key), "is none of id, url, session_api_key, ports");
    }
  }
  if (out.url.empty()) return Invalid("missing", "url", "must be there");
  return out;
}

Checked<dom::object> root_of(dom::parser& parser, std::string_view body) {
  NESTGATE_TRY(root, json_of(parser, body, {}, batch_values_max));
  dom::object members;
  if (root.get_object().get(members)) return Invalid("dict_type", "", "must be an object");
  return members;
}

// Of `object`, which may have no such member; empty then.
Checked<std::vector<dom::element>> list_in(dom::object object, std::string_view name) {
  dom::element value;
  std::vector<dom::element> out;
  if (object[name].get(value) || value.is_null()) return out;
  dom::array array;
  if (value.get_array().get(array)) return Invalid("list_type", std::string(name), "must be a list");
  for (auto const entry : array) out.push_back(entry);
  return out;
}

// Reads the entries of one batch; an id counts once.
class Batch {
 public:
  void put(std::size_t place, dom::element entry) {
    dom::object members;
    if (entry.get_object().get(members)) return refuse("put", place, {}, "must be an object");
    dom::element id_value;
    if (members["id"].get(id_value)) return refuse("put", place, {}, "id: must be there");
    auto id = take_id("put", place, id_value);
    if (!id) return;
    std::string text = id->text();
    auto route = route_of(std::move(*id), members);
    if (!route) return refuse("put", place, std::move(text), message_of(route.error()));
    out_.put.push_back(std::move(*route));
    out_.put_places.push_back(place);
  }

  void remove(std::size_t place, dom::element entry) {
    auto id = take_id("remove", place, entry);
    if (!id) return;
    out_.removed.push_back(std::move(*id));
    out_.removed_places.push_back(place);
  }

  StaticChanges take() { return std::move(out_); }

 private:
  std::optional<ConversationId> take_id(std::string_view list, std::size_t place, dom::element value) {
    std::string_view text;
    if (value.get_string().get(text)) {
      refuse(list, place, {}, "id: must be a string");
      return std::nullopt;
    }
    if (auto const why = http::why_not_an_id(text)) {
      refuse(list, place, {}, "id: " + std::string(*why));
      return std::nullopt;
    }
    auto id = *ConversationId::parse(text);
    if (!seen_.insert(id.canonical()).second) {
      refuse(list, place, id.text(), "id: is in this batch twice");
      return std::nullopt;
    }
    return id;
  }

  void refuse(std::string_view list, std::size_t place, std::string id, std::string message) {
    out_.refused.push_back({list, place, std::move(id), "bad_input", std::move(message)});
  }

  StaticChanges out_;
  std::unordered_set<std::string> seen_;
};

}  // namespace

Checked<StaticRuntime> parse_static_route(ConversationId id, std::string_view body) {
  dom::parser parser;
  NESTGATE_TRY(members, root_of(parser, body));
  dom::element named;
  if (!members["id"].get(named)) return Invalid("extra_forbidden", "id", "stands in the path");
  return route_of(std::move(id), members);
}

Checked<StaticChanges> parse_static_changes(std::string_view body) {
  dom::parser parser;
  NESTGATE_TRY(members, root_of(parser, body));
  for (auto const [key, value] : members) {
    if (key != "put" && key != "remove") return Invalid("extra_forbidden", std::string(key), "is none of put, remove");
  }
  NESTGATE_TRY(put, list_in(members, "put"));
  NESTGATE_TRY(removed, list_in(members, "remove"));
  if (put.size() + removed.size() > static_changes_max)
    return Invalid("too_long", "", "must not have more than " + std::to_string(static_changes_max) + " entries");
  Batch batch;
  for (std::size_t i = 0; i < put.size(); ++i) batch.put(i, put[i]);
  for (std::size_t i = 0; i < removed.size(); ++i) batch.remove(i, removed[i]);
  return batch.take();
}

}  // namespace nestgate::api
