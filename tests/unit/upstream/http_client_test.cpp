#include "nestgate/upstream/http_client.hpp"

#include <gtest/gtest.h>

#include "nestgate/upstream/failure.hpp"
#include "nestgate/upstream/public_address.hpp"
#include "nestgate/upstream/random.hpp"
#include "support/control.hpp"

namespace nestgate::upstream {
namespace {

using namespace std::chrono_literals;
using test::Control;
using test::Reply;
using test::Request;
using test::ScriptedServer;

Call call_of(ScriptedServer const& server, std::string method = "GET") {
  Call out;
  out.method = std::move(method);
  out.url = plain_url(server.endpoint()).at("/x");
  return out;
}

TEST(ParseUrl, TakesAbsoluteHttpUrlsApart) {
  auto const plain = parse_url("http://example.org").value();
  EXPECT_EQ(plain.host, "example.org");
  EXPECT_EQ(plain.port, 80);
  EXPECT_EQ(plain.path, "");
  auto const full = parse_url("HTTPS://Example.org:8443/a/b/?q=1&r").value();
  EXPECT_EQ(full.scheme, "https");
  EXPECT_EQ(full.port, 8443);
  EXPECT_EQ(full.path, "/a/b/");
  EXPECT_EQ(full.query, "q=1&r");
  EXPECT_EQ(full.authority(), "Example.org:8443");
  EXPECT_EQ(parse_url("http://[::1]:9000/x").value().authority(), "[::1]:9000");
  EXPECT_EQ(parse_url("http://h?x").value().query, "x");
}

TEST(ParseUrl, RefusesWhatAClientCannotCall) {
  for (auto const* text :
       {"", "http://", "ftp://h", "//h", "h:80", "http://u:p@h", "http://h:0", "http://h:65536", "http://h:8x",
        "http://h:", "http://h/#f", "http://h/a b", "http://h\r\nX: y", "http://[::1", "http://[h]", "http:///x"})
    EXPECT_FALSE(parse_url(text)) << text;
}

TEST(Url, AsABaseTakesAPathBehindItsOwn) {
  EXPECT_EQ(parse_url("http://h/api/").value().at("/v1/x", "a=b").text(), "http://h/api/v1/x?a=b");
  EXPECT_EQ(parse_url("http://h").value().at("/x").text(), "http://h/x");
}

TEST(Call, SendsWhatItIsGivenAndReturnsAnyStatusAsAnAnswer) {
  ScriptedServer server([](Request const&) { return Reply{404, R"({"detail":"Not Found"})"}; });
  auto request = call_of(server, "POST");
  request.body = {R"({"a")", ":", "1}"};
  request.content_type = "application/json";
  request.headers.emplace_back("webhook-id", "msg_1");
  request.secret_headers.emplace_back("X-Session-API-Key", Secret("k"));
  auto const answer = Control().run(call(std::move(request), Deadline::in(20s))).value();
  EXPECT_EQ(answer.status, 404U);
  EXPECT_EQ(answer.content_type, "application/json");
  EXPECT_EQ(answer.body, R"({"detail":"Not Found"})");
  auto const seen = server.requests().at(0);
  EXPECT_EQ(seen.line(), "POST /x");
  EXPECT_EQ(seen.body, R"({"a":1})");
  EXPECT_EQ(seen.value("x-session-api-key"), "k");
  EXPECT_EQ(seen.value("webhook-id"), "msg_1");
  EXPECT_EQ(seen.value("host"), "127.0.0.1:" + std::to_string(server.port()));
}

TEST(Call, SaysUpstreamWhenNobodyListens) {
  std::uint16_t port = 0;
  {
    ScriptedServer server([](Request const&) { return Reply{}; });
    port = server.port();
  }
  Call request;
  request.url = plain_url({asio::ip::address_v4::loopback(), port});
  auto const answer = Control().run(call(std::move(request), Deadline::in(20s)));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, FaultKind::upstream);
  EXPECT_EQ(answer.error().where, "upstream.connect");
}

TEST(Call, SaysUpstreamWhenThePeerGoesWithoutAnAnswer) {
  ScriptedServer server([](Request const&) { return Reply{0, ""}; });
  auto const answer = Control().run(call(call_of(server), Deadline::in(20s)));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, FaultKind::upstream);
}

