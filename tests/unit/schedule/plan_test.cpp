#include "nestgate/schedule/plan.hpp"

#include <set>

#include "nestgate/schedule/backoff.hpp"
#include "unit/schedule/schedule_fixture.hpp"

namespace nestgate::schedule {
namespace {

using namespace std::chrono_literals;
using Texts = std::vector<std::string>;

Texts texts_of(std::vector<Moment> const& moments) {
  Texts texts;
  for (auto const at : moments) texts.push_back(text_of(at));
  return texts;
}

Texts sentences_of(Plan const& plan) {
  Texts texts;
  for (auto const& skipped : plan.skipped) texts.push_back(describe(skipped));
  return texts;
}

CatchUp catch_up(Misfire misfire, std::optional<std::chrono::seconds> window = {}) {
  CatchUp options;
  options.misfire = misfire;
  options.window = window;
  return options;
}

auto const nine = "2026-06-01T09:00:00Z";
auto const hourly = "0 * * * *";

TEST(Plan, DoesNothingBeforeTheMomentIsDue) {
  auto const planned = plan(rule(hourly), moment(nine), moment("2026-06-01T08:59:59Z"), {});
  EXPECT_TRUE(planned.fire.empty());
  EXPECT_TRUE(planned.skipped.empty());
  EXPECT_EQ(text_of(planned.next), nine);
}

TEST(Plan, FiresAMomentThatIsDueAndComputesTheNextOne) {
  for (auto const misfire : {Misfire::once, Misfire::all, Misfire::skip}) {
    auto const planned = plan(rule(hourly), moment(nine), moment(nine) + 999ms, catch_up(misfire, 0s));
    EXPECT_EQ(texts_of(planned.fire), Texts{nine});
    EXPECT_TRUE(planned.skipped.empty());
    EXPECT_EQ(text_of(planned.next), "2026-06-01T10:00:00Z");
  }
}

TEST(Plan, FiresWhatIsALittleLateWhateverThePolicy) {
  for (auto const misfire : {Misfire::once, Misfire::all, Misfire::skip})
    EXPECT_EQ(texts_of(plan(rule(hourly), moment(nine), moment(nine) + 30s, catch_up(misfire, 0s)).fire), Texts{nine});
}

TEST(Plan, OnceMakesOneRunAtTheNewestMissedMomentHoweverOld) {
  auto const planned = plan(rule(hourly), moment(nine), moment("2026-06-04T11:20:00Z"), catch_up(Misfire::once));
  EXPECT_EQ(texts_of(planned.fire), Texts{"2026-06-04T11:00:00Z"});
  EXPECT_EQ(sentences_of(planned),
            Texts{"missed 74 moments from 2026-06-01T09:00:00Z to 2026-06-04T10:00:00Z: superseded by a newer one"});
  EXPECT_EQ(text_of(planned.next), "2026-06-04T12:00:00Z");
}

TEST(Plan, OnceMakesOneRunAlsoWhereTheNewestMomentIsInTime) {
  auto const planned = plan(rule("* * * * * *"), moment(nine), moment("2026-06-01T09:01:00Z"), catch_up(Misfire::once));
  EXPECT_EQ(texts_of(planned.fire), Texts{"2026-06-01T09:01:00Z"});
  EXPECT_EQ(planned.skipped.at(0).count, 60u);
}

TEST(Plan, OnceFiresEveryMomentWhereNoneWasMissed) {
  auto const planned = plan(rule("* * * * * *"), moment(nine), moment(nine) + 2s, catch_up(Misfire::once));
  EXPECT_EQ(planned.fire.size(), 3u);
  EXPECT_TRUE(planned.skipped.empty());
}

TEST(Plan, OnceMakesNoRunForWhatIsOlderThanTheWindow) {
  auto const planned = plan(rule("0 9 * * *"), moment(nine), moment("2026-06-01T12:00:00Z"), catch_up(Misfire::once, 2h));
  EXPECT_TRUE(planned.fire.empty());
  EXPECT_EQ(sentences_of(planned), Texts{"missed one moment, 2026-06-01T09:00:00Z: older than the catch-up window"});
  EXPECT_EQ(text_of(planned.next), "2026-06-02T09:00:00Z");
}

TEST(Plan, AllMakesARunForEachMomentWithinTheWindow) {
  auto const planned = plan(rule(hourly), moment(nine), moment("2026-06-01T13:30:00Z"), catch_up(Misfire::all, 150min));
  EXPECT_EQ(texts_of(planned.fire), (Texts{"2026-06-01T11:00:00Z", "2026-06-01T12:00:00Z", "2026-06-01T13:00:00Z"}));
  EXPECT_EQ(sentences_of(planned),
            Texts{"missed 2 moments from 2026-06-01T09:00:00Z to 2026-06-01T10:00:00Z: older than the catch-up window"});
}

TEST(Plan, AllLeavesWhatIsTooMuchAtOnceToTheNextPlanAndLosesNothing) {
  auto options = catch_up(Misfire::all);
  options.fired_max = 7;
  auto const now = moment("2026-06-03T09:30:00Z");
  std::set<std::string> fired;
  auto due = std::optional(moment(nine));
  std::size_t plans = 0;
  for (; due && *due <= now; ++plans) {
    auto const planned = plan(rule(hourly), *due, now, options);
    EXPECT_LE(planned.fire.size(), 7u);
    EXPECT_TRUE(planned.skipped.empty());
    for (auto const at : planned.fire) EXPECT_TRUE(fired.insert(text_of(at)).second);
    due = planned.next;
  }
  EXPECT_EQ(fired.size(), 49u);
  EXPECT_EQ(plans, 7u);
  EXPECT_EQ(text_of(due), "2026-06-03T10:00:00Z");
}

TEST(Plan, SkipMakesNoRunForWhatWasMissed) {
  auto const planned = plan(rule(hourly), moment(nine), moment("2026-06-01T11:00:10Z"), catch_up(Misfire::skip));
  EXPECT_EQ(texts_of(planned.fire), Texts{"2026-06-01T11:00:00Z"});
  EXPECT_EQ(sentences_of(planned),
            Texts{"missed 2 moments from 2026-06-01T09:00:00Z to 2026-06-01T10:00:00Z: missed moments are to be skipped"});
}

TEST(Plan, CountsWhatItSkipsUpToABoundAndSaysSo) {
  auto options = catch_up(Misfire::skip);
  options.counted_max = 100;
  auto const planned = plan(rule("* * * * * *"), moment(nine), moment("2027-06-01T09:00:00Z"), options);
  EXPECT_EQ(planned.skipped.at(0).count, 100u);
  EXPECT_TRUE(planned.skipped.at(0).is_at_least);
  EXPECT_EQ(text_of(planned.skipped.at(0).last), "2027-06-01T08:59:29Z");
  EXPECT_EQ(describe(planned.skipped.at(0)).substr(0, 28), "missed at least 100 moments ");
}

TEST(Plan, KeepsAStoredMomentThatTheRuleDoesNotHaveAnyMore) {
  auto const planned = plan(rule("30 * * * *"), moment(nine), moment("2026-06-01T09:00:01Z"), {});
  EXPECT_EQ(texts_of(planned.fire), Texts{nine});
  EXPECT_EQ(text_of(planned.next), "2026-06-01T09:30:00Z");
}

TEST(Plan, EndsWithTheScheduleItself) {
  auto const planned = plan(rule("0 9 1 6 * 0 2026"), moment(nine), moment(nine), {});
  EXPECT_EQ(texts_of(planned.fire), Texts{nine});
  EXPECT_EQ(text_of(planned.next), "never");
}

TEST(Plan, CountsAMomentInARepeatedHourOnce) {
  auto const schedule = rule("30 1 * * *", "America/New_York");
  auto const planned =
      plan(schedule, moment("2026-11-01T05:30:00Z"), moment("2026-11-01T06:30:00Z"), catch_up(Misfire::all));
  EXPECT_EQ(texts_of(planned.fire), Texts{"2026-11-01T05:30:00Z"});
  EXPECT_EQ(text_of(planned.next), "2026-11-02T06:30:00Z");
}

TEST(MisfireNames, AreReadAsTheyAreWritten) {
  for (auto const misfire : {Misfire::once, Misfire::all, Misfire::skip})
    EXPECT_EQ(parse_misfire(to_string(misfire)), misfire);
  EXPECT_EQ(parse_misfire("none"), std::nullopt);
}

// Written down, so that gateways of different builds agree.
TEST(Jitter, IsTheSameAtEveryGateway) {
  EXPECT_EQ(jitter_of("3f0c", moment(nine), 60s), 59'063ms);
  EXPECT_EQ(jitter_of("3f0d", moment(nine), 60s), 56'366ms);
  EXPECT_NE(jitter_of("3f0c", moment(nine), 60s), jitter_of("3f0c", moment(nine) + 1h, 60s));
  EXPECT_EQ(jitter_of("3f0c", moment(nine), 0s), 0s);
}

TEST(Jitter, SpreadsAutomationsEvenlyOverTheTimeItHas) {
  std::vector<int> tenths(10);
  for (int i = 0; i < 10'000; ++i) {
    auto const jitter = jitter_of("automation-" + std::to_string(i), moment(nine), 60s);
    ASSERT_GE(jitter, 0ms);
    ASSERT_LT(jitter, 60s);
    ++tenths.at(static_cast<std::size_t>(jitter / 6s));
  }
  for (auto const count : tenths) EXPECT_NEAR(count, 1000, 150);
}

constexpr std::uint64_t lowest = 0, highest = ~std::uint64_t{0};

TEST(Backoff, DoublesUpToTheLongestPause) {
  Backoff const backoff{1s, 5min, Backoff::Jitter::none};
  EXPECT_EQ(backoff.pause(1, highest), 1s);
  EXPECT_EQ(backoff.pause(2, lowest), 2s);
  EXPECT_EQ(backoff.pause(9, lowest), 256s);
  EXPECT_EQ(backoff.pause(10, lowest), 5min);
  EXPECT_EQ(backoff.pause(4'000'000'000, lowest), 5min);
}

TEST(Backoff, IsUnevenWithinItsBounds) {
  Backoff const equal{1s, 5min, Backoff::Jitter::equal}, full{1s, 5min, Backoff::Jitter::full};
  EXPECT_EQ(equal.pause(3, lowest), 2s);
  EXPECT_EQ(equal.pause(3, highest), 4s);
  EXPECT_EQ(equal.pause(3, highest / 2), 3s);
  EXPECT_EQ(full.pause(3, lowest), 0s);
  EXPECT_EQ(full.pause(3, highest / 2), 2s);
  EXPECT_EQ(full.pause(3, highest), 4s);
}

TEST(Backoff, WithoutAPauseIsNone) { EXPECT_EQ((Backoff{0s, 0s, Backoff::Jitter::full}.pause(5, highest)), 0s); }

}  // namespace
}  // namespace nestgate::schedule
