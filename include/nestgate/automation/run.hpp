#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "nestgate/base/conversation_id.hpp"

namespace nestgate::automation {

// automation.md 3.1.
enum class RunStatus : std::uint8_t { pending, running, completed, failed, cancelled, skipped };
std::string_view to_string(RunStatus status) noexcept;  // "PENDING", …
constexpr bool is_terminal(RunStatus status) noexcept {
  return status != RunStatus::pending && status != RunStatus::running;
}

// A run as it is kept. Times are of the system's clock.
struct Run {
  using Time = std::chrono::system_clock::time_point;
  Run(std::string run_id, ConversationId c) : id(std::move(run_id)), conversation(std::move(c)) {}

  std::string id;             // UUID with dashes
  std::uint64_t version = 0;  // counts up with every write
  RunStatus status = RunStatus::pending;
  std::string error_detail;     // of a failed one
  bool error_is_guess = false;  // nobody said so: a late success is believed
  std::string owner;
  ConversationId conversation;  // whose runtime it runs in
  std::string entrypoint;
  std::string callback_url;  // empty: none
  std::string token_hash;    // of the token that its script reports with (identity::hash_api_key)
  std::string bash_command_id;
  std::string reported_conversation_id;
  std::optional<double> cost;
  std::optional<int> exit_code;
  std::string output_tail;
  std::string error_tail;
  Time created_at;
  std::optional<Time> started_at, timeout_at, completed_at;
  std::uint32_t delivery_attempts = 0;
  std::optional<Time> delivered_at;
  std::string delivery_error;  // why the last attempt was in vain
};

// What may befall a run.
struct Claimed {};  // the dispatch begins
struct DispatchFailed {
  std::string detail;
};
struct ReportedCompleted {};  // by the script
struct ReportedFailed {
  std::string detail;
};
struct CommandEnded {
  int exit_code;
  std::string output_tail, error_tail;
};
struct GivenUp {
  std::string detail;
};  // out of time, its runtime is gone, or the gateway goes
using RunEvent = std::variant<Claimed, DispatchFailed, ReportedCompleted, ReportedFailed, CommandEnded, GivenUp>;

// What an event did to a run.
enum class Effect : std::uint8_t {
  moved,      // pending to running
  settled,    // to its end: its completion is to be told, once
  corrected,  // a late success beat a guess that was made when time ran out; told again
  repeated,   // the same verdict as before: success, changes nothing
  refused,    // contradicts what is settled
};

struct Step {
  Effect effect;
  RunStatus status;
  std::string error_detail;
  bool error_is_guess = false;
};

// The run state machine: pure, and the only place that knows which event wins.
Step judge(Run const& run, RunEvent const& event);

// What the detail of a run that was out of its time starts with (automation.md 3.1).
inline constexpr std::string_view timed_out_prefix = "Timed out: ";

}  // namespace nestgate::automation
