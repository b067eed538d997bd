#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "nestgate/event/expression.hpp"
#include "nestgate/event/value.hpp"

namespace nestgate::event {

inline Value value_of(std::string_view json) {
  auto parsed = Value::parse(json);
  EXPECT_TRUE(parsed) << json;
  return parsed ? *parsed : Value();
}

inline std::string json_of(Value const& value, JsonForm form = JsonForm::compact) {
  std::string out;
  EXPECT_TRUE(append_json(out, value, form, 1'000'000));
  return out;
}

// The value as JSON, or what went wrong.
inline std::string found(std::string_view expression, std::string_view document, Budget const& budget = {}) {
  auto const parsed = Expression::parse(expression);
  if (!parsed) return "syntax: " + parsed.error().text;
  auto const value = parsed->evaluate(value_of(document), budget);
  return value ? json_of(*value) : value.error().text;
}

inline bool matches(std::string_view expression, std::string_view document) {
  auto const parsed = Expression::parse(expression);
  EXPECT_TRUE(parsed) << expression;
  if (!parsed) return false;
  auto const said = parsed->matches(value_of(document));
  return said && *said;
}

}  // namespace nestgate::event
