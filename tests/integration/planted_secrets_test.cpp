// Secrets that come in by every way there is, and where they must not be seen again.

#include <gtest/gtest.h>

#include "integration/program.hpp"

namespace nestgate::test {
namespace {

namespace fs = std::filesystem;

// Every planted value begins so.
constexpr std::string_view planted = "planted-";

// Where one of them is to be read in a file below `folder`; runtimes' workspaces are the agents' own.
std::string found_below(fs::path const& folder) {
  std::string out;
  for (auto at = fs::recursive_directory_iterator(folder); at != fs::recursive_directory_iterator(); ++at) {
    if (at->path().filename() == "workspace") at.disable_recursion_pending();
    if (!at->is_regular_file()) continue;
    auto const text = read_file(at->path());
    for (auto mark = text.find(planted); mark != text.npos; mark = text.find(planted, mark + 1))
      out += at->path().filename().string() + ": " + text.substr(mark, 60) + "\n";
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

}  // namespace
}  // namespace nestgate::test
