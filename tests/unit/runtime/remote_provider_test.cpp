#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nestgate/runtime/factory.hpp"
#include "runtime/remote/remote_provider.hpp"
#include "support/control.hpp"
#include "support/temp_folder.hpp"
#include "support/tls_server.hpp"

namespace nestgate::runtime::remote {
namespace {

using namespace std::chrono_literals;
using test::Reply;
using testing::ElementsAre;
using testing::HasSubstr;

ConversationId id_of(std::string_view text) { return ConversationId::parse(text).value(); }

std::string json_of(std::string_view status, std::string_view pod_status, std::string_view further = "") {
  std::string out = R"({"runtime_id":"rt1","session_id":"c1","url":"http://127.0.0.1:6001","session_api_key":"its-key")";
  if (!status.empty()) out.append(R"(,"status":")").append(status).append("\"");
  if (!pod_status.empty()) out.append(R"(,"pod_status":")").append(pod_status).append("\"");
  return out.append(further).append("}");
}

// A provider before a scripted API, with a clock that only counts what would have been waited for.
class RemoteProviderTest : public testing::Test {
 protected:
  RemoteProviderTest() {
    settings.url = "http://127.0.0.1:" + std::to_string(api.port());
    settings.api_key = Secret("api-key");
    settings.image = "registry.example/agent:1";
    api.on("GET /sessions/c1", {404});
  }
  ~RemoteProviderTest() override {
    if (provider_) control.run(provider_->close());
  }

  // The list is looked at once `look_at_list` was called.
  static Task<Result<>> pause(RemoteProviderTest& self, Clock::duration time) {
    if (time != self.settings.list_pause) {
      self.waits.push_back(std::chrono::duration_cast<std::chrono::seconds>(time));
      co_return co_await pause_for(0ms);
    }
    while (!self.is_list_due) {
      auto waited = co_await pause_for(1ms);
      if (!waited) co_return waited;
    }
    self.is_list_due = false;
    co_return Result<>{};
  }
  RemoteProvider& provider() {
    if (!provider_) {
      auto const count = [this](Clock::duration time) { return pause(*this, time); };
      provider_ = std::make_unique<RemoteProvider>(settings.clone(), control.executor(), count);
      provider_->on_end([this](ConversationId const& id, Epoch epoch, std::string reason) {
        ends.push_back(id.text() + " " + std::to_string(epoch.get()) + " " + reason);
      });
    }
    return *provider_;
  }
  static Spec spec_of(std::string_view id) { return Spec{id_of(id), Epoch{7}, Secret("derived-key"), "alice"}; }
  static Deadline in_time() { return Deadline::in(200s); }
  Outcome<Instance> create(Spec spec = spec_of("c1")) { return control.run(provider().create(std::move(spec), in_time())); }
  Outcome<> destroy(Leftovers leftovers) { return control.run(provider().destroy(id_of("c1"), leftovers)); }
  Outcome<> wait_ready() { return control.run(provider().wait_ready(id_of("c1"), in_time())); }
  Outcome<Instance> resume() { return control.run(provider().resume(spec_of("c1"), in_time())); }
  Outcome<> pause_it() { return control.run(provider().pause(id_of("c1"))); }
  std::optional<Found> inspect() { return control.run(provider().inspect(id_of("c1"))).value(); }

  void has_session(std::string_view status, std::string_view pod_status = "", std::string_view further = "") {
    api.on("GET /sessions/c1", {200, json_of(status, pod_status, further)});
  }
  void starts() { api.on("POST /start", {200, json_of("", "")}); }
  std::string body_of(std::string_view line) const {
    for (auto const& request : api.requests())
      if (request.line() == line) return request.body;
    return "(no " + std::string(line) + ")";
  }
  std::size_t count_of(std::string_view line) const {
    auto const lines = api.lines();
    return static_cast<std::size_t>(std::count(lines.begin(), lines.end(), line));
  }

  test::ScriptedServer api;
  test::Control control;
  RemoteSettings settings;
  std::vector<std::chrono::seconds> waits;
  std::vector<std::string> ends;
  bool is_list_due = false;

 private:
  std::unique_ptr<RemoteProvider> provider_;
};

