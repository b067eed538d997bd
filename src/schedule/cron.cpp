#include "nestgate/schedule/cron.hpp"

#include <bit>
#include <stdexcept>

namespace nestgate::schedule {
namespace {

using namespace std::chrono;

constexpr int calendar_years = 400;
constexpr std::uint64_t up_to(unsigned bit) { return (std::uint64_t{2} << bit) - 1; }
constexpr std::uint64_t from_on(unsigned bit) { return ~std::uint64_t{0} << bit; }

unsigned lowest(std::uint64_t bits) { return static_cast<unsigned>(std::countr_zero(bits)); }
unsigned highest(std::uint64_t bits) { return 63u - static_cast<unsigned>(std::countl_zero(bits)); }

unsigned days_of(year_month month) { return static_cast<unsigned>((month / last).day()); }

// Monday to Friday, and of the same month.
unsigned nearest_working_day(year_month month, unsigned wanted) {
  auto const length = days_of(month);
  auto const day = std::min(wanted, length);
  auto const weekday_of_it = weekday(sys_days(month / static_cast<int>(day)));
  if (weekday_of_it == Saturday) return day > 1 ? day - 1 : day + 2;
  if (weekday_of_it == Sunday) return day < length ? day + 1 : day - 2;
  return day;
}

std::uint32_t days_by_week(CronDays const& days, year_month month) {
  auto const length = days_of(month);
  auto const first = weekday(sys_days(month / 1)).c_encoding();
  std::uint32_t found = 0;
  for (unsigned day = 1; day <= length; ++day) {
    auto const weekday_of_it = (first + day - 1) % 7;
    auto const nth = days.nth_of_week[weekday_of_it];
    bool const is_last = day + 7 > length;
    if ((days.of_week >> weekday_of_it & 1u) || (nth >> ((day + 6) / 7) & 1u) || (is_last && (nth & 1u))) found |= 1u << day;
  }
  return found;
}

std::uint32_t days_by_month(CronDays const& days, year_month month) {
  auto const length = days_of(month);
  auto found = days.of_month & static_cast<std::uint32_t>(up_to(length));
  if (days.last_of_month) found |= 1u << length;
  if (days.nearest_weekday) found |= 1u << nearest_working_day(month, days.nearest_weekday);
  return found;
}

struct TimeOfDay {
  unsigned hour = 0, minute = 0, second = 0;
};

TimeOfDay split(LocalTime time, local_days day) {
  hh_mm_ss const parts(time - day);
  return {static_cast<unsigned>(parts.hours().count()), static_cast<unsigned>(parts.minutes().count()),
          static_cast<unsigned>(parts.seconds().count())};
}

LocalTime at(local_days day, TimeOfDay time) { return day + hours(time.hour) + minutes(time.minute) + seconds(time.second); }

// The first matching time of a day that is not before `from`.
std::optional<TimeOfDay> first_time(Cron const& cron, TimeOfDay from) {
  if (cron.hours() >> from.hour & 1u) {
    if (cron.minutes() >> from.minute & 1u) {
      if (auto const rest = cron.seconds() & from_on(from.second)) return TimeOfDay{from.hour, from.minute, lowest(rest)};
    }
    if (auto const rest = cron.minutes() & from_on(from.minute + 1))
      return TimeOfDay{from.hour, lowest(rest), lowest(cron.seconds())};
  }
  if (auto const rest = cron.hours() & from_on(from.hour + 1))
    return TimeOfDay{lowest(rest), lowest(cron.minutes()), lowest(cron.seconds())};
  return std::nullopt;
}

// The last matching time of a day that is not after `to`.
std::optional<TimeOfDay> last_time(Cron const& cron, TimeOfDay to) {
  if (cron.hours() >> to.hour & 1u) {
    if (cron.minutes() >> to.minute & 1u) {
      if (auto const rest = cron.seconds() & up_to(to.second)) return TimeOfDay{to.hour, to.minute, highest(rest)};
    }
    if (auto const rest = cron.minutes() & (up_to(to.minute) >> 1))
      return TimeOfDay{to.hour, highest(rest), highest(cron.seconds())};
  }
  if (auto const rest = cron.hours() & (up_to(to.hour) >> 1))
    return TimeOfDay{highest(rest), highest(cron.minutes()), highest(cron.seconds())};
  return std::nullopt;
}

year_month_day date_of(local_days day) { return year_month_day(day); }

}  // namespace

void throw_exception_from_error(CronFault const& fault, boost::source_location const&) {
  throw std::logic_error("value() on a fault of the " + std::string(fault.field) + ": " + fault.reason);
}

bool Cron::has_year(int year) const noexcept {
  if (!years_) return true;
  return year >= cron_year_min && year <= cron_year_max && years_->test(static_cast<std::size_t>(year - cron_year_min));
}

std::uint32_t Cron::days_in(year_month month) const noexcept {
  if (!(months_ >> static_cast<unsigned>(month.month()) & 1u) || !has_year(static_cast<int>(month.year()))) return 0;
  if (days_.any_of_month && days_.any_of_week) return static_cast<std::uint32_t>(up_to(days_of(month))) & ~1u;
  if (days_.any_of_month) return days_by_week(days_, month);
  if (days_.any_of_week) return days_by_month(days_, month);
  return days_by_month(days_, month) | days_by_week(days_, month);
}

bool Cron::ever_fires() const noexcept {
  auto const first = year(cron_year_min) / January;
  for (auto month = first; month < first + std::chrono::years(calendar_years); month += std::chrono::months(1)) {
    if (days_in(month)) return true;
  }
  return false;
}

std::optional<LocalTime> Cron::next(LocalTime from, LocalTime until, Work* work) const noexcept {
  auto const today = floor<std::chrono::days>(from);
  auto const date = date_of(today);
  auto bits = from_on(static_cast<unsigned>(date.day()));
  for (auto month = date.year() / date.month(); local_days(month / 1) < until; month += std::chrono::months(1)) {
    if (work) ++work->months;
    for (std::uint64_t days = days_in(month) & bits; days != 0; days &= days - 1) {
      auto const day = local_days(month / static_cast<int>(lowest(days)));
      auto const time = first_time(*this, day == today ? split(from, day) : TimeOfDay{});
      if (!time) continue;  // of today nothing is left
      auto const found = at(day, *time);
      return found < until ? std::optional(found) : std::nullopt;
    }
    bits = ~std::uint64_t{0};
  }
  return std::nullopt;
}

std::optional<LocalTime> Cron::previous(LocalTime from, LocalTime until, Work* work) const noexcept {
  auto const newest = until - std::chrono::seconds(1);
  auto const today = floor<std::chrono::days>(newest);
  auto const date = date_of(today);
  auto bits = up_to(static_cast<unsigned>(date.day()));
  for (auto month = date.year() / date.month(); local_days(month / last) >= floor<std::chrono::days>(from);
       month -= std::chrono::months(1)) {
    if (work) ++work->months;
    for (std::uint64_t days = days_in(month) & bits; days != 0; days &= ~(std::uint64_t{1} << highest(days))) {
      auto const day = local_days(month / static_cast<int>(highest(days)));
      auto const time = last_time(*this, day == today ? split(newest, day) : TimeOfDay{23, 59, 59});
      if (!time) continue;
      auto const found = at(day, *time);
      return found >= from ? std::optional(found) : std::nullopt;
    }
    bits = ~std::uint64_t{0};
  }
  return std::nullopt;
}

}  // namespace nestgate::schedule
