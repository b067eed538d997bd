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

ConversationId id_of(std::string_view text) { return *ConversationId::parse(text); }

Configuration with_conversation(std::string json) {
  Configuration out;
  out.conversation_json = Secret(std::move(json));
  return out;
}

struct Server {
  Server() = default;
  explicit Server(ScriptedServer::Script script) : scripted(std::move(script)) {}

  Outcome<> begin(std::string_view id, Configuration const& configuration, Dialect dialect) {
    return control.run(client.begin_conversation(id_of(id), configuration, dialect, Deadline::in(patience)));
  }
  Status status(std::string_view id, Dialect dialect) {
    return *control.run(client.status(id_of(id), dialect, Deadline::in(patience)));
  }

  ScriptedServer scripted;
  Client client{scripted.endpoint(), Secret("key"), fast};
  Control control;
};

TEST(BeginConversation, OfAnOlderServerAddsTheIdToWhatItIsToldAndLooksForItsEvents) {
  Server server;
  auto const told = with_conversation(" {\"initial_user_msg\":\"hi\",\n\"conversation_id\":\"other\"} ");
  ASSERT_TRUE(server.begin("c1", told, Dialect::older));
  EXPECT_THAT(server.scripted.lines(), ElementsAre("POST /api/conversations", "GET /api/conversations/c1/events?limit=1"));
  EXPECT_EQ(server.scripted.requests()[0].body,
            "{\"initial_user_msg\":\"hi\",\n\"conversation_id\":\"other\",\"conversation_id\":\"c1\"}")
      << "the last one counts";
  EXPECT_EQ(server.scripted.requests()[0].value("x-session-api-key"), "key");
}

TEST(BeginConversation, OfAnOlderServerIsABareCallWhenThereIsNothingToTell) {
  for (auto const* nothing : {"", "{}", " { } "}) {
    Server server;
    ASSERT_TRUE(server.begin("c1", with_conversation(nothing), Dialect::older));
    EXPECT_EQ(server.scripted.requests().at(0).body, R"({"conversation_id":"c1"})");
  }
}

TEST(BeginConversation, OfAnAgentServerIsMadeOnlyWhenAskedFor) {
  constexpr auto id = "0123456789abcdef0123456789abcdef";
  Server server;
  EXPECT_TRUE(server.begin(id, Configuration{}, Dialect::agent_server));
  EXPECT_TRUE(server.begin(id, Configuration{}, Dialect::unknown));
  EXPECT_TRUE(server.scripted.requests().empty());
  ASSERT_TRUE(server.begin(id, with_conversation(R"({"agent":{}})"), Dialect::agent_server));
  EXPECT_THAT(server.scripted.lines(), ElementsAre("POST /api/conversations"));
  EXPECT_EQ(server.scripted.requests()[0].body, R"({"agent":{},"conversation_id":"01234567-89ab-cdef-0123-456789abcdef"})");
}

TEST(BeginConversation, TakesOneThatExistsAlreadyAsSuccess) {
  Server server;
  server.scripted.on("POST /api/conversations", {400, R"({"status":"error","message":"Conversation already exists"})"});
  EXPECT_TRUE(server.begin("c1", {}, Dialect::older));
}

TEST(BeginConversation, SaysWhyTheServerWillNotHaveIt) {
  Server server;
  server.scripted.on(
      "POST /api/conversations",
      {400, R"({"status":"error","message":"Settings not found","msg_id":"CONFIGURATION$SETTINGS_NOT_FOUND"})"});
  auto const done = server.begin("c1", {}, Dialect::older);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().fault.kind, FaultKind::bad_input);
  EXPECT_EQ(done.error().reason, "conversation: the server answered 400: Settings not found");
  EXPECT_EQ(server.scripted.requests().size(), 1U);
  auto const no_object = server.begin("c1", with_conversation("[1]"), Dialect::older);
  ASSERT_FALSE(no_object);
  EXPECT_EQ(no_object.error().reason, "conversation: not a JSON object");
}

