#include "json_value.hpp"

#include "nestgate/base/invariant.hpp"

namespace nestgate::api {

event::Value tree_of(simdjson::dom::element element) {
  // It was parsed within the limits of its body already.
  constexpr event::DocumentLimits limits{.bytes_max = SIZE_MAX, .values_max = SIZE_MAX, .depth_max = 2048};
  auto tree = event::Value::parse(simdjson::minify(element), limits);
  NESTGATE_INVARIANT(tree.has_value(), "what was parsed is written as JSON");
  return *std::move(tree);
}

Rule<event::Value> any_value() {
  return [](Value const& value, event::Value& out) {
    out = tree_of(value.json().value());
    return true;
  };
}

std::string compact_json(event::Value const& value) {
  std::string out;
  event::append_json(out, value, event::JsonForm::compact, SIZE_MAX);
  return out;
}

}  // namespace nestgate::api
