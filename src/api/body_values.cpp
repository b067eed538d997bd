#include "body_values.hpp"

#include <algorithm>

#include "nestgate/base/result.hpp"

namespace nestgate::api {

namespace dom = simdjson::dom;

namespace {

// Where the string that begins at `quote` ends; the text's end when it does not.
std::size_t behind_string(std::string_view text, std::size_t quote) {
  auto at = text.find_first_of("\"\\", quote + 1);
  while (at != text.npos && text[at] == '\\') at = text.find_first_of("\"\\", at + 2);
  return at == text.npos ? text.size() : at + 1;
}

// A comma, a colon or an opening bracket stands before each value but the first.
bool has_more_values(std::string_view text, std::size_t count_max) {
  if (text.size() / 2 < count_max) return false;
  std::size_t count = 0;
  for (std::size_t at = 0; at < text.size() && count <= count_max;) {
    char const c = text[at];
    count += c == ',' || c == ':' || c == '[' || c == '{' ? 1 : 0;
    at = c == '"' ? behind_string(text, at) : at + 1;
  }
  return count > count_max;
}

}  // namespace

Checked<dom::element> json_of(dom::parser& parser, std::string_view text, std::string const& field, std::size_t count_max) {
  if (has_more_values(text, count_max))
    return Invalid("too_long", field, "must not have more than " + std::to_string(count_max) + " values");
  dom::element root;
  if (auto const error = parser.parse(text.data(), text.size()).get(root))
    return Invalid("json_invalid", field, std::string("is not JSON: ") + simdjson::error_message(error));
  return root;
}

bool has_control_bytes(std::string_view text) {
  return std::any_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == 0x7f; });
}

Invalid over(std::string type, std::string const& field, std::size_t bytes_max) {
  return {std::move(type), field, "must not exceed " + std::to_string(bytes_max) + " bytes"};
}

Checked<dom::object> members_of(dom::parser& parser, std::string_view body) {
  NESTGATE_TRY(root, json_of(parser, body));
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
