#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "nestgate/app/cli.hpp"

namespace nestgate::app {
namespace {

using testing::HasSubstr;

struct Said {
  int code;
  std::string out, err;
};

Said cron(std::vector<std::string> words) {
  words.insert(words.begin(), {"nestgate", "cron"});
  std::vector<char const*> argv;
  for (auto const& word : words) argv.push_back(word.c_str());
  std::istringstream in;
  std::ostringstream out, err;
  auto const no_serve = [](Settings, ServeOptions) { return exit_failed; };
  auto const code = run_command_line(static_cast<int>(argv.size()), argv.data(), {}, {in, out, err}, no_serve);
  return {code, out.str(), err.str()};
}

std::size_t lines_in(std::string const& text) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

TEST(CronCommand, PrintsTheMomentsInUtcOneALine) {
  auto const said = cron({"30 1 * * *", "--tz", "America/New_York", "--after", "2026-10-31T20:00:00-04:00", "--count", "2"});
  EXPECT_EQ(said.code, exit_done);
  EXPECT_EQ(said.out, "2026-11-01T05:30:00Z\n2026-11-02T06:30:00Z\n");
  EXPECT_EQ(said.err, "");
}

TEST(CronCommand, SettlesGapsAndOverlapsAsItIsTold) {
  EXPECT_EQ(cron({"30 1 * * *", "--tz", "America/New_York", "--after", "2026-11-01T00:00:00Z", "--count", "2",
                  "--dst-overlap", "both"})
                .out,
            "2026-11-01T05:30:00Z\n2026-11-01T06:30:00Z\n");
  std::vector<std::string> const gap{"30 2 * * *", "--tz", "America/New_York", "--after", "2026-03-08T00:00:00Z",
                                     "--count",    "1"};
  EXPECT_EQ(cron(gap).out, "2026-03-08T07:00:00Z\n");
  auto skipping = gap;
  skipping.insert(skipping.end(), {"--dst-gap", "skip"});
  EXPECT_EQ(cron(skipping).out, "2026-03-09T06:30:00Z\n");
}

TEST(CronCommand, PrintsFiveFromNowOnWithoutAnyOption) {
  auto const said = cron({"* * * * *"});
  EXPECT_EQ(said.code, exit_done);
  EXPECT_EQ(lines_in(said.out), 5u);
}

TEST(CronCommand, PrintsAllUntilATimeThatItIncludes) {
  EXPECT_EQ(cron({"0 * * * *", "--after", "2026-01-01T00:00:00Z", "--until", "2026-01-01T10:00:00Z"}).out.substr(9 * 21),
            "2026-01-01T10:00:00Z\n");
  EXPECT_EQ(
      lines_in(
          cron({"0 * * * *", "--after", "2026-01-01T00:00:00Z", "--until", "2026-01-01T10:00:00Z", "--count", "3"}).out),
      3u);
  auto const none = cron({"0 0 * * *", "--after", "2026-01-01T00:00:00Z", "--until", "2026-01-01T10:00:00Z"});
  EXPECT_EQ(none.code, exit_done);
  EXPECT_EQ(none.out, "");
}

TEST(CronCommand, SaysThatThereAreMoreThanItPrints) {
  auto const said = cron({"* * * * *", "--after", "2026-01-01T00:00:00Z", "--until", "2027-01-01T00:00:00Z"});
  EXPECT_EQ(said.code, exit_done);
  EXPECT_EQ(lines_in(said.out), 10'000u);
  EXPECT_EQ(said.err, "nestgate: no more than 10000 moments are shown\n");
}

TEST(CronCommand, ExplainsInWordsFirst) {
  EXPECT_EQ(cron({"30 2 * * 1,5", "--tz", "Asia/Tokyo", "--after", "2026-01-01T00:00:00Z", "--count", "1", "--explain"}).out,
            "at 02:30 on Monday and Friday, Asia/Tokyo time\n2026-01-01T17:30:00Z\n");
}

TEST(CronCommand, RefusesABadExpressionWithFieldAndReasonInOneLine) {
  for (auto const& [text, line] : std::initializer_list<std::pair<char const*, char const*>>{
           {"61 * * * *", "nestgate: minute: \"61\" is not in 0 to 59\n"},
           {"* * * * MON-", "nestgate: day of week: \"mon-\" is not understood\n"},
           {"* * *", "nestgate: expression: "},
           {"", "nestgate: expression: "},
           {"a\nb * * * *", "nestgate: minute: \"a\" is not understood"},
       }) {
    auto const said = cron({text});
    EXPECT_EQ(said.code, exit_wrong_usage) << text;
    EXPECT_THAT(said.err, HasSubstr(line)) << text;
    EXPECT_EQ(lines_in(said.err), 1u) << text;
    EXPECT_EQ(said.out, "") << text;
  }
}

TEST(CronCommand, RefusesAScheduleThatNeverFires) {
  auto const said = cron({"0 0 30 2 *", "--after", "2026-01-01T00:00:00Z", "--explain"});
  EXPECT_EQ(said.code, exit_wrong_usage);
  EXPECT_EQ(said.out, "");
  EXPECT_EQ(said.err, "nestgate: expression: it never fires after 2026-01-01T00:00:00Z\n");
  EXPECT_EQ(cron({"0 0 1 1 * 0 2020"}).code, exit_wrong_usage);
}

TEST(CronCommand, RefusesZonesAndTimesThatThereAreNot) {
  EXPECT_EQ(cron({"* * * * *", "--tz", "Mars/Olympus"}).err, "nestgate: --tz: Invalid timezone: Mars/Olympus\n");
  EXPECT_EQ(cron({"* * * * *", "--tz", "../UTC"}).err,
            "nestgate: --tz: ZoneInfo keys must be normalized relative paths, got: ../UTC\n");
  EXPECT_THAT(cron({"* * * * *", "--after", "yesterday"}).err, HasSubstr("nestgate: --after: \"yesterday\" is no time"));
  EXPECT_THAT(cron({"* * * * *", "--until", "2026-13-01T00:00:00Z"}).err, HasSubstr("nestgate: --until: "));
  for (auto const* option : {"--count=0", "--count=10001", "--count=x", "--dst-gap=never", "--dst-overlap=second", "--what"})
    EXPECT_EQ(cron({"* * * * *", option}).code, exit_wrong_usage) << option;
  EXPECT_EQ(cron({}).code, exit_wrong_usage);
}

}  // namespace
}  // namespace nestgate::app
