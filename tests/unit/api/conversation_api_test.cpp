#include <gtest/gtest.h>

#include "support/gate.hpp"
#include "unit/api/api_fixture.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using namespace test;

class ConversationCalls : public Api {
 protected:
  // The settings of a start, and a stop, are answered only once `gate` is open.
  ConversationCalls()
      : slow_([this](Request const& request) {
          if (request.target.starts_with("/api/settings") || request.target.ends_with("/stop")) gate.pass();
          return Reply{};
        }) {}

  ~ConversationCalls() override { gate.open(); }

  Answered begin_slow_start(std::string const& id) {
    provider->use(slow_.endpoint());
    return ask(Method::post, "/api/conversations?wait=false", alice,
               R"({"conversation_id":")" + id + R"(","settings":{"a":1}})");
  }
  std::string next_of(Answered const& answer) { return control.run(answer.stream->next()); }
  std::size_t calls_of(std::string const& line) const {
    auto const lines = nested.lines();
    return static_cast<std::size_t>(std::count(lines.begin(), lines.end(), line));
  }
  std::string body_of_last(std::string const& line) const {
    std::string out;
    for (auto const& request : nested.requests())
      if (request.line() == line) out = request.body;
    return out;
  }

  test::Gate gate;
  ScriptedServer slow_;
};

TEST_F(ConversationCalls, AnswerAStartThatNobodyWaitsForWhileItGoesOn) {
  auto const begun = begin_slow_start("c1");
  EXPECT_EQ(begun.status, 202U) << begun.body;
  EXPECT_EQ(begun.at("/status"), "STARTING");
  EXPECT_EQ(begun.at("/session_api_key"), "null");
  EXPECT_EQ(ask(Method::get, "/api/conversations/c1").at("/status"), "STARTING");
  gate.open();
  EXPECT_EQ(start("c1").status, 200U) << "it joins";
  EXPECT_EQ(ask(Method::post, "/api/conversations?wait=false", alice, R"({"conversation_id":"c1"})").status, 200U)
      << "it runs: there is nothing to wait for";
}

TEST_F(ConversationCalls, TakeThePreferenceForAnAnswerAtOnce) {
  provider->use(slow_.endpoint());
  auto request =
      request_for(Method::post, "/api/conversations", {alice, {}, R"({"conversation_id":"c1","settings":{"a":1}})"});
  request.prefer = "handling=lenient, Respond-Async; x=1,";
  EXPECT_EQ(ask(std::move(request)).status, 202U);
  gate.open();
  auto other = request_for(Method::post, "/api/conversations", {alice, {}, R"({"conversation_id":"c2"})"});
  other.prefer = "no-respond-async, wait=10,";
  EXPECT_EQ(ask(std::move(other)).status, 201U);
}

TEST_F(ConversationCalls, FollowAStartToItsEnd) {
  ASSERT_EQ(begin_slow_start("c1").status, 202U);
  auto const followed = ask(Method::get, "/api/conversations/c1/progress");
  EXPECT_EQ(followed.status, 200U);
  EXPECT_EQ(followed.content_type, "text/event-stream");
  auto const first = next_of(followed);
  EXPECT_TRUE(first.starts_with("event: state\nid: ")) << first;
  EXPECT_NE(first.find(R"("state":"STARTING")"), first.npos) << first;
  gate.open();
  std::string last, event;
  while (!(event = next_of(followed)).empty()) last = event;
  EXPECT_NE(last.find(R"("state":"RUNNING")"), last.npos) << last;
  EXPECT_EQ(next_of(followed), "") << "the end is the end";
}

TEST_F(ConversationCalls, TellWhyAStartThatIsFollowedFailed) {
  nested.on("POST /api/settings", {500, ""});
  ask(Method::post, "/api/conversations", alice, R"({"conversation_id":"c1","settings":{"a":1}})");
  auto const followed = ask(Method::get, "/api/conversations/c1/progress");
  auto const only = next_of(followed);
  EXPECT_NE(only.find(R"("state":"ERROR","progress":null,"reason":"settings: the server answered 500")"), only.npos) << only;
  EXPECT_EQ(next_of(followed), "");
}

