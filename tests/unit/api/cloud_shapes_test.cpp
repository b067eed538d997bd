#include "api/cloud_shapes.hpp"

#include <gtest/gtest.h>

#include "api/runtime_shapes.hpp"
#include "api/urls.hpp"
#include "unit/api/views.hpp"

namespace nestgate::api {
namespace {

using conversation::RuntimeState;
using conversation::View;

constexpr std::string_view uuid = "0123456789abcdef0123456789abcdef";
constexpr auto all_states = {RuntimeState::starting, RuntimeState::running, RuntimeState::paused,
                             RuntimeState::stopping, RuntimeState::stopped, RuntimeState::error};

ConversationId id_of(std::string_view text) { return *ConversationId::parse(text); }

TEST(AgentServerUrl, HasNoPathWhateverTheIdAndTheDomain) {
  EXPECT_EQ(agent_server_url(id_of(uuid), "https://gw:8443", "example.org"),
            "https://0123456789abcdef0123456789abcdef.example.org:8443");
  EXPECT_EQ(agent_server_url(id_of(uuid), "http://gw", "example.org"),
            "http://0123456789abcdef0123456789abcdef.example.org");
  EXPECT_EQ(agent_server_url(id_of("01234567-89AB-cdef-0123-456789abcdef"), "http://gw", "example.org"),
            "http://0123456789abcdef0123456789abcdef.example.org");
  EXPECT_EQ(agent_server_url(id_of("not_a_label"), "http://gw:1", "example.org"), "http://gw:1");
  EXPECT_EQ(agent_server_url(id_of("8001-abc"), "http://gw:1", "example.org"), "http://gw:1") << "it reads as a port";
  EXPECT_EQ(agent_server_url(id_of(uuid), "http://[::1]:8080", ""), "http://[::1]:8080");
  EXPECT_EQ(agent_server_url(id_of(uuid), "http://[::1]:8080", "example.org"),
            "http://0123456789abcdef0123456789abcdef.example.org:8080");
}

TEST(PortUrl, IsAHostOfItsOwnOrThePortsPrefix) {
  EXPECT_EQ(port_url(id_of(uuid), 8011, "https://gw", "example.org"),
            "https://8011-0123456789abcdef0123456789abcdef.example.org");
  EXPECT_EQ(port_url(id_of(uuid), 8011, "https://gw", ""), "https://gw/runtime/8011");
  EXPECT_EQ(port_url(id_of(std::string(60, 'a')), 65535, "https://gw", "example.org"), "https://gw/runtime/65535")
      << "a label has 63 bytes at most";
}

TEST(SandboxStatus, IsPausedForWhateverKeepsItsFiles) {
  EXPECT_EQ(sandbox_status(RuntimeState::starting), "STARTING");
  EXPECT_EQ(sandbox_status(RuntimeState::running), "RUNNING");
  EXPECT_EQ(sandbox_status(RuntimeState::paused), "PAUSED");
  EXPECT_EQ(sandbox_status(RuntimeState::stopping), "PAUSED");
  EXPECT_EQ(sandbox_status(RuntimeState::stopped), "PAUSED");
  EXPECT_EQ(sandbox_status(RuntimeState::error), "ERROR");
}

TEST(SandboxInfo, OfARunningOneHasItsKeyAndItsUrls) {
  auto view = view_of(uuid, RuntimeState::running);
  view.spec_id = "python";
  view.ports = {{"vscode", 8001, {}}, {"worker-1", 8011, {}}};
  EXPECT_EQ(sandbox_json(view, "http://gw:8080", "example.org"),
            R"({"id":"0123456789abcdef0123456789abcdef","created_by_user_id":"alice","sandbox_spec_id":"python",)"
            R"("status":"RUNNING","session_api_key":"key-of-0123456789abcdef0123456789abcdef","exposed_urls":[)"
            R"({"name":"AGENT_SERVER","url":"http://0123456789abcdef0123456789abcdef.example.org:8080","port":4711},)"
            R"({"name":"VSCODE","url":"http://8001-0123456789abcdef0123456789abcdef.example.org:8080","port":8001},)"
            R"({"name":"WORKER_1","url":"http://8011-0123456789abcdef0123456789abcdef.example.org:8080","port":8011}],)"
            R"("created_at":"2026-01-02T03:04:05.000000Z","error_code":null,"error_message":null})");
}

TEST(SandboxInfo, ShowsNoKeyAndNoUrlUnlessItRuns) {
  for (auto const state : all_states) {
    auto const json = sandbox_json(view_of(uuid, state), "http://gw:8080", "example.org");
    EXPECT_EQ(json.find("key-of") != json.npos, state == RuntimeState::running) << json;
    EXPECT_EQ(json.find("http://") != json.npos, state == RuntimeState::running) << json;
    EXPECT_EQ(json.find("nested-key"), json.npos) << "what the nested server is sent is nobody's business";
  }
}

TEST(SandboxInfo, SaysWhyOneFailed) {
  auto view = view_of(uuid, RuntimeState::error);
  view.reason = "the runtime exited with status 3";
  auto const json = sandbox_json(view, "http://gw", "");
  EXPECT_NE(json.find(R"("error_code":"RUNTIME_FAILED","error_message":"the runtime exited with status 3")"), json.npos);
}

TEST(SandboxBatch, HasNullInPlaceOfWhatIsNotKnown) {
  EXPECT_EQ(sandboxes_json({}, "http://gw", ""), "[]");
  std::vector<std::optional<View>> views(3);
  views[1] = view_of("b", RuntimeState::starting);
  auto const json = sandboxes_json(views, "http://gw", "");
  EXPECT_TRUE(json.starts_with(R"([null,{"id":"b",)")) << json;
  EXPECT_TRUE(json.ends_with("},null]")) << json;
}

TEST(SandboxPage, NamesItsEndWhenThereIsMore) {
  conversation::Page page;
  EXPECT_EQ(sandbox_page_json(page, "http://gw", ""), R"({"items":[],"next_page_id":null})");
  page.views.push_back(view_of("a", RuntimeState::paused));
  page.has_more = true;
  auto const json = sandbox_page_json(page, "http://gw", "");
  EXPECT_TRUE(json.ends_with(R"(,"next_page_id":"1767323045000000000.a"})")) << json;
}

TEST(SandboxSpecs, AreShownWithoutTheirEnvironment) {
  SandboxSpec spec;
  spec.id = "python";
  spec.command = {"agent-server", "--port", "60000"};
  spec.working_dir = "/workspace";
  spec.environment = {{"TOKEN", "hidden"}};
  SpecTime const since{std::chrono::seconds(1'767'323'045)};
  std::string const shown =
      R"({"id":"python","command":["agent-server","--port","60000"],"created_at":"2026-01-02T03:04:05.000000Z",)"
      R"("initial_env":{},"working_dir":"/workspace"})";
  EXPECT_EQ(specs_page_json({spec}, since), R"({"items":[)" + shown + R"(],"next_page_id":null})");
  EXPECT_EQ(specs_json({nullptr, &spec}, since), "[null," + shown + "]");
}

TEST(SecretNames, ComeWithoutValues) {
  EXPECT_EQ(secret_names_json({{"A", "of mine"}, {"B", ""}}),
            R"({"secrets":[{"name":"A","description":"of mine"},{"name":"B","description":null}]})");
}

TEST(ExposedName, IsThePortsNameInTheWordsOfTheApi) {
  EXPECT_EQ(exposed_name("vscode"), "VSCODE");
  EXPECT_EQ(exposed_name("worker-1"), "WORKER_1");
  EXPECT_EQ(exposed_name("Worker_2"), "WORKER_2");
}

TEST(RuntimeSession, TellsStatusAndPodStatusOfEachState) {
  struct Case {
    RuntimeState state;
    std::string_view status, pod_status;
  };
  for (auto const& [state, status, pod] :
       {Case{RuntimeState::starting, "starting", "pending"}, Case{RuntimeState::running, "running", "ready"},
        Case{RuntimeState::paused, "paused", "not found"}, Case{RuntimeState::stopping, "stopped", "not found"},
        Case{RuntimeState::stopped, "stopped", "not found"}, Case{RuntimeState::error, "error", "failed"}}) {
    EXPECT_EQ(runtime_status(state), status);
    EXPECT_EQ(pod_status(state), pod);
  }
}

TEST(RuntimeSession, HasWhatClientsRead) {
  auto view = view_of("agent-server-1", RuntimeState::running);
  view.ports = {{"worker-1", 12000, {}}};
  EXPECT_EQ(runtime_json(view, "https://gw", "example.org"),
            R"({"runtime_id":"agent-server-1","session_id":"agent-server-1","url":"https://agent-server-1.example.org",)"
            R"("status":"running","pod_status":"ready","session_api_key":"key-of-agent-server-1",)"
            R"("work_hosts":{"https://12000-agent-server-1.example.org":12000},"restart_count":0,"restart_reasons":[],)"
            R"("container_statuses":[],"events":[]})");
}

TEST(RuntimeSession, OfAFailedOneSaysWhyAndWhatItSaid) {
  auto view = view_of("s", RuntimeState::error);
  view.reason = "the runtime exited with status 1";
  auto const json = runtime_json(view, "https://gw", "", "Traceback");
  EXPECT_NE(json.find(R"("restart_reasons":["the runtime exited with status 1"])"), json.npos);
  EXPECT_NE(json.find(R"("pod_logs":"Traceback")"), json.npos);
}

TEST(RuntimeSession, OfAStartingOneTellsItsProgress) {
  auto view = view_of("s", RuntimeState::starting);
  view.progress = "pulling image: layer 3 of 7";
  auto const json = runtime_json(view, "https://gw", "");
  EXPECT_NE(json.find(R"("events":["pulling image: layer 3 of 7"])"), json.npos) << json;
}

TEST(RuntimeLists, AreAnArrayOrAnObjectWithOne) {
  EXPECT_EQ(runtimes_json({}, {}, "http://gw", ""), "[]");
  EXPECT_EQ(runtimes_json("runtimes", {}, "http://gw", ""), R"({"runtimes":[]})");
  EXPECT_EQ(readiness_json(view_of("s", RuntimeState::running)),
            R"({"runtime_id":"s","pod_status":"ready","restart_count":0,"restart_reasons":[]})");
}

TEST(RuntimeImages, AreSaidToBeThereWithWhatClientsComputeWith) {
  EXPECT_EQ(image_json(false), R"({"exists":false})");
  EXPECT_EQ(image_json(true), R"({"exists":true,"image":{"upload_time":"1970-01-01T00:00:00Z","image_size_bytes":0}})");
  EXPECT_EQ(registry_prefix_json("ghcr.io/x"), R"({"registry_prefix":"ghcr.io/x"})");
}

}  // namespace
}  // namespace nestgate::api
