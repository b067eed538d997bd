#include "nestgate/automation/run_machine.hpp"

#include <algorithm>

#include "nestgate/automation/status_detail.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/codec/json_writer.hpp"

namespace nestgate::automation {
namespace {

using store::CleanUp;
using store::RunRow;
using store::Time;

constexpr std::size_t shown_error_bytes = 1000;
constexpr std::size_t shown_output_bytes = 500;
constexpr std::size_t attempts_bytes_max = 16 * 1024;
constexpr std::chrono::seconds retry_pause_max{3'600};

std::string_view last(std::string_view text, std::size_t bytes) {
  return text.substr(text.size() - std::min(text.size(), bytes));
}

struct Verdict {
  RunStatus status = RunStatus::failed;
  std::string detail{};
  std::string status_detail_json{};
  bool is_guess = false;
  bool may_be_tried_again = true;
};

// The texts of automation.md 6.
Verdict verdict_of(CommandEnded const& end, RunRow const& run, Time now) {
  if (end.exit_code == 0) return {.status = RunStatus::completed};
  bool const was_killed = end.exit_code == -1;
  Verdict verdict{.is_guess = was_killed};
  StatusDetail detail;
  detail.phase = "verification";
  detail.source = "agent_server";
  detail.operation = "verify_run";
  if (was_killed) {
    detail.kind = "timeout";
    detail.detail = "command timed out or was killed";
    verdict.detail.append(timed_out_prefix).append(detail.detail);
  } else {
    detail.kind = "execution_error";
    detail.code = std::to_string(end.exit_code);
    detail.detail = "exit_code=" + detail.code;
    verdict.detail = detail.detail;
  }
  if (!end.error_tail.empty()) verdict.detail.append("\nstderr: ").append(last(end.error_tail, shown_error_bytes));
  if (!was_killed && !end.output_tail.empty())
    verdict.detail.append("\nstdout: ").append(last(end.output_tail, shown_output_bytes));
  verdict.status_detail_json = to_json(detail, run.status_detail_json, now);
  return verdict;
}

Verdict verdict_of(DispatchFailed const& failed, RunRow const&, Time) {
  using How = DispatchFailed::How;
  Verdict verdict{.detail = failed.detail,
                  .status_detail_json = failed.status_detail_json,
                  .is_guess = failed.may_have_started && failed.how == How::failed};
  if (failed.how == How::skipped) verdict.status = RunStatus::skipped;
  verdict.may_be_tried_again = failed.how == How::failed;
  return verdict;
}

Verdict verdict_of(Reported const& reported, RunRow const&, Time) {
  auto const& report = reported.report;
  if (report.status == RunStatus::completed) return {.status = RunStatus::completed};
  Verdict verdict{.detail = report.error_detail, .status_detail_json = report.status_detail_json};
  if (verdict.detail.empty()) verdict.detail = "Completion callback reported failure";
  return verdict;
}

Verdict verdict_of(GivenUp const& given_up, RunRow const& run, Time now) {
  StatusDetail detail;
  detail.phase = "verification";
  detail.kind = given_up.kind;
  detail.detail = given_up.detail;
  detail.source = "gateway";
  return {.detail = std::string(timed_out_prefix) + given_up.detail,
          .status_detail_json = to_json(detail, run.status_detail_json, now),
          .is_guess = true};
}

Verdict verdict_of(CancelAsked const& asked, RunRow const&, Time) {
  return {.status = RunStatus::cancelled, .detail = asked.detail, .may_be_tried_again = false};
}

// What is kept of an event whether or not it decides the run.
void keep_facts(RunRow& run, RunEvent const& event) {
  if (auto const* end = std::get_if<CommandEnded>(&event)) {
    run.exit_code = end->exit_code;
    run.output_tail = end->output_tail;
    run.error_tail = end->error_tail;
    if (!run.runtime_is_own) run.clean_up = end->leaves_files ? CleanUp::tidy : CleanUp::nothing;
  }
  if (auto const* reported = std::get_if<Reported>(&event)) {
    auto const& report = reported->report;
    if (!report.conversation_id.empty()) run.conversation_id = report.conversation_id;
    if (report.cost) run.cost = report.cost;
    if (!report.additions_json.empty()) run.additions_json = report.additions_json;
  }
}

// What an end leaves to do in the runtime.
CleanUp clean_up_of(RunRow const& run, RunEvent const& event) {
  // Between two attempts only the runtime of the first may be there.
  if (run.status == RunStatus::pending) return run.runtime_is_own ? CleanUp::tidy : CleanUp::nothing;
  if (auto const* end = std::get_if<CommandEnded>(&event))
    return run.runtime_is_own || end->leaves_files ? CleanUp::tidy : CleanUp::nothing;
  if (std::holds_alternative<Reported>(event)) return CleanUp::tidy;
  return CleanUp::stop;
}

void note_attempt(RunRow& run, std::string_view detail, Time now) {
  std::string entry;
  codec::JsonWriter w(entry);
  w.begin_object().member("attempt", run.attempt).key("started_at");
  if (run.started_at) {
    w.value(rfc3339(*run.started_at, 6));
  } else {
    w.null();
  }
  w.member("ended_at", rfc3339(now, 6)).member("error", detail).end_object();
  if (run.attempts_json.empty()) run.attempts_json = "[]";
  if (run.attempts_json.size() + entry.size() > attempts_bytes_max) return;
  run.attempts_json.pop_back();
  if (run.attempts_json.size() > 1) run.attempts_json += ',';
  run.attempts_json += entry + "]";
}

void begin_again(RunRow& run, Verdict const& verdict, Time now) {
  std::chrono::seconds pause{run.retry_pause_s};
  note_attempt(run, verdict.detail, now);
  for (std::uint32_t n = 1; n < run.attempt && pause < retry_pause_max; ++n) pause *= 2;
  run.status = RunStatus::pending;
  ++run.fence;  // whoever saw to the attempt before has no say in this one
  run.not_before = now + std::min(pause, retry_pause_max);
  ++run.attempt;
  run.status_detail_json = verdict.status_detail_json;
  run.holder.clear();
  run.bash_command_id.clear();
  run.started_at.reset();
  run.timeout_at.reset();
  run.exit_code.reset();
  run.output_tail.clear();
  run.error_tail.clear();
  run.clean_up = CleanUp::nothing;
}

void settle(RunRow& run, Verdict&& verdict, Time now) {
  run.status = verdict.status;
  run.error_detail = std::move(verdict.detail);
  run.status_detail_json = std::move(verdict.status_detail_json);
  run.error_is_guess = verdict.is_guess;
  run.completed_at = now;
  if (verdict.status == RunStatus::skipped) run.error_detail.clear();  // as the contract has it: the detail says why
}

bool can_end_before_it_began(RunEvent const& event) {
  return std::holds_alternative<DispatchFailed>(event) || std::holds_alternative<GivenUp>(event) ||
         std::holds_alternative<CancelAsked>(event);
}

}  // namespace

Judged judge(RunRow run, RunEvent const& event, Time now) {
  auto verdict = std::visit([&](auto const& e) { return verdict_of(e, run, now); }, event);
  if (run.status == RunStatus::pending && !can_end_before_it_began(event)) return {Effect::refused, std::move(run)};
  if (!is_terminal(run.status)) {
    bool const is_again = verdict.status == RunStatus::failed && verdict.may_be_tried_again &&
                          run.status == RunStatus::running && run.attempt < run.attempts_max;
    keep_facts(run, event);
    if (is_again) {
      begin_again(run, verdict, now);
      return {Effect::again, std::move(run)};
    }
    run.clean_up = clean_up_of(run, event);
    settle(run, std::move(verdict), now);
    return {Effect::settled, std::move(run)};
  }
  if (std::holds_alternative<CancelAsked>(event)) return {Effect::refused, std::move(run)};
  bool const is_correction = run.status == RunStatus::failed && run.error_is_guess && verdict.status == RunStatus::completed;
  if (is_correction) {
    keep_facts(run, event);
    settle(run, std::move(verdict), now);
    return {Effect::corrected, std::move(run)};
  }
  // A command's end is a fact about a run however it was settled.
  if (verdict.status == run.status || std::holds_alternative<CommandEnded>(event)) {
    keep_facts(run, event);
    return {Effect::noted, std::move(run)};
  }
  return {Effect::refused, std::move(run)};
}

}  // namespace nestgate::automation
