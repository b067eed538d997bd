#include "nestgate/http/route.hpp"

#include <gtest/gtest.h>

#include <string>

namespace nestgate::http {
namespace {

RouteRules rules_with_domain() {
  RouteRules rules;
  rules.domain = "sandboxes.example.org";
  return rules;
}

TEST(HostRoute, TakesTheLabelBeforeTheDomain) {
  auto const route = match_host(rules_with_domain(), "C1.Sandboxes.Example.org:8443", "/x?y");
  ASSERT_TRUE(route);
  EXPECT_EQ(route->kind, RouteKind::host);
  EXPECT_EQ(route->id, "C1");
  EXPECT_EQ(route->port, 0);
  EXPECT_EQ(route->rest, "/x?y");
}

TEST(HostRoute, MatchesNoOtherHost) {
  auto const rules = rules_with_domain();
  for (std::string_view host :
       {"sandboxes.example.org", ".sandboxes.example.org", "a.b.sandboxes.example.org", "c1.example.org",
        "c1xsandboxes.example.org", "c1.sandboxes.example.org.", "c1.sandboxes.example.orgx", "", "[::1]:80"}) {
    EXPECT_FALSE(match_host(rules, host, "/")) << host;
  }
}

TEST(HostRoute, NeedsADomainAndTheRule) {
  EXPECT_FALSE(match_host(RouteRules{}, "c1.sandboxes.example.org", "/"));
  auto off = rules_with_domain();
  off.host = false;
  EXPECT_FALSE(match_host(off, "c1.sandboxes.example.org", "/"));
}

TEST(HostRoute, SplitsAPortFromTheLabelAndAlsoReadsItWhole) {
  auto const rules = rules_with_domain();
  auto const split = match_host(rules, "8001-c1.sandboxes.example.org", "/");
  ASSERT_TRUE(split);
  EXPECT_EQ(split->port, 8001);
  EXPECT_EQ(split->id, "c1");
  auto const whole = match_host_whole_label(rules, "8001-c1.sandboxes.example.org", "/");
  ASSERT_TRUE(whole);
  EXPECT_EQ(whole->port, 0);
  EXPECT_EQ(whole->id, "8001-c1");
}

TEST(HostRoute, DoesNotTakeADashedUuidOrAnImpossiblePortForAPort) {
  auto const rules = rules_with_domain();
  for (std::string_view label :
       {"12345678-1234-1234-1234-123456789abc", "65536-c1", "0-c1", "080-c1", "8001-", "-c1", "80a-c1"}) {
    std::string const host = std::string(label) + ".sandboxes.example.org";
    auto const route = match_host(rules, host, "/");
    ASSERT_TRUE(route) << label;
    EXPECT_EQ(route->port, 0) << label;
    EXPECT_EQ(route->id, label);
    EXPECT_FALSE(match_host_whole_label(rules, host, "/")) << label;
  }
}

TEST(PrefixRoute, StripsThePrefixAndKeepsTheRestAsItIs) {
  auto const route = match_prefix({}, "/runtime/c%31/a//b?c=d");
  ASSERT_TRUE(route);
  EXPECT_EQ(route->kind, RouteKind::prefix);
  EXPECT_EQ(route->id, "c%31");
  EXPECT_EQ(route->prefix, "/runtime/c%31");
  EXPECT_EQ(route->rest, "/a//b?c=d");
}

TEST(PrefixRoute, GivesASlashForAnEmptyRest) {
  EXPECT_EQ(match_prefix({}, "/runtime/c1")->rest, "/");
  EXPECT_EQ(match_prefix({}, "/runtime/c1/")->rest, "/");
  EXPECT_EQ(match_prefix({}, "/runtime/c1?q")->rest, "?q");
  EXPECT_EQ(match_prefix({}, "/runtime/c1?q")->id, "c1");
}

TEST(PrefixRoute, TellsAPortFromAnId) {
  auto const port = match_prefix({}, "/runtime/65535/x");
  ASSERT_TRUE(port);
  EXPECT_EQ(port->kind, RouteKind::port);
  EXPECT_EQ(port->port, 65535);
  EXPECT_EQ(port->prefix, "/runtime/65535");
  for (std::string_view id : {"65536", "0", "08080", "123456", "80a", "-80"}) {
    auto const route = match_prefix({}, "/runtime/" + std::string(id) + "/x");
    ASSERT_TRUE(route) << id;
    EXPECT_EQ(route->kind, RouteKind::prefix) << id;
    EXPECT_EQ(route->port, 0);
  }
}

TEST(PrefixRoute, MatchesNothingElse) {
  for (std::string_view target :
       {"/runtime", "/runtime/", "/runtime//x", "/runtimes/c1", "//runtime/c1", "/runtime?c1", "/", "*", "/runtime/?x"}) {
    EXPECT_FALSE(match_prefix({}, target)) << target;
  }
}

TEST(PrefixRoute, ObeysItsTwoSwitches) {
  RouteRules no_port;
  no_port.port = false;
  EXPECT_EQ(match_prefix(no_port, "/runtime/8001/x")->kind, RouteKind::prefix);
  RouteRules no_prefix;
  no_prefix.prefix = false;
  EXPECT_EQ(match_prefix(no_prefix, "/runtime/8001/x")->kind, RouteKind::port);
  EXPECT_FALSE(match_prefix(no_prefix, "/runtime/c1/x"));
}

TEST(PathRoute, TakesTheIdBehindItsThreePaths) {
  for (std::string_view path : {"/api/conversations/c1", "/api/conversations/c1/", "/api/conversations/c1/events/search",
                                "/sockets/events/c1", "/sockets/session/c1"}) {
    auto const route = match_path({}, path);
    ASSERT_TRUE(route) << path;
    EXPECT_EQ(route->kind, RouteKind::path);
    EXPECT_EQ(route->id, "c1") << path;
    EXPECT_EQ(route->rest, path);
    EXPECT_EQ(route->prefix, "");
  }
}

TEST(PathRoute, ReadsThePathDecodedOnceAndGivesTheIdAsItStands) {
  EXPECT_EQ(match_path({}, "/%61pi/%63onversations/c%31/x")->id, "c%31");
  EXPECT_EQ(match_path({}, "/api%2Fconversations%2fc1%2Fevents")->id, "c1");
  EXPECT_EQ(match_path({}, "/api/conversations/%7Bc1%7D")->id, "%7Bc1%7D");
  EXPECT_EQ(match_path({}, "/api/conversations/c%zz")->id, "c%zz");
  EXPECT_EQ(match_path({}, "/api/conversations/c%4")->id, "c%4");
  EXPECT_FALSE(match_path({}, "/%2561pi/conversations/c1")) << "decoded twice";
}

TEST(PathRoute, TakesNoWordForAnId) {
  for (std::string_view path :
       {"/api/conversations/search", "/api/conversations/count", "/api/conversations/prepare-for-sandbox-pause",
        "/api/conversations/%73earch", "/api/conversations/search/x", "/api/conversations/", "/api/conversations//x",
        "/sockets/events/"}) {
    EXPECT_FALSE(match_path({}, path)) << path;
  }
  EXPECT_EQ(match_path({}, "/api/conversations/searches")->id, "searches");
}

TEST(PathRoute, MatchesNoOtherPath) {
  for (std::string_view path :
       {"/api/conversations", "/api/conversation/c1", "//api/conversations/c1", "/api//conversations/c1",
        "/API/conversations/c1", "/sockets/bash-events", "/api/bash/x", "/", ""}) {
    EXPECT_FALSE(match_path({}, path)) << path;
  }
  RouteRules off;
  off.path = false;
  EXPECT_FALSE(match_path(off, "/api/conversations/c1"));
}

TEST(SocketIoRoute, FindsTheConversationOrTheSid) {
  auto const by_id = match_socket_io({}, "/socket.io/", "EIO=4&conversation_id=c1&sid=s1");
  ASSERT_TRUE(by_id);
  EXPECT_EQ(by_id->kind, RouteKind::socket_io);
  EXPECT_EQ(by_id->id, "c1");
  auto const by_sid = match_socket_io({}, "/socket.io", "sid=s1");
  ASSERT_TRUE(by_sid);
  EXPECT_EQ(by_sid->id, "");
  EXPECT_EQ(by_sid->sid, "s1");
  EXPECT_FALSE(match_socket_io({}, "/socket.io/", "EIO=4"));
  EXPECT_FALSE(match_socket_io({}, "/socket.io/", ""));
  EXPECT_FALSE(match_socket_io({}, "/socket.iox/", "sid=s1"));
  RouteRules off;
  off.socket_io = false;
  EXPECT_FALSE(match_socket_io(off, "/socket.io/", "sid=s1"));
}

TEST(OwnRoute, IsTheControlApiAndNothingDeeper) {
  EXPECT_EQ(match_own(Method::get, "/health"), OwnRoute::health);
  EXPECT_EQ(match_own(Method::head, "/alive"), OwnRoute::health);
  EXPECT_EQ(match_own(Method::get, "/ready"), OwnRoute::health);
  EXPECT_EQ(match_own(Method::post, "/health"), OwnRoute::none);
  EXPECT_EQ(match_own(Method::get, "/health/"), OwnRoute::none);

  EXPECT_EQ(match_own(Method::post, "/api/conversations"), OwnRoute::conversations);
  EXPECT_EQ(match_own(Method::get, "/api/conversations"), OwnRoute::conversations);
  EXPECT_EQ(match_own(Method::get, "/api/conversations/c1"), OwnRoute::conversations);
  EXPECT_EQ(match_own(Method::head, "/api/conversations/c1"), OwnRoute::conversations);
  EXPECT_EQ(match_own(Method::head, "/list"), OwnRoute::runtime_api);
  EXPECT_EQ(match_own(Method::delete_, "/api/conversations/c1"), OwnRoute::conversations);
  EXPECT_EQ(match_own(Method::patch, "/api/conversations/c1"), OwnRoute::conversations);
  for (std::string const verb : {"stop", "pause", "resume", "events", "session-key/revoke", "session-key%2Frevoke"})
    EXPECT_EQ(match_own(Method::post, "/api/conversations/c1/" + verb), OwnRoute::conversations) << verb;
  for (std::string const part : {"log", "progress"})
    EXPECT_EQ(match_own(Method::get, "/api/conversations/c1/" + part), OwnRoute::conversations) << part;

  EXPECT_EQ(match_own(Method::post, "/api/conversations/c1/log"), OwnRoute::none);
  EXPECT_EQ(match_own(Method::get, "/api/conversations/c1/pause"), OwnRoute::none);
  EXPECT_EQ(match_own(Method::put, "/api/conversations/c1/resume"), OwnRoute::none);
  EXPECT_EQ(match_own(Method::post, "/api/conversations/c1"), OwnRoute::none);
  EXPECT_EQ(match_own(Method::get, "/api/conversations/c1/stop"), OwnRoute::none);
  EXPECT_EQ(match_own(Method::post, "/api/conversations/c1/stop/x"), OwnRoute::none);
  EXPECT_EQ(match_own(Method::get, "/api/conversations/c1/events"), OwnRoute::none);
  EXPECT_EQ(match_own(Method::get, "/api/conversations/search"), OwnRoute::none);
  EXPECT_EQ(match_own(Method::put, "/api/conversations"), OwnRoute::conversations);
  EXPECT_EQ(match_own(Method::get, "/api/conversations/"), OwnRoute::none);

  EXPECT_EQ(match_own(Method::post, "/api/automation/v1/runs"), OwnRoute::automation);
  EXPECT_EQ(match_own(Method::get, "/api/automation"), OwnRoute::automation);
  EXPECT_EQ(match_own(Method::get, "/api/automations"), OwnRoute::none);
  EXPECT_EQ(match_own(Method::get, "/api/bash/x"), OwnRoute::none);
}

TEST(OwnRoute, IsOursAloneWhateverTheMethod) {
  struct Case {
    std::string_view path;
    OwnRoute route;
  };
  for (auto const& [path, route] : {Case{"/api/v1/sandboxes", OwnRoute::sandboxes},
                                    {"/api/v1/sandboxes/s1/settings/secrets/a", OwnRoute::sandboxes},
                                    {"/api/v1/%73andboxes/search", OwnRoute::sandboxes},
                                    {"/api/v1/sandboxes%2Fs1", OwnRoute::sandboxes},
                                    {"/api/v1/sandbox-specs/search", OwnRoute::sandbox_specs},
                                    {"/api/v1/users/me", OwnRoute::users},
                                    {"/api/v1/users/me/secrets/a", OwnRoute::users},
                                    {"/api/v1/webhooks/conversations", OwnRoute::webhooks},
                                    {"/api/automation/v1", OwnRoute::automation},
                                    {"/api/routes", OwnRoute::routes},
                                    {"/api/routes/r1", OwnRoute::routes}}) {
    for (auto const method : {Method::get, Method::post, Method::patch, Method::delete_, Method::put}) {
      EXPECT_EQ(match_own(method, path), route) << path;
      EXPECT_TRUE(is_ours_alone(route));
    }
  }
  for (auto const* path : {"/api/v1/sandboxesx", "/api/v1/users", "/api/v1/users/mex", "/api/v1", "/api/v1/conversations",
                           "/api/routesx", "/api/v2/sandboxes", "//api/v1/sandboxes"})
    EXPECT_EQ(match_own(Method::get, path), OwnRoute::none) << path;
}

TEST(OwnRoute, IsTheDocumentOfRoutesToReadersOnly) {
  EXPECT_EQ(match_own(Method::get, "/openapi.json"), OwnRoute::openapi);
  EXPECT_EQ(match_own(Method::head, "/openapi.json"), OwnRoute::openapi);
  EXPECT_EQ(match_own(Method::post, "/openapi.json"), OwnRoute::none);
  EXPECT_FALSE(is_ours_alone(OwnRoute::openapi)) << "a nested server has one of its own";
}

TEST(OwnRoute, IsTheAutomationApisVersionsToReadersOnly) {
  for (auto const* const path : {"/sdk-version", "/server_info"}) {
    EXPECT_EQ(match_own(Method::get, path), OwnRoute::versions) << path;
    EXPECT_EQ(match_own(Method::post, path), OwnRoute::none) << path;
  }
  EXPECT_FALSE(is_ours_alone(OwnRoute::versions)) << "a nested server has /server_info, too";
}

TEST(OwnRoute, IsTheRemoteRuntimeApiByMethodAndWholePath) {
  for (auto const* path : {"/start", "/stop", "/pause", "/resume"}) {
    EXPECT_EQ(match_own(Method::post, path), OwnRoute::runtime_api) << path;
    EXPECT_EQ(match_own(Method::get, path), OwnRoute::none) << path;
    EXPECT_EQ(match_own(Method::post, std::string(path) + "/x"), OwnRoute::none) << path;
  }
  for (auto const* path :
       {"/list", "/registry_prefix", "/image_exists", "/sessions/s1", "/sessions/batch", "/runtime/r1", "/runtime/%72"}) {
    EXPECT_EQ(match_own(Method::get, path), OwnRoute::runtime_api) << path;
    EXPECT_EQ(match_own(Method::post, path), OwnRoute::none) << path;
  }
  for (auto const* path :
       {"/sessions", "/sessions/", "/sessions/s1/x", "/runtime/", "/runtime/r1/", "/runtime/r1/x", "/listx"})
    EXPECT_EQ(match_own(Method::get, path), OwnRoute::none) << path;
}

TEST(WhyNotAnId, SaysWhatIsWrongWithIt) {
  for (auto const* id : {"c1", "searches", "Count", "8080", "a.b"}) EXPECT_FALSE(why_not_an_id(id)) << id;
  for (auto const* id : {"", "a/b", "a b"}) EXPECT_EQ(why_not_an_id(id), "must be 1 to 128 of A-Za-z0-9._-") << id;
  for (auto const* id : {".", ".."}) EXPECT_EQ(why_not_an_id(id), "must not be . or ..: a path cannot name them") << id;
  for (auto const* id : {"search", "count", "prepare-for-sandbox-pause"})
    EXPECT_TRUE(why_not_an_id(id)->ends_with("in a path these are routes")) << id;
}

TEST(HandsOutConversationId, IsCreateForkAndChildren) {
  EXPECT_TRUE(hands_out_conversation_id(Method::post, "/api/conversations"));
  EXPECT_TRUE(hands_out_conversation_id(Method::post, "/api/conversations/c1/fork"));
  EXPECT_TRUE(hands_out_conversation_id(Method::post, "/api/conversations/c1/children"));
  EXPECT_TRUE(hands_out_conversation_id(Method::post, "/%61pi/conversations/c1/for%6b"));
  EXPECT_FALSE(hands_out_conversation_id(Method::get, "/api/conversations"));
  EXPECT_FALSE(hands_out_conversation_id(Method::post, "/api/conversations/c1/run"));
  EXPECT_FALSE(hands_out_conversation_id(Method::post, "/api/conversations/c1/fork/x"));
}

TEST(HealthProbe, IsReadNotWritten) {
  EXPECT_TRUE(is_health_probe(Method::get, "/health"));
  EXPECT_TRUE(is_health_probe(Method::get, "/%61live"));
  EXPECT_FALSE(is_health_probe(Method::post, "/health"));
  EXPECT_FALSE(is_health_probe(Method::get, "//alive"));
  EXPECT_FALSE(is_health_probe(Method::get, "/healthz"));
}

TEST(RouteKind, HasANameForTheMetricsLabel) {
  EXPECT_EQ(to_string(RouteKind::host), "host");
  EXPECT_EQ(to_string(RouteKind::session_key), "session_key");
  EXPECT_EQ(to_string(RouteKind::none), "none");
}

}  // namespace
}  // namespace nestgate::http
