#include "nestgate/schedule/rule.hpp"

#include "unit/schedule/schedule_fixture.hpp"

namespace nestgate::schedule {
namespace {

using namespace std::chrono;
using Texts = std::vector<std::string>;

TEST(ScheduleMoments, AreStrictlyAfterAndStrictlyBeforeAlsoWithinASecond) {
  auto const daily = rule("0 9 * * *");
  auto const nine = moment("2026-06-01T09:00:00Z");
  EXPECT_EQ(daily.next(nine - seconds(1)), nine);
  EXPECT_EQ(daily.next(nine - microseconds(500)), nine);
  EXPECT_EQ(daily.next(nine), nine + days(1));
  EXPECT_EQ(daily.next(nine + microseconds(500)), nine + days(1));
  EXPECT_EQ(daily.previous(nine), nine - days(1));
  EXPECT_EQ(daily.previous(nine + microseconds(500)), nine);
}

TEST(ScheduleMoments, EndWhereTimesCanBeSaid) {
  EXPECT_EQ(text_of(rule("* * * * * *").next(latest_moment - seconds(1))), "never");
  EXPECT_EQ(text_of(rule("* * * * * *").previous(latest_moment)), "2261-12-31T23:59:59Z");
  EXPECT_EQ(rule("* * * * * *", "Asia/Tokyo").next(sys_days(year(1960) / 1 / 1)), earliest_moment);
  EXPECT_EQ(text_of(rule("* * * * * *").previous(earliest_moment)), "never");
  EXPECT_EQ(rule("* * * * * *").previous(earliest_moment + seconds(1)), earliest_moment);
}

// A day that a zone left out when it changed sides of the date line.
TEST(ScheduleMoments, OfADayThatIsLeftOutComeOnceWhenTheNextOneBegins) {
  EXPECT_EQ(moments(rule("0 6,12,18 30 12 *", "Pacific/Apia"), "2011-12-01T00:00:00Z", "2012-01-31T00:00:00Z"),
            Texts{"2011-12-30T10:00:00Z"});
  EXPECT_EQ(moments(rule("0 12 30 12 *", "Pacific/Apia", DstGap::skip), "2011-12-01T00:00:00Z", "2012-01-31T00:00:00Z"),
            Texts{});
}

TEST(ScheduleMoments, InAGapAndAtItsEndAreOne) {
  EXPECT_EQ(moments(rule("0,30 2,3 8 3 *", "America/New_York"), "2026-01-01T00:00:00Z", "2026-12-31T00:00:00Z"),
            (Texts{"2026-03-08T07:00:00Z", "2026-03-08T07:30:00Z"}));
}

// Lord Howe Island puts its clocks forward by half an hour.
TEST(ScheduleMoments, KeepToChangesOfHalfAnHour) {
  EXPECT_EQ(moments(rule("15 2 * * *", "Australia/Lord_Howe"), "2026-10-02T00:00:00Z", "2026-10-05T00:00:00Z"),
            (Texts{"2026-10-02T15:45:00Z", "2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z"}));
}

// In Casablanca the clocks are put back for Ramadan and forward again, so an hour can repeat twice a year.
TEST(ScheduleMoments, FollowRulesThatAreOnlyListed) {
  EXPECT_EQ(moments(rule("30 2 15 2 *", "Africa/Casablanca", DstGap::run_after, DstOverlap::both), "2026-01-01T00:00:00Z",
                    "2026-12-31T00:00:00Z"),
            (Texts{"2026-02-15T01:30:00Z", "2026-02-15T02:30:00Z"}));
}

// Each minute, or second, of a year is read off the zone's clocks and asked whether it matches.
class EveryMoment : public testing::TestWithParam<std::pair<char const*, char const*>> {};

struct Reading {
  int year;
  unsigned month, day, weekday, hour, minute;
};

Reading reading_of(LocalTime local) {
  auto const day = floor<days>(local);
  year_month_day const date(day);
  hh_mm_ss const time(local - day);
  return {int(date.year()),
          unsigned(date.month()),
          unsigned(date.day()),
          weekday(day).c_encoding(),
          static_cast<unsigned>(time.hours().count()),
          static_cast<unsigned>(time.minutes().count())};
}

bool matches(Cron const& cron, Reading const& at) {
  auto const& days = cron.days();
  bool const by_month = days.of_month >> at.day & 1u, by_week = days.of_week >> at.weekday & 1u;
  bool const day = days.any_of_month ? days.any_of_week || by_week : days.any_of_week ? by_month : by_month || by_week;
  return day && (cron.months() >> at.month & 1u) && (cron.hours() >> at.hour & 1u) && (cron.minutes() >> at.minute & 1u);
}

TEST_P(EveryMoment, OfAYearIsFoundOrPassedOver) {
  auto const& [text, in] = GetParam();
  auto const schedule = rule(text, in, DstGap::run_after, DstOverlap::both);
  auto const& zone = *schedule.zone;
  Texts expected;
  bool is_owed = false;  // what a gap left out
  for (auto at = moment("2025-12-31T23:59:00Z") + minutes(1); at <= moment("2026-12-31T23:59:00Z"); at += minutes(1)) {
    auto const& segment = zone.segments()[zone.segment_at(at)];
    if (segment.begin == at && schedule.cron.is_fixed()) {
      for (auto left_out = segment.shown_until; left_out < segment.local_begin(); left_out += minutes(1))
        is_owed = is_owed || matches(schedule.cron, reading_of(left_out));
    }
    if (is_owed || matches(schedule.cron, reading_of(segment.to_local(at)))) expected.push_back(text_of(at));
    is_owed = false;
  }
  EXPECT_EQ(moments(schedule, "2025-12-31T23:59:59Z", "2026-12-31T23:59:00Z"), expected);
  EXPECT_FALSE(expected.empty());
}

INSTANTIATE_TEST_SUITE_P(
    Schedules, EveryMoment,
    testing::Values(std::pair{"*/7 * * * *", "Europe/Berlin"}, std::pair{"30 2 * * *", "America/New_York"},
                    std::pair{"15,45 1-3 * * 0", "Europe/Dublin"}, std::pair{"0 */5 13 * 5", "Australia/Lord_Howe"},
                    std::pair{"10 2 1-7 3,11 1", "America/New_York"}, std::pair{"59 23 28-31 * *", "Asia/Kathmandu"},
                    std::pair{"*/30 0-3 * 4,9,10 *", "Pacific/Auckland"}, std::pair{"0 3 * * *", "Africa/Casablanca"},
                    std::pair{"30 1 * * *", "Antarctica/Troll"}, std::pair{"0 0 * * *", "America/Santiago"}));

}  // namespace
}  // namespace nestgate::schedule
