#include "support/json_schema.hpp"

#include <gtest/gtest.h>

namespace nestgate::test {
namespace {

std::string why_not(std::string const& schema, std::string const& value) {
  simdjson::dom::parser schema_parser, value_parser;
  auto const document =
      schema_parser.parse(R"({"defs":{"Word":{"type":"string","enum":["a","b"]}},"schema":)" + schema + "}").value();
  return JsonSchemas(document).why_not(document["schema"], value_parser.parse(value).value());
}

TEST(JsonSchemas, FindWhatDoesNotFit) {
  EXPECT_EQ(why_not(R"({"type":"integer"})", "1"), "");
  EXPECT_NE(why_not(R"({"type":"integer"})", "1.5"), "");
  EXPECT_NE(why_not(R"({"type":"string"})", "null"), "");
  EXPECT_EQ(why_not(R"({"type":["string","null"]})", "null"), "");
  EXPECT_EQ(why_not(R"({"$ref":"#/defs/Word"})", "\"a\""), "");
  EXPECT_EQ(why_not(R"({"$ref":"#/defs/Word"})", "\"c\""), R"(the whole: "c" is none of ["a","b"])");
  EXPECT_EQ(why_not(R"({"type":"array","items":{"$ref":"#/defs/Word"}})", R"(["a",7])"), R"(/1: is no "string")");
  EXPECT_EQ(why_not(R"({"anyOf":[{"type":"null"},{"type":"boolean"}]})", "true"), "");
  EXPECT_NE(why_not(R"({"anyOf":[{"type":"null"},{"type":"boolean"}]})", "1"), "");
}

TEST(JsonSchemas, LookAtTheMembersOfObjects) {
  std::string const schema =
      R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"object","additionalProperties":{"type":"string"}}},
          "required":["a"],"additionalProperties":false})";
  EXPECT_EQ(why_not(schema, R"({"a":1,"b":{"x":"y"}})"), "");
  EXPECT_EQ(why_not(schema, "{}"), "/a: is missing");
  EXPECT_EQ(why_not(schema, R"({"a":"1"})"), R"(/a: is no "integer")");
  EXPECT_EQ(why_not(schema, R"({"a":1,"c":1})"), "/c: is not documented");
  EXPECT_EQ(why_not(schema, R"({"a":1,"b":{"x":1}})"), R"(/b/x: is no "string")");
}

TEST(JsonSchemas, PassNothingForAKeywordThatTheyDoNotKnow) {
  EXPECT_EQ(why_not(R"({"oneOf":[]})", "1"), "the whole: keyword oneOf is not known");
}

}  // namespace
}  // namespace nestgate::test
