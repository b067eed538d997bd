#include <gtest/gtest.h>

#include "support/scripted.hpp"

namespace nestgate::test {
namespace {

constexpr std::string_view uuid = "0123abcd-89ab-4def-8123-456789abcdef";
constexpr std::string_view uuid_plain = "0123abcd89ab4def8123456789abcdef";

proxy::Config config_with_domain() {
  auto config = default_config();
  config.rules.domain = "sandboxes.test";
  return config;
}

// Two runtimes behind one gateway; `who` of an answer is the nested server that gave it.
struct TwoRuntimes {
  explicit TwoRuntimes(proxy::Config config = config_with_domain()) : gateway(std::move(config)) {
    gateway.start();
    gateway.add("c1", c1.port(), "alice", conversation::RuntimeState::running, 1, {editor.port()});
    gateway.add("c2", c2.port(), "bob");
  }
  Server c1{echo_as("c1")};
  Server c2{echo_as("c2")};
  Server editor{echo_as("editor")};
  Gateway gateway;
};

std::string who(Answer const& answer) {
  return answer.status == 200 ? answer.value("x-nested") : std::to_string(answer.status);
}
std::string line_of(Answer const& answer) { return answer.body.substr(0, answer.body.find("\r\n")); }

TEST(HostRule, NamesTheRuntimeAndLeavesTheTargetAsItIs) {
  TwoRuntimes at;
  auto const answer = at.gateway.get("/api//file?a=%2F&a=1+2", key_field("c1"), "c1.sandboxes.test:8080");
  EXPECT_EQ(who(answer), "c1");
  EXPECT_EQ(line_of(answer), "GET /api//file?a=%2F&a=1+2 HTTP/1.1");
  EXPECT_EQ(field_value(answer.body, "host"), "c1.sandboxes.test:8080");
  EXPECT_EQ(field_value(answer.body, "x-forwarded-prefix"), "");
}

TEST(HostRule, IgnoresTheCaseOfTheHost) {
  TwoRuntimes at;
  at.gateway.add(uuid, at.c1.port());
  std::string const host = "0123ABCD-89AB-4DEF-8123-456789ABCDEF.SandBoxes.TEST";
  EXPECT_EQ(who(at.gateway.get("/x", key_field(uuid), host)), "c1");
}

TEST(HostRule, KnowsNoOtherRuntimeThanTheOneItNames) {
  TwoRuntimes at;
  EXPECT_EQ(at.gateway.get("/api/file", key_field("c1"), "c2.sandboxes.test").status, 401u);
  EXPECT_EQ(at.gateway.get("/api/conversations/c1", key_field("c1"), "c2.sandboxes.test").status, 401u);
  EXPECT_EQ(at.c1.accepted() + at.c2.accepted(), 0u);
}

TEST(HostRule, TakesNeitherTheDomainItselfNorTwoLabels) {
  TwoRuntimes at;
  for (std::string const host : {"sandboxes.test", "a.c1.sandboxes.test", "c1.sandboxes.test.evil", "c1sandboxes.test"}) {
    EXPECT_EQ(at.gateway.get("/x", bearer(alice_api_key), host).status, 404u) << host;
  }
}

TEST(HostRule, AnswersHealthProbesWithoutCredentialsForTheGatewayItself) {
  TwoRuntimes at;
  for (std::string const host : {"c1.sandboxes.test", "c9.sandboxes.test", "8001-c1.sandboxes.test"}) {
    EXPECT_EQ(at.gateway.get("/health", {}, host).status, 200u) << host;
  }
  EXPECT_EQ(at.c1.accepted(), 0u);
}

TEST(HostRule, ReachesADeclaredPortWithoutTheSessionKeyOfTheRuntime) {
  TwoRuntimes at;
  std::string const host = std::to_string(at.editor.port()) + "-c1.sandboxes.test";
  auto const by_header = at.gateway.get("/x", key_field("c1"), host);
  EXPECT_EQ(who(by_header), "editor");
  EXPECT_EQ(field_value(by_header.body, "x-session-api-key"), "");
  EXPECT_EQ(who(at.gateway.get("/x?tkn=" + session_key_of("c1"), {}, host)), "editor");
  EXPECT_EQ(who(at.gateway.get("/x", "Cookie: vscode-tkn=" + session_key_of("c1") + "\r\n", host)), "editor");
  EXPECT_EQ(who(at.gateway.get("/x", bearer(alice_api_key), host)), "editor");
}

TEST(HostRule, ReachesNoPortThatTheRuntimeDidNotDeclare) {
  TwoRuntimes at;
  std::string const undeclared = std::to_string(at.c2.port()) + "-c1.sandboxes.test";
  auto const answer = at.gateway.get("/x", key_field("c1"), undeclared);
  EXPECT_EQ(answer.status, 404u);
  EXPECT_EQ(error_code_of(answer), "unknown_port");
  EXPECT_EQ(at.c2.accepted(), 0u);
}

TEST(HostRule, ReadsALabelThatLooksLikeAPortAsOneIdWhenThatIsARuntime) {
  TwoRuntimes at;
  at.gateway.add("8001-c9", at.c2.port());
  EXPECT_EQ(who(at.gateway.get("/x", key_field("8001-c9"), "8001-c9.sandboxes.test")), "c2");
}

TEST(PrefixRule, StripsThePrefixAndSaysSo) {
  TwoRuntimes at;
  struct Case {
    std::string target, line;
  };
  for (auto const& [target, line] :
       {Case{"/runtime/c1/api/x?y=1", "GET /api/x?y=1 HTTP/1.1"}, Case{"/runtime/c1/", "GET / HTTP/1.1"},
        Case{"/runtime/c1", "GET / HTTP/1.1"}, Case{"/runtime/c1?y=1", "GET /?y=1 HTTP/1.1"},
        Case{"/runtime/c1//a/../b", "GET //a/../b HTTP/1.1"}}) {
    auto const answer = at.gateway.get(target, key_field("c1"));
    EXPECT_EQ(who(answer), "c1") << target;
    EXPECT_EQ(line_of(answer), line);
    EXPECT_EQ(field_value(answer.body, "x-forwarded-prefix"), "/runtime/c1");
  }
}

TEST(PrefixRule, PutsThePrefixBeforeLocationAndCookiePath) {
  Server nested(
      answer_once("HTTP/1.1 307 \r\nLocation: /api/tools/\r\nSet-Cookie: k=v; HttpOnly; Path=/api/conversations\r\n"
                  "Content-Length: 0\r\n\r\n"));
  Gateway gateway;
  gateway.start();
  gateway.add("c1", nested.port());
  auto const prefixed = gateway.get("/runtime/c1/api/tools", key_field("c1"));
  EXPECT_EQ(prefixed.value("location"), "/runtime/c1/api/tools/");
  EXPECT_EQ(prefixed.value("set-cookie"), "k=v; HttpOnly; Path=/runtime/c1/api/conversations");
  auto const plain = gateway.get("/api/tools", key_field("c1"));
  EXPECT_EQ(plain.value("location"), "/api/tools/");
  EXPECT_EQ(plain.value("set-cookie"), "k=v; HttpOnly; Path=/api/conversations");
}

TEST(PrefixRule, TakesEveryFormOfAUuid) {
  TwoRuntimes at;
  at.gateway.add(uuid, at.c1.port());
  for (auto const& id : {std::string(uuid), std::string(uuid_plain), std::string("0123ABCD-89AB-4DEF-8123-456789ABCDEF"),
                         "%7B" + std::string(uuid) + "%7D"}) {
    EXPECT_EQ(who(at.gateway.get("/runtime/" + id + "/x", key_field(uuid))), "c1") << id;
  }
}

TEST(PortRule, ServesThePortsOfRuntimesAndNoOthers) {
  TwoRuntimes at;
  auto const prefix = "/runtime/" + std::to_string(at.c1.port());
  auto const answer = at.gateway.get(prefix + "/api/x", key_field("c1"));
  EXPECT_EQ(who(answer), "c1");
  EXPECT_EQ(line_of(answer), "GET /api/x HTTP/1.1");
  EXPECT_EQ(field_value(answer.body, "x-forwarded-prefix"), prefix);
  EXPECT_EQ(field_value(answer.body, "x-session-api-key"), session_key_of("c1"));

  Server stranger(echo_as("stranger"));
  EXPECT_EQ(at.gateway.get("/runtime/" + std::to_string(stranger.port()) + "/x", bearer(admin_api_key)).status, 404u);
  EXPECT_EQ(stranger.accepted(), 0u);
}

TEST(PortRule, ServesADeclaredPortWithoutTheKeyOfTheRuntime) {
  TwoRuntimes at;
  auto const answer = at.gateway.get("/runtime/" + std::to_string(at.editor.port()) + "/?tkn=" + session_key_of("c1"));
  EXPECT_EQ(who(answer), "editor");
  EXPECT_EQ(field_value(answer.body, "x-session-api-key"), "");
}

TEST(PortRule, LetsThePlatformsHealthProbeThroughWithoutAKey) {
  TwoRuntimes at;
  auto const answer = at.gateway.get("/runtime/" + std::to_string(at.c1.port()) + "/health");
  EXPECT_EQ(who(answer), "c1");
  EXPECT_EQ(field_value(answer.body, "x-session-api-key"), "");
}

TEST(PortRule, DecidesForNobodyWhenTwoRuntimesClaimAPort) {
  TwoRuntimes at;
  at.gateway.add("c3", at.c1.port());
  EXPECT_EQ(at.gateway.get("/runtime/" + std::to_string(at.c1.port()) + "/x", key_field("c1")).status, 401u);
}

TEST(PathRule, TakesEveryFormOfAUuidAndKeepsThePath) {
  TwoRuntimes at;
  at.gateway.add(uuid, at.c1.port());
  // By API key, so that no session key leads there.
  for (auto const& id : {std::string(uuid), std::string(uuid_plain), std::string("0123ABCD89AB4DEF8123456789ABCDEF"),
                         "%7B" + std::string(uuid) + "%7D", "urn:uuid:" + std::string(uuid),
                         std::string("%30123abcd89ab4def8123456789abcdef")}) {
    for (std::string const start :
         {"/api/conversations/", "/sockets/events/", "/sockets/session/", "/%61pi/conversations/"}) {
      auto const answer = at.gateway.get(start + id + "/events", bearer(alice_api_key));
      EXPECT_EQ(who(answer), "c1") << start << id;
      EXPECT_EQ(line_of(answer), "GET " + start + id + "/events HTTP/1.1");
    }
  }
}

TEST(PathRule, TakesNoWordThatStandsWhereAnIdWouldFor) {
  TwoRuntimes at;
  at.gateway.add("search", at.c1.port());
  at.gateway.add("count", at.c1.port());
  for (std::string const word : {"search", "count", "%73earch"}) {
    EXPECT_EQ(at.gateway.get("/api/conversations/" + word, bearer(admin_api_key)).status, 404u) << word;
    EXPECT_EQ(who(at.gateway.get("/api/conversations/" + word, key_field("c2"))), "c2") << word;
  }
}

TEST(PathRule, NormalisesNothing) {
  TwoRuntimes at;
  EXPECT_EQ(at.gateway.get("//api/conversations/c1", bearer(admin_api_key)).status, 404u);
  EXPECT_EQ(at.gateway.get("/x/../api/conversations/c1/events", bearer(admin_api_key)).status, 404u);
}

TEST(PathRule, LeadsAnIdThatNobodyKnowsToTheOwnerOfTheKey) {
  TwoRuntimes at;
  EXPECT_EQ(who(at.gateway.get("/api/conversations/c77/events", key_field("c2"))), "c2");
}

TEST(SocketIoRule, GoesByConversationIdAndReplacesTheKeyInTheQuery) {
  TwoRuntimes at;
  auto const by_api_key = at.gateway.get("/socket.io/?EIO=4&conversation_id=c1&session_api_key=null", bearer(alice_api_key));
  EXPECT_EQ(who(by_api_key), "c1");
  EXPECT_EQ(line_of(by_api_key),
            "GET /socket.io/?EIO=4&conversation_id=c1&session_api_key=" + session_key_of("c1") + " HTTP/1.1");
  auto const without = at.gateway.get("/socket.io/?conversation_id=c1", bearer(alice_api_key));
  EXPECT_EQ(line_of(without), "GET /socket.io/?conversation_id=c1&session_api_key=" + session_key_of("c1") + " HTTP/1.1");
  EXPECT_EQ(at.gateway.get("/socket.io/?conversation_id=c1&session_api_key=wrong").status, 401u);
}

TEST(SocketIoRule, SticksToTheServerThatOpenedTheSession) {
  Server nested([](Connection& connection) {
    for (;;) {
      auto const request = read_request(connection);
      if (request.head.empty()) return;
      if (request.line().find("sid=") != std::string::npos) {
        connection.send(ok_answer("6"));
        continue;
      }
      // In as many pieces as can be: head and body seldom come together from a real server.
      for (char const byte : ok_answer(R"(0{"sid":"abcDEF123","upgrades":["websocket"],"pingInterval":25000})"))
        if (!connection.send(std::string(1, byte))) return;
    }
  });
  TwoRuntimes at;
  at.gateway.add("c3", nested.port());
  auto const unknown = at.gateway.get("/socket.io/?EIO=4&transport=polling&sid=abcDEF123", bearer(alice_api_key));
  EXPECT_EQ(unknown.status, 401u);
  auto const open = at.gateway.get("/socket.io/?EIO=4&transport=polling&conversation_id=c3", bearer(alice_api_key));
  EXPECT_EQ(open.status, 200u);
  auto const next = at.gateway.get("/socket.io/?EIO=4&transport=polling&sid=abcDEF123", bearer(alice_api_key));
  EXPECT_EQ(next.status, 200u);
  EXPECT_EQ(next.body, "6");
  EXPECT_EQ(at.gateway.get("/socket.io/?sid=abc%44EF123", bearer(alice_api_key)).body, "6");
  EXPECT_EQ(at.gateway.get("/socket.io/?sid=abcDEF123").status, 401u);
}

TEST(SocketIoRule, ForgetsTheSessionsOfARuntimeThatIsGoneOrBegunAnew) {
  Server nested([](Connection& connection) {
    while (!read_request(connection).head.empty()) {
      if (!connection.send(ok_answer(R"(0{"sid":"abcDEF123"})"))) return;
    }
  });
  TwoRuntimes at;
  auto const by_sid = [&] { return at.gateway.get("/socket.io/?sid=abcDEF123", bearer(alice_api_key)).status; };
  auto const open = [&] { at.gateway.get("/socket.io/?conversation_id=c3", bearer(alice_api_key)); };
  auto const begin = [&](std::uint64_t epoch) {
    at.gateway.add("c3", nested.port(), "alice", conversation::RuntimeState::running, epoch);
  };
  begin(1);
  open();
  EXPECT_EQ(by_sid(), 200u);
  begin(1);
  EXPECT_EQ(by_sid(), 200u) << "the same life, told again";
  begin(2);
  EXPECT_EQ(by_sid(), 401u);
  open();
  EXPECT_EQ(by_sid(), 200u);
  at.gateway.remove("c3", 1);
  EXPECT_EQ(by_sid(), 200u) << "an end that was overtaken";
  at.gateway.remove("c3", 2);
  begin(3);
  EXPECT_EQ(by_sid(), 401u);
}

// A runtime of somebody else's, whose key has every byte that means something in a query.
struct OddKey {
  OddKey() : gateway(config_with_domain()) {
    gateway.start();
    conversation::RuntimeRecord record{*ConversationId::parse("c1"),
                                       Epoch(1),
                                       conversation::RuntimeState::running,
                                       "alice",
                                       asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), nested.port()),
                                       Secret(std::string(key)),
                                       {},
                                       {}};
    record.accepted_keys.emplace_back(std::string(key));
    gateway.publish(std::move(record));
  }
  static constexpr std::string_view key = "abc/def+ghi=&%#";
  static constexpr std::string_view encoded = "abc%2Fdef%2Bghi%3D%26%25%23";
  Server nested{echo_as("c1")};
  Gateway gateway;
};

