#include "nestgate/automation/run_machine.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include "nestgate/automation/status_detail.hpp"

namespace nestgate::automation {
namespace {

using namespace std::chrono_literals;
using store::CleanUp;
using store::RunRow;
using testing::HasSubstr;

store::Time const now = store::Time(1'790'000'000s);

RunRow run_in(RunStatus status) {
  RunRow run;
  run.id = "r";
  run.status = status;
  return run;
}
RunRow guessed() {
  auto run = run_in(RunStatus::failed);
  run.error_detail = "Timed out: No bash output found";
  run.error_is_guess = true;
  return run;
}
Reported completed(std::string conversation = "") {
  Report report;
  report.conversation_id = std::move(conversation);
  return {std::move(report)};
}
Reported failed(std::string detail = "boom") {
  Report report;
  report.status = RunStatus::failed;
  report.error_detail = std::move(detail);
  return {std::move(report)};
}

TEST(RunMachine, TheScriptsVerdictSettlesARunningRun) {
  auto event = completed("c9");
  event.report.cost = 0.25;
  auto const judged = judge(run_in(RunStatus::running), event, now);
  EXPECT_EQ(judged.effect, Effect::settled);
  EXPECT_EQ(judged.run.status, RunStatus::completed);
  EXPECT_EQ(judged.run.conversation_id, "c9");
  EXPECT_EQ(judged.run.cost, 0.25);
  EXPECT_EQ(judged.run.completed_at, now);
  EXPECT_EQ(judged.run.clean_up, CleanUp::tidy) << "its command may still run";
}

TEST(RunMachine, ACommandThatEndedLeavesWhatWasUploadedForAnotherStart) {
  EXPECT_EQ(judge(run_in(RunStatus::running), CommandEnded{0, "", ""}, now).run.clean_up, CleanUp::nothing);
  EXPECT_EQ(judge(run_in(RunStatus::running), CommandEnded{0, "", "", true}, now).run.clean_up, CleanUp::tidy);
  auto reported = judge(run_in(RunStatus::running), completed(), now).run;
  EXPECT_EQ(judge(std::move(reported), CommandEnded{0, "", "", true}, now).run.clean_up, CleanUp::tidy);
}

TEST(RunMachine, AFailureWithoutAWordIsSaidSo) {
  auto const judged = judge(run_in(RunStatus::running), failed(""), now);
  EXPECT_EQ(judged.run.error_detail, "Completion callback reported failure");
}

TEST(RunMachine, WhoEndsARunSaysWhy) {
  auto const cancelled = judge(run_in(RunStatus::running), CancelAsked{"its own reason"}, now);
  EXPECT_EQ(cancelled.run.error_detail, "its own reason");
}

TEST(RunMachine, ThePendingRunTakesNoReportButACancelOrAFailedDispatch) {
  EXPECT_EQ(judge(run_in(RunStatus::pending), completed(), now).effect, Effect::refused);
  EXPECT_EQ(judge(run_in(RunStatus::pending), CommandEnded{0, "", ""}, now).effect, Effect::refused);
  auto const cancelled = judge(run_in(RunStatus::pending), CancelAsked{}, now);
  EXPECT_EQ(cancelled.run.status, RunStatus::cancelled);
  EXPECT_EQ(cancelled.run.error_detail, "Cancelled by user");
  EXPECT_EQ(cancelled.run.clean_up, CleanUp::nothing) << "nothing of it is anywhere";
  EXPECT_EQ(judge(run_in(RunStatus::pending), DispatchFailed{"no", "", {}}, now).run.status, RunStatus::failed);
}

TEST(RunMachine, ACancelOfARunningRunLeavesItsProcessesToBeStopped) {
  EXPECT_EQ(judge(run_in(RunStatus::running), CancelAsked{}, now).run.clean_up, CleanUp::stop);
}

TEST(RunMachine, TheSameVerdictTwiceIsNoConflictAndAnotherOneIs) {
  EXPECT_EQ(judge(run_in(RunStatus::completed), completed(), now).effect, Effect::noted);
  EXPECT_EQ(judge(run_in(RunStatus::failed), failed(), now).effect, Effect::noted);
  EXPECT_EQ(judge(run_in(RunStatus::completed), failed(), now).effect, Effect::refused);
  EXPECT_EQ(judge(run_in(RunStatus::failed), completed(), now).effect, Effect::refused) << "it was no guess";
  EXPECT_EQ(judge(run_in(RunStatus::cancelled), completed(), now).effect, Effect::refused);
  EXPECT_EQ(judge(run_in(RunStatus::completed), CancelAsked{}, now).effect, Effect::refused);
}

TEST(RunMachine, ALateSuccessBeatsAGuess) {
  auto const reported = judge(guessed(), completed(), now);
  EXPECT_EQ(reported.effect, Effect::corrected);
  EXPECT_EQ(reported.run.status, RunStatus::completed);
  EXPECT_EQ(reported.run.error_detail, "");
  EXPECT_EQ(judge(guessed(), CommandEnded{0, "", ""}, now).effect, Effect::corrected);
  EXPECT_EQ(judge(guessed(), failed(), now).effect, Effect::noted);
}

TEST(RunMachine, TheExitCodeOfASettledRunIsKeptWithoutChangingItsVerdict) {
  auto const judged = judge(run_in(RunStatus::completed), CommandEnded{3, "out", "err"}, now);
  EXPECT_EQ(judged.effect, Effect::noted);
  EXPECT_EQ(judged.run.status, RunStatus::completed);
  EXPECT_EQ(judged.run.exit_code, 3);
  EXPECT_EQ(judged.run.error_tail, "err");
}

TEST(RunMachine, ACommandsEndIsWordedAsTheContractHasIt) {
  auto const judged = judge(run_in(RunStatus::running), CommandEnded{3, std::string(600, 'o'), std::string(1100, 'e')}, now);
  EXPECT_EQ(judged.run.error_detail,
            "exit_code=3\nstderr: " + std::string(1000, 'e') + "\nstdout: " + std::string(500, 'o'));
  EXPECT_THAT(judged.run.status_detail_json, HasSubstr(R"("code":"3")"));
  EXPECT_THAT(judged.run.status_detail_json, HasSubstr(R"("operation":"verify_run")"));
  auto const killed = judge(run_in(RunStatus::running), CommandEnded{-1, "o", "e"}, now);
  EXPECT_EQ(killed.run.error_detail, "Timed out: command timed out or was killed\nstderr: e");
  EXPECT_TRUE(killed.run.error_is_guess);
}

TEST(RunMachine, AFailedRunIsTriedAgainAsItsPolicySaysWithPausesThatDouble) {
  auto run = run_in(RunStatus::running);
  run.attempts_max = 3;
  run.retry_pause_s = 10;
  run.bash_command_id = "cmd";
  run.holder = "g";
  auto const fence = run.fence;
  auto const second = judge(std::move(run), CommandEnded{1, "o", "e"}, now);
  EXPECT_EQ(second.effect, Effect::again);
  EXPECT_EQ(second.run.status, RunStatus::pending);
  EXPECT_EQ(second.run.attempt, 2U);
  EXPECT_EQ(second.run.fence, fence + 1) << "who held it before is superseded";
  EXPECT_EQ(second.run.not_before, now + 10s);
  EXPECT_EQ(second.run.bash_command_id, "");
  EXPECT_EQ(second.run.exit_code, std::nullopt) << "of the attempt that is over";
  EXPECT_THAT(second.run.attempts_json, HasSubstr(R"("attempt":1)"));

  auto running = second.run.clone();
  running.status = RunStatus::running;
  auto const third = judge(std::move(running), failed(), now);
  EXPECT_EQ(third.run.not_before, now + 20s);
  simdjson::dom::parser parser;
  EXPECT_EQ(parser.parse(third.run.attempts_json).get_array().size(), 2U);

  auto last = third.run.clone();
  last.status = RunStatus::running;
  EXPECT_EQ(judge(std::move(last), failed(), now).effect, Effect::settled);
}

TEST(RunMachine, AStartThatNobodyAnsweredIsAGuessThatTheScriptsReportBeats) {
  auto refused = judge(run_in(RunStatus::running), DispatchFailed{"refused", ""}, now);
  EXPECT_EQ(judge(std::move(refused.run), Reported{}, now).effect, Effect::refused);
  DispatchFailed unanswered{"no answer", ""};
  unanswered.may_have_started = true;
  auto failed = judge(run_in(RunStatus::running), unanswered, now);
  EXPECT_EQ(failed.run.status, RunStatus::failed);
  EXPECT_EQ(judge(std::move(failed.run), Reported{}, now).effect, Effect::corrected);
}

TEST(RunMachine, NothingIsTriedAgainThatWasCancelledOrFailedForGood) {
  auto run = run_in(RunStatus::running);
  run.attempts_max = 9;
  EXPECT_EQ(judge(run.clone(), CancelAsked{}, now).effect, Effect::settled);
  EXPECT_EQ(judge(run.clone(), DispatchFailed{"gone", "", DispatchFailed::How::failed_for_good}, now).effect,
            Effect::settled);
  auto const skipped = judge(run.clone(), DispatchFailed{"full", "{}", DispatchFailed::How::skipped}, now);
  EXPECT_EQ(skipped.run.status, RunStatus::skipped);
  EXPECT_EQ(skipped.run.error_detail, "");
  EXPECT_EQ(skipped.run.status_detail_json, "{}");
}

TEST(StatusDetail, CountsWhatHasTheSameFingerprint) {
  StatusDetail detail;
  detail.phase = "verification";
  detail.kind = "server_error";
  detail.transient = true;
  detail.source = "agent_server";
  detail.operation = "verify_run";
  detail.status_code = 503;
  auto const first = to_json(detail, "", now);
  EXPECT_THAT(first, HasSubstr(R"("fingerprint":"agent_server:verify_run:server_error:503")"));
  EXPECT_THAT(first, HasSubstr(R"("count":1)"));
  auto const second = to_json(detail, first, now + 5s);
  EXPECT_THAT(second, HasSubstr(R"("count":2)"));
  EXPECT_THAT(second, HasSubstr(R"("first_seen_at":"2026-09-21T)"));
  detail.status_code = 500;
  EXPECT_THAT(to_json(detail, second, now), HasSubstr(R"("count":1)"));
}

}  // namespace
}  // namespace nestgate::automation
