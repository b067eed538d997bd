#include "nestgate/schedule/describe.hpp"

#include <algorithm>
#include <bit>

namespace nestgate::schedule {
namespace {

using Words = std::vector<std::string>;
using Naming = std::string (*)(unsigned value);

constexpr std::size_t clock_times_max = 8;  // more are said by their fields
constexpr std::size_t progression_min = 4;  // values in equal steps that are worth saying so
constexpr std::size_t run_min = 3;
constexpr std::uint64_t every_minute = (std::uint64_t{1} << 60) - 1;
constexpr std::uint64_t every_hour = (std::uint64_t{1} << 24) - 1;
constexpr std::uint64_t every_month = ((std::uint64_t{1} << 12) - 1) << 1;

constexpr std::array<std::string_view, 7> weekday_names{"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                        "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> month_names{"January",   "February", "March",    "April",
                                                       "May",       "June",     "July",     "August",
                                                       "September", "October",  "November", "December"};
constexpr std::array<std::string_view, 6> ordinals{"last", "first", "second", "third", "fourth", "fifth"};

std::string plain(unsigned value) { return std::to_string(value); }
std::string weekday_name(unsigned value) { return std::string(weekday_names.at(value)); }
std::string month_name(unsigned value) { return std::string(month_names.at(value - 1)); }

std::vector<unsigned> values_in(std::uint64_t bits) {
  std::vector<unsigned> values;
  for (; bits != 0; bits &= bits - 1) values.push_back(static_cast<unsigned>(std::countr_zero(bits)));
  return values;
}

// "a", "a and b", "a, b and c"
std::string listed(Words const& words, std::string_view last = " and ") {
  std::string text;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i > 0) text += i + 1 == words.size() ? last : ", ";
    text += words[i];
  }
  return text;
}

// The step that leads from each value to the next one; 0 where there is none.
unsigned step_of(std::vector<unsigned> const& values) {
  if (values.size() < progression_min) return 0;
  auto const step = values[1] - values[0];
  auto const is_other = [step](unsigned a, unsigned b) { return b - a != step; };
  return std::adjacent_find(values.begin(), values.end(), is_other) == values.end() ? step : 0;
}

std::string ordinal(unsigned number) {
  auto const last = number / 10 % 10 == 1 ? 0 : number % 10;
  return std::to_string(number) + (last == 1 ? "st" : last == 2 ? "nd" : last == 3 ? "rd" : "th");
}

// "1, 3 and 5 to 9"
std::string numbers(std::vector<unsigned> const& values, Naming name = plain) {
  Words words;
  for (auto at = values.begin(); at != values.end();) {
    auto end = at + 1;
    while (end != values.end() && *end == *(end - 1) + 1) ++end;
    if (static_cast<std::size_t>(end - at) >= run_min) {
      words.push_back(name(*at) + " to " + name(*(end - 1)));
      at = end;
    } else {
      words.push_back(name(*at++));
    }
  }
  return listed(words);
}

// "hours 1 and 2", "every 7th minute from 0 to 56"
std::string counted(std::string_view thing, std::vector<unsigned> const& values) {
  if (auto const step = step_of(values); step > 1) {
    return "every " + ordinal(step) + ' ' + std::string(thing) + " from " + plain(values.front()) + " to " +
           plain(values.back());
  }
  return std::string(thing) + (values.size() == 1 ? " " : "s ") + numbers(values);
}

// "every 5 minutes", where the steps go on evenly from one round to the next.
std::string evenly(std::string_view thing, std::uint64_t bits, unsigned round) {
  auto const values = values_in(bits);
  if (values.size() == round) return "every " + std::string(thing);
  auto const step = round / static_cast<unsigned>(values.size());
  for (unsigned i = 0; i < values.size(); ++i) {
    if (values[i] != i * step) return {};
  }
  if (values.size() == 1 || step * values.size() != round) return {};
  return "every " + std::to_string(step) + ' ' + std::string(thing) + 's';
}

std::string two_digits(unsigned value) { return (value < 10 ? "0" : "") + std::to_string(value); }

Words clock_times(Cron const& cron) {
  Words words;
  for (auto const hour : values_in(cron.hours())) {
    for (auto const minute : values_in(cron.minutes())) {
      for (auto const second : values_in(cron.seconds())) {
        words.push_back(two_digits(hour) + ':' + two_digits(minute));
        if (cron.seconds() != 1) words.back() += ':' + two_digits(second);
      }
    }
  }
  return words;
}

bool has_few_times(Cron const& cron) {
  auto const count = [](std::uint64_t bits) { return static_cast<std::size_t>(std::popcount(bits)); };
  return count(cron.hours()) * count(cron.minutes()) * count(cron.seconds()) <= clock_times_max;
}

// What comes behind the finest field: "of minutes 1 and 2", and of which hours.
std::string of_hours(Cron const& cron) {
  return cron.hours() == every_hour ? "" : " of " + counted("hour", values_in(cron.hours()));
}

std::string of_minutes(Cron const& cron) {
  if (cron.minutes() == every_minute) return of_hours(cron);
  auto const minutes = " of " + counted("minute", values_in(cron.minutes()));
  return minutes + (cron.hours() == every_hour ? " of every hour" : of_hours(cron));
}

std::string time_of(Cron const& cron) {
  if (has_few_times(cron)) return "at " + listed(clock_times(cron));
  if (cron.seconds() != 1) {
    auto const even = evenly("second", cron.seconds(), 60);
    if (!even.empty()) return even + of_minutes(cron);
    auto const seconds = "at " + counted("second", values_in(cron.seconds()));
    return seconds + (cron.minutes() == every_minute ? " of every minute" : "") + of_minutes(cron);
  }
  auto const even = evenly("minute", cron.minutes(), 60);
  if (!even.empty()) return even + of_hours(cron);
  auto const minutes = "at " + counted("minute", values_in(cron.minutes()));
  return minutes + (cron.hours() == every_hour ? " of every hour" : of_hours(cron));
}

std::string days_of_month(CronDays const& days) {
  Words words;
  if (days.of_month != 0) words.push_back("on " + counted("day", values_in(days.of_month)) + " of the month");
  if (days.last_of_month) words.emplace_back("on the last day of the month");
  if (days.nearest_weekday)
    words.push_back("on the weekday nearest to day " + std::to_string(days.nearest_weekday) + " of the month");
  return listed(words);
}

std::string days_of_week(CronDays const& days) {
  Words words;
  if (days.of_week != 0) words.push_back("on " + numbers(values_in(days.of_week), weekday_name));
  for (unsigned weekday = 0; weekday < days.nth_of_week.size(); ++weekday) {
    auto nth = values_in(days.nth_of_week[weekday]);
    if (!nth.empty() && nth.front() == 0) std::rotate(nth.begin(), nth.begin() + 1, nth.end());
    for (auto const number : nth)
      words.push_back("on the " + std::string(ordinals.at(number)) + ' ' + weekday_name(weekday) + " of the month");
  }
  return listed(words);
}

std::string days_of(Cron const& cron) {
  auto const& days = cron.days();
  if (days.any_of_month && days.any_of_week) return has_few_times(cron) ? " every day" : "";
  if (days.any_of_month) return ' ' + days_of_week(days);
  if (days.any_of_week) return ' ' + days_of_month(days);
  return ' ' + days_of_month(days) + " or " + days_of_week(days);
}

std::string months_of(Cron const& cron) {
  return cron.months() == every_month ? "" : " in " + numbers(values_in(cron.months()), month_name);
}

std::string years_of(Cron const& cron) {
  if (!cron.years()) return {};
  std::vector<unsigned> years;
  for (std::size_t i = 0; i < cron.years()->size(); ++i) {
    if (cron.years()->test(i)) years.push_back(cron_year_min + static_cast<unsigned>(i));
  }
  return " in " + counted("year", years);
}

// Which of the readings that match are left out or repeated after a moment.
struct Irregular {
  bool has_gap = false, has_overlap = false;
};

Irregular irregular_after(Rule const& rule, Now from) {
  Irregular found;
  for (auto const& segment : rule.zone->segments()) {
    if (Now(segment.begin) <= from) continue;
    auto const begin = segment.local_begin(), shown = segment.shown_until;
    if (!found.has_gap && shown < begin) found.has_gap = rule.cron.next(shown, begin).has_value();
    if (!found.has_overlap && begin < shown)
      found.has_overlap = rule.cron.next(begin, std::min(shown, segment.local_end())).has_value();
  }
  return found;
}

std::string changes_of(Rule const& rule, Now from) {
  auto const irregular = irregular_after(rule, from);
  std::string text;
  if (!rule.cron.is_fixed()) {  // of every hour there is nothing to be said
    if (rule.cron.hours() == every_hour) return {};
    if (irregular.has_gap) text += "; not in time that the clocks leave out";
    if (irregular.has_overlap) text += "; both times where the clocks repeat it";
    return text;
  }
  if (irregular.has_gap) {
    text += "; where the clocks leave that out, ";
    text += rule.gap == DstGap::skip ? "not at all" : "right after";
  }
  if (irregular.has_overlap) {
    text += "; where they repeat it, ";
    text += rule.overlap == DstOverlap::both ? "both times" : "the first time";
  }
  return text;
}

}  // namespace

std::string describe(Cron const& cron) {
  if (!cron.ever_fires()) return "never";
  return time_of(cron) + days_of(cron) + months_of(cron) + years_of(cron);
}

std::string describe(Rule const& rule, Now from) {
  return describe(rule.cron) + ", " + rule.zone->name() + " time" + changes_of(rule, from);
}

}  // namespace nestgate::schedule