TEST(QueryKey, IsComparedDecoded) {
  OddKey at;
  std::string const encoded(OddKey::encoded);
  auto const polling = at.gateway.get("/socket.io/?conversation_id=%631&session_api_key=" + encoded);
  EXPECT_EQ(who(polling), "c1");
  EXPECT_EQ(line_of(polling), "GET /socket.io/?conversation_id=%631&session_api_key=" + encoded + " HTTP/1.1");
  EXPECT_EQ(who(at.gateway.ask(websocket_request("/sockets/bash-events?session_api_key=" + encoded))), "c1");
  EXPECT_EQ(at.gateway.get("/socket.io/?conversation_id=c1&session_api_key=" + encoded + "%41").status, 401u);
  auto const with_plus = "abc%2Fdef+ghi" + encoded.substr(encoded.find("%3D"));
  EXPECT_EQ(at.gateway.get("/socket.io/?conversation_id=c1&session_api_key=" + with_plus).status, 401u)
      << "a server reads a space there";
}

TEST(QueryKey, IsEncodedOnItsWayToTheNestedServer) {
  OddKey at;
  auto const answer = at.gateway.get("/socket.io/?conversation_id=c1&session_api_key=null&b=2", bearer(alice_api_key));
  EXPECT_EQ(line_of(answer),
            "GET /socket.io/?conversation_id=c1&session_api_key=" + std::string(OddKey::encoded) + "&b=2 HTTP/1.1");
}

