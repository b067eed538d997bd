// Sandboxes and sessions in real nestlets, as their clients drive them.

#include <gtest/gtest.h>

#include "nestgate/runtime/factory.hpp"
#include "support/temp_folder.hpp"
#include "unit/api/whole_api.hpp"

namespace nestgate::api {
namespace {

using namespace std::chrono_literals;
using conversation::RuntimeState;
using http::Method;

struct Folder {
  test::TempFolder folder;
};

class InRealNestlets : private Folder, public test::WholeApi {
 protected:
  InRealNestlets() : WholeApi({}, {}, {}, nestlets_in(folder.path())) {}

  static MakeProvider nestlets_in(std::filesystem::path const& path) {
    return [path](Executor executor) {
      runtime::ProviderSettings settings;
      settings.process.command = {NESTLET_PROGRAM, "--listen", "127.0.0.1:{port}"};
      settings.process.workspace_dir = path / "runtimes";
      return runtime::make_provider("process", std::move(settings), executor).value();
    };
  }

  // What a command says in the runtime that the key opens; the status where it is not 200.
  std::string run_in(std::string const& id, std::string const& key, std::string const& command) {
    auto const view = manager->find(*ConversationId::parse(id));
    std::string const body = R"({"command":")" + command + R"(","timeout":20})";
    upstream::Call call;
    call.method = "POST";
    call.url = upstream::url_of(view->endpoint).at("/api/bash/execute_bash_command");
    call.secret_headers.emplace_back("X-Session-API-Key", Secret(key));
    call.content_type = "application/json";
    call.body.push_back(body);
    auto const answer = control.run(upstream::call(std::move(call), Deadline::in(20s)));
    if (!answer) return "(no answer)";
    if (answer->status != 200) return std::to_string(answer->status);
    test::Answered said;
    said.body = answer->body;
    return said.at("/stdout");
  }
  std::string status_of(std::string const& id) { return ask(Method::get, "/api/v1/sandboxes?id=" + id).at("/0/status"); }
};

TEST_F(InRealNestlets, ASandboxRunsPausesResumesAndIsGone) {
  auto const id = ask(Method::post, "/api/v1/sandboxes").at("/id");
  wait_for(id, RuntimeState::running);
  auto const key = ask(Method::get, "/api/v1/sandboxes?id=" + id).at("/0/session_api_key");
  EXPECT_EQ(run_in(id, key, "echo kept > file; echo said"), "said\n");
  EXPECT_EQ(run_in(id, "guessed", "echo said"), "401");
  ASSERT_EQ(ask(Method::post, "/api/v1/sandboxes/" + id + "/pause").status, 200U);
  EXPECT_EQ(status_of(id), "PAUSED");
  ASSERT_EQ(ask(Method::post, "/api/v1/sandboxes/" + id + "/resume").status, 200U);
  wait_for(id, RuntimeState::running);
  EXPECT_EQ(run_in(id, key, "cat file"), "kept\n");
  auto const endpoint = manager->find(*ConversationId::parse(id))->endpoint;
  ASSERT_EQ(ask(Method::delete_, "/api/v1/sandboxes/" + id).status, 200U);
  EXPECT_EQ(ask(Method::get, "/api/v1/sandboxes?id=" + id).at("/0"), "null");
  upstream::Call call;
  call.url = upstream::url_of(endpoint).at("/alive");
  EXPECT_FALSE(control.run(upstream::call(std::move(call), Deadline::in(20s)))) << "nobody listens there any more";
}

TEST_F(InRealNestlets, ASessionHasItsEnvironmentAndTheKeyOfItsAnswer) {
  auto const made = ask(Method::post, "/start", test::alice,
                        R"({"session_id":"agent-server-1","environment":{"WANTED":"yes","SESSION_API_KEY":"mine"}})");
  ASSERT_EQ(made.status, 200U) << made.body;
  wait_for("agent-server-1", RuntimeState::running);
  auto const key = made.at("/session_api_key");
  EXPECT_EQ(run_in("agent-server-1", key, "echo $WANTED"), "yes\n");
  EXPECT_EQ(run_in("agent-server-1", "mine", "echo $WANTED"), "401") << "the key is the gateway's";
  ASSERT_EQ(ask(Method::post, "/stop", test::alice, R"({"runtime_id":"agent-server-1"})").status, 200U);
  EXPECT_EQ(ask(Method::get, "/sessions/agent-server-1").status, 404U);
}

}  // namespace
}  // namespace nestgate::api
