#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>

#include "support/scripted.hpp"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define NESTGATE_TEST_UNDER_SANITIZER
#endif
#endif

namespace nestgate::test {
namespace {

// One chunk as it is on the wire, size line and all.
std::string read_chunk(Connection& from) {
  auto const line = from.read_until("\r\n");
  auto const size = std::stoul("0" + line, nullptr, 16);
  auto const payload = from.read_exactly(size);
  from.read_exactly(2);
  return payload;
}

TEST(EventStream, PassesEveryChunkAtOnceBehindOneReconnectionTime) {
  Mailbox<int> go;
  OneRuntime at([&](Connection& connection) {
    read_request(connection);
    connection.send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 3; ++i) {
      connection.send("9\r\ndata: " + std::to_string(i) + "\n\n\r\n");
      go.take();  // the next one only once the client has this one
    }
    connection.send("0\r\n\r\n");
  });
  auto client = at.gateway.connect();
  client.send(get_by_key("Accept: text/event-stream\r\n"));
  client.read_until("\r\n\r\n");
  auto const retry = read_chunk(client);
  ASSERT_TRUE(retry.starts_with("retry: ") && retry.ends_with("\n\n")) << retry;
  auto const ms = std::stoul(retry.substr(7));
  EXPECT_GE(ms, 1000u);
  EXPECT_LT(ms, 5000u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(read_chunk(client), "data: " + std::to_string(i) + "\n\n");
    go.put(1);
  }
  EXPECT_EQ(client.read_exactly(5), "0\r\n\r\n");
}

TEST(EventStream, WithoutFramingPassesAtOnceTooAndEndsWithTheConnection) {
  Mailbox<int> go;
  OneRuntime at([&](Connection& connection) {
    read_request(connection);
    connection.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 0\n\n");
    go.take();
    connection.send("data: 1\n\n");
  });
  auto client = at.gateway.connect();
  client.send(get_by_key());
  client.read_until("\r\n\r\n");
  EXPECT_TRUE(client.read_until("\n\n").starts_with("retry: "));
  EXPECT_EQ(client.read_until("\n\n"), "data: 0\n\n");
  go.put(1);
  EXPECT_EQ(client.read_to_end(), "data: 1\n\n");
}

TEST(EventStream, ReconnectionTimesDiffer) {
  OneRuntime at(answer_once("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"));
  std::vector<std::string> times;
  for (int i = 0; i < 8; ++i) times.push_back(at.gateway.ask(get_by_key()).body);
  EXPECT_TRUE(std::any_of(times.begin(), times.end(), [&](auto const& time) { return time != times.front(); }));
}

TEST(EventStream, OfOneWholeAnswerIsLeftAsItIs) {
  OneRuntime at(answer_once("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: 9\r\n\r\ndata: 0\n\n"));
  EXPECT_EQ(at.gateway.ask(get_by_key()).body, "data: 0\n\n");
}

TEST(Chunks, PassBothWaysWithTheirTrailers) {
  std::string const up = "5;ext=1\r\nhello\r\n3\r\n+++\r\n0\r\nX-Checksum: 1234\r\n\r\n";
  std::string const down = "4\r\npong\r\n0\r\nX-Sum: 5678\r\n\r\n";
  Mailbox<std::string> received;
  OneRuntime at([&](Connection& connection) {
    auto head = connection.read_until("\r\n\r\n");
    received.put(head);
    received.put(connection.read_until("1234\r\n\r\n"));
    connection.send("HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n" + down);
  });
  auto client = at.gateway.connect();
  client.send("POST /x HTTP/1.1\r\nHost: g\r\n" + key_field("c1") +
              "Trailer: X-Checksum\r\nTransfer-Encoding: chunked\r\n\r\n");
  client.send(up.substr(0, 7));
  client.send(up.substr(7));
  auto const head = received.take();
  EXPECT_EQ(field_value(head, "transfer-encoding"), "chunked");
  EXPECT_EQ(field_value(head, "trailer"), "X-Checksum");
  EXPECT_EQ(received.take(), up);
  auto const answer = client.read_until("\r\n\r\n");
  EXPECT_EQ(field_value(answer, "trailer"), "X-Sum");
  EXPECT_EQ(client.read_exactly(down.size()), down);
}

TEST(Chunks, ThatGoWrongInAnUploadEndTheRequestEverywhere) {
  Mailbox<std::string> body;
  OneRuntime at([&](Connection& connection) {
    connection.read_until("\r\n\r\n");
    body.put(connection.read_to_end());
  });
  auto client = at.gateway.connect();
  client.send("POST /x HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
  client.send("5 \r\nworld\r\n0\r\n\r\n");
  auto const answer = read_answer(client);
  EXPECT_EQ(answer.status, 400u);
  EXPECT_EQ(answer.value("connection"), "close");
  EXPECT_EQ(client.read_to_end(), "");
  at.nested.stop();
  if (!body.empty()) {
    EXPECT_EQ(body.take().find("0\r\n\r\n"), std::string::npos);
  }
}

TEST(Http10Client, GetsChunksTakenApartAndAClosedConnection) {
  OneRuntime at(
      answer_once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n1\r\no\r\n0\r\nX-T: 1\r\n\r\n"));
  auto client = at.gateway.connect();
  client.send(get_by_key("Connection: keep-alive\r\n", "1.0"));
  auto const head = client.read_until("\r\n\r\n");
  EXPECT_EQ(field_value(head, "transfer-encoding"), "");
  EXPECT_EQ(field_value(head, "connection"), "close");
  EXPECT_EQ(client.read_to_end(), "hello");
  EXPECT_FALSE(client.reset_by_peer());
}

TEST(Http10Client, KeepsItsConnectionWhereTheLengthIsKnown) {
  OneRuntime at(echo_heads);
  auto client = at.gateway.connect();
  for (int i = 0; i < 2; ++i) {
    client.send(get_by_key("Connection: keep-alive\r\n", "1.0"));
    auto const answer = read_answer(client);
    EXPECT_EQ(answer.value("connection"), "keep-alive");
    EXPECT_TRUE(answer.body.starts_with("GET /x HTTP/1.1\r\n"));
  }
  client.send(get_by_key("", "1.0"));
  EXPECT_EQ(read_answer(client).value("connection"), "close");
  EXPECT_EQ(client.read_to_end(), "");
}

TEST(AnswersWithoutABody, LeaveTheConnectionWhereTheNextOneStarts) {
  OneRuntime at([](Connection& connection) {
    for (;;) {
      auto const line = read_request(connection).line();
      if (line.empty()) return;
      if (line.starts_with("HEAD")) connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
      if (line.starts_with("GET /204")) connection.send("HTTP/1.1 204 No Content\r\n\r\n");
      if (line.starts_with("GET /304"))
        connection.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\nETag: \"a\"\r\n\r\n");
      if (line.starts_with("GET /last")) connection.send(ok_answer("last"));
    }
  });
  auto client = at.gateway.connect();
  auto const ask = [&](std::string const& line) {
    client.send(line + " HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
    return client.read_until("\r\n\r\n");
  };
  EXPECT_EQ(field_value(ask("HEAD /x"), "content-length"), "1000");
  EXPECT_TRUE(ask("GET /204").starts_with("HTTP/1.1 204 "));
  EXPECT_EQ(field_value(ask("GET /304"), "content-length"), "77");
  client.send("GET /last HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
  EXPECT_EQ(read_answer(client).body, "last");
  EXPECT_EQ(at.nested.accepted(), 1u);
}

TEST(InterimAnswers, PassButFor100) {
  auto const script = answer_once(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: "
      "2\r\n\r\nok");
  OneRuntime at(script);
  auto client = at.gateway.connect();
  client.send(get_by_key());
  auto const hint = read_answer(client);
  EXPECT_EQ(hint.status, 103u);
  EXPECT_EQ(hint.value("link"), "</a.css>");
  EXPECT_EQ(read_answer(client).body, "ok");

  auto old_client = at.gateway.connect();
  old_client.send(get_by_key("", "1.0"));
  EXPECT_EQ(read_answer(old_client).status, 200u);
}

TEST(ExpectContinue, IsAnsweredByTheGatewayOnceTheCredentialIsGood) {
  OneRuntime at(echo_as("c1"));
  auto const head = [](std::string const& key) {
    return "POST /x HTTP/1.1\r\nHost: g\r\n" + key + "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n";
  };
  auto refused = at.gateway.connect();
  refused.send(
      "POST /api/conversations/c1/x HTTP/1.1\r\nHost: g\r\nX-Session-API-Key: wrong\r\nExpect: 100-continue\r\n"
      "Content-Length: 5\r\n\r\n");
  EXPECT_EQ(read_answer(refused).status, 401u);
  EXPECT_EQ(at.nested.accepted(), 0u);

  auto client = at.gateway.connect();
  client.send(head(key_field("c1")));
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("hello");
  auto const answer = read_answer(client);
  EXPECT_EQ(answer.status, 200u);
  EXPECT_TRUE(answer.body.ends_with("\r\n\r\nhello"));
  EXPECT_EQ(field_value(answer.body, "expect"), "");

  // Who does not wait gets no interim answer.
  auto hasty = at.gateway.connect();
  hasty.send(head(key_field("c1")) + "hello");
  EXPECT_EQ(read_answer(hasty).status, 200u);
}

TEST(GetWithABody, KeepsIt) {
  OneRuntime at(echo_as("c1"));
  auto const answer = at.gateway.ask("GET /api/bash/bash_events/ HTTP/1.1\r\nHost: g\r\n" + key_field("c1") +
                                     "Content-Length: 11\r\n\r\n{\"limit\":1}");
  EXPECT_TRUE(answer.body.ends_with("\r\n\r\n{\"limit\":1}"));
}

TEST(UnknownMethods, PassAsTheyAre) {
  OneRuntime at(echo_as("c1"));
  auto const answer =
      at.gateway.ask("PROPFIND /a//b HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Connection: close\r\n\r\n");
  EXPECT_TRUE(answer.body.starts_with("PROPFIND /a//b HTTP/1.1\r\n"));
}

TEST(EarlyAnswers, ReachAClientThatIsStillUploading) {
  OneRuntime at([](Connection& connection) {
    connection.read_until("\r\n\r\n");
    connection.send("HTTP/1.1 413 Too Large\r\nContent-Length: 9\r\n\r\ntoo large");
    connection.read_to_end();
  });
  auto client = at.gateway.connect();
  client.send("POST /x HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Content-Length: 100000000\r\n\r\n");
  client.send(std::string(100'000, 'x'));
  auto const answer = read_answer(client);
  EXPECT_EQ(answer.status, 413u);
  EXPECT_EQ(answer.body, "too large");
  EXPECT_EQ(answer.value("connection"), "close");
}

TEST(EarlyAnswers, ReachAClientWhoseServerClosesInMidUpload) {
  OneRuntime at([](Connection& connection) {
    connection.read_until("\r\n\r\n");
    connection.send("HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno");
  });
  auto client = at.gateway.connect();
  client.send("POST /x HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n");
  auto const answer = read_answer(client);
  EXPECT_EQ(answer.status, 403u);
  EXPECT_EQ(answer.body, "no");
}

TEST(HalfClosedClients, StillGetTheirAnswer) {
  Mailbox<int> go;
  OneRuntime at([&](Connection& connection) {
    read_request(connection);
    go.take();
    connection.send(ok_answer("here"));
  });
  auto client = at.gateway.connect();
  client.send(get_by_key());
  client.end_sending();
  go.put(1);
  EXPECT_EQ(read_answer(client).body, "here");
  EXPECT_EQ(client.read_to_end(), "");
}

TEST(PipelinedRequests, AreAnsweredInOrder) {
  OneRuntime at(echo_as("c1"));
  auto client = at.gateway.connect();
  std::string all;
  for (int i = 0; i < 50; ++i) {
    auto const body = std::to_string(i);
    all += (i % 2 == 0 ? "GET /" : "POST /") + body + " HTTP/1.1\r\nHost: g\r\n" + key_field("c1");
    if (i % 2 != 0) all += "Content-Length: " + std::to_string(body.size()) + "\r\n";
    all += "\r\n";
    if (i % 2 != 0) all += body;
  }
  client.send(all);
  for (int i = 0; i < 50; ++i) {
    auto const answer = read_answer(client);
    EXPECT_NE(answer.body.find(" /" + std::to_string(i) + " HTTP/1.1"), std::string::npos) << i;
    if (i % 2 != 0) {
      EXPECT_TRUE(answer.body.ends_with("\r\n\r\n" + std::to_string(i)));
    }
  }
}

std::size_t resident_kib() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("VmRSS:")) return std::stoul(line.substr(6));
  }
  return 0;
}

// How far this process grew from when it was made; the sanitizers' shadow memory would drown it.
class Growth {
 public:
  void expect_below_kib(std::size_t limit) const {
#ifndef NESTGATE_TEST_UNDER_SANITIZER
    EXPECT_LT(resident_kib(), before_ + limit);
#else
    static_cast<void>(limit);
#endif
  }

 private:
  std::size_t before_ = resident_kib();
};

constexpr std::size_t mebibyte = 1024 * 1024;
#ifdef NESTGATE_TEST_UNDER_SANITIZER
constexpr std::size_t large_body = 32 * mebibyte;
#else
constexpr std::size_t large_body = 256 * mebibyte;
#endif

// Byte `i` of a large body, so that a piece that is lost or doubled shows.
std::string const& pattern() {
  static std::string const text = [] {
    std::string out(mebibyte + 1, '\0');
    for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<char>('a' + i * 7 % 26);
    return out;
  }();
  return text;
}
bool send_large_body(Connection& to) {
  for (std::size_t sent = 0; sent < large_body; sent += mebibyte) {
    if (!to.send(std::string_view(pattern()).substr(0, mebibyte))) return false;
  }
  return true;
}
// How many bytes of the large body arrived before the first that is wrong or the end.
std::size_t receive_large_body(Connection& from) {
  std::size_t got = 0;
  while (got < large_body) {
    auto const piece = from.read_some();
    if (piece.empty()) break;
    for (std::size_t i = 0; i < piece.size();) {
      auto const at = (got + i) % mebibyte;
      auto const n = std::min(piece.size() - i, mebibyte - at);
      if (std::string_view(piece).substr(i, n) != std::string_view(pattern()).substr(at, n)) return got;
      i += n;
    }
    got += piece.size();
  }
  return got;
}

TEST(LargeBodies, AreDownloadedInConstantMemory) {
  OneRuntime at([](Connection& connection) {
    read_request(connection);
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(large_body) + "\r\n\r\n");
    send_large_body(connection);
  });
  pattern();
  Growth const growth;
  auto client = at.gateway.connect();
  client.send(get_by_key());
  client.read_until("\r\n\r\n");
  EXPECT_EQ(receive_large_body(client), large_body);
  growth.expect_below_kib(32 * 1024);
}

TEST(LargeBodies, AreUploadedInConstantMemory) {
  OneRuntime at([](Connection& connection) {
    connection.read_until("\r\n\r\n");
    connection.send(ok_answer(std::to_string(receive_large_body(connection))));
  });
  pattern();
  Growth const growth;
  auto client = at.gateway.connect();
  client.send("POST /x HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Content-Length: " + std::to_string(large_body) +
              "\r\n\r\n");
  EXPECT_TRUE(send_large_body(client));
  EXPECT_EQ(read_answer(client).body, std::to_string(large_body));
  growth.expect_below_kib(32 * 1024);
}

TEST(LargeBodies, InChunksPassUnchanged) {
  constexpr std::size_t chunks = 64;
  OneRuntime at([](Connection& connection) {
    read_request(connection);
    connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (std::size_t i = 0; i < chunks; ++i) {
      connection.send("8000\r\n" + pattern().substr(i, 0x8000) + "\r\n");
    }
    connection.send("0\r\n\r\n");
  });
  auto const answer = at.gateway.ask(get_by_key());
  std::string expected;
  for (std::size_t i = 0; i < chunks; ++i) expected += pattern().substr(i, 0x8000);
  EXPECT_TRUE(answer.body == expected);
}

TEST(AClientThatLeaves, EndsTheDownloadAtItsServer) {
  Mailbox<int> ended;
  OneRuntime at([&](Connection& connection) {
    read_request(connection);
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n");
    std::string const piece(mebibyte, 'x');
    while (connection.send(piece)) {
    }
    ended.put(1);
  });
  {
    auto client = at.gateway.connect();
    client.send(get_by_key());
    client.read_until("\r\n\r\n");
    client.read_exactly(mebibyte);
  }
  ended.take();
}

TEST(AClientThatLeaves, EndsItsUploadAtTheServer) {
  Mailbox<std::string> received;
  OneRuntime at([&](Connection& connection) {
    connection.read_until("\r\n\r\n");
    received.put(connection.read_to_end());
  });
  {
    auto client = at.gateway.connect();
    client.send("POST /x HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Content-Length: 10\r\n\r\nhello");
  }
  auto const got = received.take();
  EXPECT_TRUE(got == "hello" || got.empty()) << got;
}

// Sends as much as goes without the peer reading, up to `limit`. The wait only decides when "no more" is believed: a
// machine that is too slow makes this pass, never fail.
std::size_t send_until_held_back(Connection& to, std::size_t limit) {
  std::string const piece(64 * 1024, 'x');
  std::size_t sent = 0;
  while (sent < limit) {
    pollfd writable{to.fd(), POLLOUT, 0};
    if (::poll(&writable, 1, 300) == 0) break;
    auto const n = ::send(to.fd(), piece.data(), piece.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0) break;
    sent += static_cast<std::size_t>(n);
  }
  return sent;
}

TEST(Backpressure, AClientThatDoesNotReadHoldsItsServerBack) {
  constexpr std::size_t far_too_much = 256 * mebibyte;
  Mailbox<std::size_t> sent_before;
  OneRuntime at([&](Connection& connection) {
    read_request(connection);
    connection.send("HTTP/1.1 200 OK\r\n\r\n");
    sent_before.put(send_until_held_back(connection, far_too_much));
  });
  auto client = at.gateway.connect();
  client.send(get_by_key());
  auto const sent = sent_before.take();
  EXPECT_LT(sent, 64 * mebibyte);
  client.read_until("\r\n\r\n");
  EXPECT_EQ(client.read_to_end().size(), sent);
}

TEST(Backpressure, AServerThatDoesNotReadHoldsItsClientBack) {
  constexpr std::size_t far_too_much = 256 * mebibyte;
  Mailbox<int> go;
  Mailbox<std::size_t> received;
  OneRuntime at([&](Connection& connection) {
    connection.read_until("\r\n\r\n");
    go.take();
    std::size_t got = 0;
    for (auto piece = connection.read_some(); !piece.empty(); piece = connection.read_some()) got += piece.size();
    received.put(got);
  });
  auto client = at.gateway.connect();
  client.send("POST /x HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Content-Length: " + std::to_string(far_too_much) +
              "\r\n\r\n");
  auto const sent = send_until_held_back(client, far_too_much);
  EXPECT_LT(sent, 64 * mebibyte);
  go.put(1);
  client.end_sending();
  EXPECT_EQ(received.take(), sent);
}

}  // namespace
}  // namespace nestgate::test