TEST(SessionKeyRule, RoutesByTheHeaderWhereverThePathLeads) {
  TwoRuntimes at;
  for (std::string const target :
       {"/api/file/download", "/api/bash/bash_events/search", "/server_info", "/v1/models", "/"}) {
    EXPECT_EQ(who(at.gateway.get(target, key_field("c1"))), "c1") << target;
    EXPECT_EQ(who(at.gateway.get(target, key_field("c2"))), "c2") << target;
  }
}

TEST(SessionKeyRule, RoutesAWebsocketByItsQueryAndNothingElseByIt) {
  TwoRuntimes at;
  auto const target = "/sockets/bash-events?session_api_key=" + session_key_of("c2");
  EXPECT_EQ(who(at.gateway.ask(websocket_request(target))), "c2");
  EXPECT_EQ(at.gateway.get("/api/file?session_api_key=" + session_key_of("c2")).status, 404u);
}

TEST(SessionKeyRule, TakesTheWorkspaceCookieForWorkspaceReadsOnly) {
  TwoRuntimes at;
  std::string const cookie = "Cookie: a=b; oh_workspace_session_key=" + session_key_of("c1") + "\r\n";
  EXPECT_EQ(who(at.gateway.get("/api/conversations/c1/workspace/index.html", cookie)), "c1");
  EXPECT_EQ(who(at.gateway.get("/api/conversations/other/workspace", cookie)), "c1");
  EXPECT_EQ(at.gateway.get("/api/conversations/c1/workspaces", cookie).status, 401u);
  EXPECT_EQ(at.gateway.get("/api/conversations/c1/events", cookie).status, 401u);
  EXPECT_EQ(at.gateway.get("/api/file/x", cookie).status, 404u);
  auto const post = at.gateway.ask("POST /api/conversations/c1/workspace/x HTTP/1.1\r\nHost: g\r\n" + cookie +
                                   "Content-Length: 0\r\n\r\n");
  EXPECT_EQ(post.status, 401u);
}