TEST_F(RemoteProviderTest, AStartTellsTheApiAllThatTheSettingsAndTheWishSay) {
  settings.command = {"agent-server", "--port", "60000"};
  settings.working_dir = "/workspace";
  settings.environment = {{"LOG_JSON", "1"}, {"NAME", "of the settings"}};
  settings.resource_factor = 2;
  settings.runtime_class = "sysbox-runc";
  settings.run_as_user = 10001;
  settings.run_as_group = 10002;
  settings.fs_group = 10003;
  settings.image_pull_policy = "IfNotPresent";
  starts();
  auto spec = spec_of("c1");
  spec.wish.environment.emplace_back("NAME", Secret("of the \"wish\""));
  spec.wish.resource_factor = 4;
  auto const made = create(std::move(spec));
  ASSERT_TRUE(made) << made.error().reason;
  EXPECT_THAT(api.lines(), ElementsAre("GET /sessions/c1", "POST /start"));
  EXPECT_EQ(body_of("POST /start"),
            R"({"image":"registry.example/agent:1","command":["agent-server","--port","60000"],)"
            R"("working_dir":"/workspace","environment":{"LOG_JSON":"1","NAME":"of the \"wish\""},"session_id":"c1",)"
            R"("resource_factor":8,"runtime_class":"sysbox-runc","run_as_user":10001,"run_as_group":10002,)"
            R"("fs_group":10003,"image_pull_policy":"IfNotPresent"})");
  for (auto const& request : api.requests()) EXPECT_EQ(request.value("x-api-key"), "api-key");
  asio::ip::tcp::endpoint const at(asio::ip::make_address("127.0.0.1"), 6001);
  EXPECT_EQ(made->endpoint, upstream::Place(at, "127.0.0.1:6001", nullptr));
  EXPECT_TRUE(made->session_key->equals("its-key"));
  EXPECT_EQ(made->handle, "rt1");
  EXPECT_EQ(made->workspace, "/workspace");
  EXPECT_FALSE(made->existed);
}

TEST_F(RemoteProviderTest, AWishReplacesImageCommandAndFolderOfTheSettings) {
  settings.command = {"a"};
  settings.working_dir = "/a";
  starts();
  auto spec = spec_of("c1");
  spec.wish.image = "localhost/b:2";
  spec.wish.command = {"b"};
  spec.wish.working_dir = "/b";
  ASSERT_TRUE(create(std::move(spec)));
  EXPECT_EQ(body_of("POST /start"),
            R"({"image":"localhost/b:2","command":["b"],"working_dir":"/b","environment":{},"session_id":"c1",)"
            R"("resource_factor":1})");
}

