// The real programs: nestgate as operators start it, with nestlets that it starts.

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <optional>
#include <thread>

#include "integration/program.hpp"
#include "support/tls_server.hpp"

namespace nestgate::test {
namespace {

bool accepts_connections(std::uint16_t port) {
  try {
    Connection::to(port);
    return true;
  } catch (std::runtime_error const&) {
    return false;
  }
}

std::uint16_t runtime_port(Program const& program) {
  auto const routes = program.ask_admin("/debug/routes").body;
  auto const at = routes.find("127.0.0.1:");
  return static_cast<std::uint16_t>(std::stoul(routes.substr(at + 10)));
}

TEST(Program, StartsAConversationThatItsSessionKeyOpens) {
  Program nestgate;
  auto const made = nestgate.call("POST", "/api/conversations", R"({"conversation_id":"c1","secrets":{"A":"b"}})");
  ASSERT_EQ(made.status, 201U) << made.body << nestgate.log();
  auto const key = member(made.body, "session_api_key");
  auto const command = nestgate.ask("POST", "/api/bash/execute_bash_command", "X-Session-API-Key: " + key + "\r\n",
                                    R"({"command":"echo $((6*7)); env"})");
  EXPECT_EQ(command.status, 200U);
  EXPECT_NE(command.body.find("42"), std::string::npos) << command.body;
  EXPECT_EQ(command.body.find(key), std::string::npos) << "a command sees the session key";
  EXPECT_EQ(nestgate.log().find(key), std::string::npos);
}

TEST(Program, NoRuntimeOutlivesAGatewayThatIsKilled) {
  Program nestgate;
  ASSERT_EQ(nestgate.call("POST", "/api/conversations", "{}").status, 201U);
  auto const port = runtime_port(nestgate);
  ASSERT_TRUE(accepts_connections(port));
  nestgate.signal(SIGKILL);
  EXPECT_TRUE(eventually([&] { return !accepts_connections(port); }));
}

// By the pid that the process wrote to a file of its conversation's workspace.
pid_t pid_in(std::filesystem::path const& file) {
  if (!eventually([&] { return read_file(file).ends_with('\n'); })) throw TimedOut("pid file " + file.string());
  return static_cast<pid_t>(std::stol(read_file(file)));
}

TEST(Program, NothingThatACommandStartedOutlivesAGatewayThatIsKilled) {
  Program nestgate;
  auto const made = nestgate.call("POST", "/api/conversations", R"({"conversation_id":"c1"})");
  ASSERT_EQ(made.status, 201U) << made.body << nestgate.log();
  auto const start = [&](std::string_view command) {
    return nestgate.ask("POST", "/api/bash/execute_bash_command",
                        "X-Session-API-Key: " + member(made.body, "session_api_key") + "\r\n",
                        R"({"command":")" + std::string(command) + R"("})");
  };
  ASSERT_EQ(start("setsid sh -c 'echo $$ > ~/own-session; exec sleep 1000' >/dev/null 2>&1 &").status, 200U);
  ASSERT_EQ(start("nohup setsid bash -c 'echo $$ > ~/deaf; sleep 1000' >/dev/null 2>&1 &").status, 200U);
  ASSERT_EQ(start("( setsid sh -c 'echo $$ > ~/orphan; exec sleep 1000' >/dev/null 2>&1 & ) &").status, 200U);
  auto const home = nestgate.folder() / "runtimes" / "c1" / "workspace";
  pid_t const all[] = {pid_in(home / "own-session"), pid_in(home / "deaf"), pid_in(home / "orphan")};
  for (auto const pid : all) EXPECT_EQ(::kill(pid, 0), 0);
  nestgate.signal(SIGKILL);
  for (auto const pid : all) EXPECT_TRUE(eventually([pid] { return ::kill(pid, 0) != 0; })) << pid;
}

TEST(Program, DeletedFilesAreNotThereForTheNextOfThatId) {
  Program nestgate;
  ASSERT_EQ(nestgate.call("POST", "/api/conversations", R"({"conversation_id":"c1"})").status, 201U);
  auto const folder = nestgate.folder() / "runtimes" / "c1";
  write_file(folder / "workspace" / "private", "x");
  EXPECT_EQ(nestgate.call("DELETE", "/api/conversations/c1").status, 204U);
  EXPECT_TRUE(std::filesystem::is_empty(folder.parent_path()));
  ASSERT_EQ(nestgate.call("POST", "/api/conversations", R"({"conversation_id":"c1"})").status, 201U);
  EXPECT_FALSE(std::filesystem::exists(folder / "workspace" / "private"));
}

// With a command's output, from the answer to it.
std::string output_of(Answer const& answer) { return member(answer.body, "stdout"); }

// Runs `echo ran > ~/ran`.
constexpr std::string_view run_of_c1 =
    R"({"conversation_id":"c1","entrypoint":"sh main.sh","timeout":20,"tarball_base64":")"
    "H4sIAAAAAAACA+3KMQqEQAxA0dSeIifYjSKznXcZRNBiHRi19eyONoKFVgrCf80PSf6+6z9DK3eyxJXl1uRYsyLf53Wf2885UZMHTMPoo6rEEMazv6v7"
    "SzV1GzT6Xiudv6mZAAAAAAAAAAAAAAAAAADeYAEB+p85ACgAAA==\"}";

bool shows(Program const& program, std::string_view figure) {
  return program.ask_admin("/metrics").body.find("\n" + std::string(figure) + "\n") != std::string::npos;
}

bool has_warm_one(Program const& program) { return shows(program, "nestgate_warm_runtimes 1"); }

std::ptrdiff_t links_in(std::filesystem::path const& folder) {
  return std::count_if(std::filesystem::directory_iterator(folder), {},
                       [](auto const& entry) { return entry.is_symlink(); });
}

TEST(Program, AConversationFromTheWarmPoolHasItsFilesWhereItsServerLooksForThem) {
  Program nestgate("[conversations]\nwarm_runtimes = 1\n");
  ASSERT_TRUE(eventually([&] { return has_warm_one(nestgate); })) << nestgate.log();
  auto made = nestgate.call("POST", "/api/conversations", R"({"conversation_id":"c1"})");
  ASSERT_EQ(made.status, 201U) << made.body << nestgate.log();
  ASSERT_TRUE(shows(nestgate, "nestgate_runtime_starts_warm_total 1"));
  auto const key_field = [&made] { return "X-Session-API-Key: " + member(made.body, "session_api_key") + "\r\n"; };
  auto const command = [&](std::string_view text) {
    return nestgate.ask("POST", "/api/bash/execute_bash_command", key_field(),
                        R"({"command":")" + std::string(text) + R"("})");
  };
  auto const runtimes = nestgate.folder() / "runtimes";
  auto const workspace = runtimes / "c1" / "workspace";
  EXPECT_EQ(output_of(command("pwd -P; cd / && cd && pwd -P")), workspace.string() + "\n" + workspace.string() + "\n");

  auto const home = output_of(command("echo -n $HOME"));
  std::string const part = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\nsent\r\n--x--\r\n";
  auto const sent = nestgate.ask("POST", "/api/file/upload?path=" + home + "/sent",
                                 key_field() + "Content-Type: multipart/form-data; boundary=x\r\n", part);
  EXPECT_EQ(sent.status, 200U) << sent.body;
  EXPECT_EQ(read_file(workspace / "sent"), "sent");

  auto const run =
      nestgate.ask("POST", "/api/automation/v1/runs",
                   "Authorization: Bearer " + std::string(api_key) + "\r\nContent-Type: application/json\r\n", run_of_c1);
  ASSERT_EQ(run.status, 201U) << run.body;
  auto const about = [&] { return nestgate.call("GET", "/api/automation/v1/runs/" + member(run.body, "id")).body; };
  EXPECT_TRUE(eventually([&] { return member(about(), "status") == "COMPLETED"; })) << about();
  EXPECT_EQ(read_file(workspace / "ran"), "ran\n");

  EXPECT_EQ(links_in(runtimes), 1);
  ASSERT_EQ(nestgate.call("POST", "/api/conversations/c1/stop").status, 200U);
  EXPECT_EQ(links_in(runtimes), 0);
  made = nestgate.call("POST", "/api/conversations", R"({"conversation_id":"c1"})");
  ASSERT_EQ(made.status, 200U) << made.body;
  EXPECT_EQ(output_of(command("pwd; cat sent ran")), workspace.string() + "\nsentran\n");
  EXPECT_EQ(nestgate.call("DELETE", "/api/conversations/c1").status, 204U);
  EXPECT_FALSE(std::filesystem::exists(runtimes / "c1"));
  EXPECT_TRUE(eventually([&] { return has_warm_one(nestgate); }));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(runtimes), {}), 1) << "the next warm one, and nothing else";
}

