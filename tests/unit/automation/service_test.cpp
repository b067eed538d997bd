#include "nestgate/automation/service.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <future>

#include "nestgate/identity/webhook_signature.hpp"
#include "support/backing.hpp"
#include "support/control.hpp"
#include "support/fake_runtimes.hpp"

namespace nestgate::automation {
namespace {

using namespace std::chrono_literals;
using test::Control;
using test::FakeProvider;
using test::RecordingPublisher;
using test::Reply;
using test::Request;
using test::ScriptedServer;
using testing::ElementsAre;

constexpr std::string_view search = "GET /api/bash/bash_events/search";
constexpr std::string_view start_command = "POST /api/bash/start_bash_command";
constexpr std::string_view execute_command = "POST /api/bash/execute_bash_command";
constexpr std::string_view upload = "POST /api/file/upload";

using Kept = automation::Run;  // in a fixture, Run is gtest's

ConversationId id_of(std::string_view text) { return ConversationId::parse(text).value(); }
identity::Principal user(std::string name) { return {name, identity::Role::user, name}; }

std::string ended_with(int exit_code) {
  return R"({"items":[{"exit_code":)" + std::to_string(exit_code) + R"(,"stdout":"said","stderr":"complained"}]})";
}

class Runs : public testing::Test {
 protected:
  Runs() {
    nested.on(std::string(execute_command), {200, R"({"exit_code":0,"stdout":"","stderr":""})"});
    nested.on(std::string(start_command), {200, R"({"id":"cmd1"})"});
    nested.on(std::string(search), {200, R"({"items":[]})"});
    settings.base_url = "http://gateway/api/automation";
    settings.watch_interval = 5ms;
    settings.delivery_pause_first = 1ms;
    settings.private_callbacks = PrivateCallbacks::allow;

    auto provider_owned = std::make_unique<FakeProvider>(nested.endpoint());
    provider = provider_owned.get();
    std::vector<Secret> secrets;
    secrets.emplace_back("0123456789abcdef0123456789abcdef");
    auto ring = std::make_shared<identity::KeyRing const>(identity::Derivation::sha256, std::move(secrets));
    manager =
        std::make_unique<conversation::Manager>(control.executor(), std::move(provider_owned), publisher, std::move(ring),
                                                *backing.store, *backing.credentials, conversation::ManagerSettings{});
    conversation::StartRequest request;
    request.id = id_of("c1");
    request.by = user("alice");
    auto const started = control.run(manager->start(std::move(request)));
    EXPECT_TRUE(started);
  }
  ~Runs() override {
    if (service_) control.run(service_->stop(Deadline::in(0s)));
    control.run(manager->stop_all());
  }

  Service& service() {
    if (!service_)
      service_ = std::make_unique<Service>(control.executor(), *manager,
                                           make_memory_store(settings.runs_in_flight_max, settings.runs_kept_max),
                                           std::move(settings));
    return *service_;
  }
  RunRequest request_for(std::string owner = "alice") {
    RunRequest request;
    request.by = user(std::move(owner));
    request.conversation = id_of("c1");
    request.tarball = "\x1f\x8b tar";
    request.entrypoint = "python main.py";
    request.callback_url = "http://127.0.0.1:" + std::to_string(sink.port()) + "/done";
    return request;
  }
  Kept submit() { return submit(request_for()); }
  Kept submit(RunRequest request) {
    auto run = control.run(service().submit(std::move(request)));
    EXPECT_TRUE(run) << run.error().reason;
    return *run;
  }
  std::string refused(RunRequest request) {
    auto const run = control.run(service().submit(std::move(request)));
    return run ? "" : run.error().reason;
  }
  Kept find(std::string const& id) { return control.run(service().find(id, user("alice"))).value(); }
  Kept until(std::string const& id, std::function<bool(Kept const&)> const& holds) {
    for (;;) {
      auto run = find(id);
      if (holds(run)) return run;
      control.run(one_turn());
    }
  }
  Kept until_settled(std::string const& id) {
    return until(id, [](Kept const& run) { return is_terminal(run.status); });
  }
  Kept until_dispatched(std::string const& id) {
    return until(id, [](Kept const& run) { return !run.bash_command_id.empty(); });
  }
  static Task<> one_turn() { [[maybe_unused]] auto waited = co_await pause_for(1ms); }
  // What a script of the run would read from its environment.
  std::map<std::string, std::string> environment() {
    std::string text;
    for (auto const& request : nested.requests())
      if (request.target.ends_with("environment")) text = request.body;
    std::map<std::string, std::string> out;
    for (auto at = text.find("export "); at != text.npos; at = text.find("export ", at + 1)) {
      auto const equals = text.find("='", at);
      auto const end = text.find("'\n", equals);
      out[text.substr(at + 7, equals - at - 7)] = text.substr(equals + 2, end - equals - 2);
    }
    return out;
  }
  Outcome<Kept> report(std::string const& id, Report report, std::string token) {
    Reporter by;
    by.token = Secret(std::move(token));
    return control.run(service().report(id, std::move(report), std::move(by)));
  }