TEST(Call, EndsAtItsDeadlineWhenThePeerIsSilent) {
  test::Server silent([](test::Connection& connection) { connection.read_to_end(); });
  Call request;
  request.url = plain_url({asio::ip::address_v4::loopback(), silent.port()});
  auto const answer = Control().run(call(std::move(request), Deadline::in(30ms)));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, FaultKind::timed_out);
}

TEST(Call, RefusesAnAnswerBeyondItsLimit) {
  ScriptedServer server([](Request const&) { return Reply{200, std::string(1000, 'x')}; });
  auto request = call_of(server);
  request.answer_bytes_max = 999;
  auto const answer = Control().run(call(std::move(request), Deadline::in(20s)));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().kind, FaultKind::too_large);
}

TEST(Call, NeverConnectsToAPrivateAddressWhenOnlyPublicOnesMayBeReached) {
  ScriptedServer server([](Request const&) { return Reply{}; });
  for (auto const* host : {"127.0.0.1", "localhost", "::ffff:127.0.0.1"}) {
    auto request = call_of(server);
    request.url.host = host;
    request.reach = Reach::public_only;
    auto const answer = Control().run(call(std::move(request), Deadline::in(20s)));
    ASSERT_FALSE(answer) << host;
    EXPECT_EQ(answer.error().kind, FaultKind::forbidden) << host;
  }
  EXPECT_TRUE(server.requests().empty());
}

TEST(IsPublic, KnowsTheSpecialPurposeRanges) {
  auto const at = [](char const* text) { return is_public(asio::ip::make_address(text)); };
  for (auto const* text : {"0.0.0.0",
                           "10.1.2.3",
                           "100.64.0.1",
                           "127.0.0.1",
                           "127.255.255.255",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.168.1.1",
                           "198.18.0.1",
                           "198.19.255.255",
                           "192.0.2.1",
                           "203.0.113.9",
                           "224.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "fe80::1",
                           "fc00::1",
                           "fd12::1",
                           "ff02::1",
                           "::ffff:10.0.0.1",
                           "::ffff:169.254.169.254",
                           "64:ff9b::7f00:1",
                           "2002:7f00:1::",
                           "2001:db8::1",
                           "2001::1",
                           "::7f00:1"})
    EXPECT_FALSE(at(text)) << text;
  for (auto const* text :
       {"1.1.1.1", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1",
        "198.17.0.1", "198.20.0.1", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::"})
    EXPECT_TRUE(at(text)) << text;
}

TEST(RandomUuid, IsOfVersionFourAndVariantOne) {
  for (int i = 0; i < 64; ++i) {
    auto const id = random_uuid_hex();
    ASSERT_EQ(id.size(), 32U);
    EXPECT_EQ(id[12], '4');
    EXPECT_NE(std::string_view("89ab").find(id[16]), std::string_view::npos) << id;
  }
  EXPECT_NE(random_uuid_hex(), random_uuid_hex());
  EXPECT_EQ(random_hex(100).size(), 200U);
}

TEST(Failure, NamesTheStepAndTheCause) {
  EXPECT_EQ(failed("settings", Fault{FaultKind::timed_out}).reason, "settings: timed out");
  EXPECT_EQ(failed("ready", Fault{FaultKind::upstream, asio::error::connection_refused}).reason,
            "ready: Connection refused");
  EXPECT_EQ(refused("secrets", 500).reason, "secrets: the server answered 500");
}

}  // namespace
}  // namespace nestgate::upstream