TEST_F(RemoteProviderTest, WorkHostsAreItsFurtherPorts) {
  api.on("POST /start",
         {200, json_of("", "", R"(,"work_hosts":{"http://127.0.0.1:7001":12000,"https://127.0.0.1/x":12001,"x":"y"})")});
  auto const made = create();
  ASSERT_TRUE(made);
  ASSERT_EQ(made->ports.size(), 1U);
  EXPECT_EQ(made->ports.front().name, "work-1");
  EXPECT_EQ(made->ports.front().number, 12000);
  EXPECT_EQ(made->ports.front().endpoint.port(), 7001);
}

TEST_F(RemoteProviderTest, ServersAreCalledByTheNamesInTheirUrlsAndTrustedAsTheSettingsSay) {
  test::TempFolder folder;
  settings.nested_tls = test::trusting(test::make_certificate(folder.path(), "ca", {"localhost"}));
  api.on("POST /start", {200, R"({"runtime_id":"rt1","session_id":"c1","url":"https://localhost","session_api_key":"k",)"
                              R"("work_hosts":{"https://localhost:7001":12000,"http://localhost:7002/":12001}})"});
  auto const made = create();
  ASSERT_TRUE(made) << made.error().reason;
  auto const at = [](std::uint16_t port) { return asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), port); };
  EXPECT_EQ(made->endpoint, upstream::Place(at(443), "localhost", settings.nested_tls));
  ASSERT_EQ(made->ports.size(), 2U);
  EXPECT_EQ(made->ports[0].endpoint, upstream::Place(at(7001), "localhost:7001", settings.nested_tls));
  EXPECT_EQ(made->ports[1].endpoint, upstream::Place(at(7002), "localhost:7002", nullptr));
}

struct Attach {
  std::string_view status;
  std::vector<std::string> calls;  // after the first look; empty: a failure
};

TEST_F(RemoteProviderTest, EachStatusOfASessionLeadsToItsOwnCall) {
  starts();
  api.on("POST /resume", {200, "{}"});
  Attach const table[] = {{"stopped", {"POST /start"}},
                          {"paused", {"POST /resume", "GET /sessions/c1"}},
                          {"Paused", {"POST /resume", "GET /sessions/c1"}}};
  for (auto const& [status, calls] : table) {
    SCOPED_TRACE(status);
    has_session(status);
    auto const before = api.lines().size();
    auto const made = create();
    ASSERT_TRUE(made) << made.error().reason;
    EXPECT_TRUE(made->existed);
    auto lines = api.lines();
    lines.erase(lines.begin(), lines.begin() + static_cast<std::ptrdiff_t>(before) + 1);
    EXPECT_EQ(lines, calls);
  }
}

TEST_F(RemoteProviderTest, WhatRunsOrStartsIsAttachedTo) {
  for (auto const status : {"running", "starting"}) {
    SCOPED_TRACE(status);
    has_session(status);
    auto const made = create();
    ASSERT_TRUE(made) << made.error().reason;
    EXPECT_TRUE(made->existed);
    EXPECT_TRUE(made->session_key->equals("its-key"));
    ASSERT_TRUE(pause_it());
  }
  EXPECT_EQ(count_of("POST /start") + count_of("POST /resume"), 0U);
}

TEST_F(RemoteProviderTest, ASessionInErrorOrInAStateThatNobodyKnowsIsNotStarted) {
  for (auto const status : {"error", "strange"}) {
    has_session(status, "failed", R"(,"restart_count":2,"restart_reasons":["OOMKilled"])");
    auto const made = create();
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().fault.kind, FaultKind::unavailable);
    EXPECT_EQ(made.error().reason,
              "create: the runtime is " + std::string(status) + ", failed, restarted 2 times: OOMKilled");
  }
  EXPECT_EQ(count_of("POST /start") + count_of("POST /stop") + count_of("POST /pause"), 0U);
}

TEST_F(RemoteProviderTest, ASecondStartOfWhatRunsIsAConflict) {
  starts();
  ASSERT_TRUE(create());
  has_session("running");
  EXPECT_EQ(create().error().fault.kind, FaultKind::conflict);
}

TEST_F(RemoteProviderTest, ResumeGivesTheNewKey) {
  has_session("paused");
  api.on("POST /resume", {200, R"({"session_api_key":"new-key"})"});
  auto const woken = resume();
  ASSERT_TRUE(woken) << woken.error().reason;
  EXPECT_TRUE(woken->session_key->equals("new-key"));
  EXPECT_EQ(body_of("POST /resume"), R"({"runtime_id":"rt1"})");
}

TEST_F(RemoteProviderTest, ResumeOfWhatIsNotThereOrStoppedSaysSo) {
  EXPECT_EQ(resume().error().fault.kind, FaultKind::not_found);
  has_session("stopped");
  EXPECT_EQ(resume().error().fault.kind, FaultKind::conflict);
}

TEST_F(RemoteProviderTest, AStartWhoseUrlCannotBeReachedIsEndedAndNamesTheUrl) {
  struct Case {
    std::string url, said;
  };
  Case const table[] = {{"http://127.0.0.1:1/rt1", "'http://127.0.0.1:1/rt1' has a path"},
                        {"https://127.0.0.1/?a=1", "'https://127.0.0.1/?a=1' has a path"},
                        {"nonsense", "'nonsense' is no http or https URL"}};
  for (auto const& [url, said] : table) {
    SCOPED_TRACE(url);
    auto const json = R"({"runtime_id":"rt1","session_id":"c1","session_api_key":"k","url":")" + url + "\"}";
    api.on("GET /sessions/c1", {404});
    api.on("POST /start", {200, json});
    auto const made = create();
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().fault.kind, FaultKind::unavailable);
    EXPECT_THAT(made.error().reason, HasSubstr(said));
  }
}

