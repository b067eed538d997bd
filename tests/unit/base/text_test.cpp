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

}  // namespace
}  // namespace nestgate