  ScriptedServer nested;
  ScriptedServer sink;
  Control control;
  test::Backing backing{control};
  RecordingPublisher publisher;
  FakeProvider* provider = nullptr;
  std::unique_ptr<conversation::Manager> manager;
  Settings settings;

 private:
  std::unique_ptr<Service> service_;
};

TEST_F(Runs, AreDispatchedInOrderWithTheirEnvironmentInAPrivateFileOnly) {
  auto request = request_for();
  request.environment.emplace_back("OWN", Secret("own value"));
  auto const run = submit(std::move(request));
  EXPECT_EQ(run.status, RunStatus::pending);
  until_dispatched(run.id);
  auto const seen = nested.requests();
  std::vector<std::string> steps;
  for (auto const& r : seen)
    if (r.target.starts_with("/api/")) steps.push_back(r.method + " " + r.target.substr(0, r.target.find('?')));
  steps.resize(4);
  EXPECT_THAT(steps, ElementsAre(execute_command, upload, upload, start_command));

  auto const variables = environment();
  std::string const port = std::to_string(nested.port());
  EXPECT_EQ(variables.at("SANDBOX_ID"), "c1");
  EXPECT_EQ(variables.at("SESSION_API_KEY"), provider->keys.at(0));
  EXPECT_EQ(variables.at("AGENT_SERVER_PORT"), port);
  EXPECT_EQ(variables.at("AGENT_SERVER_URL"), "http://127.0.0.1:" + port);
  EXPECT_EQ(variables.at("AUTOMATION_RUN_ID"), run.id);
  EXPECT_EQ(variables.at("AUTOMATION_API_URL"), "http://gateway/api/automation");
  EXPECT_EQ(variables.at("AUTOMATION_CALLBACK_URL"), "http://gateway/api/automation/v1/runs/" + run.id + "/complete");
  EXPECT_EQ(variables.at("AUTOMATION_EVENT_PAYLOAD"), R"({"trigger":"manual","trigger_payload":{}})");
  EXPECT_EQ(variables.at("AUTOMATION_CALLBACK_API_KEY").size(), 64U);
  EXPECT_EQ(variables.at("OWN"), "own value");
  for (auto const& r : seen) {
    if (r.target.starts_with("/api/file/upload")) continue;
    for (auto const& secret :
         {variables.at("SESSION_API_KEY"), variables.at("AUTOMATION_CALLBACK_API_KEY"), variables.at("OWN")})
      EXPECT_EQ(r.body.find(secret), std::string::npos) << r.line();
  }
}

TEST_F(Runs, CompleteByTheScriptsReportAndTellItOnceWithASignature) {
  std::vector<Secret> keys;
  keys.emplace_back(std::string(32, 'k'));
  auto const signing_keys = std::make_shared<std::vector<Secret> const>(std::move(keys));
  settings.webhook_signing_keys = signing_keys;
  auto const run = submit();
  until_dispatched(run.id);
  auto const token = environment().at("AUTOMATION_CALLBACK_API_KEY");
  Report done;
  done.conversation_id = "9eba03e6-8cc2-4c3d-aa8a-225f0e79e062";
  done.cost = 0.25;
  auto const reported = report(run.id, done, token);
  ASSERT_TRUE(reported) << reported.error().reason;
  EXPECT_EQ(reported->status, RunStatus::completed);
  EXPECT_TRUE(report(run.id, done, token)) << "the same verdict twice is success";
  Report failed;
  failed.status = RunStatus::failed;
  auto const contradicted = report(run.id, failed, token);
  ASSERT_FALSE(contradicted);
  EXPECT_EQ(contradicted.error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(contradicted.error().reason, "Run is COMPLETED, expected RUNNING");

  nested.on(std::string(search), {200, ended_with(0)});
  auto const kept = until(run.id, [](Kept const& r) { return r.delivered_at && r.exit_code; });
  EXPECT_EQ(kept.exit_code, 0);
  EXPECT_EQ(kept.output_tail, "said");
  auto const told = sink.requests();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].line(), "POST /done");
  EXPECT_EQ(told[0].body, R"({"status":"COMPLETED","run_id":")" + run.id +
                              R"(","conversation_id":"9eba03e6-8cc2-4c3d-aa8a-225f0e79e062","cost":0.25})");
  EXPECT_EQ(told[0].value("webhook-signature"),
            identity::webhook_signature(*signing_keys, told[0].value("webhook-id"),
                                        std::stoll(told[0].value("webhook-timestamp")), told[0].body));
}

