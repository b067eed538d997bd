#include <gtest/gtest.h>

#include "support/scripted.hpp"

// Who may pass, and what those learn who may not.
namespace nestgate::test {
namespace {

using conversation::RuntimeState;

constexpr std::string_view bob_api_key = "bob-api-key-for-tests";
constexpr std::string_view automation_api_key = "automation-api-key-for-tests";

proxy::Config config_with_more_keys() {
  auto config = default_config();
  config.rules.domain = "sandboxes.test";
  config.timeouts.first_frame = std::chrono::milliseconds(50);
  config.limits.upgrades_per_key_per_second_max = 1'000'000;
  std::vector<identity::ApiKeyEntry> keys;
  keys.push_back({{"ops", identity::Role::admin, ""}, identity::hash_api_key(admin_api_key)});
  keys.push_back({{"alice", identity::Role::user, "alice"}, identity::hash_api_key(alice_api_key)});
  keys.push_back({{"bob", identity::Role::user, "bob"}, identity::hash_api_key(bob_api_key)});
  keys.push_back({{"nightly", identity::Role::automation, "alice"}, identity::hash_api_key(automation_api_key)});
  config.api_keys = std::make_shared<identity::ApiKeys const>(std::move(keys));
  return config;
}

struct OneRuntime {
  OneRuntime() : gateway(config_with_more_keys()) {
    gateway.start();
    gateway.add("c1", nested.port());
  }
  Server nested{echo_as("c1")};
  Gateway gateway;
};

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  for (auto at = text.find(what); at != text.npos; at = text.find(what, at + by.size())) text.replace(at, what.size(), by);
  return text;
}

std::string everything(Gateway const& gateway, std::string const& request) {
  auto client = gateway.connect();
  client.send(request);
  client.end_sending();
  return client.read_to_end();
}

TEST(Strangers, CannotTellAKnownIdFromAnUnknownOne) {
  OneRuntime at;
  struct Place {
    std::string target, host;
  };
  std::vector<Place> const places{{"/x", "{id}.sandboxes.test"},
                                  {"/health", "{id}.sandboxes.test"},
                                  {"/x?tkn=wrong", "8001-{id}.sandboxes.test"},
                                  {"/alive", "8001-{id}.sandboxes.test"},
                                  {"/runtime/{id}/x", "g"},
                                  {"/runtime/{id}/alive", "g"},
                                  {"/api/conversations/{id}", "g"},
                                  {"/api/conversations/{id}/events", "g"},
                                  {"/api/conversations/{id}/workspace/a", "g"},
                                  {"/sockets/events/{id}", "g"},
                                  {"/sockets/session/{id}", "g"},
                                  {"/socket.io/?conversation_id={id}", "g"}};
  std::vector<std::string> const shown{"",
                                       "X-Session-API-Key: wrong\r\n",
                                       bearer("wrong"),
                                       bearer(bob_api_key),
                                       bearer(automation_api_key),
                                       "Cookie: oh_workspace_session_key=wrong\r\n"};
  for (auto const& place : places) {
    for (auto const& credential : shown) {
      for (auto const& fields : {std::string("Connection: close\r\n"), std::string(websocket_fields)}) {
        // The API key's own view of a conversation is the control API's to keep.
        if (place.target == "/api/conversations/{id}" && credential.starts_with("Authorization")) continue;
        std::string const request = "GET " + place.target + " HTTP/1.1\r\nHost: " + place.host + "\r\nX-Request-Id: r1\r\n" +
                                    credential + fields + "\r\n";
        auto const known = everything(at.gateway, replaced(request, "{id}", "c1"));
        auto const unknown = everything(at.gateway, replaced(request, "{id}", "c9"));
        EXPECT_EQ(known, unknown) << request;
        EXPECT_FALSE(known.empty()) << request;
      }
    }
  }
  EXPECT_EQ(at.nested.accepted(), 0u);
}

TEST(Strangers, CannotTellADeclaredPortFromAnUnknownOne) {
  OneRuntime at;
  Server declared(echo_as("editor")), stranger(echo_as("stranger"));
  at.gateway.add("c2", at.nested.port(), "alice", RuntimeState::running, 1, {declared.port()});
  for (std::string const rest : {"/x", "/alive", "/alive?tkn=wrong", "/x?tkn=wrong", "/x?session_api_key=wrong"}) {
    for (auto const& fields : {std::string("Connection: close\r\n"), std::string(websocket_fields),
                               std::string("Cookie: vscode-tkn=wrong\r\n") + std::string(websocket_fields)}) {
      auto const ask = [&](std::uint16_t port) {
        return everything(at.gateway, "GET /runtime/" + std::to_string(port) + rest +
                                          " HTTP/1.1\r\nHost: g\r\nX-Request-Id: r1\r\n" + fields + "\r\n");
      };
      EXPECT_EQ(ask(declared.port()), ask(stranger.port())) << rest << "\n" << fields;
    }
  }
  EXPECT_EQ(declared.accepted() + stranger.accepted(), 0u);
}

TEST(Strangers, LearnNothingOfARuntimeThatStarts) {
  OneRuntime at;
  at.gateway.add("c2", at.nested.port(), "alice", RuntimeState::starting);
  for (auto const& fields : {std::string(), std::string("X-Session-API-Key: wrong\r\n"), bearer(bob_api_key)}) {
    auto const starting = at.gateway.get("/api/conversations/c2/events", fields + "X-Request-Id: r1\r\n");
    auto const unknown = at.gateway.get("/api/conversations/c9/events", fields + "X-Request-Id: r1\r\n");
    EXPECT_EQ(starting.head, unknown.head);
    EXPECT_EQ(starting.body, unknown.body);
  }
}

TEST(Holders, OfACredentialAreToldToWaitForARuntimeThatStarts) {
  OneRuntime at;
  at.gateway.add("c2", at.nested.port(), "alice", RuntimeState::starting);
  for (auto const& fields : {key_field("c2"), bearer(alice_api_key), bearer(admin_api_key)}) {
    auto const answer = at.gateway.get("/api/conversations/c2/events", fields);
    EXPECT_EQ(answer.status, 503u);
    EXPECT_EQ(error_code_of(answer), "runtime_starting");
    EXPECT_FALSE(answer.value("retry-after").empty());
  }
  // A websocket is refused before the upgrade, so that an SDK client tries again.
  EXPECT_EQ(at.gateway.ask(websocket_request("/sockets/events/c2", key_field("c2"))).status, 503u);
}

TEST(Holders, OfAnApiKeyGetTheSessionKeyPutInAndTheirTokenTakenOut) {
  OneRuntime at;
  for (auto const token : {alice_api_key, admin_api_key}) {
    auto const answer = at.gateway.get("/api/conversations/c1/events", bearer(token));
    EXPECT_EQ(answer.status, 200u);
    EXPECT_EQ(field_value(answer.body, "x-session-api-key"), session_key_of("c1"));
    EXPECT_EQ(answer.body.find(token), std::string::npos);
  }
}

TEST(Holders, OfAForeignAuthorizationKeepIt) {
  OneRuntime at;
  auto const answer = at.gateway.get("/api/file", key_field("c1") + bearer("for-the-nested-server"));
  EXPECT_EQ(field_value(answer.body, "authorization"), "Bearer for-the-nested-server");
}

TEST(Holders, OfASessionKeyThatAlsoShowAnApiKeyDoNotSendItOn) {
  OneRuntime at;
  auto const answer = at.gateway.get("/api/file", key_field("c1") + bearer(bob_api_key));
  EXPECT_EQ(answer.status, 200u);
  EXPECT_EQ(answer.body.find(bob_api_key), std::string::npos);
}

TEST(ApiKeys, OfAnotherOwnerFindNothing) {
  OneRuntime at;
  auto const answer = at.gateway.get("/api/conversations/c1/events", bearer(bob_api_key));
  EXPECT_EQ(answer.status, 404u);
  EXPECT_EQ(at.nested.accepted(), 0u);
}

TEST(ApiKeys, OfTheAutomationRoleReachNoNestedServer) {
  OneRuntime at;
  for (std::string const target : {"/api/conversations/c1/events", "/runtime/c1/x", "/socket.io/?conversation_id=c1"}) {
    EXPECT_NE(at.gateway.get(target, bearer(automation_api_key)).status, 200u) << target;
  }
  EXPECT_EQ(at.nested.accepted(), 0u);
  EXPECT_EQ(at.gateway.get("/api/automation/v1/runs", bearer(automation_api_key)).status, 200u);
}

// A runtime that was started with the old secret while clients have the new one's key.
struct RotatedRuntime {
  RotatedRuntime() : gateway(config_with_more_keys()) {
    gateway.start();
    conversation::RuntimeRecord record{*ConversationId::parse("c1"),
                                       Epoch(1),
                                       RuntimeState::running,
                                       "alice",
                                       asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), nested.port()),
                                       Secret("old-key"),
                                       {},
                                       {}};
    record.accepted_keys.emplace_back("new-key");
    record.accepted_keys.emplace_back("old-key");
    gateway.publish(std::move(record));
  }
  Server nested{echo_as("c1")};
  Gateway gateway;
};

