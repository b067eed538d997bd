#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "nestgate/app/cli.hpp"
#include "support/control.hpp"
#include "support/temp_folder.hpp"

namespace nestgate::app {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

int serve_nothing(Settings, ServeOptions) { return 42; }

class OperatorLine : public testing::Test {
 protected:
  // The admin address is the scripted server's, unless the words name another.
  int run(std::vector<std::string> words) {
    words.insert(words.begin(), "nestgate");
    if (names_admin_) words.insert(words.end(), {"--admin", "127.0.0.1:" + std::to_string(admin_.port())});
    std::vector<char const*> argv;
    for (auto const& word : words) argv.push_back(word.c_str());
    std::istringstream in;
    std::ostringstream out, err;
    Environment environment;
    environment.variables = variables_;
    auto const code =
        run_command_line(static_cast<int>(argv.size()), argv.data(), std::move(environment), {in, out, err}, serve_nothing);
    out_ = out.str();
    err_ = err.str();
    return code;
  }
  std::vector<std::string> targets() const {
    std::vector<std::string> out;
    for (auto const& request : admin_.requests()) out.push_back(request.line());
    return out;
  }

  test::TempFolder folder_;
  test::ScriptedServer admin_;
  bool names_admin_ = true;
  std::map<std::string, std::string, std::less<>> variables_;
  std::string out_, err_;
};

constexpr std::string_view one_page = R"({"results":[
  {"id":"c1","state":"running","owner":"alice","purpose":"conversation","created_at":"2026-01-02T03:04:05.000Z","last_act_at":null,"reason":null,"progress":null},
  {"id":"conversation2","state":"error","owner":null,"purpose":"sandbox","created_at":"2026-01-02T03:04:06.000Z","last_act_at":"2026-01-02T04:00:00.000Z","reason":"exited with status 3: \u001b[2J","progress":null}],
  "next_page_id":null})";

TEST_F(OperatorLine, ListsConversationsAsATable) {
  admin_.on("GET /api/conversations", {200, std::string(one_page)});
  EXPECT_EQ(run({"ps"}), 0) << err_;
  EXPECT_EQ(out_,
            "ID             STATE    OWNER  PURPOSE       CREATED                   LAST ACT                  WHY\n"
            "c1             running  alice  conversation  2026-01-02T03:04:05.000Z  -                         -\n"
            "conversation2  error    -      sandbox       2026-01-02T03:04:06.000Z  2026-01-02T04:00:00.000Z  exited with "
            "status 3: ?[2J\n");
  EXPECT_EQ(targets(), std::vector<std::string>{"GET /api/conversations?limit=1000"});
}

TEST_F(OperatorLine, ListsAllPagesAsJson) {
  test::ScriptedServer paged([](test::Request const& request) {
    if (request.target.find("page_id=2.b") != request.target.npos)
      return test::Reply{200, R"({"results":[{"id":"b"}],"next_page_id":null})"};
    return test::Reply{200, R"({"results":[{"id":"a"}],"next_page_id":"2.b"})"};
  });
  names_admin_ = false;
  EXPECT_EQ(run({"ps", "--json", "--status", "running", "--admin", "127.0.0.1:" + std::to_string(paged.port())}), 0) << err_;
  EXPECT_EQ(out_, "[{\"id\":\"a\"},\n{\"id\":\"b\"}]\n");
  EXPECT_EQ(paged.lines().at(1), "GET /api/conversations?limit=1000&status=running&page_id=2.b");
}

TEST_F(OperatorLine, PrintsLogsAsTheyAre) {
  admin_.on("GET /api/conversations/c1/log", {200, "one\n\x1b[1mtwo"});
  EXPECT_EQ(run({"logs", "c1", "--bytes", "100"}), 0) << err_;
  EXPECT_EQ(out_, "one\n\x1b[1mtwo");
  EXPECT_EQ(targets(), std::vector<std::string>{"GET /api/conversations/c1/log?bytes=100"});
}

TEST_F(OperatorLine, StopsAConversation) {
  admin_.on("POST /api/conversations/c1/stop", {200, R"({"id":"c1", "state":"stopped"})"});
  EXPECT_EQ(run({"stop", "c1"}), 0) << err_;
  EXPECT_EQ(out_, "c1 stopped\n");
  EXPECT_EQ(admin_.requests().at(0).value("x-nestgate-operator"), "1");
  EXPECT_EQ(run({"stop", "c1", "--json"}), 0);
  EXPECT_EQ(out_, "{\"id\":\"c1\",\"state\":\"stopped\"}\n");
}

