#pragma once

#include <simdjson.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "invalid.hpp"

// What the parsers of JSON bodies share. `field` is the value's dotted path. Pure.
namespace nestgate::api {

inline constexpr std::size_t value_bytes_max = 64 * 1024;

bool has_control_bytes(std::string_view text);
Invalid over(std::string type, std::string const& field, std::size_t bytes_max);
// A parsed value takes up to twelve times its own bytes: so many are taken, before anything is parsed.
inline constexpr std::size_t values_max = 1024 * 1024;
// `field` is what the text is a value of; what it gives lives as long as the parser.
Checked<simdjson::dom::element> json_of(simdjson::dom::parser& parser, std::string_view text, std::string const& field = {},
                                        std::size_t count_max = values_max);
// The body as an object; what it gives lives as long as the parser.
Checked<simdjson::dom::object> members_of(simdjson::dom::parser& parser, std::string_view body);
// null is as the empty text.
Checked<std::string> text_of(simdjson::dom::element value, std::string const& field,
                             std::size_t bytes_max = value_bytes_max);
// A text without control characters.
Checked<std::string> line_of(simdjson::dom::element value, std::string const& field, std::size_t bytes_max);
Checked<simdjson::dom::object> object_of(simdjson::dom::element value, std::string const& field);
Checked<simdjson::dom::array> array_of(simdjson::dom::element value, std::string const& field, std::size_t entries_max);

}  // namespace nestgate::api