// A session that is there once it was started, and was not before.
Reply started_session(test::Request const& request, bool& is_started, Reply const& start) {
  if (request.line() == "POST /start") {
    is_started = true;
    return start;
  }
  if (request.line() == "GET /sessions/c1") return is_started ? Reply{200, json_of("running", "")} : Reply{404};
  return {};
}

TEST_F(RemoteProviderTest, NothingIsLeftOfAStartThatFailsAfterTheApiWasTold) {
  Reply const keyless{200, R"({"runtime_id":"rt1","url":"http://127.0.0.1:1"})"};
  for (auto const& start : {keyless, Reply{500}, Reply{504}, Reply{0}, Reply{200, "no JSON"}}) {
    SCOPED_TRACE(std::to_string(start.status) + start.body);
    bool is_started = false;
    test::ScriptedServer failing([&](test::Request const& request) { return started_session(request, is_started, start); });
    auto others = settings.clone();
    others.url = "http://127.0.0.1:" + std::to_string(failing.port());
    auto const one = make_provider("remote", ProviderSettings{{}, {}, std::move(others)}, control.executor()).value();
    auto const made = control.run(one->create(spec_of("c1"), in_time()));
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().fault.kind, FaultKind::unavailable);
    EXPECT_THAT(failing.lines(), ElementsAre("GET /sessions/c1", "POST /start", "GET /sessions/c1", "POST /stop"));
    control.run(one->close());
  }
}

