#pragma once

#include <simdjson.h>

#include <string_view>

#include "invalid.hpp"
#include "nestgate/runtime/provider.hpp"

namespace nestgate::api {

// Whether `key` was a member of what a client asks of a runtime (`image`, `command` as a list of words, `working_dir`,
// `environment`, `resource_factor`), which is taken then. Variables that carry the session key are left out: they are the
// gateway's. Pure.
Checked<bool> take_wish(runtime::Wish& into, std::string_view key, simdjson::dom::element value);

}  // namespace nestgate::api
