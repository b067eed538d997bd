#include <gtest/gtest.h>

#include "unit/api/whole_api.hpp"

namespace nestgate::api {
namespace {

using conversation::RuntimeState;
using http::Method;

std::string const finished = R"({"id":"c","execution_status":"finished"})";
std::string const events = R"([{"source":"agent","kind":"MessageEvent"},
    {"key":"execution_status","value":"running","kind":"ConversationStateUpdateEvent"}])";

class Webhooks : public test::WholeApi {
 public:
  std::string status_of(std::string const& id) {
    return manager->find(*ConversationId::parse(id))->nested_status.conversation;
  }

 protected:
  explicit Webhooks(Settings settings = {}) : WholeApi(std::move(settings), {}) {}

  std::string running(std::string const& id, identity::Principal const& by = test::alice) {
    auto const made = ask(Method::post, "/api/conversations", by, R"({"conversation_id":")" + id + "\"}");
    EXPECT_EQ(made.status, 201U) << made.body;
    return made.at("/session_api_key");
  }
  test::Answered push(std::string const& path, std::string key, std::string body = finished) {
    test::Asked what;
    what.by = std::nullopt;
    what.session_key = std::move(key);
    what.body = std::move(body);
    return ask(Method::post, "/api/v1/webhooks" + path, std::move(what));
  }
};

TEST_F(Webhooks, TellTheStatusOfTheConversationWhoseKeyTheyShow) {
  auto const key = running("c1");
  running("c2");
  auto const taken = push("/conversations", key);
  EXPECT_EQ(taken.status, 200U);
  EXPECT_EQ(taken.body, R"({"success":true})");
  control.run_until([&] { return status_of("c1") == "finished"; });
  EXPECT_NE(status_of("c2"), "finished");
  EXPECT_EQ(push("/events/0123456789abcdef0123456789abcdef", key, events).status, 200U);
  control.run_until([&] { return status_of("c1") == "running"; });
}

TEST_F(Webhooks, TellTheTitleOfAConversation) {
  auto const made = ask(Method::post, "/api/conversations", test::alice,
                        R"({"conversation_id":"c1","title":"mine","repository":"o/r","selected_branch":"b"})");
  ASSERT_EQ(made.status, 201U) << made.body;
  EXPECT_EQ(made.at("/title"), "mine");
  EXPECT_EQ(made.at("/selected_repository"), "o/r");
  EXPECT_EQ(made.at("/selected_branch"), "b");
  EXPECT_EQ(made.at("/git_provider"), "null");
  auto const shown = [this] { return ask(Method::get, "/api/conversations/c1").at("/title"); };
  auto const key = made.at("/session_api_key");
  EXPECT_EQ(push("/conversations", key, R"({"title":"A fix of the parser"})").status, 200U);
  EXPECT_EQ(push("/conversations", key, R"({"title":null})").status, 200U);
  EXPECT_EQ(push("/conversations", key, R"({"title":"two\nlines"})").status, 200U);
  control.run_until([&] { return shown() == "A fix of the parser"; });
  std::string const character = "\u00e9";  // of two bytes, so that the limit is between two
  std::string text = "x", expected = "x";
  for (int i = 0; i < 500; ++i) text += character;
  for (int i = 0; i < 399; ++i) expected += "\xc3\xa9";
  EXPECT_EQ(push("/conversations", key, R"({"title":")" + text + "\"}").status, 200U);
  control.run_until([&] { return shown() == expected; });
}

TEST_F(Webhooks, OfEventsAloneAreActsOfTheirConversation) {
  auto const key = running("c1");
  auto const last_act = [this] { return manager->find(*ConversationId::parse("c1"))->last_act_at; };
  auto const before = last_act();
  EXPECT_EQ(push("/events/c", key, R"([{"source":"agent","kind":"MessageEvent"}])").status, 200U);
  control.run_until([&] { return last_act() > before; });
}

