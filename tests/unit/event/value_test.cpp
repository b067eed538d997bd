#include "nestgate/event/value.hpp"

#include "unit/event/event_texts.hpp"

namespace nestgate::event {
namespace {

TEST(Value, IsWrittenAsItWasRead) {
  for (auto const* json : {"null", "true", "false", "0", "-1", "1.0", "1.5", "\"a\"", "[]", "{}", "[1,[2,{\"a\":[]}]]",
                           "9223372036854775807", "-9223372036854775808", "18446744073709551615", "{\"b\":1,\"a\":2}"})
    EXPECT_EQ(json_of(value_of(json)), json);
}

TEST(Value, OfOneNameTheLastStandsInThePlaceOfTheFirst) {
  EXPECT_EQ(json_of(value_of(R"({"a":1,"b":2,"a":3})")), R"({"a":3,"b":2})");
  std::string many = "{\"z\":0";
  for (int i = 0; i < 20; ++i) many += ",\"k" + std::to_string(i % 10) + "\":" + std::to_string(i);
  auto const value = value_of(many + "}");
  EXPECT_EQ(value.as_object().members().size(), 11U);
  EXPECT_EQ(value.find("k3")->to_int64(), 13);
  EXPECT_EQ(value.as_object().members()[1].name, "k0");
}

TEST(Value, FindsEachMemberOfSmallAndOfLargeObjects) {
  for (int size : {0, 1, 8, 9, 100}) {
    std::vector<Member> members;
    for (int i = size; i > 0; --i) members.push_back({"m" + std::to_string(i), Value::integer(std::int64_t{i})});
    auto const object = Value::object(members);
    for (int i = 1; i <= size; ++i) EXPECT_EQ(object.find("m" + std::to_string(i))->to_int64(), i);
    EXPECT_EQ(object.find("m0"), nullptr);
    EXPECT_EQ(object.find("n"), nullptr);
    EXPECT_EQ(object.find(""), nullptr);
  }
  EXPECT_EQ(Value::integer(std::int64_t{1}).find("a"), nullptr);
}

TEST(Value, AnIntegerBeyond64BitsIsARealAndTheRestOfTheDocumentIsKept) {
  EXPECT_EQ(json_of(value_of("[18446744073709551616,\"18446744073709551616\",-9223372036854775809,1]")),
            "[1.8446744073709552e+19,\"18446744073709551616\",-9.223372036854776e+18,1]");
}

TEST(Value, HalfASurrogatePairIsReplaced) {
  EXPECT_EQ(json_of(value_of(R"({"a":"x\ud83d","b":"\udc00y","c":"\ud83d\ude00","d":"\\ud83d"})")),
            "{\"a\":\"x\xef\xbf\xbd\",\"b\":\"\xef\xbf\xbdy\",\"c\":\"\xf0\x9f\x98\x80\",\"d\":\"\\\\ud83d\"}");
}

TEST(Value, WhatIsNoJsonIsBadInput) {
  for (auto const* json : {"", " ", "{", "[1,]", "{\"a\"}", "nul", "01", "1 2", "'a'", "\"\\x\"", "\"\xff\"", "NaN",
                           "[99999999999999999999,]"}) {
    auto const parsed = Value::parse(json);
    ASSERT_FALSE(parsed) << json;
    EXPECT_EQ(parsed.error().kind, FaultKind::bad_input) << json;
  }
}

TEST(Value, BeyondALimitIsTooLarge) {
  DocumentLimits const limits{.bytes_max = 20, .values_max = 4, .depth_max = 3};
  auto const kind = [&](std::string_view json) {
    auto const parsed = Value::parse(json, limits);
    EXPECT_FALSE(parsed) << json;
    return parsed.error().kind;
  };
  EXPECT_TRUE(Value::parse("[1,2,3]", limits));
  EXPECT_EQ(kind("[1,2,3,4]"), FaultKind::too_large);
  EXPECT_EQ(kind("{\"a\":[1,2,3]}"), FaultKind::too_large);
  EXPECT_TRUE(Value::parse("[[[1]]]", limits));
  EXPECT_EQ(kind("[[[[]]]]"), FaultKind::too_large);
  EXPECT_TRUE(Value::parse("\"345678901234567890\"", {.bytes_max = 20}));
  EXPECT_EQ(kind("\"3456789012345678901\""), FaultKind::too_large);
}

TEST(Value, KnowsHowDeepItIs) {
  EXPECT_EQ(value_of("1").depth(), 0U);
  EXPECT_EQ(value_of("[]").depth(), 1U);
  EXPECT_EQ(value_of("{}").depth(), 1U);
  EXPECT_EQ(value_of(R"([1,{"a":[[]],"b":2}])").depth(), 4U);
}

TEST(Value, IsTruthyAsInPython) {
  for (auto const* json : {"null", "false", "0", "0.0", "-0.0", "\"\"", "[]", "{}"})
    EXPECT_FALSE(value_of(json).is_truthy()) << json;
  for (auto const* json : {"true", "1", "-0.5", "\"0\"", "[0]", "{\"\":0}"}) EXPECT_TRUE(value_of(json).is_truthy()) << json;
}

TEST(JsonForm, OfPythonEscapesAllThatIsNotPrintableAscii) {
  auto const value = Value::array(
      {Value::string("\"\\\b\f\n\r\t\x01\x7f\xc3\xa9\xf0\x9f\x98\x80/"), Value::real(2), Value::object({{"a", Value()}})});
  EXPECT_EQ(json_of(value, JsonForm::python_compact), R"(["\"\\\b\f\n\r\t\u0001\u007f\u00e9\ud83d\ude00/",2.0,{"a":null}])");
  EXPECT_EQ(json_of(value, JsonForm::python), R"(["\"\\\b\f\n\r\t\u0001\u007f\u00e9\ud83d\ude00/", 2.0, {"a": null}])");
}

TEST(AppendJson, StopsWhereItsLimitIs) {
  Value value;
  for (int i = 0; i < 40; ++i) value = Value::array({value, value});
  std::string out;
  EXPECT_FALSE(append_json(out, value, JsonForm::compact, 1'000));
  EXPECT_LT(out.size(), 1'100U);
}

TEST(PythonText, IsThatOfStr) {
  struct {
    double number;
    char const* text;
  } const cases[] = {
      {1, "1.0"},          {-0.0, "-0.0"},     {0.1, "0.1"},      {1e15, "1000000000000000.0"}, {1e16, "1e+16"},
      {1.5e-5, "1.5e-05"}, {0.0001, "0.0001"}, {1e100, "1e+100"}, {123456.789, "123456.789"},   {5e-324, "5e-324"}};
  for (auto const& [number, text] : cases) EXPECT_EQ(python_text(number), text);
  EXPECT_EQ(python_text(Value::boolean(true)), "True");
  EXPECT_EQ(python_text(Value::boolean(false)), "False");
  EXPECT_EQ(python_text(value_of("1")), "1");
  EXPECT_EQ(python_text(value_of("1.0")), "1.0");
  EXPECT_EQ(python_text(value_of("18446744073709551615")), "18446744073709551615");
  EXPECT_EQ(python_text(value_of("\"a b\"")), "a b");
  for (auto const* json : {"null", "[]", "{}"}) EXPECT_EQ(python_text(value_of(json)), std::nullopt) << json;
}

}  // namespace
}  // namespace nestgate::event