TEST_F(RemoteProviderTest, AResumeThatFailsLeavesItPaused) {
  bool is_awake = false;
  test::ScriptedServer keyless([&is_awake](test::Request const& request) {
    if (request.line() == "POST /resume") is_awake = true;
    std::string const status = is_awake ? "running" : "paused";
    return Reply{200, R"({"runtime_id":"rt1","url":"http://127.0.0.1:1","status":")" + status + "\"}"};
  });
  settings.url = "http://127.0.0.1:" + std::to_string(keyless.port());
  EXPECT_EQ(create().error().reason, "create: the runtime API gave no session_api_key");
  EXPECT_THAT(keyless.lines(),
              ElementsAre("GET /sessions/c1", "POST /resume", "GET /sessions/c1", "GET /sessions/c1", "POST /pause"));
}

TEST_F(RemoteProviderTest, WhatAFailedStartLeftIsEndedOnceTheApiIsBack) {
  bool is_started = false;
  std::size_t stops = 0;
  test::ScriptedServer failing([&](test::Request const& request) {
    if (request.line() == "POST /stop") return Reply{++stops < 3 ? 503U : 200U};
    return started_session(request, is_started, {500});
  });
  settings.url = "http://127.0.0.1:" + std::to_string(failing.port());
  ASSERT_FALSE(create());
  control.run_until([&failing] { return failing.lines().size() == 8; });
  EXPECT_EQ(failing.lines().back(), "POST /stop");
  EXPECT_THAT(waits, ElementsAre(1s, 2s));
}

TEST_F(RemoteProviderTest, WhatAStartRefusedIsNotEnded) {
  api.on("POST /start", {409, R"({"detail":"exists"})"});
  auto const made = create();
  EXPECT_EQ(made.error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(made.error().reason, "start: the runtime API answered 409: exists");
  EXPECT_THAT(api.lines(), ElementsAre("GET /sessions/c1", "POST /start"));
}

TEST_F(RemoteProviderTest, AnImageWithoutARegistryGetsTheApisPrefixAndMustBeThere) {
  settings.image = "agent:1";
  api.on("GET /registry_prefix", {200, R"({"registry_prefix":"reg.example/team/"})"});
  api.on("GET /image_exists", {200, R"({"exists":true,"image":{}})"});
  starts();
  ASSERT_TRUE(create());
  EXPECT_THAT(api.lines(), ElementsAre("GET /sessions/c1", "GET /registry_prefix",
                                       "GET /image_exists?image=reg.example%2Fteam%2Fagent%3A1", "POST /start"));
  EXPECT_THAT(body_of("POST /start"), HasSubstr(R"("image":"reg.example/team/agent:1")"));
}

TEST_F(RemoteProviderTest, AnImageThatIsNotThereIsNotStarted) {
  settings.image = "agent:1";
  api.on("GET /registry_prefix", {200, R"({"registry_prefix":""})"});
  api.on("GET /image_exists", {200, R"({"exists":false})"});
  auto const made = create();
  EXPECT_EQ(made.error().fault.kind, FaultKind::bad_input);
  EXPECT_EQ(made.error().reason, "create: the runtime API has no image 'agent:1'");
  EXPECT_EQ(count_of("POST /start"), 0U);
}

TEST_F(RemoteProviderTest, AsksTheApiForAnImageByItsFullName) {
  api.on("GET /registry_prefix", {200, R"({"registry_prefix":"reg.example/team"})"});
  api.on("GET /image_exists", {200, R"({"exists":true,"image":{}})"});
  EXPECT_EQ(control.run(provider().has_image("agent:1", Deadline::in(10s))).value(), std::optional(true));
  api.on("GET /image_exists", {200, R"({"exists":false})"});
  EXPECT_EQ(control.run(provider().has_image("other.example/a:1", Deadline::in(10s))).value(), std::optional(false));
  EXPECT_THAT(api.lines(), ElementsAre("GET /registry_prefix", "GET /image_exists?image=reg.example%2Fteam%2Fagent%3A1",
                                       "GET /image_exists?image=other.example%2Fa%3A1"));
}

TEST_F(RemoteProviderTest, ACallThatIsAnswered429IsMadeThreeTimesWithGrowingPauses) {
  api.on("POST /start", {429});
  auto const made = create();
  EXPECT_EQ(made.error().fault.kind, FaultKind::overloaded);
  EXPECT_EQ(count_of("POST /start"), 3U);
  EXPECT_THAT(waits, ElementsAre(4s, 8s));
}

TEST_F(RemoteProviderTest, ThePausesAfter429StopGrowingAtTheirBound) {
  settings.rate_limit_tries_max = 7;
  api.on("POST /start", {429});
  EXPECT_FALSE(control.run(provider().create(spec_of("c1"), Deadline::in(1h))));
  EXPECT_EQ(count_of("POST /start"), 7U);
  EXPECT_THAT(waits, ElementsAre(4s, 8s, 16s, 32s, 60s, 60s));
}

TEST_F(RemoteProviderTest, APauseThatWouldOutlastTheDeadlineIsNotBegun) {
  api.on("POST /start", {429});
  auto const made = control.run(provider().create(spec_of("c1"), Deadline::in(3s)));
  EXPECT_EQ(made.error().fault.kind, FaultKind::overloaded);
  EXPECT_EQ(count_of("POST /start"), 1U);
  EXPECT_TRUE(waits.empty());
}

TEST_F(RemoteProviderTest, NothingElseIsTriedAgain) {
  struct Case {
    unsigned status;
    FaultKind kind;
  };
  Case const table[] = {{400, FaultKind::bad_input},   {401, FaultKind::upstream},    {403, FaultKind::upstream},
                        {409, FaultKind::conflict},    {422, FaultKind::bad_input},   {500, FaultKind::upstream},
                        {502, FaultKind::unavailable}, {503, FaultKind::unavailable}, {504, FaultKind::unavailable}};
  std::size_t calls = 0;
  for (auto const& [status, kind] : table) {
    SCOPED_TRACE(status);
    api.on("GET /sessions/c1", {status});
    auto const found = control.run(provider().inspect(id_of("c1")));
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().fault.kind, kind);
    EXPECT_THAT(found.error().reason, HasSubstr("the runtime API answered " + std::to_string(status)));
    EXPECT_EQ(api.lines().size(), ++calls);
  }
  EXPECT_TRUE(waits.empty());
}

TEST_F(RemoteProviderTest, AnApiThatIsNotThereIsNamed) {
  api.stop();
  auto const found = control.run(provider().inspect(id_of("c1")));
  EXPECT_EQ(found.error().fault.kind, FaultKind::unavailable);
  EXPECT_THAT(found.error().reason, HasSubstr("inspect: the runtime API at 127.0.0.1:" + std::to_string(api.port())));
}

TEST_F(RemoteProviderTest, ARefusalThatTellsAWishedValueIsNotRepeated) {
  api.on("POST /start", {422, R"({"detail":"environment: hunter22 is odd"})"});
  auto spec = spec_of("c1");
  spec.wish.environment.emplace_back("TOKEN", Secret("hunter22"));
  EXPECT_EQ(create(std::move(spec)).error().reason, "start: the runtime API answered 422");
}

TEST_F(RemoteProviderTest, EachPodStatusIsReadyFailedOrWaitedFor) {
  struct Case {
    std::string_view status, pod_status;
    Readiness readiness;
  };
  Case const table[] = {{"running", "ready", Readiness::ready},
                        {"running", "READY", Readiness::ready},
                        {"running", "pending", Readiness::not_yet},
                        {"running", "running", Readiness::not_yet},
                        {"running", "not found", Readiness::not_yet},
                        {"running", "another", Readiness::not_yet},
                        {"running", "failed", Readiness::failed},
                        {"running", "unknown", Readiness::failed},
                        {"running", "CrashLoopBackOff", Readiness::failed},
                        {"running", "", Readiness::ready},
                        {"starting", "", Readiness::not_yet},
                        {"error", "", Readiness::failed}};
  for (auto const& [status, pod_status, readiness] : table) {
    SCOPED_TRACE(std::string(status) + "/" + std::string(pod_status));
    EXPECT_EQ(readiness_of(*parse_session(json_of(status, pod_status))), readiness);
  }
}

TEST_F(RemoteProviderTest, WaitsEveryTwoSecondsUntilThePodIsReady) {
  std::vector<Reply> const told = {{404},
                                   {200, json_of("starting", "not found")},
                                   {200, json_of("starting", "pending")},
                                   {200, json_of("running", "running")},
                                   {200, json_of("running", "ready")}};
  std::size_t asked = 0;
  test::ScriptedServer growing([&](test::Request const&) { return told.at(asked++); });
  settings.url = "http://127.0.0.1:" + std::to_string(growing.port());
  auto const ready = wait_ready();
  EXPECT_TRUE(ready) << ready.error().reason;
  EXPECT_EQ(asked, told.size());
  EXPECT_THAT(waits, ElementsAre(2s, 2s, 2s, 2s));
}

TEST_F(RemoteProviderTest, APodThatFailedEndsTheWaitWithItsReasons) {
  has_session("running", "crashloopbackoff", R"(,"restart_count":3,"restart_reasons":["OOMKilled","Error"])");
  auto const ready = wait_ready();
  EXPECT_EQ(ready.error().fault.kind, FaultKind::upstream);
  EXPECT_EQ(ready.error().reason, "ready: the runtime is running, crashloopbackoff, restarted 3 times: OOMKilled, Error");
}

TEST_F(RemoteProviderTest, AWaitThatIsOutOfTimeSaysWhatItWaitedFor) {
  has_session("starting", "pending");
  auto const ready = control.run(provider().wait_ready(id_of("c1"), Deadline::in(1s)));
  EXPECT_EQ(ready.error().fault.kind, FaultKind::timed_out);
  EXPECT_EQ(ready.error().reason, "ready: timed out, the runtime is starting, pending");
}

TEST_F(RemoteProviderTest, EachStateIsAPresence) {
  struct Case {
    std::string_view status, pod_status;
    Presence presence;
  };
  Case const table[] = {{"running", "ready", Presence::running},
                        {"running", "pending", Presence::starting},
                        {"running", "running", Presence::starting},
                        {"running", "failed", Presence::failed},
                        {"running", "unknown", Presence::failed},
                        {"running", "crashloopbackoff", Presence::failed},
                        {"running", "not found", Presence::running},
                        {"running", "", Presence::running},
                        {"paused", "not found", Presence::paused},
                        {"stopped", "", Presence::stopped},
                        {"starting", "", Presence::starting},
                        {"error", "", Presence::failed},
                        {"", "", Presence::stopped}};
  for (auto const& [status, pod_status, presence] : table) {
    SCOPED_TRACE(std::string(status) + "/" + std::string(pod_status));
    has_session(status, pod_status);
    auto const found = inspect();
    ASSERT_TRUE(found);
    EXPECT_EQ(found->presence, presence);
    EXPECT_EQ(found->instance.handle, "rt1");
    EXPECT_EQ(found->reason.empty(), presence != Presence::failed);
  }
  api.on("GET /sessions/c1", {404});
  EXPECT_FALSE(inspect());
}

TEST_F(RemoteProviderTest, DestroyPausesWhatRunsAndStopsWhatIsToGo) {
  struct Case {
    std::string_view status;
    Leftovers leftovers;
    std::vector<std::string> calls;
  };
  Case const table[] = {{"running", Leftovers::keep, {"GET /sessions/c1", "POST /pause"}},
                        {"starting", Leftovers::keep, {"GET /sessions/c1", "POST /pause"}},
                        {"paused", Leftovers::keep, {"GET /sessions/c1"}},
                        {"stopped", Leftovers::keep, {"GET /sessions/c1"}},
                        {"running", Leftovers::remove, {"GET /sessions/c1", "POST /stop"}},
                        {"paused", Leftovers::remove, {"GET /sessions/c1", "POST /stop"}},
                        {"stopped", Leftovers::remove, {"GET /sessions/c1", "POST /stop"}},
                        {"error", Leftovers::remove, {"GET /sessions/c1", "POST /stop"}}};
  for (auto const& [status, leftovers, calls] : table) {
    SCOPED_TRACE(std::string(status) + (leftovers == Leftovers::remove ? " to be removed" : ""));
    has_session(status);
    auto const before = static_cast<std::ptrdiff_t>(api.lines().size());
    EXPECT_TRUE(destroy(leftovers));
    auto lines = api.lines();
    lines.erase(lines.begin(), lines.begin() + before);
    EXPECT_EQ(lines, calls);
  }
}

TEST_F(RemoteProviderTest, DestroyingWhatIsGoneIsASuccess) {
  EXPECT_TRUE(destroy(Leftovers::remove));
  has_session("running");
  api.on("POST /pause", {404});
  api.on("POST /stop", {404});
  EXPECT_TRUE(destroy(Leftovers::keep));
  EXPECT_TRUE(destroy(Leftovers::remove));
}

TEST_F(RemoteProviderTest, ARemovalThatFailsCanBeAskedForAgain) {
  has_session("running");
  api.on("POST /stop", {503});
  EXPECT_EQ(destroy(Leftovers::remove).error().fault.kind, FaultKind::internal);
  api.on("POST /stop", {200});
  EXPECT_TRUE(destroy(Leftovers::remove));
}

TEST_F(RemoteProviderTest, OnlyWhatRunsIsPaused) {
  EXPECT_EQ(pause_it().error().fault.kind, FaultKind::not_found);
  has_session("stopped");
  EXPECT_EQ(pause_it().error().fault.kind, FaultKind::conflict);
  has_session("paused");
  EXPECT_TRUE(pause_it());
  EXPECT_EQ(count_of("POST /pause"), 0U);
  has_session("running");
  EXPECT_TRUE(pause_it());
  EXPECT_EQ(body_of("POST /pause"), R"({"runtime_id":"rt1"})");
}

constexpr auto two_listed = R"({"runtimes":[
    {"runtime_id":"rt1","session_id":"c1","status":"running","pod_status":"unknown"},
    {"runtime_id":"rt2","session_id":"c2","status":"paused"},
    {"runtime_id":"rt3","status":"running"},{"session_id":"c4"}]})";

