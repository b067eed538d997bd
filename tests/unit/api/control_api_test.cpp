#include <gtest/gtest.h>

#include "unit/api/api_fixture.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using namespace test;

std::string form_with_tarball(std::size_t bytes) {
  return "--B\r\nContent-Disposition: form-data; name=\"tarball\"\r\n\r\n" + std::string(bytes, 'x') + "\r\n--B--";
}

using ConversationRoutes = Api;
using RunRoutes = Api;

TEST_F(ConversationRoutes, StartAConversationAndAnswerWithItsKeyAndUrl) {
  auto const made = start("c1");
  EXPECT_EQ(made.status, 201U) << made.body;
  EXPECT_EQ(made.at("/conversation_id"), "c1");
  EXPECT_EQ(made.at("/id"), "c1");
  EXPECT_EQ(made.at("/status"), "RUNNING");
  EXPECT_EQ(made.at("/runtime_status"), "STATUS$READY");
  EXPECT_EQ(made.at("/url"), "http://gateway:8080/runtime/c1");
  EXPECT_EQ(made.at("/session_api_key"), provider->keys.at(0));
  EXPECT_NE(made.at("/created_at"), "(none)");
  EXPECT_EQ(start("c1").status, 200U) << "the id is known now";
}

TEST_F(ConversationRoutes, SayWhichStepFailedInTheGatewaysErrorShape) {
  nested.on("POST /api/settings", {500, ""});
  auto const failed = ask(Method::post, "/api/conversations", alice, R"({"conversation_id":"c1","settings":{"a":1}})");
  EXPECT_EQ(failed.status, 502U);
  EXPECT_EQ(failed.body,
            R"({"error":{"code":"upstream","message":"settings: the server answered 500","request_id":"req-1"}})");
  auto const shown = ask(Method::get, "/api/conversations/c1");
  EXPECT_EQ(shown.at("/status"), "ERROR");
  EXPECT_EQ(shown.at("/error"), "settings: the server answered 500");
  EXPECT_EQ(shown.at("/session_api_key"), "null");
}

TEST_F(ConversationRoutes, SayWhyTheServerWillNotHaveTheSettings) {
  nested.on("POST /api/settings", {400, R"({"error":"no such model"})"});
  auto const refused = ask(Method::post, "/api/conversations", alice, R"({"conversation_id":"c1","settings":{"a":1}})");
  EXPECT_EQ(refused.status, 422U);
  EXPECT_EQ(refused.at("/error/message"), "settings: the server answered 400: no such model");
}

TEST_F(ConversationRoutes, TellClientsToComeBackWhenAllIsInUse) {
  provider->refusal = upstream::Failure{Fault{FaultKind::overloaded}, "create: all 2 runtimes are in use"};
  auto const full = start("c1");
  EXPECT_EQ(full.status, 503U);
  EXPECT_EQ(full.headers.at(0), std::make_pair(std::string("Retry-After"), std::string("5")));
  EXPECT_EQ(ask(Method::get, "/api/conversations/c1").status, 404U) << "and leave nothing behind";
}

TEST_F(ConversationRoutes, RefuseBodiesThatDoNotFit) {
  auto const refused = ask(Method::post, "/api/conversations", alice, R"({"secrts":{}})");
  EXPECT_EQ(refused.status, 400U);
  EXPECT_EQ(refused.at("/error/code"), "bad_input");
  EXPECT_TRUE(refused.at("/error/message").starts_with("secrts: is no member of this body"));
}

TEST_F(ConversationRoutes, HideWhatBelongsToSomeoneElse) {
  ASSERT_EQ(start("c1").status, 201U);
  for (auto const method : {Method::get, Method::delete_}) {
    auto const hidden = ask(method, "/api/conversations/c1", bob);
    auto const unknown = ask(method, "/api/conversations/c2", bob);
    EXPECT_EQ(hidden.status, 404U);
    EXPECT_EQ(hidden.body, unknown.body);
  }
  EXPECT_EQ(ask(Method::post, "/api/conversations/c1/stop", bob).status, 404U);
  EXPECT_EQ(start("c1", bob).status, 409U);
  EXPECT_EQ(ask(Method::get, "/api/conversations/c1", ops).status, 200U);
}