TEST(SessionKeyRule, TakesABearerTokenOnTheOpenAiShapedRoutesOnly) {
  TwoRuntimes at;
  auto const answer = at.gateway.get("/v1/chat/completions", bearer(session_key_of("c1")));
  EXPECT_EQ(who(answer), "c1");
  EXPECT_EQ(field_value(answer.body, "authorization"), "Bearer " + session_key_of("c1"));
  EXPECT_EQ(at.gateway.get("/api/conversations/c1/events", bearer(session_key_of("c1"))).status, 401u);
}

TEST(OwnRouteRule, ComesBeforeThePathRuleWithAnApiKey) {
  TwoRuntimes at;
  for (std::string const target : {"/api/conversations", "/api/conversations/c1", "/api/automation/v1/runs"}) {
    auto const answer = at.gateway.get(target, bearer(alice_api_key));
    EXPECT_NE(answer.body.find(R"({"own":")" + target + R"(","by":"alice")"), std::string::npos) << answer.body;
  }
  EXPECT_EQ(who(at.gateway.get("/api/conversations/c1/events", bearer(alice_api_key))), "c1");
}

TEST(OwnRouteRule, LeavesASessionKeyToTheNestedServer) {
  TwoRuntimes at;
  for (std::string const target : {"/api/conversations", "/api/conversations/c1", "/api/conversations/c7"}) {
    EXPECT_EQ(who(at.gateway.get(target, key_field("c1"))), "c1") << target;
  }
}

