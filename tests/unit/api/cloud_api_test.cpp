#include <gtest/gtest.h>

#include "unit/api/whole_api.hpp"

namespace nestgate::api {
namespace {

using conversation::RuntimeState;
using http::Method;

constexpr std::string_view sandboxes = "/api/v1/sandboxes";

class Cloud : public test::WholeApi {
 protected:
  explicit Cloud(Settings settings = {}, conversation::ManagerSettings manager_settings = {})
      : WholeApi(std::move(settings), manager_settings) {}

  std::string path(std::string_view id, std::string_view rest = {}) const {
    return std::string(sandboxes) + "/" + std::string(id) + std::string(rest);
  }
  // Its id, once it runs.
  std::string running_sandbox(identity::Principal const& by = test::alice) {
    auto const made = ask(Method::post, std::string(sandboxes), by);
    EXPECT_EQ(made.status, 200U) << made.body;
    auto id = made.at("/id");
    wait_for(id, RuntimeState::running);
    return id;
  }
  test::Answered show(std::string_view id, identity::Principal const& by = test::alice) {
    return ask(Method::get, std::string(sandboxes) + "?id=" + std::string(id), by);
  }
  std::string key_of(std::string_view id) { return show(id, test::ops).at("/0/session_api_key"); }
};
class Sandboxes : public Cloud {};
class SandboxSecrets : public Cloud {};

TEST_F(Sandboxes, AnswerAtOnceAndShowTheirKeyOnceTheyRun) {
  nested.on("GET /alive", {503, ""});
  auto const made = ask(Method::post, std::string(sandboxes));
  ASSERT_EQ(made.status, 200U) << made.body;
  EXPECT_EQ(made.at("/status"), "STARTING");
  EXPECT_EQ(made.at("/session_api_key"), "null");
  EXPECT_EQ(made.at("/exposed_urls"), "null");
  EXPECT_EQ(made.at("/created_by_user_id"), "alice");
  EXPECT_EQ(made.at("/sandbox_spec_id"), "default");
  auto const id = made.at("/id");
  EXPECT_EQ(id.size(), 32U) << "a host label";
  auto const polled = show(id);
  EXPECT_EQ(polled.status, 200U) << "a single 503 makes the client delete the sandbox";
  EXPECT_EQ(polled.at("/0/status"), "STARTING");
  nested.on("GET /alive", {200, R"({"status":"ok"})"});
  wait_for(id, RuntimeState::running);
  auto const shown = show(id);
  EXPECT_EQ(shown.at("/0/status"), "RUNNING");
  EXPECT_EQ(shown.at("/0/session_api_key"), provider->keys.at(0));
  EXPECT_EQ(shown.at("/0/exposed_urls/0/name"), "AGENT_SERVER");
  EXPECT_EQ(shown.at("/0/exposed_urls/0/url"), "http://gateway:8080") << "never with a path";
}

TEST_F(Sandboxes, SayWhyOneCouldNotStart) {
  provider->refusal = upstream::Failure{Fault{FaultKind::internal}, "create: no such image"};
  auto const made = ask(Method::post, std::string(sandboxes));
  ASSERT_EQ(made.status, 200U) << made.body;
  wait_for(made.at("/id"), RuntimeState::error);
  auto const shown = show(made.at("/id"));
  EXPECT_EQ(shown.status, 200U);
  EXPECT_EQ(shown.at("/0/status"), "ERROR");
  EXPECT_NE(shown.at("/0/error_message").find("no such image"), std::string::npos) << shown.body;
}

TEST_F(Sandboxes, ComeInTheOrderAskedForWithNullForWhatIsUnknown) {
  auto const mine = running_sandbox();
  auto const bobs = running_sandbox(test::bob);
  auto const shown = ask(Method::get, std::string(sandboxes) + "?id=nobody&id=" + mine + "&id=" + bobs + "&id=%2F");
  EXPECT_EQ(shown.status, 200U);
  EXPECT_EQ(shown.at("/0"), "null");
  EXPECT_EQ(shown.at("/1/id"), mine);
  EXPECT_EQ(shown.at("/2"), "null") << "another's is as unknown";
  EXPECT_EQ(shown.at("/3"), "null");
}

TEST_F(Sandboxes, CanBeAskedForAHundredAtATime) {
  std::string query = "?id=a";
  for (int i = 1; i < 100; ++i) query += "&id=a";
  EXPECT_EQ(ask(Method::get, std::string(sandboxes) + query).status, 200U);
  auto const over = ask(Method::get, std::string(sandboxes) + query + "&id=a");
  EXPECT_EQ(over.status, 400U);
  EXPECT_EQ(over.at("/detail"), "Cannot request more than 100 sandboxes at once");
  auto const none = ask(Method::get, std::string(sandboxes));
  EXPECT_EQ(none.status, 422U);
  EXPECT_EQ(none.at("/detail/0/loc/1"), "id");
}

TEST_F(Sandboxes, AreListedOwnOnesOnlyAndInPages) {
  auto const first = running_sandbox();
  auto const second = running_sandbox();
  running_sandbox(test::bob);
  ASSERT_EQ(ask(Method::post, "/api/conversations", test::alice, R"({"conversation_id":"c1"})").status, 201U);
  auto const page = ask(Method::get, std::string(sandboxes) + "/search?limit=1");
  EXPECT_EQ(page.at("/items/0/id"), second);
  EXPECT_EQ(page.at("/items/1"), "(none)");
  auto const rest = ask(Method::get, std::string(sandboxes) + "/search?page_id=" + page.at("/next_page_id"));
  EXPECT_EQ(rest.at("/items/0/id"), first);
  EXPECT_EQ(rest.at("/items/1"), "(none)") << "neither bob's nor what is no sandbox";
  EXPECT_EQ(rest.at("/next_page_id"), "null");
  for (std::string const wrong : {"limit=0", "limit=101", "limit=x", "page_id=x"})
    EXPECT_EQ(ask(Method::get, std::string(sandboxes) + "/search?" + wrong).status, 422U) << wrong;
}

TEST_F(Sandboxes, PauseAndResumeHoweverOftenTheyAreAsked) {
  provider->pauses = true;
  auto const id = running_sandbox();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(ask(Method::post, path(id, "/pause")).body, R"({"success":true})");
  EXPECT_EQ(manager->find(*ConversationId::parse(id))->state, RuntimeState::paused);
  EXPECT_EQ(show(id).at("/0/status"), "PAUSED");
  EXPECT_EQ(show(id).at("/0/session_api_key"), "null");
  for (int i = 0; i < 2; ++i) EXPECT_EQ(ask(Method::post, path(id, "/resume")).body, R"({"success":true})");
  wait_for(id, RuntimeState::running);
  EXPECT_EQ(ask(Method::post, path(id, "/resume")).body, R"({"success":true})");
  EXPECT_EQ(show(id).at("/0/status"), "RUNNING");
}

TEST_F(Sandboxes, ThatCannotBeFrozenAreStoppedAndResumable) {
  provider->pauses = false;
  auto const id = running_sandbox();
  EXPECT_EQ(ask(Method::post, path(id, "/pause")).status, 200U);
  EXPECT_EQ(manager->find(*ConversationId::parse(id))->state, RuntimeState::stopped);
  EXPECT_EQ(show(id).at("/0/status"), "PAUSED");
  EXPECT_EQ(ask(Method::post, path(id, "/resume")).status, 200U);
  wait_for(id, RuntimeState::running);
}

TEST_F(Sandboxes, ThatWereStoppedArePausedAndResumable) {
  auto const id = running_sandbox();
  ASSERT_EQ(ask(Method::post, "/api/conversations/" + id + "/stop").status, 200U);
  EXPECT_EQ(show(id).at("/0/status"), "PAUSED");
  EXPECT_EQ(ask(Method::post, path(id, "/resume")).status, 200U);
  wait_for(id, RuntimeState::running);
}

TEST_F(Sandboxes, AreDeletedWithOrWithoutTheirIdInTheQuery) {
  auto const one = running_sandbox();
  auto const other = running_sandbox();
  EXPECT_EQ(ask(Method::delete_, path(one, "?sandbox_id=" + other)).status, 422U);
  EXPECT_EQ(ask(Method::delete_, path(one, "?sandbox_id=" + one)).body, R"({"success":true})");
  EXPECT_EQ(ask(Method::delete_, path(other)).body, R"({"success":true})");
  EXPECT_EQ(ask(Method::delete_, path(one)).status, 404U);
  EXPECT_EQ(show(one).at("/0"), "null");
}

TEST_F(Sandboxes, OfAnotherAreNotThere) {
  auto const id = running_sandbox();
  for (std::string const verb : {"/pause", "/resume"}) {
    EXPECT_EQ(ask(Method::post, path(id, verb), test::bob).status, 404U);
    EXPECT_EQ(ask(Method::post, path("nobody", verb), test::bob).status, 404U);
  }
  EXPECT_EQ(ask(Method::delete_, path(id), test::bob).status, 404U);
  EXPECT_EQ(show(id, test::ops).at("/0/id"), id) << "an admin uses all";
}

TEST_F(Sandboxes, WantAnApiKeyThatIsForThem) {
  EXPECT_EQ(ask(Method::get, std::string(sandboxes) + "/search", std::nullopt).status, 401U);
  EXPECT_EQ(ask(Method::get, std::string(sandboxes) + "/search", test::robot).status, 403U);
  EXPECT_EQ(ask(Method::put, std::string(sandboxes)).status, 405U);
  EXPECT_EQ(ask(Method::get, path("a", "/nothing")).status, 404U);
}

class LimitedSandboxes : public Cloud {
 protected:
  LimitedSandboxes() : Cloud({}, limited()) {}
  static conversation::ManagerSettings limited() {
    conversation::ManagerSettings settings;
    settings.quota.of_owner = 2;
    return settings;
  }
};

TEST_F(LimitedSandboxes, SayWhichLimitWasMet) {
  running_sandbox();
  running_sandbox();
  auto const refused = ask(Method::post, std::string(sandboxes));
  EXPECT_EQ(refused.status, 429U) << refused.body;
  EXPECT_EQ(refused.at("/detail/error"), "CONCURRENCY_LIMIT_REACHED");
  EXPECT_EQ(refused.at("/detail/limit"), "2");
  EXPECT_EQ(refused.at("/detail/current"), "2");
  EXPECT_EQ(ask(Method::post, std::string(sandboxes), test::bob).status, 200U) << "each user has a count of his own";
}

class SpecifiedSandboxes : public Cloud {
 protected:
  SpecifiedSandboxes() : Cloud(specified()) {}
  static Settings specified() {
    SandboxSpec python;
    python.id = "ghcr.io/x/python:1";
    python.image = "ghcr.io/x/python:1";
    python.environment = {{"MODE", "cloud"}};
    SandboxSpec other;
    other.id = "other";
    Settings settings;
    settings.cloud.specs = {python, other};
    return settings;
  }
};

TEST_F(SpecifiedSandboxes, StartWithWhatTheirSpecificationSays) {
  auto const named = ask(Method::post, std::string(sandboxes) + "?sandbox_spec_id=ghcr.io%2Fx%2Fpython%3A1");
  EXPECT_EQ(named.at("/sandbox_spec_id"), "ghcr.io/x/python:1");
  wait_for(named.at("/id"), RuntimeState::running);
  ASSERT_EQ(provider->wishes.size(), 1U);
  EXPECT_EQ(provider->wishes[0].image, "ghcr.io/x/python:1");
  ASSERT_EQ(provider->wishes[0].environment.size(), 1U);
  EXPECT_EQ(ask(Method::post, std::string(sandboxes)).at("/sandbox_spec_id"), "ghcr.io/x/python:1") << "the first";
  EXPECT_EQ(ask(Method::post, std::string(sandboxes) + "?sandbox_spec_id=other").at("/sandbox_spec_id"), "other");
  EXPECT_EQ(ask(Method::post, std::string(sandboxes) + "?sandbox_spec_id=none").status, 422U);
}

TEST_F(SpecifiedSandboxes, AreListed) {
  auto const all = ask(Method::get, "/api/v1/sandbox-specs/search");
  EXPECT_EQ(all.at("/items/1/id"), "other");
  auto const some = ask(Method::get, "/api/v1/sandbox-specs?id=none&id=other");
  EXPECT_EQ(some.at("/0"), "null");
  EXPECT_EQ(some.at("/1/id"), "other");
  EXPECT_EQ(ask(Method::get, "/api/v1/sandbox-specs").status, 422U);
}

TEST_F(SandboxSecrets, AreReadByTheKeyOfTheSandboxAlone) {
  auto const id = running_sandbox();
  ASSERT_EQ(ask(Method::put, "/api/v1/users/me/secrets/NPM_TOKEN", test::alice,
                R"({"value":"npm-value","description":"to publish"})")
                .status,
            200U);
  auto const names = ask_by_key(Method::get, path(id, "/settings/secrets"), key_of(id));
  EXPECT_EQ(names.body, R"({"secrets":[{"name":"NPM_TOKEN","description":"to publish"}]})");
  auto const value = ask_by_key(Method::get, path(id, "/settings/secrets/NPM_TOKEN"), key_of(id));
  EXPECT_EQ(value.status, 200U);
  EXPECT_EQ(value.body, "npm-value");
  EXPECT_EQ(value.content_type, "text/plain; charset=utf-8");
  EXPECT_EQ(ask_by_key(Method::get, path(id, "/settings/secrets/OTHER"), key_of(id)).status, 404U);
  EXPECT_EQ(ask(Method::get, path(id, "/settings/secrets/NPM_TOKEN")).status, 401U) << "an API key is no session key";
}

TEST_F(SandboxSecrets, TellNobodyElseAnything) {
  auto const mine = running_sandbox();
  auto const other = running_sandbox(test::bob);
  auto const secrets_of = [this](std::string_view id, std::string key) {
    return ask_by_key(Method::get, path(id, "/settings/secrets"), std::move(key)).status;
  };
  EXPECT_EQ(secrets_of(mine, ""), 401U);
  EXPECT_EQ(secrets_of(mine, "guessed"), 401U);
  EXPECT_EQ(secrets_of(mine, key_of(other)), 403U);
  EXPECT_EQ(secrets_of("nobody", key_of(other)), 403U) << "whether it exists or not";
  EXPECT_EQ(ask_by_key(Method::get, path(mine, "/settings/secrets/X"), key_of(other)).status, 403U);
  auto const key = key_of(mine);
  ASSERT_EQ(ask(Method::post, path(mine, "/pause")).status, 200U);
  EXPECT_EQ(secrets_of(mine, key), 401U) << "it does not run";
}

TEST_F(SandboxSecrets, AreAlsoThoseOfTheConversationAndItsGitTokens) {
  ASSERT_EQ(ask(Method::put, "/api/v1/users/me/secrets/A", test::alice, R"({"value":"of the user"})").status, 200U);
  ASSERT_EQ(ask(Method::put, "/api/v1/users/me/secrets/B", test::alice, R"({"value":"of the user"})").status, 200U);
  auto const made =
      ask(Method::post, "/api/conversations", test::alice,
          R"({"conversation_id":"c1","secrets":{"A":"of the conversation"},"provider_tokens":{"github":"gh"}})");
  ASSERT_EQ(made.status, 201U) << made.body;
  auto const value = [&](std::string const& name) {
    return ask_by_key(Method::get, path("c1", "/settings/secrets/" + name), made.at("/session_api_key")).body;
  };
  EXPECT_EQ(value("A"), "of the conversation");
  EXPECT_EQ(value("B"), "of the user");
  EXPECT_EQ(value("github_token"), "gh");
  EXPECT_EQ(value("gitlab_token"), R"({"detail":"Secret not found"})");
  EXPECT_EQ(ask_by_key(Method::get, path("c1", "/settings/secrets"), made.at("/session_api_key")).body,
            R"({"secrets":[{"name":"A","description":null},{"name":"B","description":null},)"
            R"({"name":"github_token","description":"github provider token"}]})");
}

TEST_F(SandboxSecrets, ComeFromMemoryUntilTheyAreChangedHere) {
  auto const id = running_sandbox();
  auto const key = key_of(id);
  auto const put = [this](std::string const& value) {
    return ask(Method::put, "/api/v1/users/me/secrets/A", test::alice, R"({"value":")" + value + "\"}").status;
  };
  auto const value = [&] { return ask_by_key(Method::get, path(id, "/settings/secrets/A"), key).body; };
  ASSERT_EQ(put("first"), 200U);
  EXPECT_EQ(value(), "first");
  store::UserSecretRow elsewhere{"A", {}, Secret("by another gateway")};
  ASSERT_TRUE(control.run(store->put_user_secret("alice", std::move(elsewhere))));
  EXPECT_EQ(value(), "first") << "read from memory for a while";
  ASSERT_EQ(put("second"), 200U);
  EXPECT_EQ(value(), "second");
}

TEST_F(SandboxSecrets, OfAConversationThatIsToldOthersAreThoseAtOnce) {
  auto const made =
      ask(Method::post, "/api/conversations", test::alice, R"({"conversation_id":"c1","secrets":{"A":"first"}})");
  ASSERT_EQ(made.status, 201U) << made.body;
  auto const value = [&] {
    return ask_by_key(Method::get, path("c1", "/settings/secrets/A"), made.at("/session_api_key")).body;
  };
  EXPECT_EQ(value(), "first");
  ASSERT_EQ(ask(Method::patch, "/api/conversations/c1", test::alice, R"({"secrets":{"A":"second"}})").status, 200U);
  EXPECT_EQ(value(), "second");
}

TEST_F(SandboxSecrets, AreNotThoseOfWhoeverHadTheIdBefore) {
  for (auto const& by : {test::alice, test::bob}) {
    auto const made =
        ask(Method::post, "/api/conversations", by, R"({"conversation_id":"c1","secrets":{"A":"of )" + by.owner + R"("}})");
    ASSERT_EQ(made.status, 201U) << made.body;
    auto const value = ask_by_key(Method::get, path("c1", "/settings/secrets/A"), made.at("/session_api_key"));
    EXPECT_EQ(value.body, "of " + by.owner);
    ASSERT_EQ(ask(Method::delete_, "/api/conversations/c1", by).status, 204U);
  }
}

TEST_F(SandboxSecrets, AreAuditedWithoutTheirValues) {
  auto const id = running_sandbox();
  ASSERT_EQ(ask(Method::put, "/api/v1/users/me/secrets/A", test::alice, R"({"value":"planted"})").status, 200U);
  auto const key = key_of(id);
  audited.clear();
  ask_by_key(Method::get, path(id, "/settings/secrets"), key);
  ask_by_key(Method::get, path(id, "/settings/secrets/A"), key);
  ask_by_key(Method::get, path(id, "/settings/secrets/B"), key);
  ask_by_key(Method::get, path(id, "/settings/secrets/A"), "guessed");
  EXPECT_EQ(audited, (std::vector<std::string>{
                         "sandbox " + id + " alice  200",
                         "sandbox " + id + " alice A 200",
                         "sandbox " + id + " alice B 404",
                         "sandbox   A 401",
                     }));
}

TEST_F(Cloud, AdmitsNobodyWithoutAnApiKeyBesidesSecretsAndWebhooks) {
  EXPECT_TRUE(api->admits_without_api_key(Method::get, "/api/v1/sandboxes/a/settings/secrets"));
  EXPECT_TRUE(api->admits_without_api_key(Method::get, "/api/v1/sandboxes/a/settings/secrets/B"));
  EXPECT_TRUE(api->admits_without_api_key(Method::post, "/api/v1/webhooks/conversations"));
  EXPECT_TRUE(api->admits_without_api_key(Method::post, "/api/v1/webhooks/a/events/b"));
  for (std::string const path : {"/api/v1/sandboxes", "/api/v1/sandboxes/a", "/api/v1/sandboxes/a/settings",
                                 "/api/v1/sandboxes/a/settings/secrets/B/C", "/api/v1/users/me", "/list", "/sessions/a",
                                 "/api/v1/webhooks", "/api/v1/webhooks/conversations"})
    EXPECT_FALSE(api->admits_without_api_key(Method::get, path)) << path;
  EXPECT_FALSE(api->admits_without_api_key(Method::post, "/api/v1/sandboxes"));
  EXPECT_FALSE(api->admits_without_api_key(Method::post, "/api/v1/sandboxes/a/settings/secrets"));
}

class Users : public Cloud {
 protected:
  static constexpr std::string_view me = "/api/v1/users/me";
  test::Answered get(std::string_view query, std::string key, identity::Principal const& by = test::alice) {
    test::Asked what;
    what.by = by;
    what.session_key = std::move(key);
    return ask(Method::get, std::string(me) + std::string(query), std::move(what));
  }
};

TEST_F(Users, KeepTheirSettings) {
  EXPECT_EQ(ask(Method::get, std::string(me)).body, R"({"id":"alice"})");
  auto const changed =
      ask(Method::patch, std::string(me), test::alice, R"({"llm_model":"m","llm_api_key":"sk","llm_base_url":null})");
  EXPECT_EQ(changed.status, 200U);
  EXPECT_EQ(changed.body, R"({"id":"alice","llm_model":"m","llm_api_key":"**********"})");
  ASSERT_EQ(ask(Method::patch, std::string(me), test::alice, R"({"language":"en"})").status, 200U);
  EXPECT_EQ(ask(Method::get, std::string(me)).body,
            R"({"id":"alice","llm_model":"m","llm_api_key":"**********","language":"en"})");
  EXPECT_EQ(ask(Method::get, std::string(me), test::bob).body, R"({"id":"bob"})");
  EXPECT_EQ(ask(Method::patch, std::string(me), test::alice, "[]").status, 422U);
}

TEST_F(Users, LoseNoneOfTwoChangesAtATime) {
  TaskGroup changing(control.executor());
  auto const change = [](proxy::OwnRoutes& routes, proxy::ApiRequest request) -> Task<> {
    auto const response = co_await routes.handle(std::move(request));
    EXPECT_EQ(response.status, 200U);
  };
  for (int i = 0; i < 20; ++i) {
    auto request = request_for(Method::patch, std::string(me), {});
    request.body = R"({"member)" + std::to_string(i) + "\":1}";
    changing.spawn("change", change(*api, std::move(request)));
  }
  control.run_until([&] { return changing.size() == 0; });
  auto const shown = ask(Method::get, std::string(me));
  for (int i = 0; i < 20; ++i) EXPECT_EQ(shown.at("/member" + std::to_string(i)), "1");
}

