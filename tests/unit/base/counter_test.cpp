#include "nestgate/base/counter.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace nestgate {
namespace {

TEST(LatencyHistogram, PutsAValueOnABoundIntoThatBucketAndTheNextValueIntoTheNext) {
  for (std::size_t i = 0; i < LatencyHistogram::bounds_us.size(); ++i) {
    LatencyHistogram histogram;
    histogram.observe_us(LatencyHistogram::bounds_us[i]);
    histogram.observe_us(LatencyHistogram::bounds_us[i] + 1);
    EXPECT_EQ(histogram.bucket(i), 1u) << i;
    EXPECT_EQ(histogram.bucket(i + 1), 1u) << i;
  }
}

TEST(LatencyHistogram, HasABucketForEveryValue) {
  LatencyHistogram histogram;
  histogram.observe_us(0);
  histogram.observe_us(std::numeric_limits<std::uint64_t>::max());
  EXPECT_EQ(histogram.bucket(0), 1u);
  EXPECT_EQ(histogram.bucket(LatencyHistogram::bounds_us.size()), 1u);
}

TEST(LatencyHistogram, AddsUpWhatItSaw) {
  LatencyHistogram histogram;
  histogram.observe_us(100);
  histogram.observe_us(2'000);
  EXPECT_EQ(histogram.sum_us(), 2'100u);
}

TEST(Gauge, GoesBelowZeroWithoutWrapping) {
  Gauge gauge;
  gauge.sub(3);
  gauge.add();
  EXPECT_EQ(gauge.read(), -2);
}

}  // namespace
}  // namespace nestgate
