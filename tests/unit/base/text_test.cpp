#include "nestgate/base/text.hpp"

#include <gtest/gtest.h>

namespace nestgate {
namespace {

TEST(VariableName, IsWhatAShellTakes) {
  for (auto const* name : {"A", "_", "a_1", "_9"}) EXPECT_TRUE(is_variable_name(name)) << name;
  for (auto const* name : {"", "1A", "A-B", "A B", "\xc3\xa4"}) EXPECT_FALSE(is_variable_name(name)) << name;
}

TEST(DashedUuid, IsOfFiveGroups) {
  EXPECT_EQ(dashed_uuid("9eba03e68cc24c3daa8a225f0e79e062"), "9eba03e6-8cc2-4c3d-aa8a-225f0e79e062");
}

TEST(PercentEncoding, LeavesOnlyUnreservedCharactersAsTheyAre) {
  std::string out = "a=";
  append_percent_encoded(out, "aZ09-._~ +/&=%\xc3\xa9");
  EXPECT_EQ(out, "a=aZ09-._~%20%2B%2F%26%3D%25%C3%A9");
}

TEST(Rfc3339, CutsTheSecondToTheDigitsThatAreAsked) {
  using namespace std::chrono;
  system_clock::time_point const at{seconds(1'767'323'045) + microseconds(987'654)};
  EXPECT_EQ(rfc3339(at, 0), "2026-01-02T03:04:05Z");
  EXPECT_EQ(rfc3339(at, 3), "2026-01-02T03:04:05.987Z");
  EXPECT_EQ(rfc3339(at, 6), "2026-01-02T03:04:05.987654Z");
  EXPECT_EQ(rfc3339(system_clock::time_point{-microseconds(1)}, 6), "1969-12-31T23:59:59.999999Z");
}

TEST(CutText, KeepsWholeCharacters) {
  constexpr std::string_view text = "aé€😀";  // 1, 2, 3 and 4 bytes
  EXPECT_EQ(cut_to(text, 100), text);
  EXPECT_EQ(cut_to(text, 10), text);
  EXPECT_EQ(cut_to(text, 9), "aé€");
  EXPECT_EQ(cut_to(text, 6), "aé€");
  EXPECT_EQ(cut_to(text, 5), "aé");
  EXPECT_EQ(cut_to(text, 2), "a");
  EXPECT_EQ(cut_to(text, 0), "");
  EXPECT_EQ(cut_to("\x80\x80", 1), "") << "no text at all";
}

TEST(Rfc3339, IsReadWithAnyOffsetAndFraction) {
  using namespace std::chrono;
  system_clock::time_point const at{seconds(1'767'323'045)};
  EXPECT_EQ(parse_rfc3339("2026-01-02T03:04:05Z"), at);
  EXPECT_EQ(parse_rfc3339("2026-01-02t03:04:05z"), at);
  EXPECT_EQ(parse_rfc3339("2026-01-02 05:34:05+02:30"), at);
  EXPECT_EQ(parse_rfc3339("2026-01-01T22:04:05-05:00"), at);
  EXPECT_EQ(parse_rfc3339("2026-01-02T03:04:05.5Z"), at + milliseconds(500));
  EXPECT_EQ(parse_rfc3339("2026-01-02T03:04:05.1234567Z"), at + microseconds(123'456));
  EXPECT_EQ(parse_rfc3339(rfc3339(at, 6)), at);
}

TEST(Rfc3339, IsNotReadFromOtherText) {
  for (auto const* text :
       {"", "2026-01-02", "2026-01-02T03:04:05", "2026-01-02T03:04Z", "2026-02-30T03:04:05Z", "2026-13-02T03:04:05Z",
        "2026-01-02T24:04:05Z", "2026-01-02T03:60:05Z", "2026-01-02T03:04:61Z", "2026-01-02T03:04:05.Z",
        "2026-01-02T03:04:05+0200", "2026-01-02T03:04:05+24:00", "2026-01-02T03:04:05ZZ", " 2026-01-02T03:04:05Z",
        "9999-01-02T03:04:05Z", "1969-01-02T03:04:05Z", "+026-01-02T03:04:05Z"})
    EXPECT_FALSE(parse_rfc3339(text)) << text;
}

TEST(CharactersIn, CountsThoseOfSeveralBytesOnce) {
  EXPECT_EQ(characters_in(""), 0U);
  EXPECT_EQ(characters_in("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82"), 4U);
}

}  // namespace
}  // namespace nestgate
