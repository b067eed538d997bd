#pragma once

#include <array>
#include <bitset>
#include <boost/system/result.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "nestgate/schedule/time.hpp"

namespace nestgate::schedule {

inline constexpr std::size_t cron_bytes_max = 1024;
inline constexpr int cron_year_min = 1970;
inline constexpr int cron_year_max = 2099;

// Which field of an expression, and what is wrong with it, for people: "minute", "60 is not in 0 to 59".
struct CronFault {
  std::string_view field;  // a literal; "expression" for what concerns them all
  std::string reason;
};
// Found by boost::system::result: value() on a fault is our bug.
[[noreturn]] void throw_exception_from_error(CronFault const& fault, boost::source_location const& at);

// The day fields of a cron expression, as sets.
struct CronDays {
  std::uint32_t of_month = 0;                 // bit 1 to 31
  bool last_of_month = false;                 // L
  std::uint8_t nearest_weekday = 0;           // 15W; 0: none
  std::uint8_t of_week = 0;                   // bit 0 (Sunday) to 6
  std::array<std::uint8_t, 7> nth_of_week{};  // of each weekday: bit 1 to 5 for #1 to #5, bit 0 for the last
  bool any_of_month = true;                   // not restricted
  bool any_of_week = true;
};

// A cron expression of the dialect of automation.md 4.2: minute, hour, day of month, month, day of week, then second, then
// year. Immutable. It knows wall clocks only; Rule puts it into a zone.
class Cron {
 public:
  static boost::system::result<Cron, CronFault> parse(std::string_view text);

  // Whether any day of the calendar matches. Exact: the calendar repeats after 400 years.
  bool ever_fires() const noexcept;
  // The first match in [from, until).
  std::optional<LocalTime> next(LocalTime from, LocalTime until, Work* work = nullptr) const noexcept;
  // The last match in [from, until).
  std::optional<LocalTime> previous(LocalTime from, LocalTime until, Work* work = nullptr) const noexcept;

  // Neither minute nor hour is a wildcard: such a schedule means readings of the clock, any other one means time passing.
  bool is_fixed() const noexcept { return is_fixed_; }
  bool has_seconds() const noexcept { return has_seconds_; }
  // As sets of bits, from 0.
  std::uint64_t seconds() const noexcept { return seconds_; }
  std::uint64_t minutes() const noexcept { return minutes_; }
  std::uint64_t hours() const noexcept { return hours_; }
  std::uint64_t months() const noexcept { return months_; }
  CronDays const& days() const noexcept { return days_; }
  // Bit 0 is cron_year_min; nothing: every year.
  using Years = std::bitset<cron_year_max - cron_year_min + 1>;
  std::optional<Years> const& years() const noexcept { return years_; }

 private:
  friend class CronParser;
  Cron() = default;

  bool has_year(int year) const noexcept;
  // The days of a month that match, bit 1 to 31; 0 where month or year does not.
  std::uint32_t days_in(std::chrono::year_month month) const noexcept;

  std::uint64_t seconds_ = 1;
  std::uint64_t minutes_ = 0;
  std::uint64_t hours_ = 0;
  std::uint64_t months_ = 0;
  CronDays days_;
  std::optional<Years> years_;
  bool has_seconds_ = false;
  bool is_fixed_ = false;
};

}  // namespace nestgate::schedule