TEST_F(OperatorLine, ShowsWhoUsesWhat) {
  admin_.on("GET /api/top",
            {200, R"({"results":[{"id":"c1","state":"running","owner":"alice","streams":2,"seconds_since_act":119,
                      "seconds_since_traffic":7200,"memory_bytes":1572864,"cpu_percent":12.34},
                     {"id":"c2","state":"paused","owner":null,"streams":0,"seconds_since_act":null,
                      "seconds_since_traffic":null,"memory_bytes":null,"cpu_percent":null}]})"});
  EXPECT_EQ(run({"top", "--once"}), 0) << err_;
  EXPECT_EQ(out_,
            "ID  STATE    OWNER  STREAMS  SINCE ACT  SINCE TRAFFIC  MEMORY  CPU %\n"
            "c1  running  alice  2        119s       2h             2 MiB   12.3\n"
            "c2  paused   -      0        -          -              -       -\n");
  EXPECT_EQ(run({"top", "--once", "--json"}), 0);
  EXPECT_THAT(out_, StartsWith(R"([{"id":"c1","state":"running")"));
}

constexpr std::string_view run_1 = "01900000-0000-7000-8000-000000000001";

TEST_F(OperatorLine, ListsRunsAsATable) {
  admin_.on("GET /api/runs", {200, R"({"results":[
    {"id":"r2","automation_id":"a1","status":"RUNNING","trigger":"cron","created_at":"2026-01-02T03:04:06.000Z",
     "started_at":"2026-01-02T03:04:06.010Z","took_ms":340,"error":null},
    {"id":"r1","automation_id":null,"status":"FAILED","trigger":"manual","created_at":"2026-01-02T03:04:05.000Z",
     "started_at":"2026-01-02T03:04:05.010Z","took_ms":61550,"error":"exit_code=1\nstderr: no"}],"total":2})"});
  EXPECT_EQ(run({"runs"}), 0) << err_;
  EXPECT_EQ(out_,
            "ID  AUTOMATION  STATUS   TRIGGER  CREATED                   STARTED                   TOOK   ERROR\n"
            "r2  a1          RUNNING  cron     2026-01-02T03:04:06.000Z  2026-01-02T03:04:06.010Z  340ms  -\n"
            "r1  -           FAILED   manual   2026-01-02T03:04:05.000Z  2026-01-02T03:04:05.010Z  61.5s  exit_code=1\n");
  EXPECT_EQ(run({"runs", "--json", "--limit", "7", "--status", "failed", "--automation", std::string(run_1)}), 0) << err_;
  EXPECT_THAT(out_, StartsWith(R"([{"id":"r2","automation_id":"a1")"));
  EXPECT_EQ(targets().at(0), "GET /api/runs?limit=100");
  EXPECT_EQ(targets().at(1), "GET /api/runs?limit=7&status=FAILED&automation_id=" + std::string(run_1));
}

TEST_F(OperatorLine, ShowsARunWithItsAttemptsAndDeliveries) {
  admin_.on("GET /api/runs/" + std::string(run_1),
            {200, R"({"id":"r1","automation_id":null,"status":"FAILED","took_ms":1500,"error":"exit_code=1\nstderr: no",
              "exit_code":1,"stdout_tail":"long","attempts_before":[
                {"attempt":1,"started_at":"S","ended_at":"E","error":"exit_code=2\nx"}],
              "deliveries":[{"id":"d1","to":"callback","endpoint_id":null,"state":"waiting","attempts":3,
                "next_attempt_at":"N","last_error":"status 500"}]})"});
  EXPECT_EQ(run({"run", std::string(run_1)}), 0) << err_;
  EXPECT_EQ(out_,
            "id         r1\n"
            "status     FAILED\n"
            "exit_code  1\n"
            "took       1.5s\n"
            "error      exit_code=1\n"
            "\n"
            "ATTEMPT  STARTED  ENDED  ERROR\n"
            "1        S        E      exit_code=2\n"
            "\n"
            "DELIVERY  TO        STATE    ATTEMPTS  NEXT  LAST ERROR\n"
            "d1        callback  waiting  3         N     status 500\n");
  EXPECT_EQ(run({"run", std::string(run_1), "--json"}), 0);
  EXPECT_THAT(out_, StartsWith(R"({"id":"r1","automation_id":null,)"));
}

TEST_F(OperatorLine, FollowsARunToItsEndAndSaysWhetherItIsCompleted) {
  auto const path = "GET /api/runs/" + std::string(run_1) + "/output";
  std::string const said = ": still here\n\nevent: stdout\ndata: \"one\\n\"\n\nevent: stderr\ndata: \"two\\n\"\n\n";
  admin_.on(path, {200, said + "event: end\ndata: {\"status\":\"COMPLETED\",\"error_detail\":null}\n\n"});
  EXPECT_EQ(run({"run", std::string(run_1), "--follow"}), 0) << err_;
  EXPECT_EQ(out_, "one\n");
  EXPECT_EQ(err_, "two\n");
  admin_.on(path, {200, said + "event: end\ndata: {\"status\":\"FAILED\",\"error_detail\":\"exit_code=1\\nx\"}\n\n"});
  EXPECT_EQ(run({"run", std::string(run_1), "--follow"}), 1);
  EXPECT_EQ(err_, "two\nnestgate: run " + std::string(run_1) + " FAILED: exit_code=1\n");
  admin_.on(path, {200, said});
  EXPECT_EQ(run({"run", std::string(run_1), "--follow"}), 1);
  EXPECT_EQ(err_, "two\nnestgate: the gateway ended before the run did\n");
  admin_.on(path, {404, R"({"error":{"code":"not_found","message":"there is no such run","request_id":"1"}})"});
  EXPECT_EQ(run({"run", std::string(run_1), "--follow"}), 1);
  EXPECT_EQ(err_, "nestgate: there is no such run\n");
}

