#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "nestgate/schedule/plan.hpp"
#include "nestgate/schedule/rule.hpp"
#include "nestgate/store/automation_store.hpp"

// What an automation's columns `trigger_json` and `policy_json` hold. Pure.
namespace nestgate::automation {

using store::Overlap;
std::string_view to_string(Overlap overlap) noexcept;
std::optional<Overlap> parse_overlap(std::string_view text);

// Members behind `timezone` are ours; those that are as here by default are not written.
struct CronTrigger {
  std::string schedule;
  std::string timezone = "UTC";
  schedule::DstGap dst_gap = schedule::DstGap::run_after;
  schedule::DstOverlap dst_overlap = schedule::DstOverlap::first;
  schedule::Misfire misfire = schedule::Misfire::once;
  std::chrono::seconds catch_up{0};  // how far back missed moments count; 0: without limit
  Overlap overlap = Overlap::allow;
  std::chrono::seconds jitter{0};
};

struct EventTrigger {
  std::string source;
  std::vector<std::string> on;
  bool on_is_text = false;  // it was given, and is returned, as one string
  std::optional<std::string> filter;
  // Of later releases, kept and returned (automation_live.md 4).
  std::string destination = "dispatch_run";
  std::optional<std::string> subject_key_expr, turn_text_expr;
  bool wake_agent = true;
};

using Trigger = std::variant<CronTrigger, EventTrigger>;
// {"type":"cron","schedule":…,"timezone":…}, {"type":"event","source":…,"on":…,"filter":…,…}
std::string to_json(Trigger const& trigger);
// Of what to_json wrote; nothing for anything else.
std::optional<Trigger> parse_trigger(std::string_view json);
std::string_view kind_of(Trigger const& trigger) noexcept;  // "cron", "event"

// Where a run goes.
struct Target {
  enum class Kind : std::uint8_t { fresh, warm, conversation, label } kind = Kind::fresh;
  std::string name;  // conversation or sandbox id, label
};
std::string to_string(Target const& target);  // "fresh", "warm", "conversation:ID", "label:L"
std::optional<Target> parse_target(std::string_view text);

struct Policy {
  std::optional<Target> target;      // nothing: automation.target
  std::int32_t priority = 0;         // -100 to 100; higher first
  std::uint32_t concurrent_max = 0;  // 0: the settings' limit
  std::uint32_t attempts_max = 1;    // 1 to 10
  std::chrono::seconds retry_pause{10};
};
// "" for one that is all default.
std::string to_json(Policy const& policy);
Policy parse_policy(std::string_view json);
// What a policy says of a run; `otherwise` is the target where it names none.
void apply(Policy const& policy, Target const& otherwise, store::RunRow& run);

}  // namespace nestgate::automation