TEST(Rotation, EveryAcceptedKeyOpensAndTheRuntimeGetsItsOwn) {
  RotatedRuntime at;
  for (std::string const key : {"new-key", "old-key"}) {
    auto const answer = at.gateway.get("/api/file", "X-Session-API-Key: " + key + "\r\n");
    EXPECT_EQ(answer.status, 200u);
    EXPECT_EQ(field_value(answer.body, "x-session-api-key"), "old-key");
    EXPECT_EQ(occurrences(answer.body, "ession-"), 1u);
  }
  EXPECT_EQ(at.gateway.get("/api/conversations/c1/events", "X-Session-API-Key: older-key\r\n").status, 401u);
}

TEST(Rotation, AKeyInTheQueryThatIsNotTheRuntimesOwnIsTakenOut) {
  RotatedRuntime at;
  auto const line = [&](std::string const& request) {
    auto const answer = at.gateway.ask(request);
    return answer.body.substr(0, answer.body.find("\r\n"));
  };
  EXPECT_EQ(line(websocket_request("/sockets/events/c1?a=1&session_api_key=new-key&b=2")),
            "GET /sockets/events/c1?a=1&b=2 HTTP/1.1");
  EXPECT_EQ(line(websocket_request("/sockets/events/c1?session_api_key=new-key")), "GET /sockets/events/c1 HTTP/1.1");
  EXPECT_EQ(line(websocket_request("/sockets/events/c1?session_api_key=old-key")),
            "GET /sockets/events/c1?session_api_key=old-key HTTP/1.1");
  EXPECT_EQ(line(websocket_request("/socket.io/?conversation_id=c1&session_api_key=new-key&EIO=4")),
            "GET /socket.io/?conversation_id=c1&session_api_key=old-key&EIO=4 HTTP/1.1");
}

