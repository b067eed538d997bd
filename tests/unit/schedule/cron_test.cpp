#include "nestgate/schedule/cron.hpp"

#include <gmock/gmock.h>

#include "unit/schedule/schedule_fixture.hpp"

namespace nestgate::schedule {
namespace {

using testing::HasSubstr;

using Texts = std::vector<std::string>;

// The first five moments after the 15th of January 2026, 10:07:30 UTC, a Thursday.
Texts five(std::string_view text) {
  Texts found;
  auto const schedule = rule(text);
  auto at = std::optional(moment("2026-01-15T10:07:30Z"));
  while (found.size() < 5 && (at = schedule.next(*at))) found.push_back(text_of(at));
  return found;
}

// Their days alone.
Texts five_days(std::string_view text) {
  auto found = five(text);
  for (auto& day : found) day.resize(10);
  return found;
}

TEST(CronText, IsReadInAnyCaseAndWithAnySpaces) {
  EXPECT_EQ(five("  5\t4  *  Jan-MAR\nsUn "), five("5 4 * 1-3 0"));
  EXPECT_EQ(five(" @Daily "), five("0 0 * * *"));
  EXPECT_EQ(five("0 0 L * *"), five("0 0 l * *"));
  EXPECT_EQ(five("05 0 * * *"), five("5 0 * * *"));
}

TEST(CronText, HasAnAliasForEachCommonSchedule) {
  std::pair<char const*, char const*> const aliases[] = {
      {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
      {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"},
  };
  for (auto const& [alias, meaning] : aliases) EXPECT_EQ(five(alias), five(meaning)) << alias;
}

// As croniter 6.2.2 reads them.
TEST(CronText, MeansWhatCroniterMakesOfIt) {
  std::pair<char const*, char const*> const pairs[] = {
      {"50-10/7 * * * *", "5,50,57 * * * *"},
      {"22-2/2 * * * *", "0,2,22-59/2 * * * *"},
      {"0 22-2/3 * * *", "0 2,22 * * *"},
      {"0 0 * * fri-mon/2", "0 0 * * 0,5"},
      {"5-5 * * * *", "0-59 * * * *"},
      {"59/3 * * * *", "0-59/3 * * * *"},
      {"0 0 1-1/5 * *", "0 0 1,6,11,16,21,26,31 * *"},
      {"1-5/100 * * * *", "1 * * * *"},
      {"*/100 * * * *", "0 * * * *"},
      {"0 0 28-3 * *", "0 0 1-3,28-31 * *"},
      {"0 0 20-L * *", "0 0 20-31 * *"},
      {"0 0 * nov-feb *", "0 0 * 1,2,11,12 *"},
      {"0 0 * * 5-7", "0 0 * * 0,5,6"},
      {"0 0 * * 7-2", "0 0 * * 0-2"},
      {"0 0 * * sat-sun", "0 0 * * 0,6"},
      {"0 0 * * mon/2", "0 0 * * 1,3,5"},
      {"0 0 * * mon-fri#2", "0 0 * * 1#2,2#2,3#2,4#2,5#2"},
      {"0 0 * * 7#2", "0 0 * * 0#2"},
      {"0 0 W15 * *", "0 0 15w * *"},
      {"0 0 ? * ?", "0 0 * * *"},
      {"0 0 1 1 * 0 */7", "0 0 1 1 * 0 1970-2099/7"},
      {"0,* * * * *", "* * * * *"},
  };
  for (auto const& [text, same] : pairs) EXPECT_EQ(five(text), five(same)) << text;
}

TEST(CronDays, AreEitherOfTheTwoFieldsWhereBothAreRestricted) {
  EXPECT_EQ(five_days("0 0 13 * 5"), (Texts{"2026-01-16", "2026-01-23", "2026-01-30", "2026-02-06", "2026-02-13"}));
  EXPECT_EQ(five_days("0 0 L * 1"), (Texts{"2026-01-19", "2026-01-26", "2026-01-31", "2026-02-02", "2026-02-09"}));
  EXPECT_EQ(five_days("0 0 */1 * 1"), (Texts{"2026-01-16", "2026-01-17", "2026-01-18", "2026-01-19", "2026-01-20"}));
  EXPECT_EQ(five_days("0 0 */20 * 1"), (Texts{"2026-01-19", "2026-01-21", "2026-01-26", "2026-02-01", "2026-02-02"}));
  EXPECT_EQ(five_days("0 0 15 * 0-6"), (Texts{"2026-01-16", "2026-01-17", "2026-01-18", "2026-01-19", "2026-01-20"}));
}

TEST(CronDays, OfAFieldWithABareStarInItRestrictNothing) {
  EXPECT_EQ(five_days("0 0 *,5 * 1"), five_days("0 0 * * 1"));
  EXPECT_EQ(five_days("0 0 1 * *,1"), five_days("0 0 1 * *"));
  EXPECT_EQ(five_days("0 0 */2 * 0-6"), five_days("0 0 */2 * *"));
}

// croniter lets # and W reach into the other field, so that one of the two is lost or nothing ever fires.
TEST(CronDays, AreEitherAlsoWithNthWeekdaysAndNearestOnes) {
  EXPECT_EQ(five_days("0 0 1 * 1#2"), (Texts{"2026-02-01", "2026-02-09", "2026-03-01", "2026-03-09", "2026-04-01"}));
  EXPECT_EQ(five_days("0 0 15W * 1"), (Texts{"2026-01-19", "2026-01-26", "2026-02-02", "2026-02-09", "2026-02-16"}));
}

TEST(CronDays, NearestToADayAreWeekdaysOfTheSameMonth) {
  EXPECT_EQ(five_days("0 0 15W * *"), (Texts{"2026-02-16", "2026-03-16", "2026-04-15", "2026-05-15", "2026-06-15"}));
  EXPECT_EQ(five_days("0 0 31W * *"), (Texts{"2026-01-30", "2026-02-27", "2026-03-31", "2026-04-30", "2026-05-29"}));
  EXPECT_EQ(five_days("0 0 1W * *"), (Texts{"2026-02-02", "2026-03-02", "2026-04-01", "2026-05-01", "2026-06-01"}));
}

TEST(CronDays, OfTheWeekAreCountedWithinTheMonth) {
  EXPECT_EQ(five_days("0 0 * * 1#2,3#1"), (Texts{"2026-02-04", "2026-02-09", "2026-03-04", "2026-03-09", "2026-04-01"}));
  EXPECT_EQ(five_days("0 0 * * L1,L2"), (Texts{"2026-01-26", "2026-01-27", "2026-02-23", "2026-02-24", "2026-03-30"}));
  EXPECT_EQ(five_days("0 0 * * 4#5"), (Texts{"2026-01-29", "2026-04-30", "2026-07-30", "2026-10-29", "2026-12-31"}));
}

TEST(CronYears, BoundASchedule) {
  EXPECT_EQ(five("0 0 1 1 * 0 2027-2030"),
            (Texts{"2027-01-01T00:00:00Z", "2028-01-01T00:00:00Z", "2029-01-01T00:00:00Z", "2030-01-01T00:00:00Z"}));
  EXPECT_TRUE(five("0 0 1 1 * 0 1970").empty());
}

TEST(CronYears, AreNotBoundedWhereAllAreNamed) {
  for (auto const* text : {"0 0 1 1 * 0 *", "0 0 1 1 * 0 1970-2099", "0 0 1 1 * 0"})
    EXPECT_EQ(text_of(rule(text).next(moment("2099-06-01T00:00:00Z"))), "2100-01-01T00:00:00Z") << text;
}

TEST(CronFaults, NameTheFieldAndTheReason) {
  std::pair<char const*, char const*> const faults[] = {
      {"",
       "expression: minute, hour, day of month, month and day of week are needed, then second and year may follow; there "
       "are 0 fields"},
      {"@reboot", "expression: \"@reboot\" is none of @hourly"},
      {"@every 5m", "there are 2 fields"},
      {"60 * * * *", "minute: \"60\" is not in 0 to 59"},
      {"*/0 * * * *", "minute: the step of \"*/0\" is 0"},
      {"-1 * * * *", "minute: \"-1\" is not understood"},
      {"5- * * * *", "minute: \"5-\" is not understood"},
      {"*-5 * * * *", "minute: \"*\" is not understood"},
      {"1.5 * * * *", "minute: \"1.5\" is not understood"},
      {"1-2-3 * * * *", "minute: \"2-3\" is not understood"},
      {"*/5/2 * * * *", "minute: \"*/5/2\" is not understood"},
      {"1,,2 * * * *", "minute: an item of the list is empty"},
      {"mon * * * *", "minute: \"mon\" is not understood"},
      {"? * * * *", "minute: ? stands alone"},
      {"0 24 * * *", "hour: \"24\" is not in 0 to 23"},
      {"H H * * *", "minute: \"h\": H and R"},
      {"0 R(1-5) * * *", "hour: \"r(1-5)\": H and R"},
      {"* * 32 * *", "day of month: \"32\" is not in 1 to 31"},
      {"* * 0 * *", "day of month: \"0\" is not in 1 to 31"},
      {"* * 0-5 * *", "day of month: \"0\" is not in 1 to 31"},
      {"* * LW * *", "day of month: the last weekday, LW, is not taken"},
      {"* * 1W,15W * *", "day of month: \"1w\" stands alone"},
      {"* * 32W * *", "day of month: \"32\" is not in 1 to 31"},
      {"* * L-3 * *", "day of month: \"l\" is not understood"},
      {"* * * 13 *", "month: \"13\" is not in 1 to 12"},
      {"* * * jan-foo *", "month: \"foo\" is not understood"},
      {"* * * * 8", "day of week: \"8\" is not in 0 to 7"},
      {"* * * * MON-", "day of week: \"mon-\" is not understood"},
      {"* * * * L", "day of week: \"l\" is not understood"},
      {"* * * * 5L", "day of week: \"5l\" is not understood"},
      {"* * * * 5#6", "day of week: a month has weekdays #1 to #5: \"5#6\""},
      {"* * * * 5#0", "day of week: a month has weekdays #1 to #5: \"5#0\""},
      {"* * * * 1-5#2", "day of week: \"1-5#2\" is not understood"},
      {"* * * * 1#2,3", "day of week: weekdays with # or L do not go with plain ones in a list"},
      {"* * * * * 60", "second: \"60\" is not in 0 to 59"},
      {"* * * * * * 2100", "year: \"2100\" is not in 1970 to 2099"},
      {"* * * * * * * *", "there are 8 fields"},
      {"99999999999999999999 * * * *", "minute: \"99999999999999999999\" is not in 0 to 59"},
      {"\xff\n\x01 * * * *", "minute: \"?\" is not understood"},
  };
  for (auto const& [text, fault] : faults) EXPECT_THAT(fault_of(text), HasSubstr(fault)) << text;
}

TEST(CronFaults, AreShortHoweverLongTheText) {
  EXPECT_EQ(fault_of(std::string(cron_bytes_max + 1, ' ')), "expression: more than 1024 bytes");
  EXPECT_LT(fault_of(std::string(500, 'x') + " * * * *").size(), 100u);
}

TEST(CronFixed, IsWhatHasNoWildcardInMinuteAndHour) {
  for (auto const* text : {"0 1 * * *", "0 1-4 * * *", "15 2,3 */2 * *", "10/15 3 * * *", "@daily", "0 0 * * * *"})
    EXPECT_TRUE(cron(text).is_fixed()) << text;
  for (auto const* text : {"* 1 * * *", "0 * * * *", "*/20 1-3 * * *", "0 */2 * * *", "0,*/7 3 * * *", "@hourly"})
    EXPECT_FALSE(cron(text).is_fixed()) << text;
}

TEST(CronEver, IsDecidedByTheWholeCalendar) {
  for (auto const* text : {"0 0 30 2 *", "0 0 31 2,4,6,9,11 *", "0 0 29 2 * 0 2027", "0 0 29 2 * 0 2097-2099"})
    EXPECT_FALSE(cron(text).ever_fires()) << text;
  for (auto const* text : {"0 0 29 2 *", "0 0 * 2 1#5", "0 0 29 2 * 0 2096", "0 0 31W 2 *", "0 0 30 2 1"})
    EXPECT_TRUE(cron(text).ever_fires()) << text;
}

// Counted in steps, which do not depend on the machine: a year has 12 months, and no search looks at one twice.
TEST(CronSearch, LooksAtNoMoreMonthsThanThereAreUntilItsEnd) {
  auto const now = moment("2026-01-15T10:07:30Z");
  constexpr std::uint64_t months_to_the_end = (2262 - 2026) * 12;
  for (auto const* text : {"0 0 30 2 *", "0 0 31 4,6 *", "0 0 29 2 * 0 2027", "* * * * * * 1970"}) {
    Work work;
    EXPECT_FALSE(rule(text).next(now, &work)) << text;
    EXPECT_LE(work.months, months_to_the_end) << text;
  }
  std::pair<char const*, std::uint64_t> const searches[] = {
      {"* * * * *", 1},
      {"0 0 29 2 *", 26},
      {"0 0 * 2 1#5", 18 * 12 + 2},
      {"59 23 31 12 * 59 2099", 74 * 12},
  };
  for (auto const& [text, months] : searches) {
    Work work;
    EXPECT_TRUE(rule(text).next(now, &work)) << text;
    EXPECT_LE(work.months, months) << text;
    EXPECT_EQ(work.segments, 1u) << text;
  }
}

TEST(CronSearch, IsBoundedInAZoneThatChangesItsClocksToo) {
  Work forwards, backwards;
  auto const never = rule("30 2 30 2 *", "Europe/Berlin");
  EXPECT_FALSE(never.next(moment("2026-01-15T10:07:30Z"), &forwards));
  EXPECT_FALSE(never.previous(moment("2199-01-15T10:07:30Z"), &backwards));
  EXPECT_LE(forwards.segments, 2u * (2262 - 2026) + 1);
  EXPECT_LE(forwards.months, 12u * (2262 - 2026) + 3 * forwards.segments);
  EXPECT_LE(backwards.segments, 2u * (2199 - 1970) + 1);
  EXPECT_LE(backwards.months, 12u * (2199 - 1970) + 3 * backwards.segments);
}

}  // namespace
}  // namespace nestgate::schedule