TEST_F(ConversationCalls, EndTheProgressOfWhatWasRemoved) {
  ASSERT_EQ(begin_slow_start("c1").status, 202U);
  auto const followed = ask(Method::get, "/api/conversations/c1/progress");
  ASSERT_FALSE(next_of(followed).empty());
  gate.open();
  ASSERT_EQ(ask(Method::delete_, "/api/conversations/c1").status, 204U);
  std::string event;
  do event = next_of(followed);
  while (!event.empty());
  EXPECT_EQ(ask(Method::get, "/api/conversations/c1/progress").status, 404U);
}

TEST_F(ConversationCalls, ShowAnOldManagersClientWhatItReads) {
  publisher.used.push_back({ConversationId::parse("c1").value(), Clock::now(), Clock::now(), 3});
  ASSERT_EQ(start("c1").status, 201U);
  auto const shown = ask(Method::get, "/api/conversations/c1");
  EXPECT_EQ(shown.at("/event_store/url"), "http://gateway:8080/runtime/c1/api/conversations/c1");
  EXPECT_EQ(shown.at("/event_store/user_id"), "alice");
  EXPECT_EQ(shown.at("/title"), "null");
  EXPECT_EQ(shown.at("/pr_number"), "[]");
  EXPECT_EQ(shown.at("/conversation_version"), "V0");
  EXPECT_EQ(shown.at("/num_connections"), "3");
  EXPECT_EQ(shown.at("/purpose"), "conversation");
}

TEST_F(ConversationCalls, PauseAndResume) {
  ASSERT_EQ(start("c1").status, 201U);
  auto const paused = ask(Method::post, "/api/conversations/c1/pause");
  EXPECT_EQ(paused.status, 200U) << paused.body;
  EXPECT_EQ(paused.at("/status"), "PAUSED");
  EXPECT_EQ(paused.at("/session_api_key"), "null");
  auto const resumed = ask(Method::post, "/api/conversations/c1/resume");
  EXPECT_EQ(resumed.status, 200U) << resumed.body;
  EXPECT_EQ(resumed.at("/status"), "RUNNING");
  EXPECT_EQ(ask(Method::post, "/api/conversations/c1/pause", bob).status, 404U);
}

TEST_F(ConversationCalls, AnswerAStopThatNobodyWaitsForWhileItGoesOn) {
  ASSERT_EQ(begin_slow_start("c1").status, 202U);
  gate.open();
  ASSERT_EQ(start("c1").status, 200U);
  gate.close();
  auto const stopping = ask(Method::post, "/api/conversations/c1/stop?wait=false");
  EXPECT_EQ(stopping.status, 202U) << stopping.body;
  EXPECT_EQ(stopping.at("/status"), "STOPPING");
  gate.open();
  wait_for("c1", conversation::RuntimeState::stopped);
}

TEST_F(ConversationCalls, PauseBehindItsStartWhatNobodyWaitsFor) {
  ASSERT_EQ(begin_slow_start("c1").status, 202U);
  auto const pausing = ask(Method::post, "/api/conversations/c1/pause?wait=false");
  EXPECT_EQ(pausing.status, 202U) << pausing.body;
  EXPECT_EQ(pausing.at("/status"), "STARTING");
  gate.open();
  wait_for("c1", conversation::RuntimeState::paused);
}

TEST_F(ConversationCalls, StopWhatIsBeingPausedAlsoWhenNobodyWaits) {
  ASSERT_EQ(start("c1").status, 201U);
  Timer held(control.executor(), Clock::time_point::max());
  provider->before_pause = [&held](ConversationId) -> Task<> {
    [[maybe_unused]] auto [ec] = co_await held.async_wait(no_throw);
  };
  ASSERT_EQ(ask(Method::post, "/api/conversations/c1/pause?wait=false").status, 202U);
  EXPECT_EQ(ask(Method::post, "/api/conversations/c1/stop?wait=false").status, 202U);
  held.cancel();
  wait_for("c1", conversation::RuntimeState::stopped);
}