TEST_F(ConversationRoutes, SayWhichMethodsTheyHave) {
  ASSERT_EQ(start("c1").status, 201U);
  struct Case {
    std::string path, allow;
  };
  for (auto const& [path, allow] :
       {Case{"/api/conversations", "GET, HEAD, POST"}, Case{"/api/automation/v1/runs", "GET, HEAD, POST"},
        Case{"/api/conversations/c1", "GET, HEAD, PATCH, DELETE"}, Case{"/api/conversations/c1/stop", "POST"}}) {
    auto const answer = ask(Method::put, path);
    EXPECT_EQ(answer.status, 405U) << path;
    EXPECT_EQ(answer.headers, (std::vector<std::pair<std::string, std::string>>{{"Allow", allow}})) << path;
  }
}

TEST_F(ConversationRoutes, NeedAKeyThatIsNotForAutomationsOnly) {
  EXPECT_EQ(ask(Method::get, "/api/conversations", std::nullopt).status, 401U);
  EXPECT_EQ(ask(Method::get, "/api/conversations", robot).status, 403U);
}

TEST_F(ConversationRoutes, ListOnesOwnByPagesNewestFirst) {
  for (auto const* id : {"c1", "c2", "c3"}) ASSERT_EQ(start(id).status, 201U);
  ASSERT_EQ(start("b1", bob).status, 201U);
  auto const first = ask(Method::get, "/api/conversations?limit=2");
  EXPECT_EQ(first.at("/results/0/id"), "c3");
  EXPECT_EQ(first.at("/results/1/id"), "c2");
  EXPECT_EQ(first.at("/results/2"), "(none)");
  ASSERT_EQ(ask(Method::delete_, "/api/conversations/c2").status, 204U) << "the page's last one goes";
  auto const second = ask(Method::get, "/api/conversations?limit=2&page_id=" + first.at("/next_page_id"));
  EXPECT_EQ(second.at("/results/0/id"), "c1");
  EXPECT_EQ(second.at("/next_page_id"), "null");
  EXPECT_EQ(ask(Method::get, "/api/conversations", ops).at("/results/2/id"), "c1") << "an admin sees all";
  for (auto const* limit : {"0", "1001", "-1", "x"})
    EXPECT_EQ(ask(Method::get, std::string("/api/conversations?limit=") + limit).status, 400U) << limit;
  for (auto const* page_id : {"c1", "1", "1.", "x.c1", "1.a/b"})
    EXPECT_EQ(ask(Method::get, std::string("/api/conversations?page_id=") + page_id).status, 400U) << page_id;
}

TEST_F(ConversationRoutes, StopAndDeleteByAnyFormOfTheId) {
  ASSERT_EQ(start("9eba03e68cc24c3daa8a225f0e79e062").status, 201U);
  auto const stopped = ask(Method::post, "/api/conversations/9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062/stop");
  EXPECT_EQ(stopped.status, 200U);
  EXPECT_EQ(stopped.at("/status"), "STOPPED");
  EXPECT_EQ(stopped.at("/session_api_key"), "null");
  EXPECT_EQ(ask(Method::delete_, "/api/conversations/9eba03e6-8cc2-4c3d-aa8a-225f0e79e062").status, 204U);
  EXPECT_EQ(ask(Method::get, "/api/conversations/9eba03e68cc24c3daa8a225f0e79e062").status, 404U);
}

TEST_F(ConversationRoutes, AnswerHeadAsGet) {
  ASSERT_EQ(start("c1").status, 201U);
  EXPECT_EQ(ask(Method::head, "/api/conversations/c1").status, 200U);
  EXPECT_EQ(ask(Method::head, "/api/conversations").status, 200U);
  EXPECT_EQ(ask(Method::head, "/list").status, 200U);
  EXPECT_EQ(ask(Method::head, "/api/conversations/c1/stop").status, 405U);
  EXPECT_TRUE(api->admits_without_api_key(Method::head, "/api/v1/sandboxes/c1/settings/secrets"));
}