// Loses its first answer, having made the conversation or not.
ScriptedServer::Script losing_the_first(std::string known) {
  return [known = std::move(known), is_first = true](Request const& request) mutable {
    if (request.method == "POST" && std::exchange(is_first, false)) return Reply{0, ""};
    return request.target == "/api/conversations/c1" ? Reply{200, known} : Reply{};
  };
}

TEST(BeginConversation, IsNotRepeatedWhenTheServerMadeItAlthoughTheAnswerWasLost) {
  Server server(losing_the_first(R"({"conversation_id":"c1"})"));
  ASSERT_TRUE(server.begin("c1", {}, Dialect::older));
  EXPECT_THAT(server.scripted.lines(), ElementsAre("POST /api/conversations", "GET /api/conversations/c1",
                                                   "GET /api/conversations/c1/events?limit=1"));
}

TEST(BeginConversation, IsRepeatedWhenTheServerDoesNotKnowIt) {
  Server lost(losing_the_first(" null\n"));
  ASSERT_TRUE(lost.begin("c1", {}, Dialect::older));
  EXPECT_THAT(lost.scripted.lines(), ElementsAre("POST /api/conversations", "GET /api/conversations/c1",
                                                 "POST /api/conversations", "GET /api/conversations/c1/events?limit=1"));
  Server busy([left = 2](Request const& request) mutable {
    if (request.target == "/api/conversations/c1") return Reply{404, ""};
    return request.method == "POST" && left-- > 0 ? Reply{429, "", "Retry-After: 0\r\n"} : Reply{};
  });
  EXPECT_TRUE(busy.begin("c1", {}, Dialect::older));
}

TEST(BeginConversation, IsNotRepeatedWhenTheServerSaysNotWhen) {
  Server server;
  server.scripted.on("POST /api/conversations", Reply{429, ""});  // too many runs (agent_server_live.md 3)
  EXPECT_FALSE(server.begin("c1", with_conversation("{}"), Dialect::unknown));
  EXPECT_EQ(server.scripted.requests().size(), 1U);
}

TEST(BeginConversation, LooksFiveTimesForTheEventsOfAnOlderServerAndThenGoesOn) {
  Server slow([left = 3](Request const& request) mutable {
    return request.method == "GET" && left-- > 0 ? Reply{500, ""} : Reply{};
  });
  ASSERT_TRUE(slow.begin("c1", {}, Dialect::older));
  EXPECT_EQ(slow.scripted.requests().size(), 1U + 4U);
  Server never;
  never.scripted.on("GET /api/conversations/c1/events", Reply{500, ""});
  ASSERT_TRUE(never.begin("c1", {}, Dialect::older));
  EXPECT_EQ(never.scripted.requests().size(), 1U + 5U);
}

TEST(StatusOfAServer, IsReadInEitherDialect) {
  constexpr auto id = "01234567-89ab-cdef-0123-456789abcdef";
  Server server;
  server.scripted.on("GET /api/conversations/" + std::string(id),
                     {200, R"({"status":"RUNNING","runtime_status":"STATUS$READY","execution_status":"paused"})"});
  server.scripted.on("GET /api/conversations", {200, R"([{"execution_status":"running","status":"RUNNING"}])"});
  server.scripted.on("GET /server_info", {200, R"({"uptime":9.5,"idle_time":7.9})"});
  auto const older = server.status(id, Dialect::older);
  EXPECT_EQ(older.conversation, "RUNNING");
  EXPECT_EQ(older.runtime, "STATUS$READY");
  EXPECT_EQ(older.idle_for, 7s);
  EXPECT_EQ(server.status(id, Dialect::agent_server).conversation, "running");
  EXPECT_EQ(server.scripted.requests()[2].target, "/api/conversations?ids=" + std::string(id));
  EXPECT_EQ(server.status(id, Dialect::unknown).conversation, "paused");
}