TEST(Program, KnowsItsRunsAlsoAfterItWasKilled) {
  Program nestgate;
  ASSERT_EQ(nestgate.call("POST", "/api/conversations", R"({"conversation_id":"c1"})").status, 201U) << nestgate.log();
  auto const run =
      nestgate.ask("POST", "/api/automation/v1/runs",
                   "Authorization: Bearer " + std::string(api_key) + "\r\nContent-Type: application/json\r\n", run_of_c1);
  ASSERT_EQ(run.status, 201U) << run.body;
  nestgate.restart();
  auto const about = [&] { return nestgate.call("GET", "/api/automation/v1/runs/" + member(run.body, "id")).body; };
  EXPECT_TRUE(eventually([&] { return member(about(), "status") == "COMPLETED"; })) << about() << nestgate.log();
  EXPECT_EQ(read_file(nestgate.folder() / "runtimes" / "c1" / "workspace" / "ran"), "ran\n");
}

struct Said {
  std::string out;
  int exit_code = -1;
};

// What the program says on its standard output when operators give it this command.
Said said_by(Program const& nestgate, std::string const& words) {
  auto const admin = " --admin 127.0.0.1:" + std::to_string(nestgate.admin_port());
  auto* const pipe = ::popen((NESTGATE_PROGRAM " " + words + admin).c_str(), "r");
  Said said;
  for (int c = std::fgetc(pipe); c != EOF; c = std::fgetc(pipe)) said.out += static_cast<char>(c);
  auto const status = ::pclose(pipe);
  if (WIFEXITED(status)) said.exit_code = WEXITSTATUS(status);
  return said;
}

