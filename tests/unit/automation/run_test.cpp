#include "nestgate/automation/run.hpp"

#include <gtest/gtest.h>

namespace nestgate::automation {
namespace {

// A run as it stands; what it failed of by guess starts with "?".
Run run_at(RunStatus status, std::string_view error) {
  Run run("r1", ConversationId::parse("c1").value());
  run.status = status;
  run.error_is_guess = error.starts_with('?');
  run.error_detail = error;
  return run;
}

struct Row {
  RunStatus from;
  std::string_view error;
  RunEvent event;
  Effect effect;
  RunStatus to;
  std::string_view to_error;
};

TEST(Judge, FollowsTheTable) {
  using enum RunStatus;
  constexpr std::string_view guess = "?nobody knows";
  Row const rows[] = {
      {pending, "", Claimed{}, Effect::moved, running, ""},
      {pending, "", DispatchFailed{"no"}, Effect::settled, failed, "no"},
      {pending, "", ReportedCompleted{}, Effect::refused, pending, ""},
      {pending, "", CommandEnded{0, "", ""}, Effect::refused, pending, ""},
      {running, "", Claimed{}, Effect::refused, running, ""},
      {running, "", DispatchFailed{"no"}, Effect::settled, failed, "no"},
      {running, "", ReportedCompleted{}, Effect::settled, completed, ""},
      {running, "", ReportedFailed{"boom"}, Effect::settled, failed, "boom"},
      {running, "", CommandEnded{0, "o", "e"}, Effect::settled, completed, ""},
      {running, "", CommandEnded{3, "out", "err"}, Effect::settled, failed, "exit_code=3\nstderr: err\nstdout: out"},
      {running, "", CommandEnded{3, "", ""}, Effect::settled, failed, "exit_code=3"},
      {running, "", CommandEnded{-1, "out", "err"}, Effect::settled, failed,
       "Timed out: command timed out or was killed\nstderr: err"},
      {running, "", GivenUp{std::string(guess)}, Effect::settled, failed, guess},
      {pending, "", GivenUp{std::string(guess)}, Effect::settled, failed, guess},
      {completed, "", ReportedCompleted{}, Effect::repeated, completed, ""},
      {completed, "", ReportedFailed{"late"}, Effect::refused, completed, ""},
      {completed, "", CommandEnded{3, "", ""}, Effect::refused, completed, ""},
      {completed, "", CommandEnded{0, "", ""}, Effect::repeated, completed, ""},
      {completed, "", GivenUp{"x"}, Effect::refused, completed, ""},
      {failed, "boom", ReportedFailed{"again"}, Effect::repeated, failed, "boom"},
      {failed, "boom", ReportedCompleted{}, Effect::refused, failed, "boom"},
      {failed, guess, ReportedCompleted{}, Effect::corrected, completed, ""},
      {failed, guess, CommandEnded{0, "", ""}, Effect::corrected, completed, ""},
      {failed, guess, ReportedFailed{"late"}, Effect::repeated, failed, guess},
      {cancelled, "Cancelled by user", ReportedCompleted{}, Effect::refused, cancelled, "Cancelled by user"},
      {skipped, "", ReportedCompleted{}, Effect::refused, skipped, ""},
      {failed, guess, Claimed{}, Effect::refused, failed, guess},
  };
  for (auto const& row : rows) {
    auto const step = judge(run_at(row.from, row.error), row.event);
    auto const name = std::string(to_string(row.from)) + " + event " + std::to_string(row.event.index());
    EXPECT_EQ(step.effect, row.effect) << name;
    EXPECT_EQ(step.status, row.to) << name;
    EXPECT_EQ(step.error_detail, row.to_error) << name;
    bool const is_guess = row.to_error.starts_with('?') || row.to_error.starts_with(timed_out_prefix);
    EXPECT_EQ(step.error_is_guess, is_guess) << name;
  }
}

TEST(Judge, ShowsTheEndsOfLongOutputs) {
  auto const step = judge(run_at(RunStatus::running, ""), CommandEnded{1, std::string(600, 'o'), std::string(1200, 'e')});
  EXPECT_EQ(step.error_detail, "exit_code=1\nstderr: " + std::string(1000, 'e') + "\nstdout: " + std::string(500, 'o'));
}

}  // namespace
}  // namespace nestgate::automation
