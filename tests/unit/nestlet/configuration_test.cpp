#include "nestlet/zip_archive.hpp"
#include "unit/nestlet/support.hpp"

namespace nestgate::nestlet::testing {
namespace {

TEST(SettingsRoutes, KeepSecretsToThemselves) {
  RunningServer const server;
  EXPECT_EQ(server.call("GET", "/api/settings").status, 404u);
  EXPECT_EQ(server.call("GET", "/api/settings").body, R"({"error":"Settings not found"})");
  auto const stored = server.call(
      "POST", "/api/settings",
      R"({"llm_model":"m","llm_api_key":"hunter2","language":"en","unknown":1,"mcp_config":{"sse_servers":[{"url":"u","api_key":"hunter2"}]}})");
  EXPECT_EQ(stored.body, R"({"message":"Settings stored"})");
  auto const reply = server.call("GET", "/api/settings");
  EXPECT_EQ(reply.body.find("hunter2"), std::string::npos);
  auto const settings = reply.json();
  EXPECT_TRUE(settings.at("llm_api_key").is_null());
  EXPECT_EQ(settings.at("llm_api_key_set"), true);
  EXPECT_EQ(settings.at("search_api_key_set"), false);
  EXPECT_FALSE(settings.as_object().contains("unknown"));
  auto const patched =
      server.call("PATCH", "/api/settings", R"({"llm_model":null,"llm_api_key":null,"language":"de"})").json();
  EXPECT_EQ(patched.at("llm_model"), "m") << "null keeps the model and the key";
  EXPECT_EQ(patched.at("llm_api_key_set"), true);
  EXPECT_EQ(patched.at("language"), "de");
  EXPECT_EQ(server.call("POST", "/api/settings", R"({"llm_api_key":7})").status, 422u);
}

TEST(SettingsRoutes, RefuseAWrongTypeAndThenStoreNothing) {
  RunningServer const server;
  auto const store = [&](std::string const& body) { return server.call("POST", "/api/settings", body).status; };
  for (auto const* fault : {R"("condenser_max_size":3)", R"("max_iterations":"abc")", R"("max_iterations":1.5)",
                            R"("llm_model":5)", R"("confirmation_mode":"maybe")", R"("mcp_config":[])",
                            R"("max_budget_per_task":"much")", R"("max_budget_per_task":true)"}) {
    EXPECT_EQ(store(R"({"llm_api_key":"k","language":"en",)" + std::string(fault) + "}"), 422u) << fault;
  }
  EXPECT_EQ(server.call("GET", "/api/settings").status, 404u);
  EXPECT_EQ(store(R"({"condenser_max_size":20,"max_iterations":"7","confirmation_mode":"yes","user_consents_to_analytics":0,
                      "max_budget_per_task":"1.5","agent":null,"mcp_config":{}})"),
            200u);
  auto const settings = server.call("GET", "/api/settings").json();
  EXPECT_EQ(settings.at("max_iterations"), 7);
  EXPECT_EQ(settings.at("confirmation_mode"), true);
  EXPECT_EQ(settings.at("user_consents_to_analytics"), false);
  EXPECT_EQ(settings.at("max_budget_per_task"), 1.5);
}

TEST(CustomSecrets, AreMadeOnceDescribedAndRemovedButNeverShown) {
  RunningServer const server;
  std::string const body = R"({"name":"X","value":"hunter2","description":"d"})";
  auto const made = server.call("POST", "/api/secrets", body);
  EXPECT_EQ(made.status, 201u);
  EXPECT_EQ(made.body, R"({"message":"Secret created successfully"})");
  auto const again = server.call("POST", "/api/secrets", body);
  EXPECT_EQ(again.status, 400u);
  EXPECT_EQ(again.body, R"({"message":"Secret X already exists"})");
  EXPECT_EQ(server.call("PUT", "/api/secrets/X", R"({"name":"X","description":"e"})").status, 200u);
  EXPECT_EQ(server.call("GET", "/api/secrets").body, R"({"custom_secrets":[{"name":"X","description":"e"}]})");
  EXPECT_EQ(server.call("PUT", "/api/secrets/Y", R"({"name":"Y"})").status, 404u);
  EXPECT_EQ(server.call("PUT", "/api/secrets/X", R"({"name":"Y"})").status, 200u);
  EXPECT_EQ(server.call("DELETE", "/api/secrets/X").status, 404u);
  EXPECT_EQ(server.call("DELETE", "/api/secrets/Y").status, 200u);
}

TEST(AgentServerSecrets, AreReadAsPlainTextByName) {
  RunningServer const server;
  EXPECT_EQ(server.call("PUT", "/api/settings/secrets", R"({"name":"github_token","value":"t"})").body,
            R"({"name":"github_token","description":null})");
  auto const value = server.call("GET", "/api/settings/secrets/github_token");
  EXPECT_EQ(value.body, "t");
  EXPECT_EQ(value.fields[http::field::content_type], "text/plain; charset=utf-8");
  EXPECT_EQ(server.call("GET", "/api/settings/secrets").json().at("secrets").at(0).at("name"), "github_token");
  EXPECT_EQ(server.call("PUT", "/api/settings/secrets", R"({"name":"1x","value":"t"})").status, 422u);
  EXPECT_EQ(server.call("GET", "/api/settings/secrets/a-b").status, 422u);
  EXPECT_EQ(server.call("DELETE", "/api/settings/secrets/github_token").body, R"({"deleted":true})");
  EXPECT_EQ(server.call("GET", "/api/settings/secrets/github_token").status, 404u);
}

std::string run(RunningServer const& server, std::string const& command) {
  boost::json::object const body{
      {"action", boost::json::object{{"action", "run"}, {"args", boost::json::object{{"command", command}}}}}};
  return std::string(server.call("POST", "/execute_action", boost::json::serialize(body)).json().at("content").as_string());
}

TEST(GitProviders, ReachTheActionsEnvironmentAndNothingElse) {
  RunningServer const server;
  auto const body = R"({"provider_tokens":{"github":{"token":"t1","host":"github.example"},"gitlab":{"token":"t2"}}})";
  EXPECT_EQ(server.call("POST", "/api/add-git-providers", body).body, R"({"message":"Git providers stored"})");
  EXPECT_EQ(run(server, "echo $GITHUB_TOKEN $GITLAB_TOKEN"), "t1 t2\n");
  auto const bash = server.call("POST", "/api/bash/execute_bash_command", R"({"command":"echo -$GITHUB_TOKEN-"})").json();
  EXPECT_EQ(bash.at("stdout"), "--\n");
  server.call("POST", "/api/add-git-providers", R"({"provider_tokens":{"github":{"token":"","host":""}}})");
  EXPECT_EQ(run(server, "echo $GITHUB_TOKEN $GITLAB_TOKEN"), "t1\n") << "an empty token keeps, a missing provider goes";
  server.call("POST", "/api/secrets", R"({"name":"github_token","value":"mine"})");
  EXPECT_EQ(run(server, "echo $GITHUB_TOKEN"), "mine\n") << "a custom secret wins";
  server.call("DELETE", "/api/secrets/github_token");
  EXPECT_EQ(server.call("POST", "/api/unset-provider-tokens").status, 200u);
  EXPECT_EQ(run(server, "echo -$GITHUB_TOKEN-"), "--\n");
}

TEST(ActionServer, HasErrorsOfItsOwn) {
  RunningServer const server;
  auto const stranger = server.call("POST", "/execute_action", "{}", {});
  EXPECT_EQ(stranger.status, 403u);
  EXPECT_EQ(stranger.body, R"({"detail":"Invalid API Key"})");
  auto const unknown = server.call("POST", "/execute_action", R"({"action":{"action":"dance","args":{}}})");
  EXPECT_EQ(unknown.status, 500u);
  EXPECT_TRUE(unknown.json().at("detail").as_string().starts_with("Internal server error: "));
}

TEST(ActionServer, RunsReadsWritesAndEdits) {
  RunningServer const server;
  auto const act = [&](std::string const& kind, std::string const& args, std::string const& more = "") {
    return server.call("POST", "/execute_action", R"({"action":{"action":")" + kind + R"(","args":)" + args + more + "}}")
        .json();
  };
  auto const ran = act("run", R"({"command":"echo out; echo err >&2; exit 3"})");
  EXPECT_EQ(ran.at("observation"), "run");
  EXPECT_EQ(ran.at("content"), "out\nerr\n");
  EXPECT_EQ(ran.at("extras").at("metadata").at("exit_code"), 3);
  EXPECT_EQ(act("run", R"({"command":"sleep 1000"})", R"(,"timeout":1)").at("extras").at("metadata").at("exit_code"), -1);
  EXPECT_EQ(act("write", R"({"path":"d/f","content":"1\n2\n3\n"})").at("observation"), "write");
  EXPECT_EQ(read_file(server.path("d/f")), "1\n2\n3\n");
  act("write", R"({"path":"d/f","content":"two","start":1,"end":2})");
  EXPECT_EQ(act("read", R"({"path":"d/f"})").at("content"), "1\ntwo\n3\n");
  EXPECT_EQ(act("read", R"({"path":"d/f","start":1,"end":2})").at("content"), "two\n");
  EXPECT_EQ(act("read", R"({"path":"none"})").at("observation"), "error");
  auto const edited = act("edit", R"({"path":"d/f","command":"str_replace","old_str":"two","new_str":"2"})");
  EXPECT_EQ(edited.at("observation"), "edit");
  EXPECT_EQ(edited.at("extras").at("new_content"), "1\n2\n3\n");
  EXPECT_EQ(act("edit", R"({"path":"d/f","command":"str_replace","old_str":"\n","new_str":""})").at("observation"), "error");
  EXPECT_EQ(act("edit", R"({"path":"d/f","command":"create","file_text":"x"})").at("observation"), "error");
  EXPECT_EQ(act("edit", R"({"path":"g","command":"create","file_text":"x"})").at("observation"), "edit");
}

TEST(ActionServer, ATimeoutOutOfBoundsIsRefusedByItsPlace) {
  RunningServer const server;
  auto const run_for = [&](std::string const& timeout) {
    auto const body = R"({"action":{"action":"run","args":{"command":"true"},"timeout":)" + timeout + "}}";
    return server.call("POST", "/execute_action", body);
  };
  for (auto const* timeout : {"10000000000", "9223372036854775807", "0", "-1", "0.5", "\"x\""}) {
    auto const reply = run_for(timeout);
    EXPECT_EQ(reply.status, 422u) << timeout;
    EXPECT_NE(reply.body.find(R"("loc":["body","action","timeout"])"), std::string::npos) << reply.body;
  }
  for (auto const* timeout : {"1", "120.0", "null"}) EXPECT_EQ(run_for(timeout).status, 200u) << timeout;
  auto const nul = server.call("POST", "/execute_action", R"({"action":{"action":"run","args":{"command":"a\u0000b"}}})");
  EXPECT_EQ(nul.status, 422u);
  EXPECT_NE(nul.body.find(R"(["body","action","args","command"])"), std::string::npos) << nul.body;
}

TEST(ActionServer, ListsDirectoriesFirst) {
  RunningServer const server;
  std::filesystem::create_directories(server.path("z"));
  write_file(server.path("a"), "");
  EXPECT_EQ(server.call("POST", "/list_files", "").body, R"(["z/","a"])");
  EXPECT_EQ(server.call("POST", "/list_files", R"({"path":"z"})").body, "[]");
}

TEST(ActionServer, AZipComesOutAndGoesInAgain) {
  RunningServer const server;
  std::filesystem::create_directories(server.path("from/sub"));
  write_file(server.path("from/a"), std::string(300'000, 'a'));
  write_file(server.path("from/sub/b"), "b");
  std::filesystem::permissions(server.path("from/sub/b"), std::filesystem::perms::owner_all);
  std::filesystem::create_symlink("/etc/passwd", server.path("from/link"));
  auto const zip = server.call("GET", "/download_files?path=" + server.path("from"));
  ASSERT_EQ(zip.status, 200u);
  EXPECT_EQ(zip.fields[http::field::content_type], "application/zip");
  auto const url = "/upload_file?recursive=true&destination=" + server.path("to");
  auto const reply = server.call("POST", url, multipart(zip.body, "from.zip"), multipart_fields());
  ASSERT_EQ(reply.status, 200u) << reply.body;
  EXPECT_EQ(reply.json().at("filename"), "from.zip");
  EXPECT_EQ(read_file(server.path("to/a")), std::string(300'000, 'a'));
  EXPECT_EQ(read_file(server.path("to/sub/b")), "b");
  auto const owner = std::filesystem::status(server.path("to/sub/b")).permissions() & std::filesystem::perms::owner_all;
  EXPECT_EQ(owner, std::filesystem::perms::owner_all);
  EXPECT_FALSE(std::filesystem::exists(server.path("to/link")));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(server.path("to")), {}), 2) << "no leftovers";
  EXPECT_EQ(server.call("GET", "/download_files?path=" + server.path("none")).status, 404u);
  EXPECT_EQ(server.call("GET", "/download_files?path=relative").status, 400u);
}

TEST(ActionServer, AZipDoesNotPackItself) {
  TemporaryDirectory const directory;
  write_file(directory.path("a"), "a");
  asio::io_context loop(1);
  auto const archive = directory.path("out.zip");
  asio::co_spawn(loop, pack(loop.get_executor(), directory.path(), archive),
                 [](std::exception_ptr bug, Checked<> packed) { EXPECT_TRUE(!bug && packed); });
  loop.run();
  EXPECT_EQ(read_file(archive).find("out.zip"), std::string::npos);
  EXPECT_EQ(read_file(archive).front(), 'P');
}

TEST(ActionServer, APlainUploadKeepsItsNameButNotItsPath) {
  RunningServer const server;
  auto const url = "/upload_file?destination=" + server.path("in");
  EXPECT_EQ(server.call("POST", url, multipart("x", "../../evil.txt"), multipart_fields()).status, 200u);
  EXPECT_EQ(read_file(server.path("in/evil.txt")), "x");
  EXPECT_EQ(server.call("POST", "/upload_file?destination=in", multipart("x"), multipart_fields()).status, 400u);
}

// A zip with one stored entry, written by hand, for no tool would write such names.
std::string stored_zip(std::string const& name, std::string const& data) {
  auto const number = [](std::uint64_t value, int bytes) {
    std::string out;
    for (int i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
    return out;
  };
  std::uint32_t crc = ~0u;
  for (char const c : data) {
    crc ^= static_cast<unsigned char>(c);
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ (0xEDB88320u & (0u - (crc & 1u)));
  }
  auto const size = static_cast<std::uint32_t>(data.size());
  auto const common = number(20, 2) + number(0, 8) + number(~crc, 4) + number(size, 4) + number(size, 4) +
                      number(static_cast<std::uint32_t>(name.size()), 2) + number(0, 2);
  auto const local = "PK\x03\x04" + common + name + data;
  auto const central = "PK\x01\x02" + number(20, 2) + common + number(0, 2) + number(0, 2) + number(0, 2) + number(0, 4) +
                       number(0, 4) + name;
  return local + central + "PK\x05\x06" + number(0, 4) + number(1, 2) + number(1, 2) +
         number(static_cast<std::uint32_t>(central.size()), 4) + number(static_cast<std::uint32_t>(local.size()), 4) +
         number(0, 2);
}

TEST(ActionServer, RefusesAnArchiveThatWouldWriteOutsideOfItsDirectory) {
  RunningServer const server;
  auto const url = "/upload_file?recursive=true&destination=" + server.path("in");
  auto const status = [&](std::string const& zip) {
    return server.call("POST", url, multipart(zip), multipart_fields()).status;
  };
  EXPECT_EQ(status(stored_zip("good", "x")), 200u);
  EXPECT_EQ(read_file(server.path("in/good")), "x");
  for (auto const* name : {"../evil", "a/../../evil", "/tmp/nestlet-evil", "..\\evil"}) {
    EXPECT_EQ(status(stored_zip(name, "x")), 400u) << name;
  }
  EXPECT_FALSE(std::filesystem::exists(server.path("evil")));
  EXPECT_EQ(status("this is no zip file"), 400u);
}

TEST(ActionServer, AnArchiveReplacesALinkAndNeverWritesThroughIt) {
  RunningServer const server;
  std::filesystem::create_directories(server.path("in"));
  write_file(server.path("outside"), "kept");
  std::filesystem::create_symlink(server.path("outside"), server.path("in/link"));
  auto const url = "/upload_file?recursive=yes&destination=" + server.path("in");
  EXPECT_EQ(server.call("POST", url, multipart(stored_zip("link", "x")), multipart_fields()).status, 200u);
  EXPECT_EQ(read_file(server.path("outside")), "kept");
  EXPECT_EQ(read_file(server.path("in/link")), "x");
}

TEST(ActionServer, RefusesAnArchiveThatUnpacksToTooMuch) {
  Limits limits;
  limits.unpacked_bytes_max = 3;
  RunningServer const server(limits);
  auto const url = "/upload_file?recursive=true&destination=" + server.path("in");
  EXPECT_EQ(server.call("POST", url, multipart(stored_zip("f", "four")), multipart_fields()).status, 413u);
  EXPECT_EQ(server.call("POST", url, multipart(stored_zip("f", "abc")), multipart_fields()).status, 200u);
}

}  // namespace
}  // namespace nestgate::nestlet::testing