TEST_F(OperatorLine, FollowsUntilTheGatewayIsGone) {
  int asked = 0;
  test::ScriptedServer going([&asked](test::Request const&) {
    if (++asked > 1) return test::Reply{0, {}};
    return test::Reply{200, R"({"results":[]})"};
  });
  names_admin_ = false;
  EXPECT_EQ(run({"top", "--admin", "127.0.0.1:" + std::to_string(going.port())}), 1);
  EXPECT_THAT(out_, StartsWith("\x1b[H\x1b[2JID "));
  EXPECT_THAT(err_, StartsWith("nestgate: admin address 127.0.0.1:"));
}

TEST_F(OperatorLine, SaysWhatTheGatewaySays) {
  admin_.on("POST /api/conversations/c9/stop",
            {404, R"({"error":{"code":"not_found","message":"there is no such conversation","request_id":"1"}})"});
  EXPECT_EQ(run({"stop", "c9"}), 1);
  EXPECT_EQ(err_, "nestgate: there is no such conversation\n");
  admin_.on("GET /api/conversations", {200, "[]"});
  EXPECT_EQ(run({"ps"}), 1);
  EXPECT_EQ(err_, "nestgate: the gateway's answer cannot be read: is it another version?\n");
  EXPECT_EQ(out_, "");
}

TEST_F(OperatorLine, SaysThatNobodyListens) {
  auto const at = "127.0.0.1:" + std::to_string(admin_.port());
  admin_.stop();
  EXPECT_EQ(run({"ps"}), 1);
  EXPECT_EQ(err_, "nestgate: nobody listens at the admin address " + at + ": is the gateway running? (--config, --admin)\n");
}

TEST_F(OperatorLine, FindsTheAdminAddressInTheSettingsOrTheEnvironment) {
  names_admin_ = false;
  auto const port = std::to_string(admin_.port());
  admin_.on("GET /api/conversations", {200, R"({"results":[],"next_page_id":null})"});
  auto const config = folder_.write("nestgate.toml", "[listen]\nadmin = \"0.0.0.0:" + port + "\"\n").string();
  EXPECT_EQ(run({"ps", "--config", config}), 0) << err_;
  variables_ = {{"NESTGATE_LISTEN_ADMIN", "localhost:" + port}};
  folder_.write("nestgate.toml", "[listen]\nadmin = \"127.0.0.1:1\"\n");
  EXPECT_EQ(run({"ps", "--config", config}), 0) << err_;
  EXPECT_EQ(admin_.requests().size(), 2U);
}

TEST_F(OperatorLine, SaysWhatIsWrongWithItsUsageInOneLine) {
  names_admin_ = false;
  auto const broken = folder_.write("broken.toml", "[listen\n").string();
  auto const any_port = folder_.write("any.toml", "[listen]\nadmin = \"127.0.0.1:0\"\n").string();
  for (auto const& words : std::vector<std::vector<std::string>>{{"logs"},
                                                                 {"stop"},
                                                                 {"stop", "a/b"},
                                                                 {"logs", "c1", "--bytes", "0"},
                                                                 {"ps", "--status", "up"},
                                                                 {"ps", "c1"},
                                                                 {"run"},
                                                                 {"run", "c1"},
                                                                 {"run", std::string(run_1), "--follow", "--json"},
                                                                 {"runs", "--automation", "c1"},
                                                                 {"runs", "--status", "up"},
                                                                 {"runs", "--limit", "1001"},
                                                                 {"ps", "--admin", "localhost"},
                                                                 {"ps", "--admin", "http://a:1"},
                                                                 {"ps", "--admin", "a:1/x"},
                                                                 {"ps", "--config", broken},
                                                                 {"ps", "--config", any_port},
                                                                 {"ps", "--config", "/nowhere.toml"}}) {
    EXPECT_EQ(run(words), 2) << testing::PrintToString(words);
    EXPECT_EQ(std::count(err_.begin(), err_.end(), '\n'), 1) << err_;
    EXPECT_EQ(out_, "");
  }
}

}  // namespace
}  // namespace nestgate::app