TEST_F(Runs, TakeReportsOnlyWithTheirOwnTokenOrTheirOwnersKey) {
  auto const run = submit();
  until_dispatched(run.id);
  EXPECT_EQ(report(run.id, Report{}, "wrong").error().fault.kind, FaultKind::unauthorized);
  EXPECT_EQ(report(run.id, Report{}, "").error().fault.kind, FaultKind::unauthorized);
  EXPECT_EQ(report("00000000-0000-4000-8000-000000000000", Report{}, "wrong").error().fault.kind, FaultKind::unauthorized);
  Reporter bob;
  bob.principal = user("bob");
  EXPECT_EQ(control.run(service().report(run.id, Report{}, std::move(bob))).error().fault.kind, FaultKind::not_found);
  Reporter alice;
  alice.principal = user("alice");
  EXPECT_TRUE(control.run(service().report(run.id, Report{}, std::move(alice))));
}

TEST_F(Runs, EndWithTheirCommandWhenTheScriptNeverReports) {
  nested.on(std::string(search), {200, ended_with(3)});
  auto const run = until_settled(submit().id);
  EXPECT_EQ(run.status, RunStatus::failed);
  EXPECT_EQ(run.error_detail, "exit_code=3\nstderr: complained\nstdout: said");
  EXPECT_EQ(run.exit_code, 3);
  auto const told = until(run.id, [](Kept const& r) { return r.delivered_at.has_value(); });
  EXPECT_EQ(sink.requests().at(0).body,
            R"({"status":"FAILED","run_id":")" + run.id + R"(","error":"exit_code=3\nstderr: complained\nstdout: said"})");
}

TEST_F(Runs, FailWithTheStepThatFailed) {
  struct Case {
    std::string_view line;
    Reply reply;
    std::string error;
  };
  Case const cases[] = {
      {execute_command, {500, ""}, "dispatch: command: the server answered 500"},
      {execute_command, {200, R"({"exit_code":1})"}, "dispatch: the run's folder cannot be made in the runtime"},
      {upload, {413, ""}, "dispatch: upload: the server answered 413"},
      {start_command, {500, ""}, "dispatch: start: the server answered 500"},
      {start_command, {200, "{}"}, "dispatch: start: the server's answer has another shape"},
  };
  for (auto const& c : cases) {
    nested.on(std::string(execute_command), {200, R"({"exit_code":0})"});
    nested.on(std::string(upload), {200, "{}"});
    nested.on(std::string(start_command), {200, R"({"id":"cmd1"})"});
    nested.on(std::string(c.line), c.reply);
    auto const run = until_settled(submit().id);
    EXPECT_EQ(run.status, RunStatus::failed);
    EXPECT_EQ(run.error_detail, c.error);
  }
}

TEST_F(Runs, TryAnUploadAgainThatFailedOnce) {
  nested.on(std::string(upload), {503, ""});
  auto const run = submit();
  control.run_until([this] {
    auto const lines = nested.lines();
    return std::any_of(lines.begin(), lines.end(), [](std::string const& line) { return line.starts_with(upload); });
  });
  nested.on(std::string(upload), {200, "{}"});
  EXPECT_FALSE(until_dispatched(run.id).bash_command_id.empty());
}

TEST_F(Runs, AreGivenUpWhenTheirRuntimeEndsAndALateSuccessCorrectsThat) {
  auto const run = submit();
  until_dispatched(run.id);
  auto const token = environment().at("AUTOMATION_CALLBACK_API_KEY");
  provider->die(id_of("c1"), "killed by signal 9");
  auto const lost = until_settled(run.id);
  EXPECT_EQ(lost.error_detail, "the runtime ended while the run was in it");
  ASSERT_TRUE(report(run.id, Report{}, token));
  control.run_until([this] { return sink.requests().size() == 2; });
  EXPECT_EQ(find(run.id).status, RunStatus::completed);
  EXPECT_NE(sink.requests()[0].value("webhook-id"), sink.requests()[1].value("webhook-id"));
}

