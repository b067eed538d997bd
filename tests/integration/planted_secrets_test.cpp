// Secrets that come in by every way there is, and where they must not be seen again.

#include <gtest/gtest.h>

#include <sstream>

#include "integration/program.hpp"
#include "nestgate/identity/digest.hpp"
#include "support/control.hpp"

namespace nestgate::test {
namespace {

namespace fs = std::filesystem;

// Every planted value begins so.
constexpr std::string_view planted = "planted-";

// Where `mark` is to be read in `text`, which is called `name`.
std::string found_in(std::string const& name, std::string const& text, std::string_view mark) {
  std::string out;
  for (auto at = text.find(mark); at != text.npos; at = text.find(mark, at + 1))
    out += name + ": " + text.substr(at, 60) + "\n";
  return out;
}

// The same of the files below `folder`; runtimes' workspaces are the agents' own.
std::string found_below(fs::path const& folder, std::string_view mark = planted) {
  std::string out;
  for (auto at = fs::recursive_directory_iterator(folder); at != fs::recursive_directory_iterator(); ++at) {
    if (at->path().filename() == "workspace") at.disable_recursion_pending();
    if (!at->is_regular_file()) continue;
    out += found_in(at->path().filename().string(), read_file(at->path()), mark);
  }
  return out;
}

std::string const whole_configuration = R"({"conversation_id":"c1",
  "settings":{"llm_model":"m","llm_api_key":"planted-llm-key","search_api_key":"planted-search-key",
              "mcp_config":{"shttp_servers":[{"url":"https://mcp.example/mcp","api_key":"planted-mcp-key"}]}},
  "git_provider_tokens":{"github":"planted-git-token"},"secrets":{"NAME":"planted-secret"},
  "initial_user_msg":"planted-message","repository":"https://oauth2:planted-in-repository@git.example/o/r.git"})";

struct Ask {
  std::string method, path, fields, body;
};

TEST(PlantedSecrets, AreInNoLogAndNoFileOfTheGateway) {
  Program nestgate;
  auto const made = nestgate.call("POST", "/api/conversations", whole_configuration);
  ASSERT_EQ(made.status, 201U) << made.body << nestgate.log();
  auto const key = member(made.body, "session_api_key");
  std::string const by_key = "X-Session-API-Key: " + key + "\r\n";
  Ask const asks[] = {
      {"GET", "/api/conversations/c1", "X-Session-API-Key: planted-header\r\n", ""},
      {"GET", "/api/conversations", "Authorization: Bearer planted-bearer\r\n", ""},
      {"GET", "/list", "X-API-Key: planted-api-key\r\n", ""},
      {"GET", "/x", "X-Access-Token: planted-access-token\r\nX-Init-API-Key: planted-init-key\r\n" + by_key, ""},
      {"GET", "/x", "Cookie: oh_workspace_session_key=planted-cookie; other=planted-other-cookie\r\n" + by_key, ""},
      {"GET", "/x?session_api_key=planted-in-query&tkn=planted-tkn&token=planted-token", by_key, ""},
      {"GET", "/socket.io/?conversation_id=c1&session_api_key=planted-socket-key", "", ""},
      {"GET", "/api/git/changes?path=https://oauth2:planted-git-userinfo@git.example/o/r.git", by_key, ""},
      {"GET", "/api/git/diff?path=https%3A%2F%2Fplanted-git-user%40git.example%2Fo", by_key, ""},
      {"GET", "/x/https://planted-in-path@git.example/o", by_key, ""},
      {"POST", "/api/settings", by_key, R"({"llm_api_key":"planted-posted-setting"})"},
      {"POST", "/api/add-git-providers", by_key, R"({"provider_tokens":{"github":{"token":"planted-posted-token"}}})"},
      {"POST", "/api/secrets", by_key, R"({"name":"OTHER","value":"planted-posted-secret"})"},
      {"POST", "/execute_action", by_key, R"({"action":{"action":"run","args":{"command":"echo planted-action"}}})"},
      // What the nested server refuses, and may say again.
      {"POST", "/api/settings", by_key, R"({"llm_api_key":["planted-echo-of-the-server"]})"},
      {"POST", "/api/bash/start_bash_command", by_key, R"({"command":{"planted-echo":1},"timeout":"planted-echo-too"})"}};
  for (auto const& ask : asks) nestgate.ask(ask.method, ask.path, ask.fields, ask.body);
  // What the gateway itself refuses, with the words that it has for it.
  for (std::string const body :
       {R"({"conversation_id":"c2","settings":"planted-wrong-settings"})", R"({"conversation_id":"planted-wrong id"})",
        R"({"conversation_id":"c2","secrets":{"NAME":["planted-wrong-secret"]}})",
        R"({"conversation_id":"c2","secrets":"planted-unfinished)"}) {
    auto const refused = nestgate.call("POST", "/api/conversations", body);
    EXPECT_GE(refused.status, 400U) << body;
    EXPECT_EQ(refused.body.find(planted), std::string::npos) << refused.body;
  }
  // What makes a start fail, with what the server said of it.
  auto const failed = nestgate.call("POST", "/api/conversations",
                                    R"({"conversation_id":"c3","settings":{"llm_api_key":["planted-refused-setting"]}})");
  EXPECT_GE(failed.status, 400U) << failed.body;
  EXPECT_EQ(failed.body.find(planted), std::string::npos) << failed.body;
  EXPECT_EQ(nestgate.call("GET", "/api/conversations").body.find(planted), std::string::npos);

  nestgate.signal(SIGTERM);
  EXPECT_EQ(nestgate.wait(), 0) << nestgate.log();
  auto const log = nestgate.log();
  EXPECT_NE(log.find("/api/git/changes"), std::string::npos) << "requests are logged: " << log;
  EXPECT_EQ(log.find(key), std::string::npos) << log;
  EXPECT_EQ(log.find(api_key), std::string::npos) << log;
  EXPECT_EQ(found_below(nestgate.folder()), "") << log;
}