TEST_F(RemoteProviderTest, TheListTakesPodStatesFromTheBatchOfSessions) {
  api.on("GET /list", {200, two_listed});
  api.on("GET /sessions/batch", {200, "[" + json_of("running", "ready") + ",null]"});
  auto const found = control.run(provider().list());
  ASSERT_TRUE(found) << found.error().reason;
  ASSERT_EQ(found->size(), 2U);
  EXPECT_EQ(found->at(0).id, id_of("c1"));
  EXPECT_EQ(found->at(0).presence, Presence::running);
  EXPECT_EQ(found->at(1).presence, Presence::paused);
  EXPECT_THAT(api.lines(), ElementsAre("GET /list", "GET /sessions/batch?ids=c1&ids=c2"));
}

TEST_F(RemoteProviderTest, AnApiWithoutBatchesIsListedByStatusAlone) {
  api.on("GET /list", {200, two_listed});
  api.on("GET /sessions/batch", {404});
  auto const found = control.run(provider().list());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->at(0).presence, Presence::running);
}

TEST_F(RemoteProviderTest, TheLogIsThePods) {
  EXPECT_EQ(control.run(provider().log(id_of("c1"), 100)).error().fault.kind, FaultKind::not_found);
  has_session("running", "ready");
  EXPECT_EQ(control.run(provider().log(id_of("c1"), 100)).error().fault.kind, FaultKind::conflict);
  has_session("running", "ready", R"(,"pod_logs":"one\ntwo\n")");
  EXPECT_EQ(control.run(provider().log(id_of("c1"), 4)).value(), "two\n");
}

