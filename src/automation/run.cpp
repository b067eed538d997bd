#include "nestgate/automation/run.hpp"

#include "nestgate/base/invariant.hpp"

namespace nestgate::automation {
namespace {

constexpr std::size_t shown_error_bytes = 1000;
constexpr std::size_t shown_output_bytes = 500;

std::string_view last(std::string_view text, std::size_t bytes) {
  return text.substr(text.size() - std::min(text.size(), bytes));
}

// The texts of automation.md 6.
std::string describe(CommandEnded const& end) {
  std::string out;
  if (end.exit_code == -1) {
    out.append(timed_out_prefix).append("command timed out or was killed");
  } else {
    out = "exit_code=" + std::to_string(end.exit_code);
  }
  if (!end.error_tail.empty()) out.append("\nstderr: ").append(last(end.error_tail, shown_error_bytes));
  if (end.exit_code != -1 && !end.output_tail.empty())
    out.append("\nstdout: ").append(last(end.output_tail, shown_output_bytes));
  return out;
}

struct Verdict {
  RunStatus status;
  std::string detail;
  bool is_guess = false;
};

Verdict verdict_of(RunEvent const& event) {
  struct Judge {
    Verdict operator()(Claimed const&) const { return {RunStatus::running, {}}; }
    Verdict operator()(DispatchFailed const& e) const { return {RunStatus::failed, e.detail}; }
    Verdict operator()(ReportedCompleted const&) const { return {RunStatus::completed, {}}; }
    Verdict operator()(ReportedFailed const& e) const { return {RunStatus::failed, e.detail}; }
    Verdict operator()(CommandEnded const& e) const {
      if (e.exit_code == 0) return {RunStatus::completed, {}};
      return {RunStatus::failed, describe(e), e.exit_code == -1};
    }
    Verdict operator()(GivenUp const& e) const { return {RunStatus::failed, e.detail, true}; }
  };
  return std::visit(Judge{}, event);
}

}  // namespace

std::string_view to_string(RunStatus status) noexcept {
  switch (status) {
    case RunStatus::pending: return "PENDING";
    case RunStatus::running: return "RUNNING";
    case RunStatus::completed: return "COMPLETED";
    case RunStatus::failed: return "FAILED";
    case RunStatus::cancelled: return "CANCELLED";
    case RunStatus::skipped: return "SKIPPED";
  }
  return "";
}

Step judge(Run const& run, RunEvent const& event) {
  Verdict verdict = verdict_of(event);
  Step unchanged{Effect::refused, run.status, run.error_detail, run.error_is_guess};
  if (std::holds_alternative<Claimed>(event)) {
    if (run.status != RunStatus::pending) return unchanged;
    return Step{Effect::moved, RunStatus::running, {}};
  }
  bool const ends_before_it_began = std::holds_alternative<DispatchFailed>(event) || std::holds_alternative<GivenUp>(event);
  if (run.status == RunStatus::pending && !ends_before_it_began) return unchanged;
  if (!is_terminal(run.status)) return Step{Effect::settled, verdict.status, std::move(verdict.detail), verdict.is_guess};
  if (verdict.status == run.status) {
    unchanged.effect = Effect::repeated;
    return unchanged;
  }
  bool const is_correction = run.error_is_guess && verdict.status == RunStatus::completed;
  if (is_correction) return Step{Effect::corrected, RunStatus::completed, {}};
  return unchanged;
}

}  // namespace nestgate::automation
