#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "nestgate/store/automation_rows.hpp"

// What may befall a run, and what comes of it. Pure.
namespace nestgate::automation {

using store::is_terminal;
using store::RunStatus;

// What a script reports of its run (automation.md 7).
struct Report {
  RunStatus status = RunStatus::completed;  // completed or failed
  std::string error_detail;                 // of a failed one; "": it did not say
  std::string status_detail_json;           // the same; "": none
  std::string conversation_id;              // "": not said
  std::optional<double> cost;
  std::string additions_json;  // members of later releases; "": none
};

struct DispatchFailed {
  std::string detail;
  std::string status_detail_json;
  // skipped: no room for its runtime. failed for good: another attempt would come to the same.
  enum class How : std::uint8_t { failed, failed_for_good, skipped } how = How::failed;
  bool may_have_started = false;  // nobody said that its script did not: its own report beats this
};
struct Reported {
  Report report;
};
struct CommandEnded {
  std::int64_t exit_code;  // -1: killed, or out of its time
  std::string output_tail, error_tail;
  bool leaves_files = false;  // what was uploaded for another start may lie in the runtime
};
// Out of time, or its runtime is gone: nobody said how it ended.
struct GivenUp {
  std::string detail;
  std::string kind;  // of its status detail
};
struct CancelAsked {
  std::string detail = "Cancelled by user";
};
using RunEvent = std::variant<DispatchFailed, Reported, CommandEnded, GivenUp, CancelAsked>;

// What an event did to a run.
enum class Effect : std::uint8_t {
  settled,    // to its end: its completion is to be told
  again,      // waits for another attempt
  corrected,  // a late success beat a guess; told again
  noted,      // the same verdict as before, or more about a known end: success, changes no status
  refused,    // contradicts what is settled: nothing is written
};

struct Judged {
  Effect effect = Effect::refused;
  store::RunRow run;  // as it is to be
};

// The run state machine (automation.md 3.1): the only place that knows which event wins. The pause before another attempt
// doubles with each, up to an hour.
Judged judge(store::RunRow run, RunEvent const& event, store::Time now);

// What the detail of a run that was out of its time starts with (automation.md 3.1).
inline constexpr std::string_view timed_out_prefix = "Timed out: ";

}  // namespace nestgate::automation
