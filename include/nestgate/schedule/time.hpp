#pragma once

#include <chrono>
#include <cstdint>

namespace nestgate::schedule {

// Moments are whole seconds of UTC; a wall clock's readings are of a type of their own, so that the two cannot be mixed.
using Moment = std::chrono::sys_seconds;
using LocalTime = std::chrono::local_seconds;
using Now = std::chrono::system_clock::time_point;  // as clocks tell it, with fractions of a second

// Schedules are computed between these: as late as a system_clock in nanoseconds goes.
inline constexpr Moment earliest_moment{std::chrono::sys_days{std::chrono::year{1970} / 1 / 1}};
inline constexpr Moment latest_moment{std::chrono::sys_days{std::chrono::year{2262} / 1 / 1}};

// How far a search went, for whoever wants to know what it costs.
struct Work {
  std::uint64_t months = 0;    // of the calendar, looked at for a matching day
  std::uint64_t segments = 0;  // of a zone
};

}  // namespace nestgate::schedule
