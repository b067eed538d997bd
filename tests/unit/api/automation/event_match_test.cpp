#include "api/automation/event_match.hpp"

#include <gtest/gtest.h>

#include "nestgate/automation/trigger.hpp"

namespace nestgate::api {
namespace {

using automation::EventTrigger;

EventReader custom(std::string key = "type") { return {"orders", std::nullopt, std::move(key)}; }
EventReader github() { return {"github", event::BuiltinSource::github, {}}; }

store::AutomationRow waiting(std::string id, std::vector<std::string> on, std::optional<std::string> filter = std::nullopt) {
  EventTrigger trigger;
  trigger.source = "orders";
  trigger.on = std::move(on);
  trigger.filter = std::move(filter);
  store::AutomationRow row;
  row.id = std::move(id);
  row.trigger_json = automation::to_json(automation::Trigger(trigger));
  return row;
}

template <class... Rows>
std::vector<store::AutomationRow> rows(Rows... row) {
  std::vector<store::AutomationRow> out;
  (out.push_back(std::move(row)), ...);
  return out;
}

std::vector<std::string> ids_of(Matched const& matched) {
  std::vector<std::string> out;
  for (auto const& one : matched.matches) out.push_back(one.automation.id);
  return out;
}

using Ids = std::vector<std::string>;

TEST(ReadEvent, OfAnOwnSourceIsItsBody) {
  auto const read = read_event(custom(), R"({"type":"order.made","n":[1,2.0]})");
  ASSERT_EQ(read.status, 200U);
  ASSERT_TRUE(read.event);
  EXPECT_EQ(read.event->key, "order.made");
  auto const matched = match_event(read, rows(waiting("a", {"order.*"})), {});
  ASSERT_EQ(ids_of(matched), Ids{"a"});
  EXPECT_EQ(matched.matches[0].payload_json,
            R"({"payload":{"type":"order.made","n":[1,2.0]},"source_override":"orders","event_key":"order.made"})");
}

TEST(MatchEvent, PaysForPatternsToo) {
  auto const read = read_event(custom(), R"({"type":")" + std::string(1'000, 'b') + "\"}");
  ASSERT_TRUE(read.event);
  auto const matched =
      match_event(read, rows(waiting("hostile", {"*[" + std::string(1'000'000, 'a') + "]"}), waiting("a", {"b*"})), {});
  EXPECT_EQ(ids_of(matched), Ids{"a"});
  EXPECT_EQ(matched.over_budget, 1U);
}

TEST(ReadEvent, OfABuiltInSourceComesInAnEnvelope) {
  EXPECT_EQ(read_event(github(), R"({"data":{}})").status, 400U);
  for (auto const* body : {"{}", "[]", "\"x\"", "5", "null"}) {
    auto const read = read_event(github(), body);
    EXPECT_EQ(read.status, 400U) << body;
    EXPECT_EQ(read.detail, "Missing payload in builtin source request") << body;
  }
  auto const read = read_event(github(), R"({"payload":{"zen":"x"},"event_type":"ping"})");
  EXPECT_EQ(read.status, 200U);
  EXPECT_FALSE(read.event) << "no event that anybody could want";
}

TEST(ReadEvent, ThatIsNoJsonIsToldWhere) {
  auto const told = [](std::string_view body) {
    auto const read = read_event(custom(), body);
    EXPECT_EQ(read.status, 400U);
    return read.detail;
  };
  EXPECT_EQ(told(""), "Invalid JSON: Expecting value: line 1 column 1 (char 0)");
  EXPECT_EQ(told("{\n  \"ü\": x}"), "Invalid JSON: Expecting value: line 2 column 8 (char 9)");
  EXPECT_TRUE(told("\xff\xfe").starts_with("Invalid JSON: "));
  EXPECT_TRUE(told("{} {}").starts_with("Invalid JSON: Extra data"));
}

TEST(ReadEvent, OfAnOwnSourceWithoutAKeyIsNone) {
  for (auto const* body : {R"({"x":1})", R"({"type":null})", R"({"type":["k"]})", R"({"type":{}})"}) {
    auto const read = read_event(custom(), body);
    EXPECT_EQ(read.status, 200U) << body;
    EXPECT_FALSE(read.event) << body;
    EXPECT_TRUE(match_event(read, rows(waiting("a", {"*"})), {}).matches.empty());
  }
  auto const list = read_event(custom(), "[1]");
  EXPECT_EQ(list.status, 400U);
  EXPECT_TRUE(list.detail.starts_with("Failed to parse event")) << list.detail;
}

TEST(MatchEvent, LooksAtPatternsAndFilters) {
  auto const read = read_event(custom(), R"({"type":"order.made","n":5,"text":"Straße"})");
  auto const match = [&](std::vector<store::AutomationRow> all) { return ids_of(match_event(read, std::move(all), {})); };
  EXPECT_EQ(
      match(rows(waiting("a", {"order.*"}), waiting("b", {"order"}), waiting("c", {"x", "order.made"}), waiting("d", {}))),
      (Ids{"a", "c"}));
  EXPECT_EQ(match(rows(waiting("a", {"*"}, "n > `4`"), waiting("b", {"*"}, "n > `5`"), waiting("c", {"*"}, "text"),
                       waiting("d", {"*"}, "missing"), waiting("e", {"*"}, ""))),
            (Ids{"a", "c", "e"}));
}

TEST(MatchEvent, CountsFiltersThatFail) {
  auto const read = read_event(custom(), R"({"type":"k"})");
  auto const matched = match_event(
      read, rows(waiting("a", {"*"}, "lower(missing)"), waiting("b", {"*"}, "no_function(@)"), waiting("c", {"*"}, "[[[")),
      {});
  EXPECT_TRUE(matched.matches.empty());
  EXPECT_EQ(matched.failed, 3U);
  EXPECT_EQ(matched.over_budget, 0U);
}

TEST(MatchEvent, CountsFiltersThatCostTooMuchAndGoesOn) {
  std::string body = R"({"type":"k","list":[)";
  for (int i = 0; i < 2000; ++i) body += (i ? "," : "") + std::to_string(i);
  auto const read = read_event(custom(), body + "]}");
  MatchLimits limits;
  limits.budget.steps_max = 1000;
  auto const matched = match_event(
      read, rows(waiting("a", {"*"}, "list[?@ > `1999`]"), waiting("b", {"*"}, "type == 'k'"), waiting("c", {"*"})), limits);
  EXPECT_EQ(ids_of(matched), (Ids{"b", "c"}));
  EXPECT_EQ(matched.over_budget, 1U);
}

TEST(MatchEvent, TakesNoMoreTimeThanItIsGiven) {
  auto const read = read_event(custom(), R"({"type":"k"})");
  MatchLimits limits;
  limits.time_max = std::chrono::milliseconds(-1);
  auto const matched = match_event(read, rows(waiting("a", {"*"}), waiting("b", {"*"})), limits);
  EXPECT_TRUE(matched.matches.empty());
  EXPECT_EQ(matched.over_budget, 2U);
}

TEST(MatchEvent, MakesNoMorePayloadsThanThereIsRoomFor) {
  auto const read = read_event(custom(), R"({"type":"k","text":")" + std::string(1000, 'x') + "\"}");
  MatchLimits limits;
  limits.payloads_bytes_max = 3000;
  EXPECT_EQ(match_event(read, rows(waiting("a", {"*"}), waiting("b", {"*"})), limits).matches.size(), 2U);
  auto const over = match_event(read, rows(waiting("a", {"*"}), waiting("b", {"*"}), waiting("c", {"*"})), limits);
  EXPECT_TRUE(over.is_too_large);
  EXPECT_TRUE(over.matches.empty());
}

TEST(MatchEvent, PassesOverWhatIsNoEventTrigger) {
  auto const read = read_event(custom(), R"({"type":"k"})");
  auto broken = waiting("a", {"*"});
  broken.trigger_json = "{";
  auto cron = waiting("b", {"*"});
  cron.trigger_json = automation::to_json(automation::Trigger(automation::CronTrigger{"* * * * *"}));
  EXPECT_TRUE(match_event(read, rows(std::move(broken), std::move(cron)), {}).matches.empty());
}

}  // namespace
}  // namespace nestgate::api