TEST_F(Runs, TellNoGuessAgainOnceItIsCorrected) {
  settings.delivery_pause_first = 1h;
  sink.on("POST /done", {500, ""});
  auto const run = submit();
  until_dispatched(run.id);
  auto const token = environment().at("AUTOMATION_CALLBACK_API_KEY");
  provider->die(id_of("c1"), "killed by signal 9");
  until(run.id, [](Kept const& r) { return r.delivery_attempts == 1; });
  sink.on("POST /done", {204, ""});
  ASSERT_TRUE(report(run.id, Report{}, token));
  until(run.id, [](Kept const& r) { return r.delivered_at.has_value(); });
  control.run(service().stop(Deadline::in(20s)));  // wakes the guess, which waits for its next attempt
  auto const told = sink.requests();
  ASSERT_EQ(told.size(), 2U);
  EXPECT_NE(told[0].body.find("FAILED"), std::string::npos);
  EXPECT_NE(told[1].body.find("COMPLETED"), std::string::npos);
}

TEST_F(Runs, SayThatTheirConversationWasStopped) {
  auto const run = submit();
  until_dispatched(run.id);
  ASSERT_TRUE(control.run(manager->stop(id_of("c1"))));
  EXPECT_EQ(until_settled(run.id).error_detail, "the conversation was stopped while the run was in it");
}

TEST_F(Runs, AreGivenUpAndToldWhenTheGatewayStops) {
  auto const waits = submit();
  until_dispatched(waits.id);
  control.run(service().stop(Deadline::in(0s)));
  auto const lost = find(waits.id);
  EXPECT_EQ(lost.status, RunStatus::failed);
  EXPECT_EQ(lost.error_detail, "the gateway was shut down");
  EXPECT_TRUE(lost.delivered_at);
  ASSERT_EQ(sink.requests().size(), 1U);
  EXPECT_EQ(sink.requests()[0].body,
            R"({"status":"FAILED","run_id":")" + waits.id + R"(","error":"the gateway was shut down"})");
}

TEST_F(Runs, MayEndWhileTheGatewayStops) {
  auto const run = submit();
  until_dispatched(run.id);
  nested.on(std::string(search), {200, ended_with(0)});
  control.run(service().stop(Deadline::in(20s)));
  auto const ended = find(run.id);
  EXPECT_EQ(ended.status, RunStatus::completed);
  EXPECT_TRUE(ended.delivered_at);
}

TEST_F(Runs, AreToldOnceMoreInsteadOfLaterWhenTheGatewayStops) {
  settings.delivery_pause_first = 1h;
  sink.on("POST /done", {500, ""});
  nested.on(std::string(search), {200, ended_with(0)});
  auto const run = submit();
  until(run.id, [](Kept const& r) { return r.delivery_attempts == 1; });
  sink.on("POST /done", {204, ""});
  control.run(service().stop(Deadline::in(20s)));
  EXPECT_TRUE(find(run.id).delivered_at);
}

TEST_F(Runs, AreRefusedOnceItCloses) {
  service().begin_closing();
  EXPECT_EQ(control.run(service().submit(request_for())).error().fault.kind, FaultKind::unavailable);
}

TEST_F(Runs, AreRefusedBeyondTheTarballBytesThatMayBeHeldUntilThoseAreInTheirRuntimes) {
  auto request = request_for();
  settings.tarball_bytes_held_max = request.tarball.size();
  nested.on(std::string(execute_command), {500, ""});
  auto const both = [](Service& s, RunRequest a, RunRequest b, std::vector<Outcome<Kept>>& out) -> Task<> {
    auto first = co_await s.submit(std::move(a));
    auto second = co_await s.submit(std::move(b));
    out.push_back(std::move(first));
    out.push_back(std::move(second));
  };
  std::vector<Outcome<Kept>> runs;
  control.run(both(service(), request_for(), request_for(), runs));
  ASSERT_TRUE(runs[0]);
  ASSERT_FALSE(runs[1]);
  EXPECT_EQ(runs[1].error().fault.kind, FaultKind::overloaded);
  until_settled(runs[0]->id);
  EXPECT_TRUE(control.run(service().submit(request_for()))) << "there is room again";
}

TEST_F(Runs, TakeOneTarballHoweverLargeItIsWhenNoneIsHeld) {
  settings.tarball_bytes_held_max = 1;
  EXPECT_EQ(refused(request_for()), "");
}