TEST(Rotation, ABearerKeyOnOpenAiShapedRoutesCountsLikeAnyOther) {
  RotatedRuntime at;
  auto const answer = at.gateway.get("/v1/models", bearer("new-key"));
  EXPECT_EQ(answer.status, 200u);
  EXPECT_EQ(field_value(answer.body, "x-session-api-key"), "old-key");
}

TEST(Aliases, FromAnAnswerAreKnownOnEveryCoreAtOnce) {
  struct Case {
    std::string name, target, answer, version = "1.1";
  };
  std::vector<Case> const cases{
      {"by length", "/api/conversations", "HTTP/1.1 201 Created\r\nContent-Length: 18\r\n\r\n{\"id\":\"alias-one\"}"},
      {"in chunks", "/api/conversations",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{\"id\":\"al\r\n9\r\nias-one\"}\r\n0\r\n\r\n"},
      {"in chunks for a client that knows none", "/api/conversations",
       "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{\"id\":\"al\r\n9\r\nias-one\"}\r\n0\r\n\r\n", "1.0"},
      {"to the connection's end", "/api/conversations",
       "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{\"id\":\"alias-one\"}"},
      {"by a fork", "/api/conversations/c1/fork",
       "HTTP/1.1 201 Created\r\nContent-Length: 18\r\n\r\n{\"id\":\"alias-one\"}"},
  };
  for (auto const& one : cases) {
    Server nested([&](Connection& connection) {
      for (;;) {
        auto const request = read_request(connection);
        if (request.head.empty()) return;
        bool const asks_for_id = request.line().starts_with("POST");
        if (!connection.send(asks_for_id ? one.answer : ok_answer("known"))) return;
        if (asks_for_id && one.answer.find("Connection: close") != one.answer.npos) return;
      }
    });
    Gateway gateway(config_with_more_keys(), 2);
    gateway.start();
    gateway.add("c1", nested.port());
    EXPECT_EQ(gateway.get("/api/conversations/alias-one/events", bearer(alice_api_key)).status, 404u);
    auto const made = gateway.ask("POST " + one.target + " HTTP/" + one.version + "\r\nHost: g\r\n" + key_field("c1") +
                                  "Content-Length: 2\r\n\r\n{}");
    EXPECT_EQ(made.status / 100, 2u) << one.name;
    EXPECT_EQ(made.body, R"({"id":"alias-one"})");
    for (int i = 0; i < 16; ++i) {
      EXPECT_EQ(gateway.get("/api/conversations/alias-one/events", bearer(alice_api_key)).body, "known") << one.name;
    }
    EXPECT_EQ(gateway.get("/api/conversations/alias-one/events", bearer(bob_api_key)).status, 404u);
  }
}

TEST(Aliases, CannotTakeOverTheIdOfAnotherRuntime) {
  OneRuntime at;
  Server greedy([](Connection& connection) {
    read_request(connection);
    connection.send(ok_answer(R"({"id":"c1"})"));
  });
  at.gateway.add("c2", greedy.port(), "bob");
  EXPECT_EQ(at.gateway.ask("POST /api/conversations HTTP/1.1\r\nHost: g\r\n" + key_field("c2") + "Content-Length: 0\r\n\r\n")
                .status,
            200u);
  EXPECT_EQ(at.gateway.get("/api/conversations/c1/events", bearer(alice_api_key)).value("x-nested"), "c1");
  EXPECT_EQ(at.gateway.get("/api/conversations/c1/events", bearer(bob_api_key)).status, 404u);
}

TEST(Aliases, AreNotLookedForInAnAnswerThatIsTooLarge) {
  std::string const body = R"({"pad":")" + std::string(500'000, 'x') + R"(","id":"alias-two"})";
  Server nested([&](Connection& connection) {
    for (;;) {
      if (read_request(connection).head.empty() || !connection.send(ok_answer(body))) return;
    }
  });
  auto config = config_with_more_keys();
  config.limits.alias_answer_bytes_max = 1000;
  Gateway gateway(std::move(config));
  gateway.start();
  gateway.add("c1", nested.port());
  auto const made =
      gateway.ask("POST /api/conversations HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Content-Length: 0\r\n\r\n");
  EXPECT_EQ(made.body, body);
  EXPECT_EQ(gateway.get("/api/conversations/alias-two/events", bearer(alice_api_key)).status, 404u);
}

}  // namespace
}  // namespace nestgate::test
