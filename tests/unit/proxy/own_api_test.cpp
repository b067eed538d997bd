#include <gtest/gtest.h>

#include "support/scripted.hpp"

// Which requests are the gateway's own by name, by whom, and with which key.
namespace nestgate::test {
namespace {

std::string api_key_field(std::string_view key) { return "X-API-Key: " + std::string(key) + "\r\n"; }

std::string ask_for(std::string const& method, std::string const& path, std::string const& fields) {
  return method + " " + path + " HTTP/1.1\r\nHost: g\r\n" + fields + "Connection: close\r\n\r\n";
}

std::string own(std::string const& path, std::string const& by) {
  return R"({"own":")" + path + R"(","by":")" + by + R"(","bytes":0})";
}

class OwnApi : public testing::Test {
 protected:
  void start(proxy::Config config = default_config()) {
    gateway_.emplace(std::move(config));
    gateway_->own_routes().on_request = on_request_;
    gateway_->start();
    gateway_->add("c1", nested_.port());
  }
  Answer ask(std::string const& method, std::string const& path, std::string const& fields) {
    return gateway_->ask(ask_for(method, path, fields));
  }

  std::function<Task<proxy::ApiResponse>(proxy::ApiRequest)> on_request_;
  Server nested_{echo_as("c1")};
  std::optional<Gateway> gateway_;
};

TEST_F(OwnApi, OfRemoteRuntimesIsByXApiKey) {
  start();
  for (auto const& [method, path] : {std::pair<std::string, std::string>{"POST", "/start"},
                                     {"POST", "/stop"},
                                     {"POST", "/pause"},
                                     {"POST", "/resume"},
                                     {"GET", "/list"},
                                     {"GET", "/sessions/c1"},
                                     {"GET", "/sessions/batch"},
                                     {"GET", "/runtime/c1"},
                                     {"GET", "/registry_prefix"},
                                     {"GET", "/image_exists"}}) {
    EXPECT_EQ(ask(method, path, api_key_field(alice_api_key)).body, own(path, "alice"));
    for (auto const& fields : {std::string(), api_key_field("wrong")}) {
      auto const answer = ask(method, path, fields);
      EXPECT_EQ(answer.status, 401u) << path;
      EXPECT_EQ(answer.body.find("\"own\""), std::string::npos) << path;
    }
    EXPECT_EQ(ask(method, path, bearer(alice_api_key)).body.find("\"own\""), std::string::npos) << "a Bearer is not it";
  }
}

TEST_F(OwnApi, OfRemoteRuntimesLeavesTheRestBelowThePrefixToTheRuntime) {
  start();
  auto const both = api_key_field(alice_api_key) + key_field("c1");
  EXPECT_EQ(ask("GET", "/runtime/c1", both).body, own("/runtime/c1", "alice"));
  EXPECT_EQ(ask("GET", "/runtime/c1/", both).value("x-nested"), "c1");
  EXPECT_EQ(ask("GET", "/runtime/c1/list", both).value("x-nested"), "c1");
  EXPECT_EQ(ask("POST", "/runtime/c1", both).value("x-nested"), "c1");
  EXPECT_EQ(ask("GET", "/runtime/c1", key_field("c1")).value("x-nested"), "c1");
  EXPECT_EQ(ask("GET", "/runtime/c1/x", api_key_field(alice_api_key)).status, 401u) << "it opens no runtime";
}

TEST_F(OwnApi, KeysInXApiKeyDoNotReachANestedServer) {
  start();
  auto const ours = ask("GET", "/runtime/c1/x", key_field("c1") + api_key_field(alice_api_key));
  ASSERT_EQ(ours.value("x-nested"), "c1");
  EXPECT_EQ(ours.body.find(alice_api_key), std::string::npos) << ours.body;
  auto const theirs = ask("GET", "/runtime/c1/x", key_field("c1") + api_key_field("of the nested server's own"));
  EXPECT_NE(theirs.body.find("X-API-Key: of the nested server's own\r\n"), std::string::npos) << theirs.body;
}

TEST_F(OwnApi, OfTheCloudIsOursWhateverTheCredential) {
  start();
  for (std::string const path : {"/api/v1/sandboxes", "/api/v1/sandboxes/c1/pause", "/api/v1/users/me",
                                 "/api/v1/sandbox-specs/search", "/api/routes"}) {
    EXPECT_EQ(ask("POST", path, bearer(alice_api_key)).body, own(path, "alice"));
    EXPECT_EQ(ask("POST", path, bearer(alice_api_key) + key_field("c1")).body, own(path, "alice"));
    for (auto const& fields : {std::string(), bearer("wrong"), key_field("c1"), api_key_field(alice_api_key)}) {
      auto const answer = ask("POST", path, fields);
      EXPECT_EQ(answer.status, 401u) << path << " " << fields;
      EXPECT_EQ(error_code_of(answer), "unauthorized");
    }
  }
  EXPECT_EQ(nested_.accepted(), 0u);
}

Task<proxy::ApiResponse> tell_session_key(proxy::ApiRequest request) {
  proxy::ApiResponse response;
  response.body = std::string(request.session_key.reveal()) + (request.principal ? " and " + request.principal->name : "");
  co_return response;
}

TEST_F(OwnApi, IsToldTheSessionKeyThatWasShown) {
  on_request_ = tell_session_key;
  start();
  auto const admitted = "/api/v1/webhooks/complete";  // what the routes admit without an API key
  EXPECT_EQ(ask("POST", admitted, key_field("c1")).body, session_key_of("c1"));
  EXPECT_EQ(ask("POST", admitted, "").body, "");
  EXPECT_EQ(ask("GET", "/api/v1/users/me", bearer(alice_api_key) + key_field("c1")).body,
            session_key_of("c1") + " and alice");
}

TEST_F(OwnApi, TakesMoreFromARuntimesOwnKeyThanFromNobody) {
  auto config = default_config();
  config.limits.callback_body_bytes_max = 100;
  config.limits.webhook_body_bytes_max = 200;
  start(std::move(config));
  auto const tell = [&](std::string const& path, std::string const& fields, std::size_t bytes) {
    return gateway_->ask("POST " + path + " HTTP/1.1\r\nHost: g\r\n" + fields + "Connection: close\r\nContent-Length: " +
                         std::to_string(bytes) + "\r\n\r\n" + std::string(bytes, 'x'));
  };
  auto const webhook = "/api/v1/webhooks/complete";
  EXPECT_EQ(tell(webhook, key_field("c1"), 200).status, 200u);
  auto const refused = tell(webhook, key_field("c1"), 201);
  EXPECT_EQ(refused.status, 413u);
  EXPECT_NE(refused.body.find("limits.webhook_body_bytes_max"), std::string::npos);
  EXPECT_EQ(tell(webhook, "X-Session-API-Key: wrong\r\n", 101).status, 413u);
  EXPECT_EQ(tell(webhook, "", 101).status, 413u);
  EXPECT_EQ(tell("/api/v1/sandboxes/complete", key_field("c1"), 101).status, 413u) << "only what runtimes push";
}

TEST_F(OwnApi, DocumentIsTheNestedServersWhereASessionKeyOrTheDefaultLeads) {
  start();
  EXPECT_EQ(ask("GET", "/openapi.json", bearer(alice_api_key)).body, own("/openapi.json", "alice"));
  EXPECT_EQ(ask("GET", "/openapi.json", key_field("c1")).value("x-nested"), "c1");
  EXPECT_EQ(ask("GET", "/openapi.json", "").status, 401u);
  auto config = default_config();
  config.fallback = ConversationId::parse("c1");
  start(std::move(config));
  EXPECT_EQ(ask("GET", "/openapi.json", "").value("x-nested"), "c1");
  EXPECT_EQ(ask("GET", "/openapi.json", bearer(alice_api_key)).body, own("/openapi.json", "alice"));
}

TEST_F(OwnApi, VersionsAreTheNestedServersWhereASessionKeyOrTheDefaultLeads) {
  start();
  EXPECT_EQ(ask("GET", "/sdk-version", bearer(alice_api_key)).body, own("/sdk-version", "alice"));
  EXPECT_EQ(ask("GET", "/server_info", key_field("c1")).value("x-nested"), "c1");
  auto config = default_config();
  config.fallback = ConversationId::parse("c1");
  start(std::move(config));
  EXPECT_EQ(ask("GET", "/server_info", "").value("x-nested"), "c1");
  EXPECT_EQ(ask("GET", "/server_info", bearer(alice_api_key)).value("x-nested"), "c1");
}

TEST_F(OwnApi, OfAutomationsTakesAnApiKeyInTheFieldOfSessionKeysToo) {
  start();
  auto const path = "/api/automation/v1";
  auto const field = "X-Session-API-Key: " + std::string(alice_api_key) + "\r\n";
  EXPECT_EQ(ask("GET", path, field).body, own(path, "alice"));
  EXPECT_EQ(ask("GET", path, "Authorization: Basic eA==\r\n" + field).body, own(path, "alice"));
  EXPECT_EQ(ask("GET", path, bearer("wrong") + field).status, 401u) << "a bearer goes before it";
  EXPECT_EQ(ask("GET", path, key_field("c1")).status, 401u) << "a conversation's key opens nothing here";
}

TEST_F(OwnApi, OfAutomationsAnswersBelowItsMountToo) {
  auto config = default_config();
  config.automation_mount = "/acme";
  start(std::move(config));
  EXPECT_EQ(ask("GET", "/acme/api/automation/v1", bearer(alice_api_key)).body, own("/api/automation/v1", "alice"));
  EXPECT_EQ(ask("GET", "/api/automation/v1", bearer(alice_api_key)).body, own("/api/automation/v1", "alice"));
  EXPECT_EQ(ask("POST", "/acme/api/automation/v1/runs/r/complete", "").body,
            own("/api/automation/v1/runs/r/complete", "nobody"));
  EXPECT_EQ(ask("GET", "/acme/api/conversations", bearer(alice_api_key)).status, 404u);
}

Task<proxy::ApiResponse> tell_fields(proxy::ApiRequest request) {
  proxy::ApiResponse response;
  response.status = 401;
  response.challenge = proxy::ApiResponse::Challenge::no;
  response.body = request.authorization_scheme + " " + std::string(request.field("x-note")) + " ";
  for (auto const& [name, value] : request.fields) response.body += name + ",";
  co_return response;
}

TEST_F(OwnApi, IsToldTheFieldsButNoCredentials) {
  on_request_ = tell_fields;
  start();
  auto const told =
      ask("GET", "/api/automation/v1", bearer(alice_api_key) + "X-Note: yes\r\nCookie: a=b\r\nX-API-Key: k\r\n");
  EXPECT_TRUE(told.body.starts_with("Bearer yes ")) << told.body;
  for (auto const* const hidden : {"authorization,", "cookie,", "x-api-key,", "x-session-api-key,"})
    EXPECT_EQ(told.body.find(hidden), std::string::npos) << told.body;
  EXPECT_EQ(told.value("www-authenticate"), "") << "the route said so";
}

TEST_F(OwnApi, OfConversationsIsTheNestedServersWithASessionKey) {
  start();
  for (auto const& [method, path] : {std::pair<std::string, std::string>{"POST", "/api/conversations/c1/pause"},
                                     {"POST", "/api/conversations/c1/resume"},
                                     {"POST", "/api/conversations/c1/events"},
                                     {"POST", "/api/conversations/c1/session-key/revoke"},
                                     {"PATCH", "/api/conversations/c1"},
                                     {"GET", "/api/conversations/c1/log"},
                                     {"GET", "/api/conversations/c1/progress"}}) {
    EXPECT_EQ(ask(method, path, bearer(alice_api_key)).body, own(path, "alice"));
    EXPECT_EQ(ask(method, path, key_field("c1")).value("x-nested"), "c1") << path;
  }
}

TEST_F(OwnApi, OfConversationsLeavesIdsThatANestedServerHandedOutToIt) {
  start();
  gateway_->run(gateway_->cores().add_alias(*ConversationId::parse("handed-out"), *ConversationId::parse("c1")));
  EXPECT_EQ(ask("POST", "/api/conversations/handed-out/events", bearer(alice_api_key)).value("x-nested"), "c1");
  EXPECT_EQ(ask("POST", "/api/conversations/handed-out/pause", bearer(alice_api_key)).value("x-nested"), "c1");
}

}  // namespace
}  // namespace nestgate::test
