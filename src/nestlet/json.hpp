#pragma once

#include <boost/json.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/base/result.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestlet/answer.hpp"

// Reading request bodies. Boost.JSON, not simdjson: Debian has no static simdjson, and nestlet is a static program.
namespace nestgate::nestlet {

using JsonObject = boost::json::object;
using JsonValue = boost::json::value;

// 422 for what is no JSON or no object.
Checked<JsonObject> parse_object(std::string_view body);
Checked<std::vector<std::string>> parse_string_list(std::string_view body);

// A field, checked: 422 names it. `where` says what of the request `object` is. For maybe_... null is nothing.
Checked<std::string> need_string(JsonObject const& object, std::string_view field, std::string_view where = "body");
Checked<std::optional<std::string>> maybe_string(JsonObject const& object, std::string_view field,
                                                 std::string_view where = "body");
Checked<std::optional<std::int64_t>> maybe_integer(JsonObject const& object, std::string_view field,
                                                   std::string_view where = "body");
Checked<bool> flag(JsonObject const& object, std::string_view field);  // absent or null: false
Checked<JsonObject> need_object(JsonObject const& object, std::string_view field, std::string_view where = "body");
// The field as JSON text, or "null".
std::string raw_or_null(JsonObject const& object, std::string_view field);

}  // namespace nestgate::nestlet