TEST_F(RemoteProviderTest, AnEndThatNobodyAskedForIsToldOnceTheSessionConfirmsIt) {
  starts();
  ASSERT_TRUE(create());
  api.on("GET /list", {200, R"({"runtimes":[]})"});
  has_session("running");
  is_list_due = true;
  control.run_until([this] { return count_of("GET /list") == 1 && count_of("GET /sessions/c1") == 2; });
  EXPECT_TRUE(ends.empty());
  has_session("error", "failed", R"(,"restart_count":1,"restart_reasons":["OOMKilled"])");
  is_list_due = true;
  control.run_until([this] { return !ends.empty(); });
  EXPECT_THAT(ends, ElementsAre("c1 7 the runtime API says that it is error, failed, restarted 1 times: OOMKilled"));
}

// An end of what an earlier gateway left goes on while a client starts its id.
TEST_F(RemoteProviderTest, TheEndOfWhatAStartAttachedToWhileItWasEndedIsTold) {
  has_session("running");
  TaskGroup both(control.executor());
  auto const end = [](RemoteProvider& at) -> Task<> {
    [[maybe_unused]] auto ended = co_await at.destroy(id_of("c1"), Leftovers::keep);
  };
  auto const start = [](RemoteProvider& at) -> Task<> {
    auto const made = co_await at.create(spec_of("c1"), in_time());
    EXPECT_TRUE(made) << made.error().reason;
  };
  both.spawn("end", end(provider()));
  both.spawn("start", start(provider()));
  ASSERT_TRUE(control.run(both.join()));
  EXPECT_EQ(count_of("POST /pause"), 1U);
  has_session("paused");
  api.on("GET /list", {200, R"({"runtimes":[]})"});
  is_list_due = true;
  control.run_until([this] { return !ends.empty(); });
  EXPECT_THAT(ends, ElementsAre("c1 7 the runtime API says that it is paused"));
}

