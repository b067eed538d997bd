#pragma once

#include "model.hpp"
#include "nestgate/event/value.hpp"

namespace nestgate::api {

// A value of a request's body as a tree of its own.
event::Value tree_of(simdjson::dom::element element);
// Any JSON value, null too.
Rule<event::Value> any_value();
// As compact JSON.
std::string compact_json(event::Value const& value);

}  // namespace nestgate::api
