#include <gtest/gtest.h>

#include <set>

#include "unit/api/api_fixture.hpp"

namespace nestgate::api {
namespace {

using http::Method;
using namespace test;

class StaticRoutes : public Api {
 protected:
  Answered put(std::string const& id, std::string const& body) { return ask(Method::put, "/api/routes/" + id, ops, body); }
  Answered change(std::string const& body) { return ask(Method::post, "/api/routes", ops, body); }
};

TEST_F(StaticRoutes, ArePutShownListedAndDeleted) {
  auto const made = put("s1", R"({"url":"http://127.0.0.1:9001","session_api_key":"k","ports":{"vscode":8001}})");
  EXPECT_EQ(made.status, 200U) << made.body;
  EXPECT_EQ(made.at("/id"), "s1");
  EXPECT_EQ(made.at("/status"), "RUNNING");
  EXPECT_EQ(made.at("/address"), "http://127.0.0.1:9001");
  EXPECT_EQ(made.at("/ports"), R"({"vscode":8001})");
  EXPECT_EQ(made.body.find("\"k\""), made.body.npos) << "its key is not told again";
  auto const moved = put("s1", R"({"url":"http://127.0.0.1:9002"})");
  EXPECT_EQ(moved.at("/address"), "http://127.0.0.1:9002");
  EXPECT_EQ(ask(Method::get, "/api/routes", ops).at("/results/0/id"), "s1");
  EXPECT_EQ(ask(Method::delete_, "/api/routes/s1", ops).status, 204U);
  EXPECT_EQ(ask(Method::delete_, "/api/routes/s1", ops).status, 404U);
  EXPECT_EQ(ask(Method::get, "/api/routes", ops).at("/results"), "[]");
}

TEST_F(StaticRoutes, MayBeReachedOverHttpsButNotBelowAPath) {
  auto const made = put("s1", R"({"url":"https://127.0.0.1:9001"})");
  EXPECT_EQ(made.status, 200U) << made.body;
  EXPECT_EQ(made.at("/address"), "https://127.0.0.1:9001");
  auto const refused = put("s2", R"({"url":"https://127.0.0.1:9001/below"})");
  EXPECT_EQ(refused.status, 422U) << refused.body;
  EXPECT_NE(refused.body.find("without a path"), refused.body.npos) << refused.body;
}

TEST_F(StaticRoutes, AreForAdminsOnly) {
  EXPECT_EQ(ask(Method::get, "/api/routes", std::nullopt).status, 401U);
  for (auto const& by : {alice, robot}) {
    EXPECT_EQ(ask(Method::get, "/api/routes", by).status, 403U);
    EXPECT_EQ(ask(Method::put, "/api/routes/s1", by, R"({"url":"http://127.0.0.1:1"})").status, 403U);
    EXPECT_EQ(ask(Method::post, "/api/routes", by, "{}").status, 403U);
    EXPECT_EQ(ask(Method::delete_, "/api/routes/s1", by).status, 403U);
  }
}

TEST_F(StaticRoutes, AreRefusedWithTheReason) {
  EXPECT_EQ(put("s1", "{}").at("/error/message"), "url: must be there");
  EXPECT_EQ(put("s1", R"({"url":"ftp://127.0.0.1"})").status, 422U);
  EXPECT_EQ(put("search", R"({"url":"http://127.0.0.1:1"})").status, 400U);
  EXPECT_EQ(put("a%2Fb", R"({"url":"http://127.0.0.1:1"})").status, 400U);
  ASSERT_EQ(start("c1").status, 201U);
  EXPECT_EQ(put("c1", R"({"url":"http://127.0.0.1:1"})").status, 409U) << "a started conversation's id";
  EXPECT_EQ(ask(Method::delete_, "/api/routes/c1", ops).status, 404U);
  EXPECT_EQ(ask(Method::get, "/api/conversations/c1").at("/status"), "RUNNING");
  EXPECT_EQ(ask(Method::patch, "/api/routes/s1", ops).status, 405U);
}

TEST_F(StaticRoutes, OfTheSettingsAreNotTheirsToChange) {
  conversation::StaticRuntime fixed{*ConversationId::parse("settings"), "http://127.0.0.1:9001", std::nullopt, {}};
  ASSERT_TRUE(control.run(manager->put_static(std::move(fixed))));
  auto const refused = ask(Method::delete_, "/api/routes/settings", ops);
  EXPECT_EQ(refused.status, 409U) << refused.body;
  EXPECT_EQ(refused.at("/error/message"), "id: comes from the settings");
  ASSERT_EQ(start("c1").status, 201U);
  auto const changed = change(R"({"remove":[1,"settings","never-there","c1"]})");
  EXPECT_EQ(changed.at("/removed"), "1") << changed.body;
  EXPECT_EQ(changed.at("/failed/0/error/code"), "bad_input");
  EXPECT_EQ(changed.at("/failed/1/id"), "settings");
  EXPECT_EQ(changed.at("/failed/1/list"), "remove");
  EXPECT_EQ(changed.at("/failed/1/index"), "1");
  EXPECT_EQ(changed.at("/failed/1/error/code"), "conflict");
  EXPECT_EQ(changed.at("/failed/2/id"), "c1");
  EXPECT_EQ(changed.at("/failed/2/index"), "3");
  EXPECT_EQ(ask(Method::get, "/api/routes", ops).at("/results/0/id"), "settings");
}

TEST_F(StaticRoutes, ChangeInBatchesAndSayWhatFailed) {
  ASSERT_EQ(start("c1").status, 201U);
  ASSERT_EQ(put("old", R"({"url":"http://127.0.0.1:9000"})").status, 200U);
  auto const changed = change(
      R"({"put":[{"id":"a","url":"http://127.0.0.1:9001"},{"id":"b"},{"id":"c1","url":"http://127.0.0.1:1"},
                 {"id":"d","url":"http://127.0.0.1:9002"},{"id":"e","url":"nonsense"}],
          "remove":["old","never-there"]})");
  EXPECT_EQ(changed.status, 200U) << changed.body;
  EXPECT_EQ(changed.at("/put"), "2");
  EXPECT_EQ(changed.at("/removed"), "2");
  EXPECT_EQ(changed.at("/failed/0/id"), "b");
  EXPECT_EQ(changed.at("/failed/0/index"), "1");
  EXPECT_EQ(changed.at("/failed/1/id"), "c1");
  EXPECT_EQ(changed.at("/failed/1/error/code"), "conflict");
  EXPECT_EQ(changed.at("/failed/2/id"), "e");
  EXPECT_EQ(changed.at("/failed/2/index"), "4");
  EXPECT_EQ(changed.at("/failed/2/error/code"), "bad_input");
  EXPECT_EQ(changed.at("/failed/3"), "(none)");
  EXPECT_EQ(ask(Method::get, "/api/routes?limit=1", ops).at("/results/1"), "(none)");
  EXPECT_EQ(change(R"({"puts":[]})").status, 400U);
}

TEST_F(StaticRoutes, AreListedByPagesWithoutTheConversationsBetween) {
  std::string body = R"({"put":[)";
  for (int i = 0; i < 5; ++i)
    body += std::string(i == 0 ? "" : ",") + R"({"id":"s)" + std::to_string(i) + R"(","url":"http://127.0.0.1:9001"})";
  ASSERT_EQ(change(body + "]}").at("/put"), "5");
  ASSERT_EQ(start("c1").status, 201U);
  std::set<std::string> seen;
  std::string query = "?limit=2";
  for (int pages = 0; pages < 3; ++pages) {
    auto const page = ask(Method::get, "/api/routes" + query, ops);
    for (auto const* place : {"/results/0/id", "/results/1/id"})
      if (page.at(place) != "(none)") seen.insert(page.at(place));
    query = "?limit=2&page_id=" + page.at("/next_page_id");
    EXPECT_EQ(page.at("/next_page_id") == "null", pages == 2);
  }
  EXPECT_EQ(seen, (std::set<std::string>{"s0", "s1", "s2", "s3", "s4"}));
  EXPECT_EQ(ask(Method::get, "/api/routes?page_id=x", ops).status, 400U);
}

TEST_F(StaticRoutes, TakeThousandsAtOnce) {
  std::string body = R"({"put":[)";
  for (int i = 0; i < 2'000; ++i)
    body += std::string(i == 0 ? "" : ",") + R"({"id":"s)" + std::to_string(i) + R"(","url":"http://127.0.0.1:9001"})";
  auto const changed = change(body + "]}");
  EXPECT_EQ(changed.at("/put"), "2000");
  EXPECT_EQ(changed.at("/failed"), "[]");
}

}  // namespace
}  // namespace nestgate::api
