// The way of a run through dispatch, watch and completion.

#include "automation/run_book.hpp"
#include "service_fixture.hpp"

namespace nestgate::automation {
namespace {

using store::RunRow;
using test::Reply;
using test::Request;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class Runs : public Automations {
 protected:
  // The first `count` requests of that kind are answered so.
  void fail_first(std::string_view line_begin, std::size_t count, Reply reply) {
    agent.instead([=, seen = shared<std::size_t>(0)](Request const& request) -> std::optional<Reply> {
      if (!request.line().starts_with(line_begin) || (*seen)++ >= count) return std::nullopt;
      return reply;
    });
  }
  // The answers of that kind, which is done, wait for the gate.
  void hold_answers(std::string_view line_begin) {
    agent.before_answer([this, line_begin](Request const& request) {
      if (request.line().starts_with(line_begin)) gate.pass();
    });
  }
  // Of the calls but for those that only look.
  std::vector<std::string> dispatching_lines() const {
    std::vector<std::string> lines;
    for (auto const& request : agent.requests())
      if (!request.line().starts_with(search_line)) lines.push_back(request.line());
    return lines;
  }
  Outcome<RunRow> cancel(std::string const& id) { return control.run(service().cancel(id)); }
  std::size_t stops() const {
    std::size_t count = 0;
    for (auto const& command : agent.executed()) count += command.starts_with("ln -sn nestgate:stopped:") ? 1 : 0;
    return count;
  }
  // Whether a command was executed that removes the guard of the run's first attempt.
  bool is_guard_forgotten(std::string const& run_id) const {
    auto const guard = "/tmp/automation-" + run_id + ".start-1";
    auto const executed = agent.executed();
    return std::any_of(executed.begin(), executed.end(), [&guard](std::string const& command) {
      return command.starts_with("rm -f --") && command.find(guard) != std::string::npos;
    });
  }
  void quick_deadline() {
    settings.report_margin = 0s;
    settings.hard_grace = 0s;
    settings.run_time_max = 1s;
  }
};

TEST_F(Runs, AreDispatchedByThreeCallsInTheirOrderOnceTheirRuntimeHasAPrivateFolder) {
  auto const run = dispatch();
  EXPECT_EQ(run.status, RunStatus::pending);
  auto const claimed = until_dispatched(run.id);
  EXPECT_EQ(claimed.status, RunStatus::running);
  EXPECT_EQ(claimed.sandbox_id, "c1");
  auto const upload_of = [](std::string const& path) { return std::string(upload_line) + "?path=%2Ftmp%2F" + path; };
  auto const tarball = upload_of("automation-" + run.id + ".tar.gz");
  auto const environment = upload_of("nestgate-private-1000%2Fautomation-" + run.id + ".env");
  EXPECT_THAT(dispatching_lines(), ElementsAre(tarball, execute_line, environment, start_line));
  auto const later = dispatch();
  until_dispatched(later.id);
  EXPECT_EQ(agent.count(execute_line), 1U) << "no later run pays for it";
  EXPECT_THAT(dispatching_lines().back(), StartsWith(start_line));
  EXPECT_EQ(agent.upload(tarball_of(run.id)), tarball_bytes);
  EXPECT_EQ(agent.starts(run.id), 1U);
  EXPECT_EQ(claimed.timeout_at > claimed.started_at, true);
}

TEST_F(Runs, WithoutAPrivateFolderFailAndShowTheirSecretsToNobody) {
  agent.answer_private_folder(1, 100);
  auto const run = dispatch();
  auto const failed = until_settled(run.id);
  EXPECT_EQ(failed.status, RunStatus::failed);
  EXPECT_THAT(failed.error_detail, HasSubstr("cannot be made, or is another user's"));
  EXPECT_EQ(agent.upload(environment_file_of(run.id)), std::nullopt);
  EXPECT_EQ(agent.starts(run.id), 0U);
}

TEST_F(Runs, BeginNothingBehindTheEndOfTheirGateway) {
  settings.guards_gathered_for = 1h;
  agent.answer_private_folder(1, 100);
  until_settled(dispatch().id);  // and just then cleaned up
  control.run(service().stop(Deadline::in(0s)));
}

TEST_F(Runs, WhosePrivateFolderWasCutShortAreTriedAgain) {
  agent.answer_private_folder(-1, 2);
  auto const run = dispatch();
  until_dispatched(run.id);
  EXPECT_EQ(agent.starts(run.id), 1U);
}

TEST_F(Runs, AreToldTheContractsVariablesInTheirOrderAndNoSecretIsInACommand) {
  settings.kv_secret = std::make_shared<Secret const>("key-value secret");
  auto row = automation_row();
  row.model = "large";
  row.name = "it's nightly";
  auto const automation = create(std::move(row));
  auto const run = dispatch(automation);
  until_dispatched(run.id);
  auto const file = agent.upload(environment_file_of(run.id)).value();
  std::vector<std::string> names;
  for (std::size_t at = 0; at < file.size(); at = file.find('\n', at) + 1)
    names.push_back(file.substr(at + 7, file.find('=', at) - at - 7));
  EXPECT_THAT(names,
              ElementsAre("AGENT_SERVER_URL", "SESSION_API_KEY", "AUTOMATION_CALLBACK_API_KEY", "AUTOMATION_CALLBACK_URL",
                          "AUTOMATION_RUN_ID", "AUTOMATION_USER_ID", "AUTOMATION_ORG_ID", "AUTOMATION_API_URL",
                          "AUTOMATION_EVENT_PAYLOAD", "AUTOMATION_MODEL", "AUTOMATION_KV_TOKEN", "AGENT_SERVER_PORT",
                          "SANDBOX_ID", "AUTOMATION_PHASE_URL", "AUTOMATION_RUN_TRIGGER_SOURCE", "AUTOMATION_ID",
                          "AUTOMATION_NAME", "AUTOMATION_TRIGGER_TYPE", "AUTOMATION_TRIGGER_SOURCE"));
  auto const variables = environment_of(run.id);
  auto const port = std::to_string(agent.port());
  EXPECT_EQ(variables.at("AGENT_SERVER_URL"), "http://127.0.0.1:" + port);
  EXPECT_EQ(variables.at("AGENT_SERVER_PORT"), port);
  EXPECT_EQ(variables.at("SESSION_API_KEY"), provider->keys.at(0));
  EXPECT_EQ(variables.at("SANDBOX_ID"), "c1");
  EXPECT_EQ(variables.at("AUTOMATION_CALLBACK_URL"), "http://gateway/api/automation/v1/runs/" + run.id + "/complete");
  EXPECT_EQ(variables.at("AUTOMATION_USER_ID"), caller.tenant.user_id);
  EXPECT_EQ(variables.at("AUTOMATION_NAME"), "it'\\''s nightly");
  EXPECT_EQ(variables.at("AUTOMATION_RUN_TRIGGER_SOURCE"), "manual");
  EXPECT_EQ(
      variables.at("AUTOMATION_EVENT_PAYLOAD"),
      R"({"trigger": "event", "trigger_payload": {"type": "event", "source": "custom", "on": ["a"]}, "automation_id": ")" +
          automation.id + R"(", "automation_name": "it'\''s nightly", "model": "large"})");
  for (auto const& request : agent.requests()) {
    if (request.line().starts_with(upload_line)) continue;
    for (auto const* const name : {"SESSION_API_KEY", "AUTOMATION_CALLBACK_API_KEY", "AUTOMATION_KV_TOKEN"}) {
      EXPECT_EQ(request.body.find(variables.at(name)), std::string::npos) << request.line();
      EXPECT_EQ(request.target.find(variables.at(name)), std::string::npos) << request.line();
    }
  }
}