TEST(StatusOfAServer, OfAConversationThatItDoesNotKnowIsEmpty) {
  Server server;
  server.scripted.on("GET /api/conversations/c1", {200, "null"});
  EXPECT_EQ(server.status("c1", Dialect::older).conversation, "");
  server.scripted.on("GET /api/conversations/c1", {404, ""});
  EXPECT_EQ(server.status("c1", Dialect::unknown).conversation, "");
  EXPECT_EQ(server.status("c1", Dialect::agent_server).conversation, "") << "it has only UUIDs, so it is not asked";
  EXPECT_FALSE(server.status("c1", Dialect::older).idle_for);
}

TEST(StatusOfAServer, FailsForAnyOtherAnswer) {
  for (Reply const& reply : {Reply{500, ""}, Reply{200, "[]"}, Reply{200, "7"}, Reply{200, "<html>"}, Reply{0, ""}}) {
    Server server;
    server.scripted.on("GET /api/conversations/c1", reply);
    auto const status = server.control.run(server.client.status(id_of("c1"), Dialect::older, Deadline::in(patience)));
    EXPECT_FALSE(status) << reply.body;
  }
}

TEST(SendEvent, GoesToTheConversationsOwnEventsOnceAndGivesTheAnswer) {
  Server server;
  server.scripted.on("POST /api/conversations/c1/events", Reply{429, "busy", "Retry-After: 0\r\n"});
  auto const answer =
      server.control.run(server.client.send_event(id_of("c1"), R"({"action":"message"})", Deadline::in(patience)));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 429U);
  EXPECT_EQ(answer->body, "busy");
  EXPECT_THAT(server.scripted.lines(), ElementsAre("POST /api/conversations/c1/events"));
  EXPECT_EQ(server.scripted.requests()[0].body, R"({"action":"message"})");
}

TEST(GracefulStop, AsksTheConversationsOwnPathAndLooksUntilItHasStopped) {
  Server server([left = 2](Request const& request) mutable {
    if (request.method == "POST") return Reply{200, R"({"conversation_status":"RUNNING"})"};
    return Reply{200, left-- > 1 ? R"({"status":"RUNNING"})" : R"({"status":"STOPPED"})"};
  });
  EXPECT_TRUE(server.control.run(server.client.graceful_stop(id_of("c1"), Dialect::older, 1ms, Deadline::in(patience))));
  EXPECT_THAT(server.scripted.lines(),
              ElementsAre("POST /api/conversations/c1/stop", "GET /api/conversations/c1", "GET /api/conversations/c1"));
}

TEST(GracefulStop, LooksThreeTimesAtMost) {
  Server server;
  EXPECT_FALSE(server.control.run(server.client.graceful_stop(id_of("c1"), Dialect::older, 1ms, Deadline::in(patience))));
  EXPECT_EQ(server.scripted.requests().size(), 1U + 3U);
}

TEST(GracefulStop, IsNoFailureWhenTheServerIsNotThereOrHasNoSuchCall) {
  Server gone;
  gone.scripted.stop();
  EXPECT_FALSE(gone.control.run(gone.client.graceful_stop(id_of("c1"), Dialect::older, 1ms, Deadline::in(patience))));
  Server other;
  other.scripted.on("POST /api/conversations/c1/stop", Reply{404, ""});
  EXPECT_FALSE(other.control.run(other.client.graceful_stop(id_of("c1"), Dialect::unknown, 1ms, Deadline::in(patience))));
  EXPECT_EQ(other.scripted.requests().size(), 1U);
  EXPECT_FALSE(
      other.control.run(other.client.graceful_stop(id_of("c1"), Dialect::agent_server, 1ms, Deadline::in(patience))));
  EXPECT_EQ(other.scripted.requests().size(), 1U) << "an agent server pauses at SIGTERM";
}

}  // namespace
}  // namespace nestgate::nested
