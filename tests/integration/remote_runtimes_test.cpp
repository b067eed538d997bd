// Two gateways: the runtimes of the one in front are made by the remote runtime API of the one behind, as nestlets.

#include <gtest/gtest.h>

#include "integration/program.hpp"
#include "support/websocket.hpp"

namespace nestgate::test {
namespace {

class TwoGateways : public testing::Test {
 protected:
  static std::string settings_with(Program const& behind) {
    write_file(behind.folder() / "key-of-the-one-in-front", api_key);
    return "[runtime]\nprovider = \"remote\"\n[runtime.remote]\nurl = \"http://127.0.0.1:" + std::to_string(behind.port()) +
           "\"\napi_key_file = \"" + (behind.folder() / "key-of-the-one-in-front").string() +
           "\"\nready_pause = \"100ms\"\nlist_pause = \"1s\"\n";
  }
  // As the remote provider asks the gateway behind.
  Answer ask_behind(std::string_view path) const {
    return behind.ask("GET", path, "X-API-Key: " + std::string(api_key) + "\r\n");
  }
  std::string session_status() const { return member(ask_behind("/sessions/c1").body, "status"); }
  std::string start() {
    auto const made = front.call("POST", "/api/conversations", R"({"conversation_id":"c1","secrets":{"NAME":"value"}})");
    EXPECT_EQ(made.status / 100, 2U) << made.body << front.log() << behind.log();
    EXPECT_EQ(member(made.body, "status"), "RUNNING");
    return member(made.body, "session_api_key");
  }
  std::string tell(std::string_view what) const {
    auto const answer = front.call("POST", "/api/conversations/c1/" + std::string(what));
    EXPECT_EQ(answer.status, 200U) << what << ": " << answer.body << front.log() << behind.log();
    return member(answer.body, "status");
  }
  // What a command in c1's nestlet says, by whatever key its client holds.
  std::string run(std::string const& key, std::string_view command) const {
    auto const answer = front.ask("POST", "/api/bash/execute_bash_command", "X-Session-API-Key: " + key + "\r\n",
                                  R"({"command":")" + std::string(command) + R"("})");
    return answer.status == 200 ? member(answer.body, "stdout") : std::to_string(answer.status) + answer.body;
  }
  std::string shown(std::string_view name) const { return member(front.call("GET", "/api/conversations/c1").body, name); }

  Program behind;
  Program front{settings_with(behind)};
};

TEST_F(TwoGateways, AConversationRunsPausesResumesStopsAndIsGone) {
  auto const key = start();
  EXPECT_EQ(session_status(), "running");
  EXPECT_EQ(run(key, "echo kept > file; echo said"), "said\n");
  EXPECT_TRUE(run("guessed", "echo said").starts_with("401"));
  EXPECT_EQ(front.ask("GET", "/runtime/c1/api/secrets", "X-Session-API-Key: " + key + "\r\n").status, 200U);
  EXPECT_EQ(front.ask("GET", "/alive", "X-Session-API-Key: " + key + "\r\n").status, 200U);

  EXPECT_EQ(tell("pause"), "PAUSED");
  EXPECT_EQ(session_status(), "paused");
  EXPECT_EQ(front.ask("GET", "/runtime/c1/api/secrets", "X-Session-API-Key: " + key + "\r\n").status, 503U);
  EXPECT_EQ(tell("resume"), "RUNNING");
  EXPECT_EQ(session_status(), "running");
  EXPECT_EQ(run(shown("session_api_key"), "cat file"), "kept\n");

  EXPECT_EQ(tell("stop"), "STOPPED");
  EXPECT_NE(session_status(), "running");
  start();
  EXPECT_EQ(run(shown("session_api_key"), "cat file"), "kept\n") << "a stop keeps its files";

  EXPECT_EQ(front.call("DELETE", "/api/conversations/c1").status, 204U) << front.log();
  EXPECT_EQ(ask_behind("/sessions/c1").status, 404U);
  EXPECT_EQ(ask_behind("/list").body, R"({"runtimes":[]})");
  EXPECT_TRUE(std::filesystem::is_empty(behind.folder() / "runtimes"));
}

TEST_F(TwoGateways, AWebsocketPassesBoth) {
  auto const key = start();
  auto client = Connection::to(front.port());
  client.send(upgrade_request("/sockets/bash-events", "X-Session-API-Key: " + key + "\r\n"));
  ASSERT_EQ(read_answer(client, WithBody::no).status, 101U);
  client.send(from_client(text_opcode, R"({"command":"echo through both"})"));
  std::string seen;
  while (seen.find("through both\\n") == seen.npos) {
    auto const frame = read_frame(client);
    ASSERT_TRUE(frame) << seen;
    seen += frame->payload;
  }
  EXPECT_EQ(tell("stop"), "STOPPED");
  EXPECT_EQ(close_code_at_end(client), 1012U);
}

TEST_F(TwoGateways, AServerThatEndsBehindIsShownAsEndedInFront) {
  auto const key = start();
  // The command's parent is its server.
  run(key, "kill -9 $PPID");
  EXPECT_TRUE(eventually([this] { return shown("status") == "ERROR"; })) << front.log() << behind.log();
  EXPECT_EQ(session_status(), "error");
  EXPECT_EQ(front.ask("GET", "/runtime/c1/api/secrets", "X-Session-API-Key: " + key + "\r\n").status, 503U);
}

TEST_F(TwoGateways, ARuntimeOutlivesTheGatewayInFrontAndIsFoundAgainByTheNextOne) {
  auto const key = start();
  EXPECT_EQ(run(key, "echo $PPID > server"), "");
  front.restart();
  EXPECT_TRUE(eventually([this] { return shown("status") == "RUNNING"; })) << front.log();
  EXPECT_EQ(run(key, "test $PPID = $(cat server) && echo same"), "same\n")
      << "the server, and the key that opens it" << front.log() << behind.log();
  EXPECT_EQ(shown("session_api_key"), key);
}

}  // namespace
}  // namespace nestgate::test
