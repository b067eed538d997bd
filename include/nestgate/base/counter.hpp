#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace nestgate {

// One writer (its core), any number of readers: a plain load and store, no locked instruction.
class Counter {
 public:
  void add(std::uint64_t n = 1) noexcept { value_.store(read() + n, std::memory_order_relaxed); }
  std::uint64_t read() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_{0};
};

// Goes both ways; one writer as well.
class Gauge {
 public:
  void add(std::int64_t n = 1) noexcept { value_.store(read() + n, std::memory_order_relaxed); }
  void sub(std::int64_t n = 1) noexcept { add(-n); }
  std::int64_t read() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::int64_t> value_{0};
};

// Latency in fixed buckets, upper bounds in microseconds.
class LatencyHistogram {
 public:
  static constexpr std::array<std::uint32_t, 14> bounds_us = {
      100, 250, 500, 1'000, 2'500, 5'000, 10'000, 25'000, 50'000, 100'000, 250'000, 1'000'000, 5'000'000, 30'000'000};
  void observe_us(std::uint64_t us) noexcept {
    std::size_t bucket = 0;
    while (bucket < bounds_us.size() && us > bounds_us[bucket]) ++bucket;
    buckets_[bucket].add();
    sum_us_.add(us);
  }
  std::uint64_t bucket(std::size_t i) const noexcept { return buckets_[i].read(); }  // not cumulative; the last is +Inf
  std::uint64_t sum_us() const noexcept { return sum_us_.read(); }

 private:
  std::array<Counter, bounds_us.size() + 1> buckets_;
  Counter sum_us_;
};

}  // namespace nestgate