TEST_F(ConversationRoutes, TakeNoLargerBodyThanTheyNeed) {
  using http::Method;
  using identity::Role;
  constexpr std::size_t kib = 1024, mib = 1024 * kib;
  auto const taken = [this](Method method, std::string_view path, Role by = Role::user) {
    proxy::ApiRequest request;
    request.method = method;
    request.path = path;
    request.principal = identity::Principal{"somebody", by, "somebody"};
    return api->body_limit(request).bytes_max;
  };
  EXPECT_EQ(taken(Method::post, "/api/conversations"), 64 * mib);
  EXPECT_EQ(taken(Method::post, "/api/conversations", Role::automation), 64 * kib) << "it is refused in any case";
  EXPECT_EQ(taken(Method::patch, "/api/conversations/c1"), 4 * mib);
  EXPECT_EQ(taken(Method::post, "/api/conversations/c1/events"), 16 * mib);
  EXPECT_EQ(taken(Method::post, "/api/conversations/c1/stop"), 64 * kib);
  EXPECT_EQ(taken(Method::get, "/api/conversations"), 64 * kib);
  EXPECT_EQ(taken(Method::post, "/api/routes"), 64 * kib);
  EXPECT_EQ(taken(Method::post, "/api/routes", Role::admin), SIZE_MAX);
  EXPECT_EQ(taken(Method::put, "/api/routes/s1", Role::admin), 64 * kib);
  EXPECT_EQ(taken(Method::post, "/api/automation/v1/runs", Role::automation), SIZE_MAX);
  EXPECT_EQ(taken(Method::patch, "/api/v1/users/me"), 2 * mib);
  EXPECT_EQ(taken(Method::put, "/api/v1/users/me/secrets/A"), 512 * kib);
  EXPECT_EQ(taken(Method::post, "/start"), 2 * mib);
  EXPECT_EQ(taken(Method::post, "/nowhere"), 64 * kib);
}

TEST_F(ConversationRoutes, NameTheMethodsThatArePossible) {
  ASSERT_EQ(start("c1").status, 201U);
  EXPECT_EQ(ask(Method::put, "/api/conversations").headers.at(0).second, "GET, HEAD, POST");
  EXPECT_EQ(ask(Method::put, "/api/conversations/c1").headers.at(0).second, "GET, HEAD, PATCH, DELETE");
  EXPECT_EQ(ask(Method::get, "/api/conversations/c1/stop").headers.at(0).second, "POST");
  EXPECT_EQ(ask(Method::post, "/api/conversations/c1/explode").status, 404U);
}

TEST_F(RunRoutes, SubmitAndShowRuns) {
  ASSERT_EQ(start("c1").status, 201U);
  auto const made = submit();
  EXPECT_EQ(made.status, 201U) << made.body;
  EXPECT_EQ(made.at("/status"), "PENDING");
  EXPECT_EQ(made.at("/automation_id"), "null");
  auto const id = made.at("/id");
  EXPECT_EQ(ask(Method::get, "/api/automation/v1/runs/" + id).at("/id"), id);
  EXPECT_EQ(ask(Method::get, "/api/automation/v1/runs?limit=1").at("/total"), "1");
  EXPECT_EQ(ask(Method::get, "/api/automation/v1/runs?limit=101").status, 422U);
  EXPECT_EQ(ask(Method::get, "/api/automation/v1/runs/" + id, bob).status, 404U);
  EXPECT_EQ(ask(Method::get, "/api/automation/v1/runs", bob).at("/total"), "0");
  EXPECT_EQ(submit(robot).status, 201U) << "a key for automations of the same owner";
  EXPECT_EQ(submit({"chief", identity::Role::admin, "carol"}).status, 201U) << "an admin may use any conversation";
}

TEST_F(RunRoutes, AnswerInTheAutomationApisShapes) {
  EXPECT_EQ(submit().body, R"({"detail":"conversation_id: there is no such conversation"})");
  EXPECT_EQ(submit().status, 404U);
  auto const invalid = ask(Method::post, "/api/automation/v1/runs", alice, R"({"nope":"x"})");
  EXPECT_EQ(invalid.status, 422U);
  EXPECT_EQ(invalid.at("/detail/0/type"), "extra_forbidden");
  EXPECT_EQ(invalid.at("/detail/0/loc"), R"(["body","nope"])");
  ASSERT_EQ(start("c1").status, 201U);
  auto const bad = ask(Method::post, "/api/automation/v1/runs", alice,
                       R"({"tarball_base64":"H4s=","entrypoint":"a;b","conversation_id":"c1"})");
  EXPECT_EQ(bad.status, 422U);
  EXPECT_TRUE(bad.at("/detail").starts_with("entrypoint must not contain shell metacharacters"));
  auto const huge =
      ask(Method::post, "/api/automation/v1/runs", alice, form_with_tarball(1001), "multipart/form-data; boundary=B");
  EXPECT_EQ(huge.status, 413U);
  EXPECT_EQ(huge.body, R"({"detail":"tarball: must not exceed 1000 bytes"})");
  EXPECT_EQ(ask(Method::get, "/api/automation/v2").body, R"({"detail":"Not Found"})");
  EXPECT_EQ(ask(Method::delete_, "/api/automation/v1/runs/x/output").status, 405U);
  EXPECT_EQ(ask(Method::get, "/api/automation/v1/runs", std::nullopt).status, 401U);
}

}  // namespace
}  // namespace nestgate::api