// The same of the command lines of all processes.
std::string found_in_command_lines(std::string_view mark) {
  std::string out;
  for (auto const& process : fs::directory_iterator("/proc")) {
    auto const file = process.path() / "cmdline";
    std::error_code gone;
    if (fs::exists(file, gone)) out += found_in(file.string(), read_file(file), mark);
  }
  return out;
}

// Takes completions.
struct Sink {
  std::string url(std::string_view path) const {
    return "http://127.0.0.1:" + std::to_string(server.port()) + std::string(path);
  }
  std::size_t arrived() const { return server.requests().size(); }
  ScriptedServer server;
};

// Writes down what it was given, and waits until somebody writes to its gate.
constexpr std::string_view script = R"(set -e
mkfifo ~/gate
printf '%s\n%s\n%s\n' "$AUTOMATION_CALLBACK_API_KEY" "$AUTOMATION_KV_TOKEN" "$AUTOMATION_EVENT_PAYLOAD" > ~/given.new
mv ~/given.new ~/given
read line < ~/gate
)";

TEST(PlantedSecrets, OfAutomationsAreOnlyWhereTheyBelong) {
  TempFolder const secrets;
  auto const kv_file = secrets.write("kv", "planted-kv-secret-of-thirty-two-bytes").string();
  auto const events_file = secrets.write("events", "planted-secret-of-built-in-sources").string();
  Sink sink;
  Program nestgate("[automation]\nallow_private_callbacks = true\nkv_secret_file = \"" + kv_file +
                   "\"\nwebhook_secret_file = \"" + events_file + "\"\n");
  ASSERT_EQ(nestgate.call("POST", "/api/conversations", R"({"conversation_id":"c1"})").status, 201U) << nestgate.log();
  auto const post = [&](std::string_view path, std::string_view body, std::string_view type = "application/json") {
    auto const answer = nestgate.ask(
        "POST", "/api/automation/v1" + std::string(path),
        "Authorization: Bearer " + std::string(api_key) + "\r\nContent-Type: " + std::string(type) + "\r\n", body);
    EXPECT_LT(answer.status, 300U) << path << " " << answer.body;
    return answer.body;
  };
  auto const source = post("/webhooks", R"({"name":"n","source":"acme","webhook_secret":"planted-source-secret"})");
  auto const endpoint_secret = member(post("/endpoints", R"({"url":")" + sink.url("/endpoint") + "\"}"), "secret");
  ASSERT_TRUE(endpoint_secret.starts_with("whsec_")) << endpoint_secret;
  auto const code = post("/uploads?name=code", tarball_of(script), "application/gzip");
  post(
      "",
      R"({"name":"n","trigger":{"type":"event","source":"acme","on":"*"},"entrypoint":"sh main.sh","target":"conversation:c1",)"
      R"("tarball_path":")" +
          member(code, "tarball_path") + R"(","callback_url":")" + sink.url("/planted-in-callback-url") +
          R"(","callback_bearer":"planted-callback-bearer"})");

  std::string const event = R"({"type":"made","token":"secret-of-the-event"})";
  std::string signature = "X-Signature-256: sha256=";
  identity::append_hex(signature, identity::as_text(identity::hmac_sha256("planted-source-secret", {event})));
  auto const taken = nestgate.ask("POST", "/api/automation/v1/events/" + member(source, "org_id") + "/acme",
                                  signature + "\r\nContent-Type: application/json\r\n", event);
  ASSERT_EQ(taken.status, 200U) << taken.body;

  auto const workspace = nestgate.folder() / "runtimes" / "c1" / "workspace";
  ASSERT_TRUE(eventually([&] { return fs::exists(workspace / "given"); })) << taken.body << nestgate.log();
  std::istringstream given(read_file(workspace / "given"));
  std::string run_token, kv_token, payload;
  std::getline(given, run_token);
  std::getline(given, kv_token);
  std::getline(given, payload);
  ASSERT_GT(run_token.size(), 20U);
  ASSERT_GT(kv_token.size(), 20U);
  ASSERT_NE(payload.find("secret-of-the-event"), std::string::npos) << payload;

  std::string const hidden[] = {std::string(planted), run_token, kv_token, endpoint_secret.substr(6)};
  for (auto const& secret : hidden) EXPECT_EQ(found_in_command_lines(secret), "");
  EXPECT_EQ(found_in_command_lines("secret-of-the-event"), "");
  std::ofstream(workspace / "gate") << "go\n" << std::flush;
  EXPECT_TRUE(eventually([&] { return sink.arrived() >= 2; })) << nestgate.log();
  auto const metrics = nestgate.ask_admin("/metrics").body;
  auto const runs = nestgate.ask_admin("/api/runs").body;
  EXPECT_NE(runs.find("COMPLETED"), std::string::npos) << runs;
  for (auto const& secret : hidden) {
    EXPECT_EQ(found_in("metrics", metrics, secret), "");
    EXPECT_EQ(found_in("runs", runs, secret), "");
  }
  nestgate.signal(SIGTERM);
  EXPECT_EQ(nestgate.wait(), 0) << nestgate.log();
  EXPECT_NE(nestgate.log().find("/api/automation/v1/events/"), std::string::npos) << "requests are logged";
  for (auto const& secret : hidden) EXPECT_EQ(found_below(nestgate.folder(), secret), "");
  EXPECT_EQ(found_in("log", nestgate.log(), "secret-of-the-event"), "");
}

}  // namespace
}  // namespace nestgate::test
