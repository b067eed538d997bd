#include "unit/nestlet/support.hpp"

// Deferred init (agent_server.md 3.4).
namespace nestgate::nestlet::testing {
namespace {

constexpr auto conversation_id = "01234567-89ab-cdef-0123-456789abcdef";
Fields const boot_key = {{"X-Session-API-Key", "boot"}};
Fields const init_key = {{"X-Init-API-Key", "boot"}};
Fields const real_key = {{"X-Session-API-Key", "real"}};

struct DormantServer : RunningServer {
  explicit DormantServer(std::vector<std::string> keys = {"boot"})
      : RunningServer({}, keys, Grace::short_for_tests, dormant(keys.empty() ? "" : keys.front())) {}
  static Boot dormant(std::string key) {
    Boot boot;
    boot.state = InitState::dormant;
    boot.init_key = Secret(std::move(key));
    return boot;
  }
  Reply initialise(std::string const& body, Fields const& fields = init_key) const {
    return call("POST", "/api/init", body, fields);
  }
  std::string shell(std::string const& command) const {
    boost::json::object const body{{"command", command}};
    auto const reply = call("POST", "/api/bash/execute_bash_command", boost::json::serialize(body), real_key);
    EXPECT_EQ(reply.status, 200u) << reply.body;
    return text(reply.json().at("stdout"));
  }
};

TEST(DormantServer, AnswersOnItsOpenRoutesOnly) {
  DormantServer const server;
  for (auto const* path : {"/alive", "/health", "/ready", "/server_info"})
    EXPECT_EQ(server.call("GET", path, "", {}).status, 200u) << path;
  EXPECT_EQ(server.call("GET", "/api/init", "", {}).body, R"({"state":"dormant","error":null})");
  struct Case {
    std::string method, path;
    unsigned without_key;
  };
  Case const gated[] = {{"GET", "/api/conversations", 401},
                        {"POST", "/api/bash/execute_bash_command", 401},
                        {"GET", "/api/settings/secrets", 401},
                        {"GET", "/v1/models", 401},
                        {"POST", "/execute_action", 403}};
  for (auto const& c : gated) {
    EXPECT_EQ(server.call(c.method, c.path, "", {}).status, c.without_key) << c.path;
    EXPECT_EQ(server.call(c.method, c.path, "", boot_key).status, 503u) << c.path;
  }
}

TEST(DormantServer, HasNoSockets) {
  DormantServer const server;
  for (std::string const path : {"/sockets/bash-events", "/sockets/events/01234567-89ab-cdef-0123-456789abcdef"}) {
    EXPECT_EQ(SocketClient(server.port(), path, {{"X-Session-API-Key", "bad"}}).status(), 403u);
    EXPECT_EQ(SocketClient(server.port(), path, boot_key).status(), 503u);
    EXPECT_EQ(SocketClient(server.port(), path).status(), 503u);
  }
}

TEST(DormantServer, TakesItsRealKeyOnceByItsInitKey) {
  DormantServer const server;
  EXPECT_EQ(server.initialise(R"({"session_api_keys":["evil"]})", {}).status, 401u);
  EXPECT_EQ(server.initialise(R"({"session_api_keys":["evil"]})", {{"X-Init-API-Key", "bad"}}).status, 401u);
  EXPECT_EQ(server.initialise(R"({"session_api_keys":["evil"]})", boot_key).status, 401u) << "another field";
  auto const done = server.initialise(R"({"session_api_keys":["real"],"secret_key":"s","web_url":"http://x",
                                          "conversations_path":"/c","bash_events_dir":null,"max_concurrent_runs":3})");
  EXPECT_EQ(done.status, 200u) << done.body;
  EXPECT_EQ(done.json().at("state"), "ready");
  EXPECT_EQ(server.call("GET", "/api/init", "", {}).json().at("state"), "ready");
  EXPECT_EQ(server.call("GET", "/api/conversations", "", real_key).status, 200u);
  EXPECT_EQ(server.call("GET", "/api/conversations", "", boot_key).status, 401u);
  EXPECT_EQ(server.initialise(R"({"session_api_keys":["other"]})").status, 400u);
  EXPECT_EQ(server.call("GET", "/api/conversations", "", real_key).status, 200u);
  EXPECT_TRUE(SocketClient(server.port(), "/sockets/bash-events", real_key).open());
  EXPECT_EQ(SocketClient(server.port(), "/sockets/bash-events", boot_key).status(), 403u);
}

TEST(DormantServer, RefusesWhatItDoesNotUnderstandWithoutRepeatingItAndStaysDormant) {
  DormantServer const server;
  for (std::string const body :
       {R"({"hunter2":1})", R"({"session_api_keys":[]})", R"({"session_api_keys":["hunter2",""]})",
        R"({"session_api_keys":"hunter2"})", R"({"session_api_keys":[7]})", R"({"env":{"A":7}})", R"({"env":[]})",
        R"({"env":{"":"hunter2"}})", R"({"env":{"A=B":"hunter2"}})", R"({"env":{"A":"a\u0000b"}})",
        R"({"conversations_path":7})", R"({"max_concurrent_runs":"hunter2"})", R"({"webhooks":{}})", R"({"webhooks":[{}]})",
        R"({"webhooks":[{"base_url":"https://hunter2"}]})", R"({"webhooks":[{"base_url":"http://h","hunter2":1}]})",
        R"({"webhooks":[{"base_url":"http://h","headers":{"A":"hunter2\r\nB: c"}}]})", "[]", "hunter2"}) {
    auto const reply = server.initialise(body);
    EXPECT_EQ(reply.status, 422u) << body;
    EXPECT_EQ(reply.body.find("hunter2"), std::string::npos) << reply.body;
  }
  EXPECT_EQ(server.call("GET", "/api/init", "", {}).json().at("state"), "dormant");
}

TEST(DormantServer, GivesItsCommandsWhatItIsTold) {
  DormantServer const server;
  std::filesystem::create_directory(server.path("home"));
  boost::json::object const body{
      {"session_api_keys", {"real"}},
      {"env", {{"HOME", server.path("home")}, {"A", "b c"}, {"SESSION_API_KEY", "x"}, {"PATH", "/bin:/usr/bin"}}}};
  ASSERT_EQ(server.initialise(boost::json::serialize(body)).status, 200u);
  auto const home = std::filesystem::canonical(server.path("home")).string();
  EXPECT_EQ(server.shell("pwd; echo $HOME; echo $A; echo $PATH; echo ${SESSION_API_KEY-none}"),
            home + "\n" + server.path("home") + "\nb c\n/bin:/usr/bin\nnone\n");
}

TEST(DormantServer, StaysDormantWhenItsHomeIsNotThere) {
  DormantServer const server;
  EXPECT_EQ(server.initialise(R"({"session_api_keys":["real"],"env":{"HOME":"/no/such"}})").status, 500u);
  EXPECT_EQ(server.call("GET", "/api/conversations", "", real_key).status, 401u);
  EXPECT_EQ(server.initialise(R"({"session_api_keys":["real"]})").status, 200u);
}

TEST(DormantServer, KeepsTheKeysOfItsStartWhenItIsToldNone) {
  DormantServer const server;
  ASSERT_EQ(server.initialise("{}").status, 200u);
  EXPECT_EQ(server.call("GET", "/api/conversations", "", boot_key).status, 200u);
}

TEST(DormantServer, WithoutAnyKeyCanBeToldByEverybody) {
  DormantServer const server({});
  EXPECT_EQ(server.call("GET", "/api/conversations", "", {}).status, 503u);
  ASSERT_EQ(server.initialise(R"({"session_api_keys":["real"]})", {}).status, 200u);
  EXPECT_EQ(server.call("GET", "/api/conversations", "", {}).status, 401u);
}

TEST(NotDeferredServer, HasNoInit) {
  RunningServer const server;
  EXPECT_EQ(server.call("GET", "/api/init", "", {}).status, 404u);
  EXPECT_EQ(server.call("POST", "/api/init", "{}", {}).status, 401u);
  EXPECT_EQ(server.call("POST", "/api/init", "{}").status, 404u);
}

TEST(OlderConversations, MayHaveAnyId) {
  RunningServer const server;
  ASSERT_EQ(server.call("POST", "/api/conversations", R"({"conversation_id":"my-work.1"})").status, 201u);
  auto const info = server.call("GET", "/api/conversations/my-work.1").json();
  EXPECT_EQ(info.at("conversation_id"), "my-work.1");
  EXPECT_EQ(info.at("status"), "RUNNING");
  EXPECT_EQ(server.call("POST", "/api/conversations/my-work.1/stop").status, 200u);
  EXPECT_EQ(server.call("GET", "/api/conversations/my-work.1").json().at("status"), "STOPPED");
  EXPECT_EQ(server.call("GET", "/api/conversations/my-work.1/events?limit=1").status, 200u);
  EXPECT_EQ(server.call("GET", std::string("/api/conversations/") + conversation_id).status, 404u);
}

boost::system::result<Boot, KeyFault> boot_of(std::vector<std::string_view> const& environment) {
  auto const keys = keys_from(environment);
  return boot_from(environment, *keys);
}

TEST(Boot, IsReadFromTheEnvironment) {
  auto const plain = boot_of({"SESSION_API_KEY=k"});
  EXPECT_EQ(plain->state, InitState::not_deferred);
  EXPECT_TRUE(plain->webhooks.empty());
  auto const by_key = boot_of({"OH_DEFERRED_INIT=true", "OH_SESSION_API_KEYS_0=boot"});
  EXPECT_EQ(by_key->state, InitState::dormant);
  EXPECT_EQ(by_key->init_key.reveal(), "boot");
  auto const by_secret = boot_of({"OH_DEFERRED_INIT=1", "OH_SESSION_API_KEYS_0=boot", "OH_SECRET_KEY=s"});
  EXPECT_EQ(by_secret->init_key.reveal(), "s");
  EXPECT_EQ(boot_of({"OH_DEFERRED_INIT=0"})->state, InitState::not_deferred);
  EXPECT_EQ(boot_of({"OH_DEFERRED_INIT=perhaps"}).error().message, "OH_DEFERRED_INIT: neither true nor false");
  auto const webhook = boot_of({"OH_WEBHOOKS_0_FLUSH_DELAY=0.5", "OH_WEBHOOKS_0_BASE_URL=http://gate:8080/api/v1/webhooks/",
                                "OH_WEBHOOKS_0_EVENT_BUFFER_SIZE=1", "OH_WEBHOOKS_1_BASE_URL=x"});
  ASSERT_EQ(webhook->webhooks.size(), 1u);
  auto const& spec = webhook->webhooks.front();
  EXPECT_EQ(spec.target.host + " " + std::to_string(spec.target.port) + spec.target.path, "gate 8080/api/v1/webhooks");
  EXPECT_EQ(spec.flush_delay, 0.5);
  EXPECT_EQ(spec.event_buffer_size, 1u);
  EXPECT_FALSE(boot_of({"OH_WEBHOOKS_0_BASE_URL=https://gate"}));
  EXPECT_FALSE(boot_of({"OH_WEBHOOKS_0_BASE_URL=http://gate", "OH_WEBHOOKS_0_NUM_RETRIES=-1"}));
}

}  // namespace
}  // namespace nestgate::nestlet::testing
