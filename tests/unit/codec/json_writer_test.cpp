#include "nestgate/codec/json_writer.hpp"

#include <gtest/gtest.h>

#include <simdjson.h>

#include <limits>
#include <random>

namespace nestgate::codec {
namespace {

std::string json_string(std::string_view text) {
  std::string out;
  append_json_string(out, text);
  return out;
}

// What a JSON parser reads back, or nothing when it is not a JSON string.
std::optional<std::string> read_back(std::string const& json) {
  simdjson::dom::parser parser;
  std::string_view text;
  if (parser.parse(json).get(text) != simdjson::SUCCESS) return std::nullopt;
  return std::string(text);
}

TEST(JsonString, EscapesWhatJsonAsksFor) {
  EXPECT_EQ(json_string("a\"b\\c/d"), R"("a\"b\\c/d")");
  EXPECT_EQ(json_string("\n\r\t"), R"("\n\r\t")");
  EXPECT_EQ(json_string(std::string_view("\0\x1f\x7f", 3)), R"("\u0000\u001f\u007f")");
}

TEST(JsonString, KeepsUtf8AsItIs) {
  std::string const text = "jwt-s\u00ebcret-\u2713-\U0001F600";
  EXPECT_EQ(json_string(text), "\"" + text + "\"");
}

TEST(JsonString, ReplacesEachByteThatIsNotUtf8) {
  EXPECT_EQ(json_string("a\xff"
                        "b"),
            "\"a\\ufffdb\"");
  EXPECT_EQ(json_string("\xc0\xaf"), R"("\ufffd\ufffd")");                      // overlong
  EXPECT_EQ(json_string("\xed\xa0\x80"), R"("\ufffd\ufffd\ufffd")");            // a surrogate
  EXPECT_EQ(json_string("\xf4\x90\x80\x80"), R"("\ufffd\ufffd\ufffd\ufffd")");  // beyond U+10FFFF
  EXPECT_EQ(json_string("\xe2\x9c"), R"("\ufffd\ufffd")");                      // cut short
}

TEST(JsonString, IsReadBackAsWrittenForEveryAsciiByte) {
  std::string text;
  for (char c = 0; c < 127; ++c) text.push_back(c);
  EXPECT_EQ(read_back(json_string(text)), text);
}

TEST(JsonString, IsJsonWhateverTheBytes) {
  std::mt19937 random(7);
  for (int round = 0; round < 2'000; ++round) {
    std::string text(random() % 64, '\0');
    for (auto& c : text) c = static_cast<char>(random());
    EXPECT_TRUE(read_back(json_string(text))) << round;
  }
}

TEST(JsonWriter, SetsCommasBetweenMembersAndItemsOnly) {
  std::string out;
  JsonWriter(out)
      .begin_object()
      .member("id", "a")
      .key("ports")
      .begin_array()
      .value(8001)
      .value(8002)
      .begin_object()
      .end_object()
      .begin_array()
      .end_array()
      .end_array()
      .member("open", true)
      .key("none")
      .null()
      .key("raw")
      .raw("[1]")
      .end_object();
  EXPECT_EQ(out, R"({"id":"a","ports":[8001,8002,{},[]],"open":true,"none":null,"raw":[1]})");
}

TEST(JsonWriter, WritesNumbersInFull) {
  std::string out;
  JsonWriter(out)
      .begin_array()
      .value(std::numeric_limits<std::uint64_t>::max())
      .value(std::numeric_limits<std::int64_t>::min())
      .value(0.1)
      .value(std::numeric_limits<double>::infinity())
      .value(std::numeric_limits<double>::quiet_NaN())
      .end_array();
  EXPECT_EQ(out, "[18446744073709551615,-9223372036854775808,0.1,null,null]");
}

TEST(JsonWriter, EscapesKeysToo) {
  std::string out;
  JsonWriter(out).begin_object().member("a\"b", 1).end_object();
  EXPECT_EQ(out, R"({"a\"b":1})");
}

TEST(JsonWriter, WritesWhatIsNotThereAsNull) {
  std::string out;
  JsonWriter(out)
      .begin_object()
      .member("number", std::optional<int>())
      .member("text", std::optional<std::string>(""))
      .text_or_null("empty", "")
      .text_or_null("filled", "a")
      .end_object();
  EXPECT_EQ(out, R"({"number":null,"text":"","empty":null,"filled":"a"})");
}

}  // namespace
}  // namespace nestgate::codec