TEST_F(Users, ShowSecretsOnlyBesideTheKeyOfTheirOwnRunningSandbox) {
  ASSERT_EQ(ask(Method::patch, std::string(me), test::alice,
                R"({"llm_api_key":"sk","mcp_config":{"sse_servers":[{"url":"https://t","api_key":"tk"}]}})")
                .status,
            200U);
  auto const mine = running_sandbox();
  auto const bobs = running_sandbox(test::bob);
  EXPECT_EQ(get("?expose_secrets=true", "").status, 401U);
  EXPECT_EQ(get("?expose_secrets=true", "guessed").status, 401U);
  EXPECT_EQ(get("?expose_secrets=true", key_of(bobs)).status, 403U);
  auto const shown = get("?expose_secrets=true", key_of(mine));
  EXPECT_EQ(shown.at("/llm_api_key"), "sk");
  EXPECT_EQ(shown.at("/mcp_config/sse_servers/0/api_key"), "tk");
  auto const tools = get("", key_of(mine));
  EXPECT_EQ(tools.at("/llm_api_key"), "**********");
  EXPECT_EQ(tools.at("/mcp_config/sse_servers/0/api_key"), "tk");
  auto const masked = get("", key_of(bobs));
  EXPECT_EQ(masked.at("/mcp_config/sse_servers/0/api_key"), "**********");
  auto const key = key_of(mine);
  ASSERT_EQ(ask(Method::post, path(mine, "/pause")).status, 200U);
  EXPECT_EQ(get("?expose_secrets=true", key).status, 401U);
}

TEST_F(Users, KeepSecretsWhoseValuesNobodyGetsBack) {
  EXPECT_EQ(ask(Method::put, std::string(me) + "/secrets/B", test::alice, R"({"value":"planted"})").body,
            R"({"name":"B","description":null})");
  EXPECT_EQ(
      ask(Method::put, std::string(me) + "/secrets/A%2B", test::alice, R"({"value":"planted","description":"d"})").body,
      R"({"name":"A+","description":"d"})");
  auto const names = ask(Method::get, std::string(me) + "/secrets");
  EXPECT_EQ(names.body, R"({"secrets":[{"name":"A+","description":"d"},{"name":"B","description":null}]})");
  EXPECT_EQ(ask(Method::get, std::string(me) + "/secrets", test::bob).body, R"({"secrets":[]})");
  EXPECT_EQ(ask(Method::delete_, std::string(me) + "/secrets/B", test::bob).status, 404U);
  EXPECT_EQ(ask(Method::delete_, std::string(me) + "/secrets/B").body, R"({"success":true})");
  EXPECT_EQ(ask(Method::delete_, std::string(me) + "/secrets/B").status, 404U);
  EXPECT_EQ(ask(Method::put, std::string(me) + "/secrets/A%20B", test::alice, R"({"value":"x"})").status, 422U);
  EXPECT_EQ(ask(Method::put, std::string(me) + "/secrets/A", test::alice, "{}").status, 422U);
}

TEST_F(Users, HaveAThousandSecretsAtMost) {
  for (int i = 0; i < 1'000; ++i) {
    store::UserSecretRow row{"S" + std::to_string(i), {}, Secret("v")};
    ASSERT_TRUE(control.run(store->put_user_secret("alice", std::move(row))));
  }
  EXPECT_EQ(ask(Method::put, std::string(me) + "/secrets/MORE", test::alice, R"({"value":"v"})").status, 409U);
  EXPECT_EQ(ask(Method::put, std::string(me) + "/secrets/S7", test::alice, R"({"value":"w"})").status, 200U);
}

TEST_F(Users, AreThoseOfKeysThatHaveAnOwner) {
  EXPECT_EQ(ask(Method::get, std::string(me), test::ops).status, 403U);
  EXPECT_EQ(ask(Method::get, std::string(me), test::robot).status, 403U);
  EXPECT_EQ(ask(Method::get, std::string(me), std::nullopt).status, 401U);
}

}  // namespace
}  // namespace nestgate::api