TEST(Program, TellsOperatorsOfRunsAndWhatTheySayAsItComes) {
  Program nestgate;
  ASSERT_EQ(nestgate.call("POST", "/api/conversations", R"({"conversation_id":"c1"})").status, 201U) << nestgate.log();
  auto const begin = [&](std::string_view script) {
    auto const part = [](std::string_view name, std::string_view value) {
      return "--x\r\nContent-Disposition: form-data; name=\"" + std::string(name) + "\"\r\n\r\n" + std::string(value) +
             "\r\n";
    };
    auto const body = part("conversation_id", "c1") + part("entrypoint", "sh main.sh") +
                      "--x\r\nContent-Disposition: form-data; name=\"tarball\"; filename=\"t\"\r\n\r\n" +
                      tarball_of(script) + "\r\n--x--\r\n";
    auto const run = nestgate.ask(
        "POST", "/api/automation/v1/runs",
        "Authorization: Bearer " + std::string(api_key) + "\r\nContent-Type: multipart/form-data; boundary=x\r\n", body);
    EXPECT_EQ(run.status, 201U) << run.body;
    return member(run.body, "id");
  };
  auto const good = begin("echo one; echo two");
  auto const followed = said_by(nestgate, "run " + good + " --follow");
  EXPECT_EQ(followed.out, "one\ntwo\n");
  EXPECT_EQ(followed.exit_code, 0);
  auto const bad = begin("echo three; exit 3");
  EXPECT_EQ(said_by(nestgate, "run " + bad + " --follow 2>/dev/null").exit_code, 1);
  EXPECT_NE(said_by(nestgate, "run " + bad).out.find("exit_code        3\n"), std::string::npos)
      << said_by(nestgate, "run " + bad).out;
  auto const failed = said_by(nestgate, "runs --status failed");
  EXPECT_NE(failed.out.find(bad), std::string::npos) << failed.out;
  EXPECT_EQ(failed.out.find(good), std::string::npos) << failed.out;
}

