#include "nestgate/base/deadline.hpp"

#include <gtest/gtest.h>

namespace nestgate {
namespace {

using namespace std::chrono_literals;
constexpr Clock::time_point start{100s};

TEST(Deadline, OnlyShrinksOnTheWayIn) {
  auto const edge = Deadline::in(10s, start);
  EXPECT_EQ(edge.capped(3s, start).at(), start + 3s);
  EXPECT_EQ(edge.capped(30s, start).at(), start + 10s);
  EXPECT_EQ(edge.capped(5s, start + 8s).at(), start + 10s);
}

TEST(Deadline, HasPassedFromItsMomentOn) {
  auto const deadline = Deadline::in(1s, start);
  EXPECT_FALSE(deadline.passed(start + 999ms));
  EXPECT_TRUE(deadline.passed(start + 1s));
}

}  // namespace
}  // namespace nestgate
