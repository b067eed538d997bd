#pragma once

#include <simdjson.h>

#include <string_view>

#include "nestgate/codec/json_writer.hpp"

// JSON that others sent, to be shown without what looks like a secret. Pure.
namespace nestgate::api {

inline constexpr std::string_view mask = "**********";

// Whether texts below a member of that name are secrets.
bool names_secrets(std::string_view name);

enum class Here : bool { plain, secret };
// `value` with `mask` in the place of secrets: texts below such names, and URLs with a query or user information.
void write_masked(codec::JsonWriter& w, simdjson::dom::element value, Here here);

}  // namespace nestgate::api
