#include "nestgate/http/head.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace nestgate::http {
namespace {

constexpr HeadLimits limits{4096, 64};

HeadParse parse(std::string_view bytes, RequestHead& head, HeadLimits with = limits) {
  std::size_t scanned = 0;
  return parse_request_head(bytes, with, head, scanned);
}

HeadParse parse(std::string_view bytes, ResponseHead& head, Method method = Method::get) {
  std::size_t scanned = 0;
  return parse_response_head(bytes, limits, method, head, scanned);
}

TEST(RequestHead, GivesTheRequestLineAndItsFields) {
  std::string const text = "POST /a/b?c=d HTTP/1.1\r\nHost: gw:80\r\nContent-Length:  12 \r\nX-A:\r\n\r\nbody";
  RequestHead head;
  auto const result = parse(text, head);
  ASSERT_EQ(result.state, HeadParse::State::complete);
  EXPECT_EQ(result.bytes, text.size() - 4);
  EXPECT_EQ(head.method, Method::post);
  EXPECT_EQ(head.method_text, "POST");
  EXPECT_EQ(head.target, "/a/b?c=d");
  EXPECT_EQ(head.path, "/a/b");
  EXPECT_EQ(head.query, "c=d");
  EXPECT_TRUE(head.has_query);
  EXPECT_EQ(head.authority, "gw:80");
  EXPECT_EQ(head.body, BodyKind::length);
  EXPECT_EQ(head.content_length, 12u);
  EXPECT_TRUE(head.keep_alive);
  ASSERT_EQ(head.fields().size(), 3u);
  EXPECT_EQ(head.fields()[1].name, "Content-Length");
  EXPECT_EQ(head.fields()[1].value, "12");
  EXPECT_EQ(head.fields()[2].value, "");
  EXPECT_EQ(head.fields_end, text.data() + result.bytes - 2);
}

TEST(RequestHead, KnowsEveryMethodByItsExactName) {
  auto method = [](std::string name) {
    RequestHead head;
    EXPECT_EQ(parse(name + " / HTTP/1.1\r\nHost: a\r\n\r\n", head).state, HeadParse::State::complete) << name;
    return head.method;
  };
  EXPECT_EQ(method("GET"), Method::get);
  EXPECT_EQ(method("HEAD"), Method::head);
  EXPECT_EQ(method("POST"), Method::post);
  EXPECT_EQ(method("PUT"), Method::put);
  EXPECT_EQ(method("DELETE"), Method::delete_);
  EXPECT_EQ(method("OPTIONS"), Method::options);
  EXPECT_EQ(method("TRACE"), Method::trace);
  EXPECT_EQ(method("PATCH"), Method::patch);
  EXPECT_EQ(method("get"), Method::other);
  EXPECT_EQ(method("GETS"), Method::other);
}

TEST(RequestHead, ForgetsThePreviousRequestWhenItIsUsedAgain) {
  RequestHead head;
  parse(
      "GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: close, X-A\r\nX-A: 1\r\nContent-Length: 3\r\nExpect: "
      "100-continue\r\n\r\n",
      head);
  EXPECT_TRUE(head.expect_continue);
  EXPECT_TRUE(head.nominated("x-a"));
  ASSERT_EQ(parse("GET / HTTP/1.1\r\nHost: a\r\n\r\n", head).state, HeadParse::State::complete);
  EXPECT_FALSE(head.has_query);
  EXPECT_EQ(head.query, "");
  EXPECT_EQ(head.body, BodyKind::none);
  EXPECT_EQ(head.content_length, 0u);
  EXPECT_TRUE(head.keep_alive);
  EXPECT_FALSE(head.expect_continue);
  EXPECT_FALSE(head.nominated("x-a"));
  EXPECT_EQ(head.find(FieldId::connection), nullptr);
}

TEST(RequestHead, FindsTheFirstFieldOfAnId) {
  RequestHead head;
  std::string const text = "GET / HTTP/1.1\r\nHost: a\r\nX-Session-API-Key: one\r\nx-session-api-key: two\r\n\r\n";
  parse(text, head);
  EXPECT_EQ(head.value(FieldId::x_session_api_key), "one");
  EXPECT_EQ(head.value(FieldId::cookie), "");
}

TEST(RequestHead, NominatesByEveryConnectionField) {
  RequestHead head;
  std::string const text = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-A\r\nConnection: ,x-b,\r\n\r\n";
  ASSERT_EQ(parse(text, head).state, HeadParse::State::complete);
  EXPECT_TRUE(head.has_nominated_fields);
  EXPECT_TRUE(head.nominated("X-a"));
  EXPECT_TRUE(head.nominated("X-B"));
  EXPECT_FALSE(head.nominated("X-C"));
}

TEST(RequestHead, AsksForMoreWhereverItIsCut) {
  std::string const text = "\r\nGET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n";
  for (std::size_t n = 0; n < text.size(); ++n) {
    RequestHead head;
    EXPECT_EQ(parse(std::string_view(text).substr(0, n), head).state, HeadParse::State::incomplete) << n;
  }
}

TEST(RequestHead, IsTakenUpToItsLimitAndNotOneByteBeyond) {
  std::string const text = "GET / HTTP/1.1\r\nHost: a\r\nX-A: bbbbbbbbbbbbbbbbbbbb\r\n\r\n";
  auto const size = static_cast<std::uint32_t>(text.size());
  RequestHead head;
  EXPECT_EQ(parse(text, head, {size, 64}).state, HeadParse::State::complete);
  EXPECT_EQ(parse(text, head, {size - 1, 64}).why, Refusal::head_too_large);
  EXPECT_EQ(parse(text.substr(0, size - 1), head, {size - 1, 64}).why, Refusal::head_too_large);
  EXPECT_EQ(parse(text, head, {10, 64}).why, Refusal::target_too_long);
  EXPECT_EQ(parse(text, head, {size, 2}).state, HeadParse::State::complete);
  EXPECT_EQ(parse(text, head, {size, 1}).why, Refusal::too_many_fields);
}

TEST(RequestHead, TakesAsManyFieldsAsItCanHold) {
  std::string text = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (std::size_t i = 1; i < fields_capacity; ++i) text += "A: b\r\n";
  RequestHead head;
  EXPECT_EQ(parse(text + "\r\n", head, {8192, 100'000}).state, HeadParse::State::complete);
  EXPECT_EQ(parse(text + "A: b\r\n\r\n", head, {8192, 100'000}).why, Refusal::too_many_fields);
}

TEST(RequestHead, TellsAFaultBeforeTheHeadEndsOnceALineIsWhole) {
  RequestHead head;
  EXPECT_EQ(parse("GET / HTTP/1.1\r\nHost : a\r\n", head).why, Refusal::space_before_colon);
  EXPECT_EQ(parse("\x16\x03\x01", head).why, Refusal::bad_request_line);
}

TEST(RequestHead, RemembersHowFarItLookedSoThatBytesInOneByOneCostNoMoreThanOneParse) {
  std::string const text = "GET / HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r\n";
  RequestHead head;
  std::size_t scanned = 0;
  for (std::size_t n = 1; n < text.size(); ++n) {
    ASSERT_EQ(parse_request_head(std::string_view(text).substr(0, n), limits, head, scanned).state,
              HeadParse::State::incomplete);
    EXPECT_EQ(scanned, n);
  }
  EXPECT_EQ(parse_request_head(text, limits, head, scanned).state, HeadParse::State::complete);
}

TEST(RequestHead, ExpectsA100OnlyForABodyToCome) {
  auto waits = [](std::string fields) {
    RequestHead head;
    EXPECT_EQ(parse("POST / HTTP/1.1\r\nHost: a\r\n" + fields + "\r\n", head).state, HeadParse::State::complete);
    return head.expect_continue;
  };
  EXPECT_TRUE(waits("Expect: 100-continue\r\nContent-Length: 1\r\n"));
  EXPECT_TRUE(waits("Expect: 100-Continue\r\nTransfer-Encoding: chunked\r\n"));
  EXPECT_FALSE(waits("Expect: 100-continue\r\nContent-Length: 0\r\n"));
  EXPECT_FALSE(waits("Expect: 100-continue\r\n"));
}

TEST(ResponseHead, GivesStatusAndReason) {
  std::string const text = "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\n";
  ResponseHead head;
  auto const result = parse(text, head);
  ASSERT_EQ(result.state, HeadParse::State::complete);
  EXPECT_EQ(result.bytes, text.size());
  EXPECT_EQ(head.status, 404);
  EXPECT_EQ(head.reason, "Not Found");
  EXPECT_EQ(head.body, BodyKind::length);
}

TEST(ResponseHead, HasABodyByStatusAndMethod) {
  auto body = [](std::string line, std::string fields, Method method) {
    ResponseHead head;
    EXPECT_EQ(parse("HTTP/1.1 " + line + "\r\n" + fields + "\r\n", head, method).state, HeadParse::State::complete);
    return head.body;
  };
  std::string const five = "Content-Length: 5\r\n";
  std::string const chunked = "Transfer-Encoding: chunked\r\n";
  EXPECT_EQ(body("200 OK", five, Method::get), BodyKind::length);
  EXPECT_EQ(body("200 OK", chunked, Method::get), BodyKind::chunked);
  EXPECT_EQ(body("200 OK", "", Method::get), BodyKind::until_close);
  EXPECT_EQ(body("200 OK", five, Method::head), BodyKind::none);
  EXPECT_EQ(body("200 OK", chunked, Method::head), BodyKind::none);
  EXPECT_EQ(body("304 Not Modified", five, Method::get), BodyKind::none);
  EXPECT_EQ(body("204 No Content", "", Method::delete_), BodyKind::none);
  EXPECT_EQ(body("101 ", "", Method::get), BodyKind::none);
  EXPECT_EQ(body("100 Continue", "", Method::post), BodyKind::none);
}

TEST(ResponseHead, IsNotKeptAliveWhenItsEndIsTheConnectionsEnd) {
  ResponseHead head;
  parse("HTTP/1.1 200 OK\r\nConnection: keep-alive\r\n\r\n", head);
  EXPECT_EQ(head.body, BodyKind::until_close);
  EXPECT_FALSE(head.keep_alive);
}

TEST(ResponseHead, NeverSpeaksOfATargetWhenItIsTooLarge) {
  ResponseHead head;
  std::size_t scanned = 0;
  auto const result = parse_response_head("HTTP/1.1 200 " + std::string(100, 'a'), {64, 8}, Method::get, head, scanned);
  EXPECT_EQ(result.why, Refusal::head_too_large);
}

TEST(Refusal, HasAStatusACodeOfItsOwnAndASentence) {
  std::vector<std::string_view> codes;
  for (int i = 1; i <= static_cast<int>(Refusal::bad_status_line); ++i) {
    auto const why = static_cast<Refusal>(i);
    EXPECT_GE(status_for(why), 400u);
    EXPECT_TRUE(text_for(why).ends_with('.')) << text_for(why);
    EXPECT_EQ(std::count(codes.begin(), codes.end(), code_for(why)), 0) << code_for(why);
    codes.push_back(code_for(why));
  }
  EXPECT_EQ(fields_for(Refusal::bad_websocket_version), "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
  EXPECT_EQ(fields_for(Refusal::bad_host), "");
}

TEST(QueryValue, TellsAbsentFromEmpty) {
  EXPECT_FALSE(query_value("a=1&b", "c").found);
  EXPECT_TRUE(query_value("a=1&b", "b").found);
  EXPECT_EQ(query_value("a=1&b", "b").value, "");
  EXPECT_EQ(query_value("a=1&b=2&b=3", "b").value, "2");
  EXPECT_EQ(query_value("a=x=y", "a").value, "x=y");
  EXPECT_FALSE(query_value("", "a").found);
  EXPECT_FALSE(query_value("ab=1", "a").found);
}

TEST(QueryValue, FindsAPercentEncodedName) {
  EXPECT_EQ(query_value("session%5fapi%5Fkey=k", "session_api_key").value, "k");
  EXPECT_FALSE(query_value("session%5=k", "session_api_key").found);
}

TEST(CookieValue, FindsOneOfMany) {
  EXPECT_EQ(cookie_value("a=1; oh_workspace_session_key=k; b=2", "oh_workspace_session_key"), "k");
  EXPECT_EQ(cookie_value("a=\"1\"", "a"), "1");
  EXPECT_EQ(cookie_value(" a = 1 ;b=2", "a"), "1");
  EXPECT_EQ(cookie_value("aa=1; xa=2", "a"), "");
  EXPECT_EQ(cookie_value("a", "a"), "");
}

}  // namespace
}  // namespace nestgate::http
