// The published vectors, all of them.
#include <simdjson.h>

#include "unit/schedule/schedule_fixture.hpp"

namespace nestgate::schedule {
namespace {

namespace dom = simdjson::dom;

std::string text_in(dom::element of, std::string_view key) { return std::string(std::string_view(of[key])); }

class CronVectors : public testing::Test {
 protected:
  dom::array cases(std::string const& file) {
    return parser_.load(std::string(NESTGATE_TEST_DATA "/data/") + file)["cases"].get_array().value();
  }

 private:
  dom::parser parser_;
};

// Valid is what can be read and has a moment after the fixed one that the contract names.
bool is_valid(std::string_view text) {
  auto const parsed = Cron::parse(text);
  return parsed && Rule{*parsed, Zone::utc()}.next(moment("2026-07-01T00:00:00Z"));
}

TEST_F(CronVectors, AreReadOrRefusedAsTheySay) {
  std::size_t seen = 0;
  for (auto const one : cases("cron_basic.json")) {
    bool expected = true;
    if (one["valid"].get(expected)) expected = true;  // with moments instead
    EXPECT_EQ(is_valid(text_in(one, "expr")), expected) << text_in(one, "expr");
    ++seen;
  }
  EXPECT_GE(seen, 30u);
}

TEST_F(CronVectors, FireAtTheMomentsBeforeAndAfter) {
  for (auto const one : cases("cron_basic.json")) {
    dom::array next;
    if (one["next3"].get(next)) continue;
    auto const schedule = rule(text_in(one, "expr"));
    auto at = moment(text_in(one, "after"));
    std::string_view previous;
    if (!one["prev"].get(previous)) {
      EXPECT_EQ(text_of(schedule.previous(at)), text_of(moment(std::string(previous)))) << text_in(one, "expr");
    }
    for (auto const expected : next) {
      auto const found = schedule.next(at);
      ASSERT_EQ(text_of(found), text_of(moment(std::string(std::string_view(expected))))) << text_in(one, "expr");
      at = *found;
    }
  }
}

TEST_F(CronVectors, KeepToTheirPolicyWhereTheClocksAreChanged) {
  std::size_t seen = 0;
  for (auto const one : cases("cron_dst.json")) {
    auto const text = text_in(one, "expr"), in = text_in(one, "tz");
    EXPECT_EQ(cron(text).is_fixed(), bool(one["fixed"])) << text;
    for (auto const gap : {DstGap::run_after, DstGap::skip}) {
      for (auto const overlap : {DstOverlap::first, DstOverlap::both}) {
        auto const policy = std::string(to_string(gap)) + '/' + std::string(to_string(overlap));
        std::vector<std::string> expected;
        for (auto const at : one[policy].get_array()) expected.push_back(text_of(moment(std::string(std::string_view(at)))));
        auto const schedule = rule(text, in, gap, overlap);
        EXPECT_EQ(moments(schedule, text_in(one, "after"), text_in(one, "until")), expected)
            << text << " in " << in << ", " << policy;
        ++seen;
      }
    }
  }
  EXPECT_EQ(seen, 4u * 45u);
}

// The same moments, the other way.
TEST_F(CronVectors, AreTheSameMomentsBackwards) {
  for (auto const one : cases("cron_dst.json")) {
    for (auto const gap : {DstGap::run_after, DstGap::skip}) {
      for (auto const overlap : {DstOverlap::first, DstOverlap::both}) {
        auto const schedule = rule(text_in(one, "expr"), text_in(one, "tz"), gap, overlap);
        auto const forwards = moments(schedule, text_in(one, "after"), text_in(one, "until"));
        std::vector<std::string> backwards;
        auto at = std::optional(moment(text_in(one, "until")) + std::chrono::seconds(1));
        while ((at = schedule.previous(*at)) && *at > moment(text_in(one, "after")))
          backwards.insert(backwards.begin(), text_of(at));
        EXPECT_EQ(backwards, forwards) << text_in(one, "expr") << " in " << text_in(one, "tz");
      }
    }
  }
}

}  // namespace
}  // namespace nestgate::schedule
