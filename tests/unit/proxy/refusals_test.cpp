#include <gtest/gtest.h>

#include "support/scripted.hpp"

// The short list of what is refused, through real sockets; tests/corpus/http has the long one.
namespace nestgate::test {
namespace {

struct Case {
  std::string name;
  std::string request;  // with the key where it says {key}
  unsigned status;
  std::string code;
};

std::string with_key(std::string text) {
  constexpr std::string_view mark = "{key}";
  if (auto const at = text.find(mark); at != text.npos)
    text.replace(at, mark.size(), "X-Session-API-Key: " + session_key_of("c1"));
  return text;
}

std::vector<Case> const& refused_heads() {
  static std::vector<Case> const cases{
      {"both framings",
       "POST / HTTP/1.1\r\nHost: g\r\n{key}\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400,
       "length_and_chunked"},
      {"two different lengths", "POST / HTTP/1.1\r\nHost: g\r\n{key}\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
       400, "two_content_lengths"},
      {"obs-fold", "GET / HTTP/1.1\r\nHost: g\r\n{key}\r\nX: a\r\n b\r\n\r\n", 400, "obsolete_fold"},
      {"bare CR", "GET / HTTP/1.1\r\nHost: g\r\n{key}\r\nX: a\rb\r\n\r\n", 400, "bad_field_value"},
      {"bare LF", "GET / HTTP/1.1\r\nHost: g\r\n{key}\r\nX: a\nY: b\r\n\r\n", 400, "bare_line_feed"},
      {"NUL", std::string("GET / HTTP/1.1\r\nHost: g\r\n{key}\r\nX: a\0b\r\n\r\n", 42), 400, "bad_field_value"},
      {"space before the colon", "GET / HTTP/1.1\r\nHost: g\r\n{key}\r\nX : a\r\n\r\n", 400, "space_before_colon"},
      {"bad field name", "GET / HTTP/1.1\r\nHost: g\r\n{key}\r\nX@: a\r\n\r\n", 400, "bad_field_name"},
      {"oversized head", "GET / HTTP/1.1\r\nHost: g\r\n{key}\r\nX: " + std::string(140'000, 'x') + "\r\n\r\n", 431,
       "head_too_large"},
      {"unknown coding", "POST / HTTP/1.1\r\nHost: g\r\n{key}\r\nTransfer-Encoding: gzip\r\n\r\n", 501,
       "unknown_transfer_coding"},
      {"doubled coding", "POST / HTTP/1.1\r\nHost: g\r\n{key}\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400,
       "bad_transfer_encoding"},
      {"upgrade with a body",
       "GET / HTTP/1.1\r\nHost: g\r\n{key}\r\n" + std::string(websocket_fields) + "Content-Length: 2\r\n\r\nab", 400,
       "bad_upgrade"},
      {"no Host", "GET / HTTP/1.1\r\n{key}\r\n\r\n", 400, "missing_host"},
      {"two Hosts", "GET / HTTP/1.1\r\nHost: g\r\nHost: g\r\n{key}\r\n\r\n", 400, "two_hosts"},
      {"Host with a path", "GET / HTTP/1.1\r\nHost: g/x\r\n{key}\r\n\r\n", 400, "bad_host"},
      {"Host with user info", "GET / HTTP/1.1\r\nHost: u@g\r\n{key}\r\n\r\n", 400, "bad_host"},
      {"control byte", "GET / HTTP/1.1\r\nHost: g\r\n{key}\r\nX: a\x01\r\n\r\n", 400, "bad_field_value"},
      {"contradicting target", "GET http://other/ HTTP/1.1\r\nHost: g\r\n{key}\r\n\r\n", 400, "host_contradicts_target"},
      {"version 1.2", "GET / HTTP/1.2\r\nHost: g\r\n{key}\r\n\r\n", 505, "bad_version"},
      {"version 2.0", "GET / HTTP/2.0\r\nHost: g\r\n{key}\r\n\r\n", 505, "bad_version"},
      {"websocket version 8",
       "GET / HTTP/1.1\r\nHost: g\r\n{key}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 8\r\n"
       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
       426, "bad_websocket_version"},
      {"bad chunk size", "POST / HTTP/1.1\r\nHost: g\r\n{key}\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n",
       400, "bad_chunk_size"},
      {"chunk extension beyond the limit",
       "POST / HTTP/1.1\r\nHost: g\r\n{key}\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(2000, 'e') +
           "\r\na\r\n0\r\n\r\n",
       400, "bad_chunk_extension"},
  };
  return cases;
}

TEST(Refusals, EndTheConnectionAndReachNoServer) {
  Server nested(echo_heads);
  Gateway gateway;
  gateway.start();
  gateway.add("c1", nested.port());
  for (auto const& one : refused_heads()) {
    SCOPED_TRACE(one.name);
    auto client = gateway.connect();
    // Another request behind the refused one must not be taken for anything.
    client.send(with_key(one.request) + "GET /smuggled HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
    auto const answer = read_answer(client);
    EXPECT_EQ(answer.status, one.status);
    EXPECT_EQ(error_code_of(answer), one.code);
    EXPECT_EQ(answer.value("connection"), "close");
    EXPECT_EQ(answer.value("content-type"), "application/json");
    EXPECT_EQ(client.read_to_end(), "");
    EXPECT_FALSE(client.reset_by_peer());
  }
  EXPECT_EQ(nested.accepted(), 0u);
}

TEST(Refusals, AreCounted) {
  Gateway gateway;
  gateway.start();
  auto client = gateway.connect();
  client.send("GET / HTTP/1.1\r\n\r\n");
  client.read_to_end();
  auto const& rejected = gateway.stats().rejected;
  EXPECT_EQ(rejected[static_cast<std::size_t>(proxy::Reject::bad_request)].read(), 1u);
}

TEST(Refusals, OfAWrongKeyKeepAConnectionWhoseRequestIsOver) {
  Gateway gateway;
  gateway.start();
  auto client = gateway.connect();
  for (int i = 0; i < 3; ++i) {
    client.send("GET /api/conversations/c1 HTTP/1.1\r\nHost: g\r\nX-Session-API-Key: wrong\r\n\r\n");
    EXPECT_EQ(read_answer(client).status, 401u);
  }
}

TEST(Refusals, OfAWrongKeyTakeNoBodyIn) {
  Gateway gateway;
  gateway.start();
  auto client = gateway.connect();
  client.send(
      "POST /api/conversations/c1/x HTTP/1.1\r\nHost: g\r\nX-Session-API-Key: wrong\r\nContent-Length: 100\r\n\r\nGET /");
  auto const answer = read_answer(client);
  EXPECT_EQ(answer.status, 401u);
  EXPECT_EQ(answer.value("connection"), "close");
  EXPECT_EQ(client.read_to_end(), "");
}

}  // namespace
}  // namespace nestgate::test
