#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nestgate/nested/client.hpp"
#include "support/control.hpp"

namespace nestgate::nested {
namespace {

using namespace std::chrono_literals;
using test::Control;
using test::Reply;
using test::Request;
using test::ScriptedServer;
using testing::ElementsAre;

constexpr Pace fast{1ms, 1ms, 1ms};
constexpr auto patience = 20s;

Initialisation told() {
  Initialisation out;
  out.session_key = Secret("real");
  return out;
}

// A server with deferred init whose boot key is "boot".
struct Dormant {
  Reply operator()(Request const& request) {
    if (request.target == "/api/conversations/count") return Reply{request.value("x-session-api-key") == key ? 200U : 401U};
    if (request.target != "/api/init") return Reply{};
    if (request.method == "GET") return Reply{200, R"({"state":")" + state + R"(","error":null})"};
    if (request.value("x-init-api-key") != "boot") return Reply{401};
    if (state != "dormant") return Reply{400, R"({"detail":"not dormant"})"};
    if (failures-- > 0) return Reply{500};
    state = "ready";
    key = "real";
    return Reply{200, R"({"state":"ready"})"};
  }
  std::string state = "dormant";
  std::string key = "boot";
  int failures = 0;
};

struct Server {
  explicit Server(ScriptedServer::Script script) : scripted(std::move(script)) {}
  Outcome<> initialise(std::string key = "boot", Clock::duration time_max = patience) {
    Client client(scripted.endpoint(), Secret(std::move(key)), fast);
    auto const words = told();
    return control.run(client.initialise(words, Deadline::in(time_max)));
  }
  ScriptedServer scripted;
  Control control;
};

TEST(Initialise, TellsADormantServerItsRealKeyByTheBootKey) {
  Server server{Dormant{}};
  ASSERT_TRUE(server.initialise());
  auto const sent = server.scripted.requests();
  ASSERT_THAT(server.scripted.lines(), ElementsAre("POST /api/init"));
  EXPECT_EQ(sent[0].body, R"({"session_api_keys":["real"],"secret_key":"real"})");
  EXPECT_EQ(sent[0].value("x-init-api-key"), "boot");
}

TEST(Initialise, TellsAllThatIsGiven) {
  Server server{Dormant{}};
  Initialisation words = told();
  words.conversations_path = "/w/conversations";
  words.bash_events_dir = "/w/bash";
  words.web_url = "https://g.example.org";
  words.webhook_base_url = "http://127.0.0.1:8080/api/v1/webhooks";
  words.environment = {{"HOME", "/w"}, {"A", "b\"c"}};
  Client client(server.scripted.endpoint(), Secret("boot"), fast);
  ASSERT_TRUE(server.control.run(client.initialise(words, Deadline::in(patience))));
  EXPECT_EQ(server.scripted.requests().at(0).body,
            R"({"session_api_keys":["real"],"secret_key":"real","conversations_path":"/w/conversations",)"
            R"("bash_events_dir":"/w/bash","web_url":"https://g.example.org",)"
            R"("webhooks":[{"base_url":"http://127.0.0.1:8080/api/v1/webhooks"}],"env":{"HOME":"/w","A":"b\"c"}})");
}

TEST(Initialise, CanBeSaidAgain) {
  Server server{Dormant{}};
  ASSERT_TRUE(server.initialise());
  EXPECT_TRUE(server.initialise());
  Dormant strict;
  strict.state = "ready";
  strict.key = "real";
  Server with_another_boot_key{strict};
  EXPECT_TRUE(with_another_boot_key.initialise("another")) << "401: the boot key has ended";
}

TEST(Initialise, TriesAgainWhileTheServerIsDormant) {
  Dormant failing;
  failing.failures = 3;
  Server server{failing};
  EXPECT_TRUE(server.initialise());
  Server losing([dormant = Dormant{}, left = 2](Request const& request) mutable {
    auto const reply = dormant(request);
    return left-- > 0 ? Reply{0, ""} : reply;
  });
  EXPECT_TRUE(losing.initialise()) << "the first answer was lost: the server is ready, and takes the real key";
}

TEST(Initialise, IsAConflictWithAServerThatHasAnotherKeyOrNoInit) {
  Dormant others;
  others.state = "ready";
  others.key = "of another conversation";
  Server taken{others};
  auto const conflict = taken.initialise();
  ASSERT_FALSE(conflict);
  EXPECT_EQ(conflict.error().fault.kind, FaultKind::conflict);
  for (auto const post : {404U, 401U}) {
    Server plain([post](Request const& request) { return Reply{request.method == "POST" ? post : 404U}; });
    auto const none = plain.initialise();
    ASSERT_FALSE(none);
    EXPECT_EQ(none.error().fault.kind, FaultKind::conflict) << post;
  }
}

TEST(Initialise, FailsWithTheStatusWhenTheServerWillNot) {
  Server wrong_key{Dormant{}};
  EXPECT_EQ(wrong_key.initialise("wrong").error().reason, "init: the server answered 401");
  Dormant broken;
  broken.failures = 1'000'000;
  Server never{broken};
  EXPECT_FALSE(never.initialise("boot", 30ms));
}

TEST(InitState, IsWhatTheServerSays) {
  struct Case {
    Reply reply;
    InitState state;
  };
  Case const cases[] = {{{404, ""}, InitState::not_deferred},
                        {{200, R"({"state":"dormant","error":null})"}, InitState::dormant},
                        {{200, R"({"state":"initializing"})"}, InitState::initializing},
                        {{200, R"({"state":"ready"})"}, InitState::ready}};
  for (auto const& c : cases) {
    Server server([&c](Request const&) { return c.reply; });
    Client client(server.scripted.endpoint(), Secret("boot"), fast);
    EXPECT_EQ(*server.control.run(client.init_state(Deadline::in(patience))), c.state);
  }
  for (Reply const& reply : {Reply{200, "{}"}, Reply{200, R"({"state":"?"})"}, Reply{500, ""}}) {
    Server server([&reply](Request const&) { return reply; });
    Client client(server.scripted.endpoint(), Secret("boot"), fast);
    EXPECT_FALSE(server.control.run(client.init_state(Deadline::in(patience)))) << reply.body;
  }
}

}  // namespace
}  // namespace nestgate::nested