TEST_F(Runs, TellTheirCompletionsAFewAtATime) {
  settings.deliveries_at_once_max = 1;
  nested.on(std::string(search), {200, ended_with(0)});
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) ids.push_back(submit().id);
  for (auto const& id : ids) until(id, [](Kept const& r) { return r.delivered_at.has_value(); });
  EXPECT_EQ(sink.requests().size(), 5U);
}

TEST_F(Runs, TellNoCompletionWhileAsManyAsMayBeAreBeingTold) {
  settings.deliveries_at_once_max = 1;
  nested.on(std::string(search), {200, ended_with(0)});
  std::promise<void> may_answer;
  test::Server slow([answer = may_answer.get_future().share()](test::Connection& connection) {
    connection.read_until("\r\n\r\n");
    answer.wait();
    connection.send("HTTP/1.1 204 x\r\n\r\n");
  });
  auto request = request_for();
  request.callback_url = "http://127.0.0.1:" + std::to_string(slow.port()) + "/done";
  auto const first = submit(std::move(request));
  control.run_until([&slow] { return slow.accepted() == 1; });
  auto const second = submit();
  until_settled(second.id);
  EXPECT_TRUE(sink.requests().empty());
  may_answer.set_value();
  for (auto const& id : {first.id, second.id}) until(id, [](Kept const& r) { return r.delivered_at.has_value(); });
}

TEST_F(Runs, GiveATellingUpWhenTooManyWait) {
  settings.deliveries_at_once_max = 1;
  settings.deliveries_waiting_max = 1;
  settings.delivery_pause_first = 1h;
  sink.on("POST /done", {500, ""});
  nested.on(std::string(search), {200, ended_with(0)});
  for (int i = 0; i < 2; ++i) {
    auto const run = submit();
    until(run.id, [](Kept const& r) { return r.delivery_attempts == 1; });
  }
  auto const third = until_settled(submit().id);
  EXPECT_EQ(third.delivery_error, "callback: too many completions wait to be told");
  EXPECT_EQ(service().stats().callbacks_given_up.read(), 1U);
}

TEST_F(Runs, TellTheirCompletionAgainUntilItIsTakenWithOneId) {
  sink.on("POST /done", {500, ""});
  nested.on(std::string(search), {200, ended_with(0)});
  auto const run = until_settled(submit().id);
  control.run_until([this] { return sink.requests().size() >= 2; });
  sink.on("POST /done", {204, ""});
  auto const told = until(run.id, [](Kept const& r) { return r.delivered_at.has_value(); });
  EXPECT_GE(told.delivery_attempts, 3U);
  EXPECT_EQ(told.delivery_error, "");
  for (auto const& request : sink.requests()) EXPECT_EQ(request.value("webhook-id"), sink.requests()[0].value("webhook-id"));
}

TEST_F(Runs, StopTellingAfterTheLastAttempt) {
  settings.delivery_attempts_max = 2;
  sink.on("POST /done", {500, ""});
  nested.on(std::string(search), {200, ended_with(0)});
  auto const run = until_settled(submit().id);
  control.run_until([this] { return service().stats().callbacks_given_up.read() == 1; });
  EXPECT_EQ(find(run.id).delivery_error, "callback: the server answered 500");
  EXPECT_EQ(sink.requests().size(), 2U);
}

TEST_F(Runs, NeverCallAPrivateAddressUnlessAllowed) {
  settings.private_callbacks = PrivateCallbacks::refuse;
  EXPECT_EQ(refused(request_for()), "callback_url: its address is not a public one (automation.allow_private_callbacks)");
  auto request = request_for();
  request.callback_url = "http://localhost:" + std::to_string(sink.port()) + "/done";  // a name is judged when it is called
  nested.on(std::string(search), {200, ended_with(0)});
  auto const run = until_settled(submit(std::move(request)).id);
  control.run_until([this] { return service().stats().callbacks_given_up.read() == 1; });
  EXPECT_EQ(find(run.id).delivery_error, "callback: the address is not a public one");
  EXPECT_TRUE(sink.requests().empty());
}

