#include "body_values.hpp"

#include <algorithm>

#include "nestgate/base/result.hpp"

namespace nestgate::api {

namespace dom = simdjson::dom;

bool has_control_bytes(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; });
}

Invalid over(std::string type, std::string const& field, std::size_t bytes_max) {
  return {std::move(type), field, "must not exceed " + std::to_string(bytes_max) + " bytes"};
}

Checked<dom::object> members_of(dom::parser& parser, std::string_view body) {
  dom::element root;
  if (auto const error = parser.parse(body.data(), body.size()).get(root))
    return Invalid("json_invalid", "", std::string("is not JSON: ") + simdjson::error_message(error));
  dom::object members;
  if (root.get_object().get(members)) return Invalid("dict_type", "", "must be an object");
  return members;
}

Checked<std::string> text_of(dom::element value, std::string const& field, std::size_t bytes_max) {
  std::string_view text;
  if (value.is_null()) return std::string();
  if (value.get_string().get(text)) return Invalid("string_type", field, "must be a string");
  if (text.size() > bytes_max) return over("string_too_long", field, bytes_max);
  return std::string(text);
}

Checked<std::string> line_of(dom::element value, std::string const& field, std::size_t bytes_max) {
  NESTGATE_TRY(text, text_of(value, field, bytes_max));
  if (has_control_bytes(text)) return Invalid("string_pattern_mismatch", field, "must not have control characters");
  return std::move(text);
}

Checked<dom::object> object_of(dom::element value, std::string const& field) {
  dom::object object;
  if (value.get_object().get(object)) return Invalid("dict_type", field, "must be an object");
  return object;
}

Checked<dom::array> array_of(dom::element value, std::string const& field, std::size_t entries_max) {
  dom::array array;
  if (value.get_array().get(array)) return Invalid("list_type", field, "must be a list");
  if (array.size() > entries_max)
    return Invalid("too_long", field, "must not have more than " + std::to_string(entries_max) + " entries");
  return array;
}

}  // namespace nestgate::api