TEST_F(Runs, TryAnUploadAgainThatTheServerHadNoTimeFor) {
  fail_first(upload_line, 1, {503, ""});
  auto const run = dispatch();
  until_dispatched(run.id);
  EXPECT_EQ(agent.upload(tarball_of(run.id)), tarball_bytes);
  EXPECT_EQ(service().stats().upload_retries.read(), 1U);
}

TEST_F(Runs, FailWithTheReasonWhenAnUploadIsRefusedAgainAndAgain) {
  fail_first(upload_line, 1'000, {400, ""});
  auto const run = dispatch();
  auto const ended = until_settled(run.id);
  EXPECT_EQ(ended.status, RunStatus::failed);
  EXPECT_THAT(ended.error_detail, HasSubstr("upload"));
  EXPECT_THAT(ended.error_detail, HasSubstr("400"));
  EXPECT_THAT(ended.status_detail_json, HasSubstr(R"("phase":"dispatch")"));
  EXPECT_THAT(ended.status_detail_json, HasSubstr(R"("status_code":400)"));
  EXPECT_THAT(ended.error_detail, Not(HasSubstr(std::to_string(agent.port())))) << "no internal address";
  EXPECT_EQ(agent.count(upload_line), 3U);
  EXPECT_EQ(agent.starts(run.id), 0U);
  EXPECT_TRUE(find_automation(run.automation_id).enabled);
}

TEST_F(Runs, GoOnWithTheirOneStartWhenItsAnswerIsLate) {
  settings.start_time_max = 50ms;
  hold_answers(start_line);
  auto const run = dispatch();
  until_dispatched(run.id);
  gate.open();
  EXPECT_EQ(agent.count(start_line), 1U);
  EXPECT_GE(service().stats().start_searches.read(), 1U);
  agent.end(run.id, 0);
  EXPECT_EQ(until_settled(run.id).status, RunStatus::completed);
}

TEST_F(Runs, SendAStartAgainThatNeverArrived) {
  settings.start_time_max = 50ms;
  fail_first(start_line, 1, {0, ""});
  auto const run = dispatch();
  until_dispatched(run.id);
  EXPECT_EQ(agent.count(start_line), 2U);
  EXPECT_EQ(agent.starts(run.id), 1U);
  EXPECT_EQ(service().stats().starts_resent.read(), 1U);
}

TEST_F(Runs, HaveTheirGuardRemovedOnceNoStartOfThemCanCome) {
  settings.guards_gathered_for = 1ms;
  auto const ended = dispatch(), cancelled = dispatch();
  until_dispatched(ended.id);
  until_dispatched(cancelled.id);
  EXPECT_FALSE(is_guard_forgotten(ended.id));
  agent.end(ended.id, 0);
  ASSERT_TRUE(cancel(cancelled.id));
  control.run_until([&] { return is_guard_forgotten(ended.id) && is_guard_forgotten(cancelled.id); });
}

TEST_F(Runs, KeepTheirGuardWhileAStartOfThemMayStillCome) {
  settings.guards_gathered_for = 1ms;
  settings.start_time_max = 50ms;
  fail_first(start_line, 1, {0, ""});
  auto const unanswered = dispatch();
  until_dispatched(unanswered.id);
  agent.end(unanswered.id, 0);
  until_settled(unanswered.id);
  until_idle();
  auto const other = dispatch();
  until_dispatched(other.id);
  agent.end(other.id, 0);
  control.run_until([&] { return is_guard_forgotten(other.id); });
  EXPECT_FALSE(is_guard_forgotten(unanswered.id));
}

TEST_F(Runs, CannotStartTwiceAndFollowTheStartThatGotThrough) {
  settings.start_time_max = 50ms;
  auto const starts = shared(0);
  auto const hides_commands = shared(true);
  agent.before_answer([this, starts](Request const& request) {
    if (request.line().starts_with(start_line) && (*starts)++ == 0) gate.pass();
  });
  agent.instead([hides_commands](Request const& request) -> std::optional<Reply> {
    bool const is_hidden = *hides_commands && request.target.find("kind__eq=BashCommand") != std::string::npos;
    return is_hidden ? std::optional(Reply{200, R"({"items":[]})"}) : std::nullopt;
  });
  auto const run = dispatch();
  control.run_until([&] { return *starts == 2; });
  *hides_commands = false;
  EXPECT_EQ(until(run.id, [](RunRow const& row) { return row.bash_command_id == "cmd1"; }).status, RunStatus::running);
  gate.open();
  EXPECT_EQ(agent.starts(run.id), 1U);
  agent.end(run.id, 0);
  auto const ended = until_settled(run.id);
  EXPECT_EQ(ended.status, RunStatus::completed);
  EXPECT_EQ(ended.exit_code, 0);
}

TEST_F(Runs, AreNotJudgedByAStartThatWasTurnedAwayWhileNobodySaysWhichGotThrough) {
  settings.start_time_max = 50ms;
  auto const starts = shared(0), refused = shared(0);
  auto const status = shared(200U);  // of searches for commands, which find none; 0: they do
  agent.before_answer([this, starts, status](Request const& request) {
    if (!request.line().starts_with(start_line)) return;
    if (++*starts == 1) return gate.pass();
    *status = 503;
  });
  agent.instead([status, refused](Request const& request) -> std::optional<Reply> {
    unsigned const now = *status;
    if (now == 0 || request.target.find("kind__eq=BashCommand") == std::string::npos) return std::nullopt;
    if (now != 200) ++*refused;
    return Reply{now, R"({"items":[]})"};
  });
  auto const run = dispatch();
  control.run_until([&] { return *refused >= 3; });
  EXPECT_EQ(find(run.id).status, RunStatus::running);
  *status = 0;
  until(run.id, [](RunRow const& row) { return row.bash_command_id == "cmd1"; });
  gate.open();
  agent.end(run.id, 0);
  EXPECT_EQ(until_settled(run.id).status, RunStatus::completed);
}

TEST_F(Runs, ThatAreOverHoldUpNobodyHoweverLongTheirProcessesLast) {
  settings.runs_in_flight_max = 1;
  agent.fail_stops(1'000'000);
  auto const first = dispatch();
  until_dispatched(first.id);
  ASSERT_TRUE(cancel(first.id));
  until_dispatched(dispatch().id);
  EXPECT_EQ(find(first.id).clean_up, store::CleanUp::stop);
}

TEST_F(Runs, WhoseStartNobodyAnsweredMayStillReportTheirSuccess) {
  quick_deadline();
  settings.provision_time_max = 1ms;
  settings.start_time_max = 20ms;
  hold_answers(start_line);
  agent.instead([](Request const& request) -> std::optional<Reply> {
    if (!request.line().starts_with(search_line)) return std::nullopt;
    return Reply{503, ""};
  });
  auto const run = dispatch();
  EXPECT_EQ(until_settled(run.id).status, RunStatus::failed);
  auto const reported = report(run.id, Report(), token_of(run.id));
  ASSERT_TRUE(reported) << reported.error().reason;
  EXPECT_EQ(reported->status, RunStatus::completed);
  gate.open();
}

TEST_F(Runs, GoOnWhateverASearchIsAnswered) {
  auto const run = dispatch();
  until_dispatched(run.id);
  for (unsigned const status : {401U, 404U, 503U, 0U}) {
    auto const searches = shared(0);
    agent.instead([searches, status](Request const& request) -> std::optional<Reply> {
      if (!request.line().starts_with(search_line)) return std::nullopt;
      ++*searches;
      return Reply{status, ""};
    });
    control.run_until([&searches] { return *searches >= 3; });
    agent.instead({});
    EXPECT_EQ(find(run.id).status, RunStatus::running) << status;
  }
  agent.end(run.id, 0);
  EXPECT_EQ(until_settled(run.id).status, RunStatus::completed);
}

TEST_F(Runs, EndWithTheirCommandWhenNobodyReports) {
  settings.output_tail_bytes = 8;
  auto const run = dispatch();
  until_dispatched(run.id);
  agent.end(run.id, 3, "some output\n", "a complaint\n");
  auto const ended = until_settled(run.id);
  EXPECT_EQ(ended.status, RunStatus::failed);
  EXPECT_EQ(ended.exit_code, 3);
  EXPECT_EQ(ended.output_tail, " output\n");
  EXPECT_EQ(ended.error_tail, "mplaint\n");
  EXPECT_EQ(ended.error_detail, "exit_code=3\nstderr: mplaint\n\nstdout:  output\n");
  EXPECT_EQ(ended.clean_up, store::CleanUp::nothing);
  until_idle();
  EXPECT_EQ(stops(), 0U);
}

TEST_F(Runs, AreFollowedOutputByOutputHoweverMuchTheySay) {
  static constexpr int outputs = 130;
  auto const run = dispatch();
  until_dispatched(run.id);
  auto const asked_at_once = shared<std::size_t>(0);
  // As agent servers do: what is not behind the order goes once the page is made.
  agent.instead([asked_at_once](Request const& request) -> std::optional<Reply> {
    auto const number = [&request](std::string_view name, int otherwise) {
      auto const at = request.target.find(name);
      return at == std::string::npos ? otherwise : std::stoi(request.target.substr(at + name.size()));
    };
    int const behind = number("order__gt=", -2);
    if (!request.line().starts_with(search_line) || behind == -2) return std::nullopt;
    int const limit = number("&limit=", 50), first = number("page_id=", 0), end = std::min(first + limit, outputs);
    *asked_at_once = std::max<std::size_t>(*asked_at_once, static_cast<std::size_t>(limit));
    std::string items;
    for (int i = std::max(first, behind + 1); i < end; ++i)
      items += std::string(items.empty() ? "" : ",") + R"({"kind":"BashOutput","order":)" + std::to_string(i) +
               R"(,"stdout":")" + std::to_string(i) + R"( "})";
    auto const next = end < outputs ? '"' + std::to_string(end) + '"' : std::string("null");
    return Reply{200, R"({"items":[)" + items + R"(],"next_page_id":)" + next + "}"};
  });
  agent.end(run.id, 0);
  until_settled(run.id);
  auto const feed = control.run(service().output(run.id));
  ASSERT_TRUE(feed);
  std::string said, wanted;
  for (int i = 0; i < outputs; ++i) wanted += std::to_string(i) + " ";
  for (;;) {
    auto const piece = control.run((*feed)->next());
    ASSERT_TRUE(piece) << piece.error().reason;
    if (!*piece) break;
    said += (*piece)->text;
  }
  EXPECT_EQ(said, wanted);
  EXPECT_EQ(*asked_at_once, 1U) << "each may have megabytes";
}

TEST_F(Runs, ThatWereKilledSaySo) {
  auto const run = dispatch();
  until_dispatched(run.id);
  agent.end(run.id, -1, "", "last words");
  EXPECT_EQ(until_settled(run.id).error_detail, "Timed out: command timed out or was killed\nstderr: last words");
}

TEST_F(Runs, MayExitAsTheGuardDoes) {
  auto const run = dispatch();
  until_dispatched(run.id);
  agent.end(run.id, 75, "", "my own");
  auto const ended = until_settled(run.id);
  EXPECT_EQ(ended.exit_code, 75);
  EXPECT_EQ(ended.error_tail, "my own");
}

TEST_F(Runs, MayReportBeforeTheirStartIsAnswered) {
  hold_answers(start_line);
  auto const run = dispatch();
  control.run_until([&] { return agent.starts(run.id) == 1; });
  Report done;
  done.conversation_id = "9eba03e6-8cc2-4c3d-aa8a-225f0e79e062";
  done.cost = 0.25;
  auto const reported = report(run.id, done, token_of(run.id));
  ASSERT_TRUE(reported) << reported.error().reason;
  EXPECT_EQ(reported->status, RunStatus::completed);
  gate.open();
  EXPECT_EQ(until_dispatched(run.id).status, RunStatus::completed);
  agent.end(run.id, 0, "said");
  auto const ended = until(run.id, [](RunRow const& row) { return row.exit_code.has_value(); });
  EXPECT_EQ(ended.status, RunStatus::completed);
  EXPECT_EQ(ended.output_tail, "said");
  EXPECT_EQ(ended.cost, 0.25);
  EXPECT_EQ(ended.conversation_id, "9eba03e6-8cc2-4c3d-aa8a-225f0e79e062");
}

TEST_F(Runs, TakeTheSameVerdictTwiceAndRefuseAnother) {
  auto const run = dispatch();
  until_dispatched(run.id);
  ASSERT_TRUE(report(run.id, Report{}, token_of(run.id)));
  auto const again = report(run.id, Report{}, token_of(run.id));
  ASSERT_TRUE(again) << again.error().reason;
  EXPECT_EQ(again->status, RunStatus::completed);
  auto const contradicted = report(run.id, failure(), token_of(run.id));
  ASSERT_FALSE(contradicted);
  EXPECT_EQ(contradicted.error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(contradicted.error().reason, "Run is COMPLETED, expected RUNNING");
}

TEST_F(Runs, TakeReportsOnlyByTheirOwnTokenOrOfTheirTenant) {
  auto const run = dispatch();
  auto const other = dispatch();
  until_dispatched(run.id);
  auto const fault = [this, &run](Reporter by) {
    auto const reported = control.run(service().report(run.id, Report{}, std::move(by)));
    return reported ? std::string("none") : std::string(to_string(reported.error().fault.kind));
  };
  EXPECT_EQ(fault({std::nullopt, token_of(other.id)}), to_string(FaultKind::unauthorized));
  EXPECT_EQ(fault({std::nullopt, Secret()}), to_string(FaultKind::unauthorized));
  EXPECT_EQ(fault({caller_of({"bob", identity::Role::user, "bob"}), Secret()}), to_string(FaultKind::forbidden));
  Reporter of_nothing{caller, Secret()};
  EXPECT_EQ(control.run(service().report(new_uuid(), Report{}, std::move(of_nothing))).error().fault.kind,
            FaultKind::not_found);
  EXPECT_EQ(fault({caller, Secret()}), "none");
}

TEST_F(Runs, ThatAreCancelledWhileTheirTarballIsUploadedAreNeverStarted) {
  hold_answers(upload_line);
  auto const run = dispatch();
  control.run_until([&] { return agent.upload(tarball_of(run.id)).has_value(); });
  auto const cancelled = cancel(run.id);
  ASSERT_TRUE(cancelled) << cancelled.error().reason;
  EXPECT_EQ(cancelled->status, RunStatus::cancelled);
  gate.open();
  until_idle();
  EXPECT_EQ(agent.count(start_line), 0U);
  EXPECT_EQ(stops(), 1U) << "what was uploaded is removed";
  EXPECT_EQ(find(run.id).clean_up, store::CleanUp::nothing);
}

TEST_F(Runs, ThatWaitAreCancelledWithoutATrace) {
  settings.runs_in_flight_max = 1;
  auto const first = dispatch();
  until_dispatched(first.id);
  auto const second = dispatch();
  ASSERT_TRUE(cancel(second.id));
  auto const again = cancel(second.id);
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().reason, "Run is CANCELLED, only PENDING or RUNNING runs can be cancelled");
  agent.end(first.id, 0);
  until_settled(first.id);
  until_idle();
  EXPECT_EQ(agent.count(start_line), 1U);
}

TEST_F(Runs, ThatAreCancelledAreStoppedUntilNothingOfThemIsLeft) {
  auto const run = dispatch();
  until_dispatched(run.id);
  agent.fail_stops(2);
  ASSERT_TRUE(cancel(run.id));
  until_idle();
  EXPECT_EQ(stops(), 3U);
  EXPECT_EQ(agent.commands().at(0).exit_code, -1);
  auto const ended = find(run.id);
  EXPECT_EQ(ended.status, RunStatus::cancelled);
  EXPECT_EQ(ended.error_detail, "Cancelled by user");
  EXPECT_EQ(ended.clean_up, store::CleanUp::nothing);
}

TEST_F(Runs, AreGivenUpAtTheirDeadlineAndALateSuccessIsBelieved) {
  quick_deadline();
  auto const run = dispatch();
  auto const given_up = until_settled(run.id);
  EXPECT_EQ(given_up.status, RunStatus::failed);
  EXPECT_EQ(given_up.error_detail, "Timed out: No bash output found");
  until_idle();
  EXPECT_EQ(stops(), 1U);
  ASSERT_TRUE(report(run.id, Report{}, token_of(run.id)));
  auto const corrected = find(run.id);
  EXPECT_EQ(corrected.status, RunStatus::completed);
  EXPECT_EQ(corrected.error_detail, "");
}

TEST_F(Runs, AreGivenUpWhenTheirRuntimeEnds) {
  auto const run = dispatch();
  until_dispatched(run.id);
  provider->die(id_of("c1"), "killed by signal 9");
  auto const ended = until_settled(run.id);
  EXPECT_EQ(ended.error_detail, "Timed out: the runtime ended while the run was in it");
  EXPECT_THAT(ended.status_detail_json, HasSubstr("environment_unavailable"));
}

TEST_F(Runs, InAFreshRuntimeTakeItWithThem) {
  auto const run = dispatch(create(into("fresh")));
  until_dispatched(run.id);
  EXPECT_EQ(environment_of(run.id).at("SANDBOX_ID"), "run-" + run.id);
  agent.end(run.id, 0);
  EXPECT_EQ(until_settled(run.id).sandbox_id, "run-" + run.id);
  until_idle();
  EXPECT_FALSE(manager->find(id_of("run-" + run.id)));
  EXPECT_EQ(find(run.id).clean_up, store::CleanUp::nothing);
}

TEST_F(Runs, InAFreshRuntimeFindTheModelAndTheSecretsOfTheirUserThere) {
  auto& store = *backing.store;
  control.run(store.put_user_settings("alice", Secret(R"({"llm_model":"m","llm_api_key":"k","llm_base_url":"http://m"})")));
  control.run(store.put_user_secret("alice", {"DEPLOY_KEY", "of the shop", Secret("s\"1")}));
  control.run(store.put_user_secret("alice", {"no-name-of-a-variable", "", Secret("s2")}));
  control.run(store.put_user_secret("bob", {"BOBS", "", Secret("s3")}));
  auto const told = std::make_shared<std::vector<std::string>>();
  auto const gate_of_told = std::make_shared<std::mutex>();
  agent.instead([=](Request const& request) -> std::optional<Reply> {
    if (!request.target.starts_with("/api/settings")) return std::nullopt;
    if (request.method == "POST") return Reply{405, ""};
    std::lock_guard const lock(*gate_of_told);
    told->push_back(request.line() + " " + request.body);
    return Reply{200, "{}"};
  });
  until_dispatched(dispatch(create(into("fresh"))).id);
  std::lock_guard const lock(*gate_of_told);
  EXPECT_THAT(
      *told,
      ElementsAre(R"(PATCH /api/settings {"agent_settings_diff":{"llm":{"model":"m","api_key":"k","base_url":"http://m"}}})",
                  R"(PUT /api/settings/secrets {"name":"DEPLOY_KEY","value":"s\"1","description":"of the shop"})"));
}

TEST_F(Runs, KeepTheirRuntimeWhereThatIsWished) {
  auto row = automation_row(into("fresh"));
  row.keep_alive = true;
  auto const run = dispatch(create(std::move(row)));
  until_dispatched(run.id);
  agent.end(run.id, 0);
  until_settled(run.id);
  until_idle();
  EXPECT_TRUE(manager->find(id_of("run-" + run.id)));
}

TEST_F(Runs, WaitForARuntimeThatAQuotaRefuses) {
  conversation::StartRequest request;
  request.id = id_of("c2");
  request.by = alice;
  ASSERT_TRUE(control.run(manager->start(std::move(request))));
  auto const run = dispatch(create(into("fresh")));
  control.run_until([this] { return manager->stats().refused_by_quota.read() > 0; });
  EXPECT_EQ(find(run.id).status, RunStatus::running);
  ASSERT_TRUE(control.run(manager->stop(id_of("c2"))));
  EXPECT_EQ(until_dispatched(run.id).sandbox_id, "run-" + run.id);
}

TEST_F(Runs, AreSkippedWhenThereIsNoRoomInTime) {
  settings.provision_time_max = 1ms;
  conversation::StartRequest request;
  request.id = id_of("c2");
  request.by = alice;
  ASSERT_TRUE(control.run(manager->start(std::move(request))));
  auto const run = dispatch(create(into("fresh")));
  auto const ended = until_settled(run.id);
  EXPECT_EQ(ended.status, RunStatus::skipped);
  EXPECT_EQ(ended.error_detail, "");
  EXPECT_THAT(ended.status_detail_json, HasSubstr(R"("kind":"concurrency_limit")"));
  EXPECT_TRUE(find_automation(run.automation_id).enabled);
}

TEST_F(Runs, WithoutTheirTarballFailAndDisableTheirAutomation) {
  auto row = automation_row();
  row.tarball_path = "oh-internal://uploads/" + new_uuid();
  auto const run = dispatch(create(std::move(row)));
  auto const ended = until_settled(run.id);
  EXPECT_EQ(ended.error_detail, "Tarball not found (underlying upload may have been deleted)");
  auto const automation = find_automation(run.automation_id);
  EXPECT_FALSE(automation.enabled);
  EXPECT_EQ(automation.disabled_reason, "tarball_missing");
  EXPECT_EQ(agent.count(upload_line), 0U);
}

TEST_F(Runs, WithoutTheirTarballLeaveAnAutomationAloneThatGotAnother) {
  settings.tarball_bytes_held_max = 0;
  auto policy = into("conversation:c1");
  policy.attempts_max = 2;
  policy.retry_pause = 0s;
  auto const run = dispatch(create(policy));
  until_dispatched(run.id);
  auto const is_there = shared(false);
  agent.before_answer([this, is_there](Request const& request) {
    if (!request.line().starts_with(execute_line)) return;
    *is_there = true;
    gate.pass();
  });
  agent.end(run.id, 3);
  control.run_until([&is_there] { return is_there->load(); });  // the first attempt's processes are ended
  auto row = find_automation(run.automation_id);
  ASSERT_TRUE(control.run(rows.remove_upload(row.tarball_path.substr(row.tarball_path.rfind('/') + 1))));
  row.tarball_path = "oh-internal://uploads/" + add_upload();
  ASSERT_TRUE(control.run(rows.replace(std::move(row))).value());
  gate.open();
  until_settled(run.id);
  until_idle();
  EXPECT_TRUE(find_automation(run.automation_id).enabled);
}

TEST_F(Runs, OfATarballPathThatNobodyCanReadFail) {
  auto row = automation_row();
  row.tarball_path = "s3://bucket/key";
  auto const run = dispatch(create(std::move(row)));
  EXPECT_EQ(until_settled(run.id).error_detail, "Unsupported tarball_path: 's3://bucket/key'");
  EXPECT_TRUE(find_automation(run.automation_id).enabled);
}

class ExternalTarballs : public Runs {
 protected:
  RunRow fetched(int exit_code, std::string error) {
    agent.answer_commands(exit_code, std::move(error));
    auto row = automation_row();
    row.tarball_path = "https://example.com/it's.tar.gz";
    return dispatch(create(std::move(row)));
  }
};

TEST_F(ExternalTarballs, AreFetchedInTheRuntime) {
  auto const run = fetched(0, "");
  until_dispatched(run.id);
  EXPECT_THAT(agent.executed(),
              ElementsAre("umask 077 && curl -fsSL --proto '=https' --max-filesize 104857600 --max-time 120 -o " +
                          tarball_of(run.id) + " 'https://example.com/it'\\''s.tar.gz'"));
  EXPECT_EQ(agent.count(upload_line), 1U) << "the environment";
}

TEST_F(ExternalTarballs, ThatAreTooLargeFailTheRun) {
  auto const run = fetched(63, "curl: (63) Maximum file size exceeded");
  EXPECT_EQ(until_settled(run.id).error_detail, "Tarball exceeds size limit (100 MB)");
  EXPECT_TRUE(find_automation(run.automation_id).enabled);
}

TEST_F(ExternalTarballs, ThatAreGoneDisableTheirAutomation) {
  auto const run = fetched(22, "curl: (22) The requested URL returned error: 404");
  EXPECT_EQ(until_settled(run.id).error_detail,
            "Failed to download tarball (exit=22): curl: (22) The requested URL returned error: 404");
  EXPECT_FALSE(find_automation(run.automation_id).enabled);
}

TEST_F(ExternalTarballs, ThatAreAskedForTooOftenAreTriedAgain) {
  auto const run = fetched(22, "curl: (22) The requested URL returned error: 429");
  control.run_until([this] { return service().stats().upload_retries.read() >= 1; });
  agent.answer_commands(0, "");
  EXPECT_EQ(until_dispatched(run.id).status, RunStatus::running);
  EXPECT_TRUE(find_automation(run.automation_id).enabled);
}

TEST_F(ExternalTarballs, WhoseHostRefusesAreTriedAgain) {
  for (int const code : {6, 7, 28, 35, 52, 56}) {
    auto const before = service().stats().upload_retries.read();
    auto const run = fetched(code, "curl: no");
    control.run_until([&] { return service().stats().upload_retries.read() > before; });
    agent.answer_commands(0, "");
    EXPECT_EQ(until_dispatched(run.id).status, RunStatus::running) << code;
  }
}

TEST_F(ExternalTarballs, ThatNoLaterTryCouldFetchFailAtOnce) {
  auto const run = fetched(60, "curl: (60) SSL certificate problem");
  auto const failed = until_settled(run.id);
  EXPECT_EQ(failed.error_detail, "Failed to download tarball (exit=60): curl: (60) SSL certificate problem");
  EXPECT_THAT(failed.status_detail_json, HasSubstr(R"("transient":false)"));
  EXPECT_EQ(service().stats().upload_retries.read(), 0U);
  EXPECT_TRUE(find_automation(run.automation_id).enabled);
}

TEST_F(Runs, OfALargeEventReadItFromAFile) {
  auto const automation = create();
  Match match{automation.clone(), R"({"blob":")" + std::string(200'000, 'x') + "\"}"};
  std::vector<Match> matches;
  matches.push_back(std::move(match));
  auto const taken = control.run(service().take_event(caller.tenant.org_id, "custom", "d1", std::move(matches)));
  ASSERT_TRUE(taken) << taken.error().reason;
  auto const id = taken->run_ids.at(0);
  until_dispatched(id);
  auto const variables = environment_of(id);
  auto const path = std::string(test::FakeAgent::private_folder) + "/automation-" + id + ".event.json";
  EXPECT_EQ(variables.at("AUTOMATION_EVENT_PAYLOAD_FILE"), path);
  EXPECT_LT(variables.at("AUTOMATION_EVENT_PAYLOAD").size(), 1'000U);
  EXPECT_THAT(variables.at("AUTOMATION_EVENT_PAYLOAD"), HasSubstr("\"event_file\": \"" + path + "\""));
  auto const file = agent.upload(path).value();
  EXPECT_THAT(file, StartsWith(R"({"trigger": "event")"));
  EXPECT_GT(file.size(), 200'000U);
  EXPECT_THAT(agent.commands().at(0).text,
              HasSubstr("rm -f -- " + tarball_of(id) + " " + environment_file_of(id) + " " + path));
}

TEST_F(Runs, ThatFailAreTriedAgainAsAttemptsOfThemselves) {
  auto policy = into("conversation:c1");
  policy.attempts_max = 2;
  policy.retry_pause = 0s;
  auto const run = dispatch(create(policy));
  until_dispatched(run.id);
  agent.end(run.id, 3);
  auto const second = until(run.id, [](RunRow const& row) { return row.attempt == 2 && !row.bash_command_id.empty(); });
  EXPECT_EQ(second.status, RunStatus::running);
  EXPECT_THAT(second.attempts_json, HasSubstr(R"("attempt":1)"));
  EXPECT_THAT(second.attempts_json, HasSubstr("exit_code=3"));
  EXPECT_EQ(second.exit_code, std::nullopt);
  agent.end(run.id, 0);
  EXPECT_EQ(until_settled(run.id).status, RunStatus::completed);
  EXPECT_EQ(agent.starts(run.id), 2U);
  EXPECT_EQ(service().stats().attempts_again.read(), 1U);
}

// The script may report before the answer to its start has come.
TEST_F(Runs, ThatWaitForAnotherAttemptAreNoMoreThoseOfTheOneBefore) {
  RunRow run;
  run.id = new_uuid();
  run.tenant = caller.tenant;
  run.attempts_max = 2;
  auto const id = run.id;
  std::vector<RunRow> runs;
  runs.push_back(std::move(run));
  ASSERT_TRUE(control.run(rows.enqueue(std::move(runs), 0)));
  auto claimed = control.run(rows.claim({id}, "gateway", {})).value();
  auto const fence = claimed.at(0).claimed.value().run.fence;
  Stats stats;
  RunBook book(rows, stats);
  book.listen({[](RunRow const&) {}, [](RunRow const&) {}, [] {}});
  EXPECT_EQ(control.run(book.apply(id, std::nullopt, Reported{failure()})).value().effect, Effect::again);
  auto const note_its_command = [](RunRow& row) { row.bash_command_id = "cmd1"; };
  EXPECT_FALSE(control.run(book.note(id, fence, note_its_command)).value());
  EXPECT_EQ(control.run(book.apply(id, fence, DispatchFailed{"no answer", ""})).value().effect, Effect::refused);
  auto const waiting = find(id);
  EXPECT_EQ(waiting.status, RunStatus::pending);
  EXPECT_EQ(waiting.bash_command_id, "") << "the second attempt would take it for its own";
}

TEST_F(Runs, ThatAreTriedAgainGetAnotherFreshRuntime) {
  auto policy = into("fresh");
  policy.attempts_max = 2;
  policy.retry_pause = 0s;
  auto const run = dispatch(create(policy));
  until_dispatched(run.id);
  agent.end(run.id, 3);
  auto const second = until(run.id, [](RunRow const& row) {
    return is_terminal(row.status) || (row.attempt == 2 && !row.bash_command_id.empty());
  });
  EXPECT_EQ(second.status, RunStatus::running) << second.error_detail;
  EXPECT_EQ(second.sandbox_id, "run-" + run.id + "-2");
  agent.end(run.id, 0);
  EXPECT_EQ(until_settled(run.id).status, RunStatus::completed);
  until_idle();
  EXPECT_FALSE(manager->find(id_of("run-" + run.id)));
  EXPECT_FALSE(manager->find(id_of("run-" + run.id + "-2")));
}

// The other gateway tells this one nothing.
TEST_F(Runs, ThatAnotherGatewaySettledLeaveNothingToCleanUp) {
  settings.scan_interval = 1h;
  auto const run = dispatch(create(into("fresh")));
  until_dispatched(run.id);
  Stats stats;
  RunBook other(rows, stats);
  other.listen({[](RunRow const&) {}, [](RunRow const&) {}, [] {}});
  auto settled = control.run(other.apply(run.id, std::nullopt, Reported{})).value();
  EXPECT_EQ(settled.run.clean_up, store::CleanUp::tidy);
  agent.end(run.id, 0);
  until(run.id, [](RunRow const& row) { return row.clean_up == store::CleanUp::nothing; });
  EXPECT_FALSE(manager->find(id_of("run-" + run.id)));
}

TEST_F(Runs, OfOneIdempotencyKeyAreOne) {
  auto const automation = create();
  auto const first = dispatch(automation, "k1");
  EXPECT_EQ(dispatch(automation, "k1").id, first.id);
  EXPECT_NE(dispatch(automation, "k2").id, first.id);
  EXPECT_NE(dispatch(create(), "k1").id, first.id) << "of another automation";
}

TEST_F(Runs, OfAnEventThatIsDeliveredTwiceAreMadeOnce) {
  auto const automation = create();
  auto const take = [&](std::string delivery_id) {
    std::vector<Match> matches;
    matches.push_back({automation.clone(), "{}"});
    return control.run(service().take_event(caller.tenant.org_id, "custom", std::move(delivery_id), std::move(matches)))
        .value();
  };
  auto const first = take("d1");
  EXPECT_TRUE(first.is_new);
  auto const again = take("d1");
  EXPECT_FALSE(again.is_new);
  EXPECT_EQ(again.run_ids, first.run_ids);
  EXPECT_THAT(again.made, IsEmpty());
  EXPECT_NE(take("d2").run_ids, first.run_ids);
  EXPECT_NE(take("").run_ids, take("").run_ids) << "without an id every delivery counts";
}

TEST_F(Runs, AreRefusedWhenTooManyWait) {
  settings.runs_in_flight_max = 1;
  settings.runs_waiting_max = 2;
  auto const automation = create();
  until_dispatched(dispatch(automation).id);
  dispatch(automation);
  dispatch(automation);
  auto const refused = control.run(service().dispatch(automation.id, of_anybody, ""));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault.kind, FaultKind::overloaded);
}

TEST_F(Runs, OfOneAutomationKeepToItsCap) {
  auto policy = into("conversation:c1");
  policy.concurrent_max = 1;
  auto const capped = create(policy);
  auto const first = dispatch(capped);
  until_dispatched(first.id);
  auto const second = dispatch(capped);
  auto const free = dispatch();
  until_dispatched(free.id);
  EXPECT_EQ(find(second.id).status, RunStatus::pending);
  agent.end(first.id, 0);
  until_dispatched(second.id);
  EXPECT_EQ(find(first.id).status, RunStatus::completed);
}

TEST_F(Runs, OfOneUserKeepToTheirCap) {
  settings.runs_in_flight_of_user_max = 1;
  auto const first = dispatch();
  until_dispatched(first.id);
  auto const second = dispatch();
  auto row = automation_row();
  row.tenant = caller_of({"bob", identity::Role::user, "bob"}).tenant;
  auto const bobs = dispatch(create(std::move(row)));
  until_dispatched(bobs.id);
  EXPECT_EQ(find(second.id).status, RunStatus::pending);
  agent.end(first.id, 0);
  until_dispatched(second.id);
}

TEST_F(Runs, ThatACapHoldsBackAreNotCountedAsStartsOfAMinute) {
  settings.starts_per_minute_of_user_max = 2;
  auto policy = into("conversation:c1");
  policy.concurrent_max = 1;
  auto const capped = create(policy);
  auto const first = dispatch(capped);
  until_dispatched(first.id);
  auto const second = dispatch(capped);
  dispatch(capped);
  dispatch(capped);
  until_dispatched(dispatch().id);  // the second start of this minute
  EXPECT_EQ(find(second.id).status, RunStatus::pending);
}

TEST_F(Runs, AreLimitedInAMinute) {
  settings.starts_per_minute_of_user_max = 1;
  auto const first = dispatch();
  until_dispatched(first.id);
  auto const second = dispatch();
  agent.end(first.id, 0);
  until_settled(first.id);
  until_idle();
  auto row = automation_row();
  row.tenant = caller_of({"bob", identity::Role::user, "bob"}).tenant;
  until_dispatched(dispatch(create(std::move(row))).id);
  EXPECT_EQ(find(second.id).status, RunStatus::pending);
}

TEST_F(Runs, AreNotTakenWhileTheGatewayCloses) {
  auto const automation = create();
  service().begin_closing();
  auto const refused = control.run(service().dispatch(automation.id, of_anybody, ""));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault.kind, FaultKind::unavailable);
}

}  // namespace
}  // namespace nestgate::automation
