#pragma once

#include <algorithm>
#include <chrono>

namespace nestgate {

using Clock = std::chrono::steady_clock;

// A moment, not a duration: it is set once at the edge and only ever shrinks on the way in.
class Deadline {
 public:
  static Deadline in(Clock::duration d, Clock::time_point now = Clock::now()) { return Deadline{now + d}; }
  static Deadline at(Clock::time_point moment) { return Deadline{moment}; }
  Deadline capped(Clock::duration d, Clock::time_point now = Clock::now()) const { return Deadline{std::min(at_, now + d)}; }
  Clock::time_point at() const noexcept { return at_; }
  bool passed(Clock::time_point now = Clock::now()) const noexcept { return now >= at_; }

 private:
  explicit Deadline(Clock::time_point at) : at_(at) {}
  Clock::time_point at_;
};

}  // namespace nestgate