TEST(OwnRouteRule, AsksForACredential) {
  TwoRuntimes at;
  for (std::string const target : {"/api/conversations", "/api/automation/v1/runs"}) {
    auto const answer = at.gateway.get(target);
    EXPECT_EQ(answer.status, 401u) << target;
    EXPECT_EQ(error_code_of(answer), "unauthorized");
    EXPECT_NE(answer.body.find(R"("detail":"Unauthorized")"), std::string::npos);
  }
}

TEST(DefaultRuntime, TakesWhatNoRuleMatches) {
  auto config = config_with_domain();
  config.fallback = ConversationId::parse("c1");
  TwoRuntimes at(std::move(config));
  EXPECT_EQ(who(at.gateway.get("/api/anything", bearer(alice_api_key))), "c1");
  EXPECT_EQ(who(at.gateway.get("/api/anything", key_field("c2"))), "c2");
  EXPECT_EQ(who(at.gateway.get("/api/v1/anything", bearer(alice_api_key))), "c1");
  auto const page = at.gateway.get("/index.html");
  EXPECT_EQ(who(page), "c1");
  EXPECT_EQ(field_value(page.body, "x-session-api-key"), "");
  EXPECT_EQ(who(at.gateway.get("/health")), "c1");
}

TEST(DefaultRuntime, GuardsWhatTheNestedServerGuards) {
  auto config = config_with_domain();
  config.fallback = ConversationId::parse("c1");
  TwoRuntimes at(std::move(config));
  EXPECT_EQ(at.gateway.get("/api/anything").status, 401u);
  EXPECT_EQ(at.gateway.get("/v1/models").status, 401u);
  EXPECT_EQ(at.gateway.get("/x", "X-Session-API-Key: wrong\r\n").status, 401u);
  EXPECT_EQ(at.gateway.ask("POST /x HTTP/1.1\r\nHost: g\r\nContent-Length: 0\r\n\r\n").status, 401u);
  EXPECT_EQ(at.c1.accepted(), 0u);
}