TEST_F(Webhooks, MayNameTheSandboxInThePath) {
  auto const key = running("c1");
  auto const bobs = running("c2", test::bob);
  EXPECT_EQ(push("/c1/conversations", key).status, 200U);
  EXPECT_EQ(push("/c1/events/0123456789abcdef0123456789abcdef", key, events).status, 200U);
  EXPECT_EQ(push("/c1/conversations", bobs).status, 403U);
  EXPECT_EQ(push("/nobody/conversations", bobs).status, 403U) << "whether it exists or not";
}

TEST_F(Webhooks, WithoutAKeyAreRefusedWhateverTheStateOfTheSandbox) {
  auto const key = running("c1");
  for (int round = 0; round < 2; ++round) {
    for (std::string const path : {"/conversations", "/c1/conversations"}) {
      EXPECT_EQ(push(path, "").status, 401U) << path;
      EXPECT_EQ(push(path, "null").status, 401U) << path;
    }
    ASSERT_EQ(ask(Method::post, "/api/conversations/c1/pause").status, 200U);
  }
  test::Asked by_api_key;
  by_api_key.body = finished;
  EXPECT_EQ(ask(Method::post, "/api/v1/webhooks/conversations", std::move(by_api_key)).status, 401U);
}

TEST_F(Webhooks, AreAcknowledgedBeforeAnythingIsDoneWithThem) {
  auto const key = running("c1");
  proxy::ApiRequest request = request_for(Method::post, "/api/v1/webhooks/conversations", {});
  request.session_key = Secret(key);
  request.body = finished;
  auto const before = status_of("c1");
  std::string at_answer;
  auto const handle = [](Webhooks& with, proxy::ApiRequest asked, std::string& seen) -> Task<> {
    [[maybe_unused]] auto const response = co_await with.api->handle(std::move(asked));
    seen = with.status_of("c1");
  };
  control.run(handle(*this, std::move(request), at_answer));
  EXPECT_EQ(at_answer, before);
  control.run_until([&] { return status_of("c1") == "finished"; });
}

TEST_F(Webhooks, PassOverWhatTheyDoNotKnowAndRefuseWhatIsNoJson) {
  auto const key = running("c1");
  EXPECT_EQ(push("/conversations", key, R"({"new":"shape"})").status, 200U);
  EXPECT_EQ(push("/events/c", key, R"([1,{"kind":"New"}])").status, 200U);
  EXPECT_EQ(push("/conversations", key, "{").status, 422U);
  EXPECT_EQ(push("/events/c", key, "{}").status, 422U);
  EXPECT_EQ(push("/secrets", key, "{}").status, 404U);
}

class SmallWebhooks : public Webhooks {
 protected:
  SmallWebhooks() : Webhooks(small()) {}
  static Settings small() {
    Settings settings;
    settings.webhooks.pending_max = 1;
    return settings;
  }
};

TEST_F(SmallWebhooks, RememberOfEachConversationTheNewestAndOfNoMoreThanTheirLimit) {
  auto const first = running("c1");
  auto const second = running("c2");
  auto const push_all = [](Webhooks& with, std::vector<std::pair<std::string, std::string>> pushes) -> Task<> {
    for (auto& [key, status] : pushes) {
      proxy::ApiRequest request = with.request_for(Method::post, "/api/v1/webhooks/conversations", {});
      request.session_key = Secret(key);
      request.body = R"({"execution_status":")" + status + "\"}";
      auto const response = co_await with.api->handle(std::move(request));
      EXPECT_EQ(response.status, 200U);
    }
  };
  auto const other = status_of("c2");
  control.run(push_all(*this, {{first, "running"}, {second, "paused"}, {first, "finished"}}));
  control.run_until([&] { return status_of("c1") == "finished"; });
  EXPECT_EQ(status_of("c2"), other) << "acknowledged and left out";
}

}  // namespace
}  // namespace nestgate::api
