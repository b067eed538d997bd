#include "nestlet/json.hpp"

#include <boost/json/src.hpp>

namespace nestgate::nestlet {
namespace {

boost::json::parse_options options() {
  boost::json::parse_options out;
  out.max_depth = 128;  // an agent's dump with its tools nests deeper than the default 32
  return out;
}

JsonValue const* find(JsonObject const& object, std::string_view field) {
  auto const* value = object.if_contains(field);
  return value != nullptr && !value->is_null() ? value : nullptr;
}

Checked<JsonValue> parse(std::string_view body) {
  boost::system::error_code ec;
  auto value = boost::json::parse(body, ec, {}, options());
  if (ec) return invalid("body", "", "json_invalid", "JSON decode error");
  return value;
}

}  // namespace

Checked<JsonObject> parse_object(std::string_view body) {
  if (body.empty()) return missing("body", "");
  NESTGATE_TRY(value, parse(body));
  if (!value.is_object()) {
    return invalid("body", "", "model_attributes_type",
                   "Input should be a valid dictionary or object to extract fields from");
  }
  return std::move(value.get_object());
}

Checked<std::vector<std::string>> parse_string_list(std::string_view body) {
  if (body.empty()) return missing("body", "");
  NESTGATE_TRY(value, parse(body));
  if (!value.is_array()) return invalid("body", "", "list_type", "Input should be a valid list");
  std::vector<std::string> out;
  for (auto const& item : value.get_array()) {
    if (!item.is_string()) return invalid("body", "", "string_type", "Input should be a valid string");
    out.emplace_back(item.get_string());
  }
  return out;
}

Checked<std::string> need_string(JsonObject const& object, std::string_view field, std::string_view where) {
  NESTGATE_TRY(text, maybe_string(object, field, where));
  if (!text && object.contains(field)) return invalid(where, field, "string_type", "Input should be a valid string");
  if (!text) return missing(where, field);
  return std::move(*text);
}

Checked<std::optional<std::string>> maybe_string(JsonObject const& object, std::string_view field, std::string_view where) {
  auto const* value = find(object, field);
  if (value == nullptr) return std::optional<std::string>();
  if (!value->is_string()) return invalid(where, field, "string_type", "Input should be a valid string");
  return std::optional<std::string>(std::in_place, value->get_string());
}

Checked<std::optional<std::int64_t>> maybe_integer(JsonObject const& object, std::string_view field,
                                                   std::string_view where) {
  auto const* value = find(object, field);
  if (value == nullptr) return std::optional<std::int64_t>();
  boost::system::error_code ec;
  auto const number = value->to_number<std::int64_t>(ec);
  if (ec) return invalid(where, field, "int_type", "Input should be a valid integer");
  return std::optional<std::int64_t>(number);
}

Checked<bool> flag(JsonObject const& object, std::string_view field) {
  auto const* value = find(object, field);
  if (value == nullptr) return false;
  if (!value->is_bool()) return invalid("body", field, "bool_type", "Input should be a valid boolean");
  return value->get_bool();
}

Checked<JsonObject> need_object(JsonObject const& object, std::string_view field, std::string_view where) {
  auto const* value = object.if_contains(field);
  if (value == nullptr) return missing(where, field);
  if (!value->is_object()) return invalid(where, field, "dict_type", "Input should be a valid dictionary");
  return value->get_object();
}

std::string raw_or_null(JsonObject const& object, std::string_view field) {
  auto const* value = object.if_contains(field);
  return value == nullptr ? "null" : boost::json::serialize(*value);
}

}  // namespace nestgate::nestlet
