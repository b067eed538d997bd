#include "nestgate/http/rewrite.hpp"

#include <gtest/gtest.h>

#include <array>
#include <string>
#include <vector>

namespace nestgate::http {
namespace {

constexpr HeadLimits limits{8192, 64};

struct Request {
  explicit Request(std::string bytes) : text(std::move(bytes)) {
    std::size_t scanned = 0;
    auto const parsed = parse_request_head(text, limits, head, scanned);
    EXPECT_EQ(parsed.state, HeadParse::State::complete) << code_for(parsed.why);
    rewrite.target = head.target;
    rewrite.session_key = "key";
    rewrite.peer_address = "192.0.2.7";
    rewrite.scheme = "https";
    rewrite.request_id = "id-1";
  }
  std::string rewritten() const {
    std::string out = "before|";
    append_request_head(out, head, rewrite);
    EXPECT_TRUE(out.starts_with("before|"));
    return out.substr(7);
  }
  std::string text;
  RequestHead head;
  RequestRewrite rewrite;
};

constexpr std::string_view ours =
    "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: gw\r\nX-Request-Id: id-1\r\n"
    "X-Session-API-Key: key\r\n\r\n";

TEST(RequestRewrite, CopiesWhatIsKeptByteForByteAndAddsOurs) {
  Request request("GET /a HTTP/1.1\r\nhost:gw\r\nAccept:  */* \r\nX-a: 1\r\n\r\n");
  EXPECT_EQ(request.rewritten(), "GET /a HTTP/1.1\r\nhost:gw\r\nAccept:  */* \r\nX-a: 1\r\n" + std::string(ours));
}

TEST(RequestRewrite, DropsFromTheStartTheMiddleAndTheEnd) {
  Request request(
      "GET /a HTTP/1.1\r\nTE: x\r\nHost: gw\r\nConnection: X-Hop\r\nX-Hop: 1\r\nA: 1\r\nX-Session-API-Key: theirs\r\n\r\n");
  EXPECT_EQ(request.rewritten(), "GET /a HTTP/1.1\r\nHost: gw\r\nA: 1\r\n" + std::string(ours));
}

TEST(RequestRewrite, WritesTheTargetThatItIsGivenWithASlashBeforeAQuery) {
  Request request("GET /runtime/c1?q=1 HTTP/1.1\r\nHost: gw\r\n\r\n");
  request.rewrite.target = request.head.target.substr(11);
  request.rewrite.forwarded_prefix = "/runtime/c1";
  auto const out = request.rewritten();
  EXPECT_TRUE(out.starts_with("GET /?q=1 HTTP/1.1\r\n"));
  EXPECT_NE(out.find("X-Forwarded-Prefix: /runtime/c1\r\n"), out.npos);
}

TEST(RequestRewrite, WritesTheHostThatItIsGivenAndTellsTheClients) {
  Request request("GET /a HTTP/1.1\r\nA: 1\r\nhost: gw\r\n\r\n");
  request.rewrite.host = "nested:8443";
  EXPECT_EQ(request.rewritten(), "GET /a HTTP/1.1\r\nHost: nested:8443\r\nA: 1\r\n" + std::string(ours));
  Request old("GET /a HTTP/1.0\r\n\r\n");
  old.rewrite.host = "nested";
  EXPECT_TRUE(old.rewritten().starts_with("GET /a HTTP/1.1\r\nHost: nested\r\nX-Forwarded-For: "));
}

TEST(RequestRewrite, SendsNoKeyWhenThereIsNone) {
  Request request("GET / HTTP/1.1\r\nHost: gw\r\nX-Session-API-Key: theirs\r\n\r\n");
  request.rewrite.session_key = {};
  EXPECT_EQ(request.rewritten().find("X-Session-API-Key"), std::string::npos);
}

TEST(RequestRewrite, WritesTheFramingOnceFromWhatWasParsed) {
  Request length("POST / HTTP/1.1\r\nHost: gw\r\ncontent-length: 007\r\n\r\n");
  EXPECT_NE(length.rewritten().find("\r\nContent-Length: 7\r\n"), std::string::npos);
  EXPECT_EQ(length.rewritten().find("007"), std::string::npos);
  Request chunked("POST / HTTP/1.1\r\nHost: gw\r\ntransfer-encoding: CHUNKED\r\nTrailer: X-A\r\n\r\n");
  EXPECT_NE(chunked.rewritten().find("Trailer: X-A\r\nTransfer-Encoding: chunked\r\n"), std::string::npos);
}

TEST(RequestRewrite, KeepsAnUpgradeOnlyWhenTold) {
  Request request(
      "GET / HTTP/1.1\r\nHost: gw\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Extensions: permessage-deflate\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
  EXPECT_EQ(request.rewritten().find("Upgrade"), std::string::npos);
  request.rewrite.keep_upgrade = true;
  EXPECT_NE(request.rewritten().find("Connection: Upgrade\r\nUpgrade: WebSocket\r\n"), std::string::npos);
  EXPECT_NE(request.rewritten().find("Sec-WebSocket-Extensions"), std::string::npos);
  request.rewrite.drop_websocket_extensions = true;
  EXPECT_EQ(request.rewritten().find("Sec-WebSocket-Extensions"), std::string::npos);
}

TEST(RequestRewrite, DropsACredentialThatWasTheGateways) {
  Request request("GET / HTTP/1.1\r\nHost: gw\r\nAuthorization: Bearer a\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n");
  EXPECT_NE(request.rewritten().find("Authorization: Bearer a\r\nCookie: a=1\r\nCookie: b=2\r\n"), std::string::npos);
  request.rewrite.drop_authorization = true;
  auto const out = request.rewritten();
  EXPECT_EQ(out.find("Bearer"), out.npos);
  EXPECT_NE(out.find("Cookie: a=1\r\nCookie: b=2\r\n"), out.npos);
}

TEST(RequestRewrite, DropsAnApiKeyThatWasTheGatewaysAndWhatMayBeTakenForOne) {
  Request request("GET / HTTP/1.1\r\nHost: gw\r\nX-Api-Key: a\r\nX_API_Key: b\r\nCookie: c=1\r\n\r\n");
  EXPECT_NE(request.rewritten().find("X-Api-Key: a\r\nCookie: c=1\r\n"), std::string::npos);
  request.rewrite.drop_api_key = true;
  EXPECT_NE(request.rewritten().find("Host: gw\r\nCookie: c=1\r\n"), std::string::npos);
}

TEST(RequestRewrite, ReplacesATraceparentOnlyByOneOfItsOwn) {
  Request request("GET / HTTP/1.1\r\nHost: gw\r\nTraceparent: theirs\r\ntracestate: a=b\r\n\r\n");
  EXPECT_NE(request.rewritten().find("Traceparent: theirs\r\n"), std::string::npos);
  request.rewrite.traceparent = "00-1-2-01";
  EXPECT_EQ(request.rewritten().find("theirs"), std::string::npos);
  EXPECT_NE(request.rewritten().find("traceparent: 00-1-2-01\r\n"), std::string::npos);
}

TEST(RequestRewrite, BelievesATrustedProxyAndAddsItToTheChain) {
  Request request(
      "GET / HTTP/1.1\r\nHost: gw\r\nX-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: http\r\nForwarded: for=1.1.1.1\r\n"
      "X-Forwarded-For: 2.2.2.2\r\nX-Forwarded-Prefix: /outer/\r\nX-Forwarded-Ssl: off\r\n\r\n");
  request.rewrite.trust = ForwardedTrust::append;
  request.rewrite.forwarded_prefix = "/runtime/c1";
  auto const out = request.rewritten();
  EXPECT_NE(out.find("X-Forwarded-For: 1.1.1.1, 2.2.2.2, 192.0.2.7\r\n"), out.npos);
  EXPECT_NE(out.find("X-Forwarded-Proto: http\r\n"), out.npos);
  EXPECT_EQ(out.find("X-Forwarded-Proto: https"), out.npos);
  EXPECT_NE(out.find("X-Forwarded-Host: gw\r\n"), out.npos);
  EXPECT_NE(out.find("X-Forwarded-Prefix: /outer/runtime/c1\r\n"), out.npos);
  EXPECT_NE(out.find("Forwarded: for=1.1.1.1\r\nX-Forwarded-Ssl: off\r\n"), out.npos);
}

TEST(RequestRewrite, GivesAnHttp10RequestAHost) {
  Request bare("GET / HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(bare.rewritten().starts_with("GET / HTTP/1.1\r\nHost: localhost\r\n"));
  Request absolute("GET http://gw/ HTTP/1.0\r\n\r\n");
  EXPECT_TRUE(absolute.rewritten().starts_with("GET / HTTP/1.1\r\nHost: gw\r\n"));
}

std::string answer(std::string text, ResponseRewrite const& rewrite) {
  ResponseHead head;
  std::size_t scanned = 0;
  EXPECT_EQ(parse_response_head(text, limits, Method::get, head, scanned).state, HeadParse::State::complete);
  std::string out;
  append_response_head(out, head, rewrite);
  return out;
}

TEST(ResponseRewrite, KeepsOrderAndCaseAndDropsWhatIsNotForTheClient) {
  ResponseRewrite rewrite;
  rewrite.request_id = "id-1";
  EXPECT_EQ(answer("HTTP/1.0 200 Fine\r\ndate: now\r\nServer: x\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nETag: a\r\n"
                   "content-length: 2\r\nx-request-id: theirs\r\n\r\n",
                   rewrite),
            "HTTP/1.1 200 Fine\r\ndate: now\r\nETag: a\r\nContent-Length: 2\r\nX-Request-Id: id-1\r\n\r\n");
}

TEST(ResponseRewrite, SaysWhatBecomesOfTheConnection) {
  ResponseRewrite close;
  close.close = true;
  EXPECT_EQ(answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", close),
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
  ResponseRewrite old;
  old.keep_alive_1_0 = true;
  EXPECT_EQ(answer("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", old),
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n");
}

TEST(ResponseRewrite, TakesTheChunkingAwayForAnOldClient) {
  ResponseRewrite rewrite;
  std::string const text = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-A\r\n\r\n";
  EXPECT_EQ(answer(text, rewrite), "HTTP/1.1 200 OK\r\nTrailer: X-A\r\nTransfer-Encoding: chunked\r\n\r\n");
  rewrite.drop_transfer_encoding = true;
  EXPECT_EQ(answer(text, rewrite), "HTTP/1.1 200 OK\r\n\r\n");
}

TEST(ResponseRewrite, KeepsTheUpgradeOfA101WithoutAReason) {
  EXPECT_EQ(
      answer("HTTP/1.1 101 \r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: a\r\nserver: x\r\n\r\n",
             {}),
      "HTTP/1.1 101 \r\nSec-WebSocket-Accept: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n");
}

TEST(ResponseRewrite, PutsThePrefixBeforeALocationOfItsOwn) {
  ResponseRewrite rewrite;
  rewrite.location_prefix = "/runtime/c1";
  auto location = [&](std::string value) {
    auto const out = answer("HTTP/1.1 302 Found\r\nlocation: " + value + "\r\nContent-Length: 0\r\n\r\n", rewrite);
    auto const at = out.find("location: ") + 10;
    return out.substr(at, out.find("\r\n", at) - at);
  };
  EXPECT_EQ(location("/static/index.html"), "/runtime/c1/static/index.html");
  EXPECT_EQ(location("/"), "/runtime/c1/");
  EXPECT_EQ(location("/runtime/c1/x"), "/runtime/c1/x");
  EXPECT_EQ(location("/runtime/c1?x"), "/runtime/c1?x");
  EXPECT_EQ(location("/runtime/c12"), "/runtime/c1/runtime/c12");
  EXPECT_EQ(location("//other/x"), "//other/x");
  EXPECT_EQ(location("http://gw/x"), "http://gw/x");
  EXPECT_EQ(location("x"), "x");
  rewrite.location_prefix = {};
  EXPECT_EQ(location("/static"), "/static");
}

TEST(ResponseRewrite, PutsThePrefixBeforeACookiesPath) {
  ResponseRewrite rewrite;
  rewrite.location_prefix = "/runtime/c1";
  auto cookie = [&](std::string value) {
    auto const out = answer("HTTP/1.1 204 No Content\r\nSet-Cookie: " + value + "\r\n\r\n", rewrite);
    auto const at = out.find("Set-Cookie: ") + 12;
    return out.substr(at, out.find("\r\n", at) - at);
  };
  EXPECT_EQ(cookie("k=v; HttpOnly; Path=/api/conversations; SameSite=none"),
            "k=v; HttpOnly; Path=/runtime/c1/api/conversations; SameSite=none");
  EXPECT_EQ(cookie("k=v; path=/"), "k=v; path=/runtime/c1");
  EXPECT_EQ(cookie("k=v; Path=/runtime/c1/api"), "k=v; Path=/runtime/c1/api");
  EXPECT_EQ(cookie("path=/x"), "path=/x");
  EXPECT_EQ(cookie("k=v"), "k=v");
}

TEST(Target, LosesOneParameterAndKeepsTheOthersAsTheyAre) {
  auto without = [](std::string_view query) {
    std::string out;
    append_target_without(out, "/p", query, "k");
    return out;
  };
  EXPECT_EQ(without("k=1"), "/p");
  EXPECT_EQ(without("a=%20&k=1&b=+"), "/p?a=%20&b=+");
  EXPECT_EQ(without("k=1&k=2&%6b=3&a"), "/p?a");
  EXPECT_EQ(without("kk=1"), "/p?kk=1");
  EXPECT_EQ(without(""), "/p");
}

TEST(Target, GetsOneParameterReplacedInItsPlaceOrAtTheEnd) {
  auto with = [](std::string_view query) {
    std::string out;
    append_target_with(out, "/p", query, "k", "new");
    return out;
  };
  EXPECT_EQ(with("a=1&k=old&b=2"), "/p?a=1&k=new&b=2");
  EXPECT_EQ(with("k=old&k=older"), "/p?k=new");
  EXPECT_EQ(with("a=1"), "/p?a=1&k=new");
  EXPECT_EQ(with(""), "/p?k=new");
}

TEST(Target, GetsAKeyThatAServerReadsBackWhateverBytesItHas) {
  constexpr std::string_view key = "abc/def+ghi=&x#%41 \xc3\xa4";
  std::string out;
  append_target_with(out, "/p", "a=1", "k", key);
  EXPECT_EQ(out, "/p?a=1&k=abc%2Fdef%2Bghi%3D%26x%23%2541%20%C3%A4");
  std::array<char, 64> decoded;
  EXPECT_EQ(decode_query_value(query_value(out.substr(3), "k").value, decoded), key);
}

TEST(QueryValue, IsDecodedOnceAsAServerDoes) {
  std::array<char, 8> buffer;
  EXPECT_EQ(decode_query_value("plain", buffer), "plain");
  EXPECT_EQ(decode_query_value("a%2Fb%2bc+d", buffer), "a/b+c d");
  EXPECT_EQ(decode_query_value("%2541", buffer), "%41");
  EXPECT_EQ(decode_query_value("%4", buffer), "%4");
  EXPECT_EQ(decode_query_value("%zz%", buffer), "%zz%");
  EXPECT_EQ(decode_query_value("%41%41%41%41%41%41%41%41", buffer), "AAAAAAAA");
  EXPECT_EQ(decode_query_value("%41%41%41%41%41%41%41%41%41", buffer), "%41%41%41%41%41%41%41%41%41") << "does not fit";
}

std::string redacted(std::string_view target, std::vector<std::string_view> const& credentials = {}) {
  std::string out;
  append_redacted_target(out, target, credentials);
  return out;
}

TEST(Target, IsLoggedWithoutSecrets) {
  EXPECT_EQ(redacted("/s?a=1&session_api_key=secret&tkn=x&b"), "/s?a=1&session_api_key=***&tkn=***&b");
  EXPECT_EQ(redacted("/s?session%5Fapi_key=secret&token=&access_token=x&api_key=y"),
            "/s?session%5Fapi_key=***&token=***&access_token=***&api_key=***");
  EXPECT_EQ(redacted("/s?mytoken=x"), "/s?mytoken=***");
  EXPECT_EQ(redacted("/s"), "/s");
}

TEST(Target, IsLoggedWithoutWhatLooksLikeASecretInAnyCase) {
  for (std::string const name :
       {"X-Session-API-Key", "SESSION_API_KEY", "key", "auth", "authorization", "password", "jwt", "code", "Signature",
        "client_secret", "cred", "%6Bey", "%73ESSION_API%5fKEY", "x;session_api_key"}) {
    EXPECT_EQ(redacted("/s?a=1&" + name + "=SECRET&b=2"), "/s?a=1&" + name + "=***&b=2");
  }
}

TEST(Target, IsLoggedWithoutASecretInsideAValue) {
  for (std::string const value :
       {"b%26session_api_key%3DSECRET", "1;session_api_key=SECRET", "https://h/x%3Ftkn=SECRET", "x?Password=SECRET",
        "b%2526session%255Fapi%255Fkey%253DSECRET", "session_api_key:SECRET"}) {
    EXPECT_EQ(redacted("/s?a=" + value + "&b=2"), "/s?a=***&b=2");
  }
  EXPECT_EQ(redacted("/s?session_api_key%3DSECRET"), "/s?***");
  EXPECT_EQ(redacted("/s?a%26tkn%3DSECRET=x"), "/s?***");
  EXPECT_EQ(redacted("/s%3Fsession_api_key=SECRET/x"), "/***/x");
  EXPECT_EQ(redacted("/s;tkn=SECRET/x?b=2"), "/***/x?b=2");
}

TEST(Target, IsLoggedWithoutTheRequestsOwnCredential) {
  EXPECT_EQ(redacted("/x/SECRET/y?q=SECRET&SECRET&b=2", {"SECRET"}), "/x/***/y?q=***&***&b=2");
  EXPECT_EQ(redacted("/x/%53ECRET?q=SECRE%54", {"other", "SECRET"}), "/x/***?q=***");
}

TEST(Target, IsLoggedWithoutTheUserInformationOfAUrl) {
  for (std::string const url :
       {"https://oauth2:SECRET@git.example/o/r.git", "https%3A%2F%2FSECRET%40git.example", "//SECRET@h",
        "ssh://u:SECRET@h:22", "https%253A%252F%252Fu%253ASECRET%2540h", "x%20https://h/https://SECRET@h"}) {
    EXPECT_EQ(redacted("/s?a=" + url + "&b=2"), "/s?a=***&b=2");
    EXPECT_EQ(redacted("/s?" + url + "&b=2"), "/s?***&b=2");
  }
  EXPECT_EQ(redacted("/s?https://u:SEC=RET@h&b=2"), "/s?***&b=2");
  EXPECT_EQ(redacted("/s/https://u:SECRET@h/x"), "/s/https://***/x");
  EXPECT_EQ(redacted("/s/https://u:SECRET%40h/x"), "/s/https://***/x");
  EXPECT_EQ(redacted("/s/https%3A%2F%2Fu:SECRET%40h/x"), "/s/***/x");
}

TEST(Target, IsLoggedAsItIsWhereNothingIsSecret) {
  for (std::string_view const target :
       {"/", "/api/conversations/c1/events?limit=10&page_id=a%3Db", "/a%20b/c=d?path=/token/abc&q=tokens+for+a+key", "//x/?",
        "/user@host/x@y?q=a@b&r=https://h/a@b&s=git@github.com:o/r.git",
        "/socket.io/?EIO=4&transport=polling&sid=abc&conversation_id=c1", "*"}) {
    EXPECT_EQ(redacted(target, {"SECRET"}), target);
  }
}

}  // namespace
}  // namespace nestgate::http
