#include "nestgate/schedule/describe.hpp"

#include "unit/schedule/schedule_fixture.hpp"

namespace nestgate::schedule {
namespace {

TEST(Description, SaysAnExpressionInWords) {
  std::pair<char const*, char const*> const sentences[] = {
      {"* * * * *", "every minute"},
      {"*/5 * * * *", "every 5 minutes"},
      {"*/7 * * * *", "at every 7th minute from 0 to 56 of every hour"},
      {"0 * * * *", "at minute 0 of every hour"},
      {"15,45 * * * *", "at minutes 15 and 45 of every hour"},
      {"30 2 * * 1,5", "at 02:30 on Monday and Friday"},
      {"0 9,17 * * 1-5", "at 09:00 and 17:00 on Monday to Friday"},
      {"*/20 1-3 * * *", "every 20 minutes of hours 1 to 3"},
      {"30 */2 * * *", "at minute 30 of every 2nd hour from 0 to 22"},
      {"* 2 * * *", "every minute of hour 2"},
      {"0 0 1,15 * *", "at 00:00 on days 1 and 15 of the month"},
      {"0 12 13 * 5", "at 12:00 on day 13 of the month or on Friday"},
      {"0 0 L * *", "at 00:00 on the last day of the month"},
      {"0 0 15,L * *", "at 00:00 on day 15 of the month and on the last day of the month"},
      {"0 0 15W * *", "at 00:00 on the weekday nearest to day 15 of the month"},
      {"0 0 * * 1#2,1#4", "at 00:00 on the second Monday of the month and on the fourth Monday of the month"},
      {"0 0 * * L5", "at 00:00 on the last Friday of the month"},
      {"0 0 29 2 *", "at 00:00 on day 29 of the month in February"},
      {"0 0 1 JAN-MAR *", "at 00:00 on day 1 of the month in January to March"},
      {"0 0 * */3 */2", "at 00:00 on Sunday, Tuesday, Thursday and Saturday in January, April, July and October"},
      {"@daily", "at 00:00 every day"},
      {"30 9 * * * 15", "at 09:30:15 every day"},
      {"* * * * * *", "every second"},
      {"* * * * * */10", "every 10 seconds"},
      {"* * * * * 5", "at second 5 of every minute"},
      {"0,30 * * * * */20", "every 20 seconds of minutes 0 and 30 of every hour"},
      {"* 9-17 * * * 30", "at second 30 of every minute of hours 9 to 17"},
      {"0 0 1 1 * 0 2027-2030", "at 00:00 on day 1 of the month in January in years 2027 to 2030"},
      {"0 0 30 2 *", "never"},
  };
  for (auto const& [text, words] : sentences) EXPECT_EQ(describe(cron(text)), words) << text;
}

TEST(Description, SaysWhatTheClocksChangesMeanOnlyWhereTheyMatter) {
  auto const now = moment("2026-06-01T00:00:00Z");
  EXPECT_EQ(
      describe(rule("30 2 * * *", "Europe/Berlin"), now),
      "at 02:30 every day, Europe/Berlin time; where the clocks leave that out, right after; where they repeat it, the "
      "first time");
  EXPECT_EQ(
      describe(rule("30 2 * * *", "Europe/Berlin", DstGap::skip, DstOverlap::both), now),
      "at 02:30 every day, Europe/Berlin time; where the clocks leave that out, not at all; where they repeat it, both "
      "times");
  EXPECT_EQ(describe(rule("30 9 * * *", "Europe/Berlin"), now), "at 09:30 every day, Europe/Berlin time");
  EXPECT_EQ(describe(rule("30 2 * * *", "Asia/Tokyo"), now), "at 02:30 every day, Asia/Tokyo time");
  EXPECT_EQ(describe(rule("0 * * * *", "Europe/Berlin"), now), "at minute 0 of every hour, Europe/Berlin time");
  EXPECT_EQ(describe(rule("*/20 1-3 * * *", "Europe/Berlin"), now),
            "every 20 minutes of hours 1 to 3, Europe/Berlin time; not in time that the clocks leave out; both times where "
            "the clocks repeat it");
}

}  // namespace
}  // namespace nestgate::schedule
