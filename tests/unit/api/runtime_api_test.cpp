#include <gtest/gtest.h>

#include <algorithm>

#include "unit/api/whole_api.hpp"

namespace nestgate::api {
namespace {

using conversation::RuntimeState;
using http::Method;

class RuntimeApi : public test::WholeApi {
 protected:
  explicit RuntimeApi(Settings settings = {}, conversation::ManagerSettings manager_settings = {})
      : WholeApi(std::move(settings), manager_settings) {}

  test::Answered start(std::string const& session, identity::Principal const& by = test::alice) {
    return ask(Method::post, "/start", by, R"({"session_id":")" + session + R"(","image":"i","command":"server --port 1"})");
  }
  test::Answered running(std::string const& session, identity::Principal const& by = test::alice) {
    auto made = start(session, by);
    EXPECT_EQ(made.status, 200U) << made.body;
    wait_for(session, RuntimeState::running);
    return made;
  }
  test::Answered tell(std::string const& verb, std::string const& runtime_id, identity::Principal const& by = test::alice) {
    return ask(Method::post, verb, by, R"({"runtime_id":")" + runtime_id + "\"}");
  }
  test::Answered session(std::string const& id, identity::Principal const& by = test::alice) {
    return ask(Method::get, "/sessions/" + id, by);
  }
};

TEST_F(RuntimeApi, StartsAtOnceWithAKeyThatStays) {
  nested.on("GET /alive", {503, ""});
  auto const made = start("agent-server-1");
  ASSERT_EQ(made.status, 200U) << made.body;
  EXPECT_EQ(made.at("/status"), "starting");
  EXPECT_EQ(made.at("/pod_status"), "pending");
  EXPECT_EQ(made.at("/url"), "http://gateway:8080") << "never with a path";
  EXPECT_EQ(made.at("/work_hosts"), "{}");
  nested.on("GET /alive", {200, R"({"status":"ok"})"});
  wait_for("agent-server-1", RuntimeState::running);
  auto const shown = session("agent-server-1");
  EXPECT_EQ(shown.at("/status"), "running");
  EXPECT_EQ(shown.at("/pod_status"), "ready");
  EXPECT_EQ(shown.at("/session_api_key"), provider->keys.at(0));
  EXPECT_EQ(made.at("/session_api_key"), provider->keys.at(0)) << "known from the start";
  EXPECT_EQ(shown.at("/runtime_id"), made.at("/runtime_id"));
  ASSERT_EQ(provider->wishes.size(), 1U);
  EXPECT_EQ(provider->wishes[0].image, "i");
  EXPECT_TRUE(provider->wishes[0].command.empty()) << "it names a port that only the provider knows";
}

TEST_F(RuntimeApi, TakesTheKeyOfItsAnswerAlsoWhereTheProviderGivesAnother) {
  provider->own_key = "the provider's own";
  auto const made = running("s1");
  auto const& accepted = publisher.last->accepted_keys;
  auto const accepts = [&](std::string_view key) {
    return std::any_of(accepted.begin(), accepted.end(), [key](Secret const& one) { return one.equals(key); });
  };
  EXPECT_TRUE(accepts(made.at("/session_api_key")));
  EXPECT_TRUE(accepts("the provider's own"));
  EXPECT_TRUE(publisher.last->session_key.equals("the provider's own")) << "what the server is sent";
}

TEST_F(RuntimeApi, JoinsASessionThatIsThere) {
  auto const made = running("s1");
  auto const again = start("s1");
  EXPECT_EQ(again.status, 200U);
  EXPECT_EQ(again.at("/runtime_id"), made.at("/runtime_id"));
  EXPECT_EQ(provider->keys.size(), 1U) << "one runtime";
  EXPECT_EQ(start("s1", test::bob).status, 409U);
}

TEST_F(RuntimeApi, ShowsSessionsToWhomTheyBelong) {
  running("s1");
  EXPECT_EQ(session("s1", test::bob).status, 404U);
  EXPECT_EQ(session("s2").status, 404U);
  EXPECT_EQ(session("s2").body, session("s1", test::bob).body);
  auto const readiness = ask(Method::get, "/runtime/s1");
  EXPECT_EQ(readiness.body, R"({"runtime_id":"s1","pod_status":"ready","restart_count":0,"restart_reasons":[]})");
  EXPECT_EQ(ask(Method::get, "/runtime/s1", test::bob).status, 404U);
}

TEST_F(RuntimeApi, ListsWhatWasStartedThroughItOnly) {
  running("s1");
  running("s2", test::bob);
  ASSERT_EQ(ask(Method::post, "/api/conversations", test::alice, R"({"conversation_id":"c1"})").status, 201U);
  auto const list = ask(Method::get, "/list");
  EXPECT_EQ(list.at("/runtimes/0/session_id"), "s1");
  EXPECT_EQ(list.at("/runtimes/1"), "(none)");
  auto const batch = ask(Method::get, "/sessions/batch?ids=s2&ids=s1&ids=nobody&ids=c1");
  EXPECT_EQ(batch.at("/0/session_id"), "s1");
  EXPECT_EQ(batch.at("/1/session_id"), "c1") << "sessions are conversations";
  EXPECT_EQ(batch.at("/2"), "(none)");
}

TEST_F(RuntimeApi, ShowsAThousandSessionsAtATime) {
  std::string query = "?ids=a";
  for (int i = 1; i < 1'000; ++i) query += "&ids=a";
  EXPECT_EQ(ask(Method::get, "/sessions/batch" + query).status, 200U);
  EXPECT_EQ(ask(Method::get, "/sessions/batch" + query + "&ids=a").status, 400U);
}

TEST_F(RuntimeApi, PausesAndResumes) {
  provider->pauses = true;
  auto const key = running("s1").at("/session_api_key");
  EXPECT_EQ(tell("/pause", "s1").status, 200U);
  EXPECT_EQ(tell("/pause", "s1").status, 200U);
  auto const paused = session("s1");
  EXPECT_EQ(paused.at("/status"), "paused");
  EXPECT_EQ(paused.at("/session_api_key"), key) << "clients read it before they resume, and never again";
  EXPECT_EQ(tell("/resume", "s1").status, 200U);
  wait_for("s1", RuntimeState::running);
  EXPECT_EQ(tell("/resume", "s1").status, 200U);
  EXPECT_EQ(session("s1").at("/pod_status"), "ready");
}

TEST_F(RuntimeApi, ForgetsWhatItStartedAndOnlyStopsTheRest) {
  running("s1");
  EXPECT_EQ(tell("/stop", "s1").status, 200U);
  EXPECT_EQ(session("s1").status, 404U);
  EXPECT_EQ(tell("/stop", "s1").status, 404U);
  ASSERT_EQ(ask(Method::post, "/api/conversations", test::alice, R"({"conversation_id":"c1"})").status, 201U);
  EXPECT_EQ(tell("/stop", "c1").status, 200U);
  EXPECT_EQ(session("c1").at("/status"), "stopped") << "its files are not this client's to remove";
}

TEST_F(RuntimeApi, KnowsNothingOfAnothersRuntimes) {
  running("s1");
  for (std::string const verb : {"/stop", "/pause", "/resume"}) {
    EXPECT_EQ(tell(verb, "s1", test::bob).status, 404U) << verb;
    EXPECT_EQ(tell(verb, "nobody").status, 404U) << verb;
    EXPECT_EQ(ask(Method::post, verb, test::alice, "{}").status, 422U) << verb;
  }
  EXPECT_EQ(session("s1").at("/status"), "running");
}

TEST_F(RuntimeApi, SaysWhyAStartFailed) {
  provider->refusal = upstream::Failure{Fault{FaultKind::internal}, "create: no such image"};
  EXPECT_EQ(start("s1").status, 200U);
  wait_for("s1", RuntimeState::error);
  auto const shown = session("s1");
  EXPECT_EQ(shown.at("/status"), "error");
  EXPECT_EQ(shown.at("/pod_status"), "failed");
  EXPECT_NE(shown.at("/restart_reasons/0").find("no such image"), std::string::npos) << shown.body;
}

TEST_F(RuntimeApi, CountsWhatEndedByItselfAndWasStartedAgain) {
  running("s1");
  EXPECT_EQ(session("s1").at("/restart_count"), "0");
  for (int life = 1; life <= 10; ++life) {
    provider->die(*ConversationId::parse("s1"), "exited with status " + std::to_string(life));
    wait_for("s1", RuntimeState::error);
    EXPECT_EQ(session("s1").at("/restart_count"), std::to_string(life - 1)) << "it was not started again yet";
    running("s1");
  }
  auto const shown = session("s1");
  EXPECT_EQ(shown.at("/restart_count"), "10");
  EXPECT_EQ(shown.at("/restart_reasons/0"), "the runtime exited with status 3") << "the newest eight";
  EXPECT_EQ(shown.at("/restart_reasons/7"), "the runtime exited with status 10");
  EXPECT_EQ(shown.at("/restart_reasons/8"), "(none)");
  EXPECT_EQ(ask(Method::get, "/runtime/s1").at("/restart_count"), "10");
}

TEST_F(RuntimeApi, CountsNoPauseOrResumeAsARestart) {
  provider->pauses = true;
  running("s1");
  EXPECT_EQ(tell("/pause", "s1").status, 200U);
  EXPECT_EQ(tell("/resume", "s1").status, 200U);
  wait_for("s1", RuntimeState::running);
  EXPECT_EQ(session("s1").at("/restart_count"), "0");
}

TEST_F(RuntimeApi, RefusesBodiesThatDoNotFit) {
  auto const refused = ask(Method::post, "/start", test::alice, R"({"image":"i"})");
  EXPECT_EQ(refused.status, 422U);
  EXPECT_EQ(refused.at("/detail/0/loc/1"), "session_id");
  EXPECT_EQ(ask(Method::post, "/start", test::alice, "x").status, 422U);
}

TEST_F(RuntimeApi, WantsAnApiKeyThatIsForIt) {
  EXPECT_EQ(ask(Method::get, "/list", std::nullopt).status, 401U);
  EXPECT_EQ(ask(Method::get, "/list", test::robot).status, 403U);
  EXPECT_EQ(ask(Method::get, "/start").status, 405U);
  EXPECT_EQ(ask(Method::get, "/sessions/a/b").status, 404U);
}

class LimitedRuntimeApi : public RuntimeApi {
 protected:
  LimitedRuntimeApi() : RuntimeApi(allowed(), limited()) {}
  static conversation::ManagerSettings limited() {
    conversation::ManagerSettings settings;
    settings.quota.of_owner = 1;
    return settings;
  }
  static Settings allowed() {
    Settings settings;
    settings.runtime.images = {"i", "j"};
    settings.runtime.registry_prefix = "ghcr.io/x";
    settings.runtime.command = RuntimeApiSettings::Command::of_client;
    return settings;
  }
};

TEST_F(RuntimeApi, AsksTheProviderForAnImageWhereItCanTell) {
  EXPECT_EQ(ask(Method::get, "/image_exists?image=i").at("/exists"), "true") << "it cannot tell, and any may be named";
  provider->images = {"i"};
  EXPECT_EQ(ask(Method::get, "/image_exists?image=i").at("/exists"), "true");
  EXPECT_EQ(ask(Method::get, "/image_exists?image=j").body, R"({"exists":false})");
  provider->refusal = upstream::Failure{Fault{FaultKind::unavailable}, "image: the engine is away"};
  auto const unknown = ask(Method::get, "/image_exists?image=i");
  EXPECT_EQ(unknown.status, 503U) << unknown.body;
}

TEST_F(LimitedRuntimeApi, AsksNobodyForAnImageThatMayNotBeNamed) {
  provider->images = {"i", "k"};
  EXPECT_EQ(ask(Method::get, "/image_exists?image=k").body, R"({"exists":false})");
  EXPECT_EQ(ask(Method::get, "/image_exists?image=j").body, R"({"exists":false})") << "named, and not there";
  EXPECT_EQ(ask(Method::get, "/image_exists?image=i").at("/exists"), "true");
  EXPECT_EQ(std::count(provider->calls.begin(), provider->calls.end(), "image k"), 0);
}

TEST_F(LimitedRuntimeApi, SaysWhichLimitWasMet) {
  running("s1");
  auto const refused = start("s2");
  EXPECT_EQ(refused.status, 429U) << refused.body;
  EXPECT_EQ(refused.at("/detail/error"), "CONCURRENCY_LIMIT_REACHED");
  EXPECT_EQ(refused.at("/detail/limit"), "1");
}

TEST_F(LimitedRuntimeApi, TakesTheClientsCommandWhereTheSettingsSaySo) {
  running("s1");
  EXPECT_EQ(provider->wishes.at(0).command, (std::vector<std::string>{"server", "--port", "1"}));
}

TEST_F(LimitedRuntimeApi, TakesImagesThatMayBeNamedOnly) {
  EXPECT_EQ(ask(Method::get, "/registry_prefix").body, R"({"registry_prefix":"ghcr.io/x"})");
  EXPECT_EQ(ask(Method::get, "/image_exists?image=j").at("/exists"), "true");
  EXPECT_EQ(ask(Method::get, "/image_exists?image=k").body, R"({"exists":false})");
  EXPECT_EQ(ask(Method::get, "/image_exists").status, 422U);
  EXPECT_EQ(ask(Method::post, "/start", test::alice, R"({"session_id":"s","image":"k"})").status, 422U);
}

TEST_F(LimitedRuntimeApi, HoldsUsersOfTheOtherApisToTheSameImages) {
  auto const refused = ask(Method::post, "/api/conversations", test::alice, R"({"conversation_id":"c1","image":"k"})");
  EXPECT_EQ(refused.status, 403U);
  EXPECT_EQ(refused.at("/error/message"), "image: is none of those that may be named here");
  EXPECT_TRUE(provider->wishes.empty());
  EXPECT_EQ(ask(Method::post, "/api/conversations", test::alice, R"({"conversation_id":"c1","image":"j"})").status, 201U);
  EXPECT_EQ(ask(Method::post, "/api/conversations", test::bob, R"({"conversation_id":"c2"})").status, 201U)
      << "which names none";
}

TEST_F(LimitedRuntimeApi, LetsAnAdminNameAnyImage) {
  EXPECT_EQ(ask(Method::get, "/image_exists?image=k", test::ops).at("/exists"), "true");
  EXPECT_EQ(ask(Method::post, "/start", test::ops, R"({"session_id":"s","image":"k"})").status, 200U);
  wait_for("s", RuntimeState::running);
  EXPECT_EQ(ask(Method::post, "/api/conversations", test::ops, R"({"conversation_id":"c1","image":"l"})").status, 201U);
}

}  // namespace
}  // namespace nestgate::api