TEST_F(Runs, AreRefusedWithTheFieldAndTheLimit) {
  settings.tarball_bytes_max = 100;
  auto const with = [this](auto change) {
    auto request = request_for();
    change(request);
    return refused(std::move(request));
  };
  using R = RunRequest;
  EXPECT_EQ(with([](R& r) { r.tarball = {}; }), "tarball: is missing or empty");
  EXPECT_EQ(with([](R& r) { r.tarball = "\x1f\x8b" + std::string(99, 'x'); }), "tarball: must not exceed 100 bytes");
  EXPECT_EQ(with([](R& r) { r.tarball = "PK zip"; }), "tarball: must be a gzipped tar");
  EXPECT_EQ(with([](R& r) { r.entrypoint = {}; }), "entrypoint must not be blank");
  EXPECT_EQ(with([](R& r) { r.setup_script = "/x"; }), "setup_script must be a relative path, not an absolute path");
  EXPECT_EQ(with([](R& r) { r.time_max_s = 0; }), "timeout must be a positive number");
  EXPECT_EQ(with([](R& r) { r.time_max_s = 1801; }), "timeout must not exceed 1800 seconds (30 minutes)");
  EXPECT_EQ(with([](R& r) { r.callback_url = "ftp://x"; }),
            "callback_url: must be an absolute http or https URL without user info and fragment");
  EXPECT_EQ(with([](R& r) { r.environment.emplace_back("A-B", Secret("v")); }),
            "env: a name must match [A-Za-z_][A-Za-z0-9_]*");
  EXPECT_EQ(with([](R& r) { r.environment.emplace_back("SESSION_API_KEY", Secret("v")); }),
            "env.SESSION_API_KEY: is set by the gateway");
  EXPECT_EQ(with([](R& r) { r.environment.emplace_back("BIG", Secret(std::string(131072, 'x'))); }),
            "env.BIG: must not exceed 131071 bytes with its name");
  EXPECT_EQ(with([](R& r) { r.conversation.reset(); }), "conversation_id: is missing, or not 1 to 128 of A-Za-z0-9._-");
  EXPECT_EQ(with([](R& r) { r.conversation = id_of("other"); }), "conversation_id: there is no such conversation");
  EXPECT_EQ(with([](R& r) { r.by = user("bob"); }), "conversation_id: there is no such conversation");
  ASSERT_TRUE(control.run(manager->stop(id_of("c1"))));
  EXPECT_EQ(with([](R&) {}), "conversation_id: the conversation is stopped, expected running");
}

TEST_F(Runs, AreLimitedInNumberAndListedToTheirOwnersOnly) {
  settings.runs_in_flight_max = 1;
  auto const run = submit();
  auto const second = control.run(service().submit(request_for()));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().fault.kind, FaultKind::overloaded);
  EXPECT_EQ(control.run(service().list(user("alice"), 10, 0))->total, 1U);
  EXPECT_EQ(control.run(service().list(user("bob"), 10, 0))->total, 0U);
  EXPECT_EQ(control.run(service().find(run.id, user("bob"))).error().fault.kind, FaultKind::not_found);
}

Run run_of(std::string id) { return Run(std::move(id), id_of("c1")); }

TEST(MemoryStore, WritesOnlyOverTheVersionThatWasRead) {
  Control control;
  auto const store = make_memory_store(10, 10);
  ASSERT_TRUE(control.run(store->insert(run_of("r1"))));
  auto first = control.run(store->find("r1")).value().value();
  auto second = first;
  EXPECT_TRUE(control.run(store->replace(first)).value());
  EXPECT_FALSE(control.run(store->replace(second)).value());
  EXPECT_FALSE(control.run(store->replace(run_of("unknown"))).value());
}

TEST(MemoryStore, ForgetsTheOldestThatHaveEndedAndNoOther) {
  Control control;
  auto const store = make_memory_store(10, 2);
  for (auto const* id : {"lives", "r1", "r2", "r3"}) {
    ASSERT_TRUE(control.run(store->insert(run_of(id))));
    if (std::string_view(id) == "lives") continue;
    auto run = control.run(store->find(id)).value().value();
    run.status = RunStatus::completed;
    ASSERT_TRUE(control.run(store->replace(run)).value());
  }
  EXPECT_TRUE(control.run(store->find("lives")).value());
  EXPECT_FALSE(control.run(store->find("r1")).value());
  EXPECT_TRUE(control.run(store->find("r2")).value());
  auto const page = control.run(store->list({"ops", identity::Role::admin, ""}, 2, 0)).value();
  EXPECT_EQ(page.total, 3U);
  ASSERT_EQ(page.runs.size(), 2U);
  EXPECT_EQ(page.runs[0].id, "r3");
}

}  // namespace
}  // namespace nestgate::automation
