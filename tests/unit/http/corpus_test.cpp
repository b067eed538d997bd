#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "nestgate/base/limits.hpp"
#include "nestgate/http/chunked.hpp"
#include "nestgate/http/head.hpp"
#include "nestgate/http/rewrite.hpp"
#include "support/http_corpus.hpp"

namespace nestgate::http {
namespace {

constexpr Limits limits;
constexpr HeadLimits request_limits{limits.request_head_bytes_max, limits.request_fields_max};
constexpr HeadLimits response_limits{limits.response_head_bytes_max, limits.response_fields_max};
constexpr ChunkLimits chunk_limits{limits.chunk_extension_bytes_max, limits.trailer_bytes_max};
constexpr std::string_view client_key = "key-of-the-client";
constexpr std::string_view our_key = "key-of-the-gateway";

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return text;
}

// How often a line with this name, in lower case, stands in `head`; '_' counts as '-'.
std::size_t lines_named(std::string head, std::string_view name) {
  head = lower(head);
  std::size_t count = 0;
  for (auto at = head.find("\r\n"); at + 2 < head.size(); at = head.find("\r\n", at + 2)) {
    std::string line_name = head.substr(at + 2, head.find(':', at + 2) - at - 2);
    std::replace(line_name.begin(), line_name.end(), '_', '-');
    if (line_name == name) ++count;
  }
  return count;
}

struct Body {
  enum class State { whole, incomplete, refused } state = State::whole;
  std::size_t bytes = 0;
  std::string payload;
  Refusal why = Refusal::none;
};

Body read_body(Head const& head, std::string_view bytes) {
  Body body;
  if (head.body == BodyKind::length) {
    body.payload = bytes.substr(0, head.content_length);
    body.bytes = body.payload.size();
    if (body.bytes < head.content_length) body.state = Body::State::incomplete;
  } else if (head.body == BodyKind::chunked) {
    ChunkScanner chunks(chunk_limits);
    auto const step = chunks.feed(bytes, [&](std::string_view payload) { body.payload += payload; });
    body.bytes = step.consumed;
    body.why = step.why;
    if (!chunks.done()) body.state = step.why == Refusal::none ? Body::State::incomplete : Body::State::refused;
  } else if (head.body == BodyKind::until_close) {
    body.payload = bytes;
    body.bytes = bytes.size();
  }
  return body;
}

RequestRewrite rewrite_for(RequestHead const& head) {
  RequestRewrite rewrite;
  rewrite.target = head.target;
  rewrite.session_key = our_key;
  rewrite.peer_address = "192.0.2.1";
  rewrite.scheme = "http";
  rewrite.request_id = "id-1";
  rewrite.keep_upgrade = head.websocket_upgrade;
  return rewrite;
}

void expect_texts(std::string const& head, std::vector<std::string> const& has, std::vector<std::string> const& lacks) {
  for (auto const& text : has) EXPECT_NE(head.find(text), head.npos) << "lacks " << text << "in\n" << head;
  for (auto const& text : lacks) EXPECT_EQ(lower(head).find(lower(text)), head.npos) << "has " << text << " in\n" << head;
}

void expect_forwarded(RequestHead const& head, Body const& body, test::ForwardedExpectation const& expected) {
  std::string out;
  append_request_head(out, head, rewrite_for(head));
  if (expected.line) {
    EXPECT_EQ(out.substr(0, out.find("\r\n")), *expected.line);
  }
  if (expected.body) {
    EXPECT_EQ(body.payload, *expected.body);
  }
  expect_texts(out, expected.has, expected.lacks);
  EXPECT_EQ(lines_named(out, "host"), 1u);
  EXPECT_EQ(lines_named(out, "x-session-api-key"), 1u);
  EXPECT_LE(lines_named(out, "content-length") + lines_named(out, "transfer-encoding"), 1u);
  EXPECT_EQ(out.find(client_key), out.npos);

  RequestHead again;
  std::size_t scanned = 0;
  auto const parsed = parse_request_head(out, request_limits, again, scanned);
  ASSERT_EQ(parsed.state, HeadParse::State::complete) << code_for(parsed.why);
  EXPECT_EQ(parsed.bytes, out.size());
  EXPECT_EQ(again.body, head.body);
  EXPECT_EQ(again.content_length, head.content_length);
  EXPECT_EQ(again.websocket_upgrade, head.websocket_upgrade);
}

void expect_refusal(test::RequestCase const& expected, Refusal why, bool in_body) {
  EXPECT_EQ(code_for(why), expected.code);
  EXPECT_EQ(status_for(why), expected.status);
  EXPECT_EQ(in_body, expected.in_body);
}

void run(test::RequestCase const& expected) {
  std::string_view rest = expected.request;
  std::size_t forwarded = 0;
  bool kept = true;
  RequestHead head;
  while (kept && !rest.empty()) {
    std::size_t scanned = 0;
    auto const parsed = parse_request_head(rest, request_limits, head, scanned);
    if (parsed.state == HeadParse::State::refused) {
      expect_refusal(expected, parsed.why, false);
      EXPECT_EQ(forwarded, expected.forwarded.size());
      return;
    }
    if (parsed.state == HeadParse::State::incomplete) break;
    rest.remove_prefix(parsed.bytes);
    Body const body = read_body(head, rest);
    if (body.state == Body::State::refused) {
      expect_refusal(expected, body.why, true);
      EXPECT_EQ(forwarded, expected.forwarded.size());
      return;
    }
    if (body.state == Body::State::incomplete) break;
    ASSERT_LT(forwarded, expected.forwarded.size()) << "one request too many";
    expect_forwarded(head, body, expected.forwarded[forwarded++]);
    rest.remove_prefix(body.bytes);
    kept = head.keep_alive && !head.websocket_upgrade;
  }
  EXPECT_EQ(expected.status, 0u) << "was not refused";
  EXPECT_EQ(forwarded, expected.forwarded.size());
  if (head.websocket_upgrade) {
    EXPECT_EQ(expected.after, "upgraded");
  } else if (!kept) {
    EXPECT_EQ(expected.after, "closed");
  } else {
    EXPECT_EQ(expected.after, forwarded > 0 && rest.empty() ? "kept" : "waits");
  }
}

Method method_of(std::string_view text) {
  if (text == "HEAD") return Method::head;
  if (text == "POST") return Method::post;
  return Method::get;
}

void expect_passed(ResponseHead const& head, test::ResponseCase const& expected) {
  ResponseRewrite rewrite;
  rewrite.request_id = "id-1";
  std::string out;
  append_response_head(out, head, rewrite);
  expect_texts(out, expected.has, expected.lacks);
  EXPECT_LE(lines_named(out, "content-length") + lines_named(out, "transfer-encoding"), 1u);
  EXPECT_EQ(lines_named(out, "x-request-id"), 1u);

  ResponseHead again;
  std::size_t scanned = 0;
  auto const parsed = parse_response_head(out, response_limits, method_of(expected.method), again, scanned);
  ASSERT_EQ(parsed.state, HeadParse::State::complete) << code_for(parsed.why);
  EXPECT_EQ(again.status, head.status);
  EXPECT_EQ(again.body, head.body);
}

void run(test::ResponseCase const& expected) {
  std::string_view rest = expected.response;
  std::vector<unsigned> interim;
  for (;;) {
    ResponseHead head;
    std::size_t scanned = 0;
    auto const parsed = parse_response_head(rest, response_limits, method_of(expected.method), head, scanned);
    if (parsed.state == HeadParse::State::refused) {
      EXPECT_EQ(code_for(parsed.why), expected.code);
      EXPECT_EQ(expected.status, 502u);
      return;
    }
    if (parsed.state == HeadParse::State::incomplete) {
      EXPECT_EQ(expected.code, "upstream_closed");
      return;
    }
    rest.remove_prefix(parsed.bytes);
    if (head.status < 200) {
      if (head.status != 100) interim.push_back(head.status);
      continue;
    }
    EXPECT_EQ(expected.code, "");
    EXPECT_EQ(head.status, expected.status);
    EXPECT_EQ(interim, expected.interim);
    expect_passed(head, expected);
    Body const body = read_body(head, rest);
    EXPECT_EQ(body.payload, expected.body);
    EXPECT_EQ(body.state == Body::State::whole, expected.complete);
    bool const surplus = body.state == Body::State::whole && head.keep_alive && body.bytes < rest.size();
    bool const kept = head.keep_alive && body.state == Body::State::whole;
    EXPECT_EQ(surplus ? "surplus" : kept ? "kept" : "closed", expected.upstream);
    return;
  }
}

TEST(HttpCorpus, EveryRequestIsRefusedOrForwardedAsTheCaseSays) {
  auto const cases = test::load_request_cases(client_key);
  EXPECT_GE(cases.size(), 150u);
  for (auto const& one : cases) {
    SCOPED_TRACE(one.name + " (" + one.source + ")");
    run(one);
  }
}

TEST(HttpCorpus, EveryResponseIsRefusedOrPassedAsTheCaseSays) {
  auto const cases = test::load_response_cases();
  EXPECT_GE(cases.size(), 50u);
  for (auto const& one : cases) {
    SCOPED_TRACE(one.name + " (" + one.source + ")");
    run(one);
  }
}

TEST(HttpCorpus, AHeadThatComesByteByByteGetsTheSameVerdict) {
  for (auto const& one : test::load_request_cases(client_key)) {
    if (one.request.size() > 4096) continue;
    SCOPED_TRACE(one.name);
    RequestHead at_once_head, head;
    std::size_t scanned = 0;
    auto const at_once = parse_request_head(one.request, request_limits, at_once_head, scanned);
    scanned = 0;
    HeadParse bit_by_bit;
    for (std::size_t n = 1; n <= one.request.size() && bit_by_bit.state == HeadParse::State::incomplete; ++n) {
      bit_by_bit = parse_request_head(std::string_view(one.request).substr(0, n), request_limits, head, scanned);
    }
    // A fault in a head without its end may be told at once, or once the end is there.
    if (bit_by_bit.state == HeadParse::State::incomplete && at_once.state == HeadParse::State::refused) continue;
    EXPECT_EQ(bit_by_bit.state, at_once.state);
    EXPECT_EQ(code_for(bit_by_bit.why), code_for(at_once.why));
    EXPECT_EQ(bit_by_bit.bytes, at_once.bytes);
  }
}

}  // namespace
}  // namespace nestgate::http