TEST(Program, ALinkThatAKilledGatewayLeftIsGoneOnceItLeadsNowhere) {
  Program nestgate("[conversations]\nwarm_runtimes = 1\n");
  ASSERT_TRUE(eventually([&] { return has_warm_one(nestgate); })) << nestgate.log();
  ASSERT_EQ(nestgate.call("POST", "/api/conversations", R"({"conversation_id":"c1"})").status, 201U);
  nestgate.signal(SIGKILL);
  EXPECT_FALSE(nestgate.wait());
  EXPECT_EQ(links_in(nestgate.folder() / "runtimes"), 1);
  std::filesystem::remove(nestgate.folder() / "ready.json");
  nestgate.start();
  EXPECT_TRUE(std::filesystem::exists(nestgate.folder() / "runtimes" / "c1" / "workspace"));
  EXPECT_EQ(nestgate.call("DELETE", "/api/conversations/c1").status, 204U);
  nestgate.signal(SIGTERM);
  ASSERT_EQ(nestgate.wait(), 0);
  nestgate.start();
  EXPECT_EQ(links_in(nestgate.folder() / "runtimes"), 0);
}

TEST(Program, TellsOperatorsWhatItsNestletsUse) {
  Program nestgate;
  auto const made = nestgate.call("POST", "/api/conversations", R"({"conversation_id":"c1"})");
  ASSERT_EQ(made.status, 201U) << made.body << nestgate.log();
  auto const of_c1 = [&nestgate](std::string_view name) {
    simdjson::dom::parser parser;
    auto const top = nestgate.ask_admin("/api/top").body;
    double figure = -1;
    if (parser.parse(top)["results"].at(0)[name].get_double().get(figure)) return -1.0;
    return figure;
  };
  EXPECT_GT(of_c1("memory_bytes"), 64 * 1024);
  EXPECT_GE(of_c1("cpu_percent"), 0);
  EXPECT_GE(of_c1("seconds_since_act"), 0);
  ASSERT_EQ(nestgate
                .ask("POST", "/api/bash/execute_bash_command",
                     "X-Session-API-Key: " + member(made.body, "session_api_key") + "\r\n",
                     R"({"command":"setsid sh -c 'while :; do :; done' >/dev/null 2>&1 &"})")
                .status,
            200U);
  EXPECT_TRUE(eventually([&] { return of_c1("cpu_percent") > 20; })) << "a core is busy";
}

TEST(Program, DrainsOnSigtermWithExitCodeZeroAndWithoutItsReadyFile) {
  Program nestgate;
  ASSERT_EQ(nestgate.call("POST", "/api/conversations", "{}").status, 201U);
  auto const port = runtime_port(nestgate);
  nestgate.signal(SIGTERM);
  EXPECT_EQ(nestgate.wait(), 0) << nestgate.log();
  EXPECT_FALSE(std::filesystem::exists(nestgate.folder() / "ready.json"));
  EXPECT_FALSE(accepts_connections(port));
}

TEST(Program, EndsByItselfWhenItCannotReadWhatItsStoreHas) {
  Program nestgate;
  ASSERT_EQ(nestgate.call("POST", "/api/conversations", R"({"secrets":{"A":"b"}})").status, 201U);
  nestgate.signal(SIGTERM);
  ASSERT_EQ(nestgate.wait(), 0) << nestgate.log();
  write_file(nestgate.folder() / "secret", std::string(64, 't'));  // and the old one is not kept
  nestgate.run();
  EXPECT_EQ(nestgate.wait(), 1) << nestgate.log();
  EXPECT_NE(nestgate.log().find("cannot start"), std::string::npos) << nestgate.log();
  EXPECT_FALSE(std::filesystem::exists(nestgate.folder() / "ready.json"));
}

TEST(Program, EndsWithinItsGraceAlsoWhileAConversationStarts) {
  Program nestgate(
      "[runtime]\nready_timeout = \"1h\"\n[runtime.process]\ncommand = [\"sleep\", \"3600\"]\n"
      "[timeouts]\ndrain_grace = \"100ms\"\n");
  std::optional<Answer> answer;
  std::thread client([&] { answer = nestgate.call("POST", "/api/conversations", R"({"conversation_id":"c1"})"); });
  EXPECT_TRUE(
      eventually([&] { return nestgate.ask_admin("/debug/routes").body.find("\"starting\"") != std::string::npos; }));
  nestgate.signal(SIGTERM);
  EXPECT_EQ(nestgate.wait(), 0) << nestgate.log();
  client.join();
  EXPECT_TRUE(answer->status == 0 || answer->status == 503) << answer->body;
}