TEST_F(ConversationCalls, AnswerAResumeThatNobodyWaitsForWhileItGoesOn) {
  ASSERT_EQ(begin_slow_start("c1").status, 202U);
  gate.open();
  ASSERT_EQ(start("c1").status, 200U);
  ASSERT_EQ(ask(Method::post, "/api/conversations/c1/stop").status, 200U);
  gate.close();
  auto const resumed = ask(Method::post, "/api/conversations/c1/resume?wait=false");
  EXPECT_EQ(resumed.status, 202U) << resumed.body;
  EXPECT_EQ(resumed.at("/status"), "STARTING");
  gate.open();
  EXPECT_EQ(ask(Method::post, "/api/conversations/c1/resume").at("/status"), "RUNNING");
}

TEST_F(ConversationCalls, SayWhatCannotBeAlsoWhenNobodyWaits) {
  ASSERT_EQ(ask(Method::put, "/api/routes/s1", ops, R"({"url":"http://127.0.0.1:9001"})").status, 200U);
  auto const refused = ask(Method::post, "/api/conversations/s1/stop?wait=false", ops);
  EXPECT_EQ(refused.status, 409U) << "somebody else runs it: " << refused.body;
}

// Behind a public address that the gateway itself could not call.
class PublicConversations : public Api {
 protected:
  PublicConversations() : Api(soon_asked()) {}
  static conversation::ManagerSettings soon_asked() {
    conversation::ManagerSettings settings;
    settings.status_age_max = std::chrono::milliseconds(1);
    return settings;
  }
  Answered ask_in_public(Method method, std::string path, std::string body = {}) {
    auto request = request_for(method, std::move(path), {alice, {}, std::move(body)});
    request.origin = "https://public.example";
    return ask(std::move(request));
  }
};

TEST_F(PublicConversations, AreShownByTheirPublicUrlAndCalledAtTheirOwnAddress) {
  nested.on("GET /api/conversations/c1", {200, R"({"status":"RUNNING","runtime_status":"STATUS$SETTING_UP_WORKSPACE"})"});
  nested.on("POST /api/conversations/c1/events", {200, R"({"success":true})"});
  auto const made =
      ask_in_public(Method::post, "/api/conversations", R"({"conversation_id":"c1","settings":{"llm_model":"m"}})");
  ASSERT_EQ(made.status, 201U) << made.body;
  EXPECT_EQ(made.at("/url"), "https://public.example/runtime/c1");
  EXPECT_EQ(ask_in_public(Method::get, "/api/conversations/c1").at("/url"), made.at("/url")) << "one URL, whoever says it";
  control.run_until([this] {
    return manager->find(*ConversationId::parse("c1"))->nested_status.runtime == "STATUS$SETTING_UP_WORKSPACE";
  });
  auto const shown = ask_in_public(Method::get, "/api/conversations/c1");
  EXPECT_EQ(shown.at("/runtime_status"), "STATUS$SETTING_UP_WORKSPACE");
  EXPECT_EQ(ask_in_public(Method::post, "/api/conversations/c1/events", "{}").status, 200U);
  for (auto const& request : nested.requests())
    EXPECT_EQ(request.value("host"), "127.0.0.1:" + std::to_string(nested.port())) << request.line();
}

TEST_F(ConversationCalls, SendAnEventAndPassTheServersAnswerOn) {
  ASSERT_EQ(start("c1").status, 201U);
  nested.on("POST /api/conversations/c1/events", {200, R"({"success":true})"});
  auto const sent = ask(Method::post, "/api/conversations/c1/events", alice, R"({"action":"message"})");
  EXPECT_EQ(sent.status, 200U);
  EXPECT_EQ(sent.body, R"({"success":true})");
  EXPECT_EQ(body_of_last("POST /api/conversations/c1/events"), R"({"action":"message"})");
  nested.on("POST /api/conversations/c1/events", {422, R"({"detail":"no"})"});
  EXPECT_EQ(ask(Method::post, "/api/conversations/c1/events", alice, "{}").status, 422U);
  for (auto const* body : {"", "[]", "{", "\"x\""})
    EXPECT_EQ(ask(Method::post, "/api/conversations/c1/events", alice, body).status, 400U) << body;
  EXPECT_EQ(calls_of("POST /api/conversations/c1/events"), 2U);
}

TEST_F(ConversationCalls, WakeAConversationForAnEvent) {
  ASSERT_EQ(start("c1").status, 201U);
  ASSERT_EQ(ask(Method::post, "/api/conversations/c1/pause").status, 200U);
  EXPECT_EQ(ask(Method::post, "/api/conversations/c1/events", alice, "{}").status, 200U);
  EXPECT_EQ(ask(Method::get, "/api/conversations/c1").at("/status"), "RUNNING");
}

TEST_F(ConversationCalls, HoldAnEventForAConversationThatStarts) {
  gate.close();
  ASSERT_EQ(begin_slow_start("c1").status, 202U);
  std::optional<unsigned> status;
  auto const send = [](proxy::OwnRoutes& routes, proxy::ApiRequest request, std::optional<unsigned>& out) -> Task<> {
    auto const response = co_await routes.handle(std::move(request));
    out = response.status;
  };
  TaskGroup sending(control.executor());
  sending.spawn("send", send(*api, request_for(Method::post, "/api/conversations/c1/events", {alice, {}, "{}"}), status));
  auto const shown = ask(Method::get, "/api/conversations/c1");
  EXPECT_EQ(shown.at("/status"), "STARTING");
  EXPECT_FALSE(status) << *status;
  gate.open();
  control.run_until([&] { return status.has_value(); });
  EXPECT_EQ(status, 200U);
}

TEST_F(ConversationCalls, RefuseToWaitSomehow) {
  for (auto const* path : {"/api/conversations", "/api/conversations/c1/stop"}) {
    auto const refused = ask(Method::post, std::string(path) + "?wait=zz", alice, "{}");
    EXPECT_EQ(refused.status, 400U) << path;
    EXPECT_EQ(refused.at("/error/message"), "wait: must be true or false");
  }
}

class ConversationsWithinAQuota : public Api {
 protected:
  ConversationsWithinAQuota() : Api(one_each()) {}

 private:
  static conversation::ManagerSettings one_each() {
    conversation::ManagerSettings settings;
    settings.quota.of_owner = 1;
    return settings;
  }
};

TEST_F(ConversationsWithinAQuota, AnswerAnEventThatCannotWakeAsTheStartThatItWouldBe) {
  ASSERT_EQ(start("c1").status, 201U);
  ASSERT_EQ(ask(Method::post, "/api/conversations/c1/pause").status, 200U);
  ASSERT_EQ(start("c2").status, 201U);
  auto const resumed = ask(Method::post, "/api/conversations/c1/resume");
  EXPECT_EQ(resumed.status, 429U);
  auto const sent = ask(Method::post, "/api/conversations/c1/events", alice, "{}");
  EXPECT_EQ(sent.status, 429U);
  EXPECT_EQ(sent.body, resumed.body);
  EXPECT_EQ(sent.at("/detail/error"), "CONCURRENCY_LIMIT_REACHED");
  ASSERT_EQ(ask(Method::post, "/api/conversations/c1/stop").status, 200U);
  auto const stopped = ask(Method::post, "/api/conversations/c1/events", alice, "{}");
  EXPECT_EQ(stopped.status, 503U) << "nothing was tried: " << stopped.body;
  EXPECT_EQ(stopped.at("/error/message"), "the conversation is stopped");
}

TEST_F(ConversationCalls, ConfigureOneThatRunsAnew) {
  ASSERT_EQ(start("c1").status, 201U);
  auto const changed =
      ask(Method::patch, "/api/conversations/c1", alice, R"({"settings":{"llm_model":"m2"},"secrets":{"A":"v"}})");
  EXPECT_EQ(changed.status, 200U) << changed.body;
  EXPECT_EQ(body_of_last("POST /api/settings"), R"({"llm_model":"m2"})");
  EXPECT_EQ(ask(Method::patch, "/api/conversations/c1", alice, R"({"title":"x"})").status, 400U);
  ASSERT_EQ(ask(Method::post, "/api/conversations/c1/stop").status, 200U);
  EXPECT_EQ(ask(Method::patch, "/api/conversations/c1", alice, R"({"settings":{"a":1}})").status, 409U);
}

TEST_F(ConversationCalls, WithdrawItsKey) {
  auto const old_key = start("c1").at("/session_api_key");
  auto const withdrawn = ask(Method::post, "/api/conversations/c1/session-key/revoke");
  EXPECT_EQ(withdrawn.status, 200U) << withdrawn.body;
  EXPECT_NE(withdrawn.at("/session_api_key"), "null");
  EXPECT_NE(withdrawn.at("/session_api_key"), old_key);
  EXPECT_EQ(ask(Method::get, "/api/conversations/c1").at("/session_api_key"), withdrawn.at("/session_api_key"));
}

TEST_F(ConversationCalls, ShowTheNewestOfTheLog) {
  ASSERT_EQ(start("c1").status, 201U);
  provider->said = "one\ntwo\n";
  auto const log = ask(Method::get, "/api/conversations/c1/log");
  EXPECT_EQ(log.status, 200U);
  EXPECT_EQ(log.content_type, "text/plain; charset=utf-8");
  EXPECT_EQ(log.body, "one\ntwo\n");
  EXPECT_EQ(ask(Method::get, "/api/conversations/c1/log?bytes=4").body, "two\n");
  for (auto const* bytes : {"0", "1048577", "x"})
    EXPECT_EQ(ask(Method::get, std::string("/api/conversations/c1/log?bytes=") + bytes).status, 400U) << bytes;
}

TEST_F(ConversationCalls, ListByStatusPurposeAndOwner) {
  for (auto const* id : {"c1", "c2"}) ASSERT_EQ(start(id).status, 201U);
  ASSERT_EQ(start("b1", bob).status, 201U);
  ASSERT_EQ(ask(Method::post, "/api/conversations/c1/stop").status, 200U);
  auto const stopped = ask(Method::get, "/api/conversations?status=stopped");
  EXPECT_EQ(stopped.at("/results/0/id"), "c1");
  EXPECT_EQ(stopped.at("/results/1"), "(none)");
  EXPECT_EQ(ask(Method::get, "/api/conversations?status=RUNNING").at("/results/0/id"), "c2");
  EXPECT_EQ(ask(Method::get, "/api/conversations?purpose=sandbox").at("/results"), "[]");
  auto const of_bob = ask(Method::get, "/api/conversations?owner=bob", ops);
  EXPECT_EQ(of_bob.at("/results/0/id"), "b1");
  EXPECT_EQ(of_bob.at("/results/1"), "(none)");
  EXPECT_EQ(ask(Method::get, "/api/conversations?owner=alice").status, 200U) << "oneself";
  EXPECT_EQ(ask(Method::get, "/api/conversations?owner=bob").status, 403U);
  for (auto const* query : {"status=UP", "purpose=fun", "limit=1001"})
    EXPECT_EQ(ask(Method::get, std::string("/api/conversations?") + query).status, 400U) << query;
}

class LimitedConversations : public Api {
 protected:
  LimitedConversations() : Api(one_for_each()) {}

 private:
  static conversation::ManagerSettings one_for_each() {
    conversation::ManagerSettings settings;
    settings.quota.of_owner = 1;
    return settings;
  }
};

TEST_F(LimitedConversations, SayWhichLimitIsMetInBothShapes) {
  ASSERT_EQ(start("c1").status, 201U);
  auto const refused = start("c2");
  EXPECT_EQ(refused.status, 429U) << refused.body;
  EXPECT_EQ(refused.at("/detail/error"), "CONCURRENCY_LIMIT_REACHED");
  EXPECT_EQ(refused.at("/detail/limit"), "1");
  EXPECT_EQ(refused.at("/detail/current"), "1");
  EXPECT_EQ(refused.at("/error/code"), "limit_reached");
  EXPECT_EQ(refused.at("/error/request_id"), "req-1");
  EXPECT_EQ(start("b1", bob).status, 201U) << "each owner has their own";
}

}  // namespace
}  // namespace nestgate::api
