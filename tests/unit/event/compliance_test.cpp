// The official compliance suite of JMESPath (tests/data/jmespath/README.md), all of it.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "nestgate/event/expression.hpp"

namespace nestgate::event {
namespace {

std::string_view kind_of_fault(EvaluationFault::Kind kind) {
  switch (kind) {
    case EvaluationFault::Kind::unknown_function: return "unknown-function";
    case EvaluationFault::Kind::arity: return "invalid-arity";
    case EvaluationFault::Kind::type: return "invalid-type";
    case EvaluationFault::Kind::value: return "invalid-value";
    case EvaluationFault::Kind::over_budget: return "over-budget";
  }
  return "";
}

std::string json(Value const& value) {
  std::string out;
  EXPECT_TRUE(append_json(out, value, JsonForm::compact, 1'000'000));
  return out;
}

// `left == right` as the language itself says.
bool equal(Value const& left, Value const& right) {
  auto const pair = Value::object({{"left", left}, {"right", right}});
  return *Expression::parse("left == right")->matches(pair);
}

void check(Value const& given, Value const& test, std::string const& where) {
  std::string const text(test.find("expression")->as_string());
  auto const* const fault = test.find("error");
  auto const* const expected = test.find("result");
  auto const expression = Expression::parse(text);
  if (!expression) {
    EXPECT_TRUE(fault && fault->as_string() == "syntax") << where << ": " << text << ": " << expression.error().text;
    return;
  }
  auto const result = expression->evaluate(given);
  if (!result) {
    EXPECT_TRUE(fault && fault->as_string() == kind_of_fault(result.error().kind))
        << where << ": " << text << ": " << result.error().text;
    return;
  }
  ASSERT_TRUE(expected) << where << ": " << text << " has the value " << json(*result);
  EXPECT_TRUE(equal(*result, *expected)) << where << ": " << text << " has the value " << json(*result);
}

TEST(Compliance, EveryCaseOfTheOfficialSuiteHolds) {
  std::size_t cases = 0;
  for (auto const& entry : std::filesystem::directory_iterator(NESTGATE_TEST_DATA "/data/jmespath")) {
    if (entry.path().extension() != ".json") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    auto const suites = Value::parse(std::string(std::istreambuf_iterator<char>(file), {}));
    ASSERT_TRUE(suites) << entry.path();
    for (auto const& suite : suites->as_array())
      for (auto const& test : suite.find("cases")->as_array()) {
        check(*suite.find("given"), test, entry.path().filename());
        ++cases;
      }
  }
  EXPECT_EQ(cases, 861U);
}

}  // namespace
}  // namespace nestgate::event