TEST(NoRule, MeansNotFound) {
  TwoRuntimes at;
  auto const answer = at.gateway.get("/nothing/here");
  EXPECT_EQ(answer.status, 404u);
  EXPECT_EQ(error_code_of(answer), "not_found");
  EXPECT_EQ(answer.value("content-type"), "application/json");
  EXPECT_EQ(at.gateway.get("/health").status, 200u);
}

TEST(SwitchedOffRules, AreNotAsked) {
  struct Case {
    std::string name;
    bool http::RouteRules::* rule;
    std::string target, fields, host;
    std::string off;
  };
  TwoRuntimes on;
  std::string const api_key = bearer(alice_api_key);
  auto const port = std::to_string(on.c1.port());
  std::vector<Case> const cases{
      {"host", &http::RouteRules::host, "/x", api_key, "c1.sandboxes.test", "404"},
      {"prefix", &http::RouteRules::prefix, "/runtime/c1/x", api_key, "g", "404"},
      {"path", &http::RouteRules::path, "/api/conversations/c1/events", api_key, "g", "404"},
      {"socket_io", &http::RouteRules::socket_io, "/socket.io/?conversation_id=c1", api_key, "g", "404"},
      {"session_key", &http::RouteRules::session_key, "/api/file", key_field("c1"), "g", "401"},
  };
  for (auto const& one : cases) {
    EXPECT_EQ(who(on.gateway.get(one.target, one.fields, one.host)), "c1") << one.name;
    auto config = config_with_domain();
    config.rules.*one.rule = false;
    TwoRuntimes off(std::move(config));
    EXPECT_EQ(who(off.gateway.get(one.target, one.fields, one.host)), one.off) << one.name;
  }
  auto config = config_with_domain();
  config.rules.port = false;
  TwoRuntimes off(std::move(config));
  EXPECT_EQ(off.gateway.get("/runtime/" + std::to_string(off.c1.port()) + "/x", api_key).status, 404u);
}

TEST(SwitchedOffRules, IncludeTheFirstFrame) {
  auto config = config_with_domain();
  config.rules.first_frame = false;
  TwoRuntimes at(std::move(config));
  auto client = at.gateway.connect();
  client.send(websocket_request("/sockets/bash-events"));
  client.end_sending();
  auto const answer = read_answer(client, WithBody::no);
  // Nothing serves such a socket: 4004, final for an SDK client.
  EXPECT_EQ(answer.status, 101u);
  EXPECT_EQ(client.read_to_end().substr(2, 2), "\x0f\xa4");
}

}  // namespace
}  // namespace nestgate::test