TEST_F(RemoteProviderTest, AnEndThatWasAskedForIsNotTold) {
  starts();
  ASSERT_TRUE(create());
  has_session("running");
  ASSERT_TRUE(destroy(Leftovers::keep));
  ASSERT_TRUE(create());
  has_session("running");
  ASSERT_TRUE(pause_it());
  is_list_due = true;
  control.run_until([this] { return !is_list_due; });
  EXPECT_EQ(count_of("GET /list"), 0U);
  EXPECT_TRUE(ends.empty());
}

TEST(RemoteSettingsCheck, NamesTheKeyThatIsWrong) {
  auto const with = [](auto change) {
    RemoteSettings settings;
    settings.api_key = Secret("k");
    change(settings);
    auto const problem = problem_with(settings);
    return problem ? std::string(problem->key) : std::string();
  };
  EXPECT_EQ(with([](auto&) {}), "");
  EXPECT_EQ(with([](auto& s) { s.url = "ftp://x"; }), "runtime.remote.url");
  EXPECT_EQ(with([](auto& s) { s.api_key = Secret(); }), "runtime.remote.api_key_file");
  EXPECT_EQ(with([](auto& s) { s.api_key = Secret("a b"); }), "runtime.remote.api_key_file");
  EXPECT_EQ(with([](auto& s) { s.resource_factor = 3; }), "runtime.remote.resource_factor");
}

}  // namespace
}  // namespace nestgate::runtime::remote