TEST(Program, ReloadsStaticRuntimesOnSighupAndSaysWhatNeedsARestart) {
  Server nested([](Connection& connection) {
    connection.read_until("\r\n\r\n");
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
  });
  Program nestgate;
  EXPECT_EQ(nestgate.call("GET", "/runtime/s1/x").status, 404U);
  nestgate.configure("[[runtime.static]]\nid = \"s1\"\nurl = \"http://127.0.0.1:" + std::to_string(nested.port()) +
                     "\"\n[runtime.process]\nruntimes_max = 3\n");
  nestgate.signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return nestgate.call("GET", "/runtime/s1/x").status == 200; })) << nestgate.log();
  EXPECT_NE(nestgate.log().find("runtime.process.runtimes_max"), std::string::npos) << nestgate.log();
  nestgate.configure("");
  nestgate.signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return nestgate.call("GET", "/runtime/s1/x").status == 404; })) << nestgate.log();
}

// A nested server over TLS at "localhost", which answers everything with the Host and the path that it was asked for.
struct HttpsServer {
  std::string settings() const { return "[runtime]\nca_file = \"" + certificate.cert_file.string() + "\"\n"; }
  std::string url() const { return "https://localhost:" + std::to_string(server.port()); }
  static void answer(TlsPeer& peer) {
    for (;;) {
      auto const head = peer.read_until("\r\n\r\n");
      if (head.empty()) return;
      if (auto const length = field_value(head, "content-length"); !length.empty()) peer.read_exactly(std::stoul(length));
      auto const target = head.substr(head.find(' ') + 1);
      auto const body = R"({"host":")" + field_value(head, "host") + R"(","target":")" + target.substr(0, target.find(' ')) +
                        R"(","key":")" + field_value(head, "x-session-api-key") + "\"}";
      peer.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
    }
  }
  void expect_reached(Program const& nestgate, std::string const& id, std::string const& key) const {
    auto const path = "/runtime/" + id + "/x";
    ASSERT_TRUE(eventually([&] { return nestgate.call("GET", path).status == 200; })) << nestgate.log();
    auto const answer = nestgate.call("GET", path);
    EXPECT_EQ(member(answer.body, "host"), "localhost:" + std::to_string(server.port()));
    EXPECT_EQ(member(answer.body, "target"), "/x");
    EXPECT_EQ(member(answer.body, "key"), key);
  }
  TemporaryFolder folder;
  TlsCertificate certificate = make_certificate(folder.path(), "nested", {"localhost"});
  TlsServerOnLoopback server{certificate, answer};
};

std::string static_runtime(std::string const& id, std::string const& url) {
  return "[[runtime.static]]\nid = \"" + id + "\"\nurl = \"" + url + "\"\nsession_api_key_file = \"secret\"\n";
}

TEST(Program, ReachesStaticRuntimesOverHttpsBySettingsAndByTheApi) {
  HttpsServer const nested;
  Program nestgate(nested.settings() + static_runtime("s1", nested.url()));
  nested.expect_reached(nestgate, "s1", std::string(64, 's'));
  auto const put = nestgate.call("PUT", "/api/routes/s2", R"({"url":")" + nested.url() + R"(","session_api_key":"own"})");
  EXPECT_EQ(put.status, 200U) << put.body;
  nested.expect_reached(nestgate, "s2", "own");
  EXPECT_NE(nestgate.call("GET", "/api/routes").body.find(nested.url()), std::string::npos);
}

TEST(Program, WarnsOfAStaticRuntimeWhoseCertificateIsNotTrustedAndSendsItNothing) {
  HttpsServer const nested;
  Program nestgate(static_runtime("s1", nested.url()));
  EXPECT_TRUE(
      eventually([&] { return nestgate.call("GET", "/runtime/s1/x").body.find("unreachable") != std::string::npos; }));
  EXPECT_TRUE(eventually([&] { return nestgate.log().find("self-signed certificate") != std::string::npos; }))
      << nestgate.log();
  EXPECT_NE(nestgate.log().find(R"("msg":"nested server refused","id":"s1")"), std::string::npos) << nestgate.log();
  EXPECT_EQ(nested.server.handshakes(), 0U);
}

