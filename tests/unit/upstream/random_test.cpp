#include "nestgate/upstream/random.hpp"

#include <gtest/gtest.h>

namespace nestgate::upstream {
namespace {

TEST(TimedUuids, SortByTheirMillisecond) {
  std::chrono::system_clock::time_point const at{std::chrono::milliseconds(0x0192'3456'789a)};
  auto const earlier = timed_uuid_hex(at);
  EXPECT_EQ(earlier.substr(0, 13), "01923456789a7");
  EXPECT_EQ(earlier.size(), 32U);
  EXPECT_LT(earlier, timed_uuid_hex(at + std::chrono::milliseconds(1)));
  EXPECT_NE(earlier, timed_uuid_hex(at));
}

}  // namespace
}  // namespace nestgate::upstream