// Knows one session, c1, once it was started, at `url`.
class RuntimeApi {
 public:
  explicit RuntimeApi(std::string url)
      : session_(R"({"runtime_id":"rt1","session_id":"c1","session_api_key":"its-key","status":"running",)"
                 R"("pod_status":"ready","url":")" +
                 url + "\"}"),
        server_([this](Connection& connection) { answer(connection); }) {}
  std::string settings() const {
    return "[runtime.remote]\nurl = \"http://127.0.0.1:" + std::to_string(server_.port()) +
           "\"\napi_key_file = \"secret\"\nimage = \"registry.test/agent:1\"\n";
  }

 private:
  void answer(Connection& connection) {
    auto const head = connection.read_until("\r\n\r\n");
    if (auto const length = field_value(head, "content-length"); !length.empty())
      connection.read_exactly(std::stoul(length));
    if (head.starts_with("POST /start ")) is_started_ = true;
    bool const is_known = is_started_ && (head.starts_with("POST /start ") || head.starts_with("GET /sessions/c1 "));
    auto const body = is_known ? session_ : head.starts_with("GET /list ") ? R"({"runtimes":[]})" : std::string("{}");
    std::string const status = head.starts_with("GET /sessions/") && !is_known ? "404 Not Found" : "200 OK";
    connection.send("HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  }
  std::string session_;
  std::atomic<bool> is_started_{false};
  Server server_;
};

TEST(Program, StartsConversationsOfARemoteRuntimeApiWhoseServersAreReachedOverHttps) {
  HttpsServer const nested;
  RuntimeApi const api(nested.url());
  Program nestgate(nested.settings() + "provider = \"remote\"\n" + api.settings());
  auto const made = nestgate.call("POST", "/api/conversations", R"({"conversation_id":"c1"})");
  ASSERT_EQ(made.status, 201U) << made.body << nestgate.log();
  EXPECT_EQ(member(made.body, "status"), "RUNNING") << made.body;
  nested.expect_reached(nestgate, "c1", "its-key");
}

TEST(Program, AppliesOnReloadWhatItSaysAndNothingElse) {
  Program nestgate;
  auto const url_of = [&nestgate](std::string const& id) {
    return member(nestgate.call("POST", "/api/conversations", R"({"conversation_id":")" + id + "\"}").body, "url");
  };
  EXPECT_EQ(url_of("c1"), "http://gateway/runtime/c1");
  nestgate.configure("[routing]\ndomain = \"boxes.test\"\n[log]\naccess = \"off\"\n");
  nestgate.signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return nestgate.log().find("log.access") != std::string::npos; })) << nestgate.log();
  EXPECT_TRUE(eventually([&] { return url_of("c2") == "http://c2.boxes.test"; })) << "what is said is done a moment later";
  EXPECT_EQ(nestgate.call("GET", "/api/conversations/c2").status, 200U);
  EXPECT_TRUE(eventually([&] { return nestgate.log().find("/api/conversations/c2\"") != std::string::npos; }))
      << "the access log stays on until a restart: " << nestgate.log();
}

TEST(Program, KeepsRunningOnItsSettingsWhenTheNewOnesHaveAFault) {
  Program nestgate;
  nestgate.configure("[routing]\nno_such_key = 1\n");
  nestgate.signal(SIGHUP);
  EXPECT_TRUE(eventually([&] { return nestgate.log().find("no_such_key") != std::string::npos; }));
  EXPECT_EQ(nestgate.call("GET", "/api/conversations").status, 200U);
}

TEST(Program, ShowsAServerAsRunningThatFirstSaysAMebibyteAndThenWaits) {
  Program nestgate("[runtime.process]\ncommand = [\"sh\", \"-c\", \"head -c 1048576 /dev/zero; exec " NESTLET_PROGRAM
                   " --listen 127.0.0.1:$0\", \"{port}\"]\n");
  auto const made = nestgate.call("POST", "/api/conversations", R"({"conversation_id":"c1"})");
  ASSERT_EQ(made.status, 201U) << made.body << nestgate.log();
  EXPECT_EQ(member(made.body, "status"), "RUNNING");
  auto const asleep = [&] {
    return nestgate.call("GET", "/runtime/c1/server_info").status == 200 &&
           member(nestgate.call("GET", "/api/conversations/c1").body, "status") == "RUNNING";
  };
  EXPECT_TRUE(asleep()) << "a server that waits for requests sleeps, as the system sees it";
}

}  // namespace
}  // namespace nestgate::test
