#include <gtest/gtest.h>

#include <simdjson.h>

#include <algorithm>

#include "nestgate/http/chunked.hpp"
#include "support/http_corpus.hpp"
#include "support/scripted.hpp"

// The differential corpus through real sockets: every case ends with its status, or with exactly the requests that it
// names at the nested server.
namespace nestgate::test {
namespace {

constexpr Limits limits;
constexpr http::HeadLimits head_limits{limits.request_head_bytes_max, limits.request_fields_max};
constexpr http::ChunkLimits chunk_limits{limits.chunk_extension_bytes_max, limits.trailer_bytes_max};

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
  return text;
}

std::size_t lines_named(std::string head, std::string_view name) {
  std::replace(head.begin(), head.end(), '_', '-');
  return occurrences(lower(std::move(head)), "\r\n" + std::string(name) + ":");
}

void expect_texts(std::string const& head, std::vector<std::string> const& has, std::vector<std::string> const& lacks) {
  for (auto const& text : has) EXPECT_NE(head.find(text), head.npos) << "lacks " << text << " in\n" << head;
  for (auto const& text : lacks) EXPECT_EQ(lower(head).find(lower(text)), head.npos) << "has " << text << " in\n" << head;
}

// What reached the nested server: whole requests, and whether anything came that was not well-formed.
struct Seen {
  struct Whole {
    std::string head;
    std::string payload;
  };
  std::vector<Whole> requests;
  bool malformed = false;
};

// Takes one connection's bytes apart with the gateway's own strict parsers, so that "well-formed" means what it says.
class Recorder {
 public:
  Server::Handle handle() {
    return [this](Connection& connection) { serve(connection); };
  }
  Seen seen() const {
    std::lock_guard const lock(mutex_);
    return seen_;
  }

 private:
  void serve(Connection& connection) {
    std::string bytes;
    http::RequestHead head;
    for (;;) {
      if (!read_whole(connection, bytes, [&](std::string_view text) {
            std::size_t scanned = 0;
            return http::parse_request_head(text, head_limits, head, scanned);
          })) {
        return;
      }
      std::size_t scanned = 0;
      auto const parsed = http::parse_request_head(bytes, head_limits, head, scanned);
      std::string head_text = bytes.substr(0, parsed.bytes);
      auto const body_kind = head.body;
      auto const length = head.content_length;
      bool const upgrade = head.websocket_upgrade;
      bytes.erase(0, parsed.bytes);
      std::string payload;
      if (body_kind == http::BodyKind::length) {
        while (bytes.size() < length) {
          auto more = connection.read_some();
          if (more.empty()) return;
          bytes += more;
        }
        payload = bytes.substr(0, length);
        bytes.erase(0, length);
      } else if (body_kind == http::BodyKind::chunked) {
        http::ChunkScanner chunks(chunk_limits);
        while (!chunks.done()) {
          auto const step = chunks.feed(bytes, [&](std::string_view piece) { payload += piece; });
          if (step.why != http::Refusal::none) return note_malformed();
          bytes.erase(0, step.consumed);
          if (chunks.done()) break;
          auto more = connection.read_some();
          if (more.empty()) return;
          bytes += more;
        }
      }
      {
        std::lock_guard const lock(mutex_);
        seen_.requests.push_back({std::move(head_text), std::move(payload)});
      }
      if (upgrade) {
        connection.send("HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n");
        connection.read_to_end();
        return;
      }
      if (!connection.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) return;
    }
  }
  template <class Parse>
  bool read_whole(Connection& connection, std::string& bytes, Parse parse) {
    for (;;) {
      auto const parsed = parse(bytes);
      if (parsed.state == http::HeadParse::State::complete) return true;
      if (parsed.state == http::HeadParse::State::refused) {
        note_malformed();
        return false;
      }
      auto more = connection.read_some();
      if (more.empty()) return false;
      bytes += more;
    }
  }
  void note_malformed() {
    std::lock_guard const lock(mutex_);
    seen_.malformed = true;
  }

  mutable std::mutex mutex_;
  Seen seen_;
};

// Interim answers are skipped.
Answer read_final_answer(Connection& client) {
  for (;;) {
    auto answer = read_answer(client);
    if (answer.status != 100) return answer;
  }
}

void expect_requests(RequestCase const& expected, Seen const& seen) {
  EXPECT_FALSE(seen.malformed);
  ASSERT_EQ(seen.requests.size(), expected.forwarded.size());
  for (std::size_t i = 0; i < seen.requests.size(); ++i) {
    auto const& [head, payload] = seen.requests[i];
    auto const& wanted = expected.forwarded[i];
    if (wanted.line) {
      EXPECT_EQ(head.substr(0, head.find("\r\n")), *wanted.line);
    }
    if (wanted.body) {
      EXPECT_EQ(payload, *wanted.body);
    }
    expect_texts(head, wanted.has, wanted.lacks);
    EXPECT_EQ(lines_named(head, "host"), 1u) << head;
    EXPECT_EQ(lines_named(head, "x-session-api-key"), 1u) << head;
    EXPECT_LE(lines_named(head, "content-length") + lines_named(head, "transfer-encoding"), 1u) << head;
  }
}

void run(RequestCase const& expected, Gateway& gateway, std::uint64_t epoch) {
  Recorder recorder;
  Server nested(recorder.handle());
  gateway.add("c1", nested.port(), "alice", conversation::RuntimeState::running, epoch);
  auto client = gateway.connect();
  client.send(expected.request);
  for (std::size_t i = 0; i < expected.forwarded.size(); ++i) {
    auto const answer = read_final_answer(client);
    EXPECT_EQ(answer.status, expected.after == "upgraded" ? 101u : 200u) << answer.head << answer.body;
  }
  if (expected.status != 0) {
    auto const refusal = read_final_answer(client);
    EXPECT_EQ(refusal.status, expected.status) << refusal.head;
    EXPECT_EQ(error_code_of(refusal), expected.code);
    EXPECT_EQ(refusal.value("connection"), "close");
    if (refusal.status == 426) {
      EXPECT_EQ(refusal.value("sec-websocket-version"), "13");
    }
  }
  if (expected.after == "closed") {
    EXPECT_EQ(client.read_to_end(), "");
  } else if (expected.after == "kept") {
    // One more request shows that the connection stands exactly behind the last one.
    client.send("GET /sentinel HTTP/1.1\r\nHost: gw.test\r\n" + key_field("c1") + "Connection: close\r\n\r\n");
    EXPECT_EQ(read_final_answer(client).status, 200u);
    EXPECT_EQ(client.read_to_end(), "");
  } else if (expected.after == "waits") {
    client.end_sending();
    EXPECT_EQ(occurrences(client.read_to_end(), "HTTP/1.1 2"), 0u);
  }
  client.close();
  nested.stop();
  auto seen = recorder.seen();
  if (expected.after == "kept") {
    ASSERT_FALSE(seen.requests.empty());
    EXPECT_TRUE(seen.requests.back().head.starts_with("GET /sentinel "));
    seen.requests.pop_back();
  }
  expect_requests(expected, seen);
}

TEST(CorpusThroughTheGateway, EveryRequestEndsWithItsStatusOrExactlyTheRequestsItMeans) {
  auto config = default_config();
  config.fallback = ConversationId::parse("c1");
  config.limits.upgrades_per_key_per_second_max = 1'000'000;
  Gateway gateway(std::move(config));
  gateway.start();
  std::uint64_t epoch = 0;
  auto const cases = load_request_cases(session_key_of("c1"));
  EXPECT_GE(cases.size(), 200u);
  for (auto const& one : cases) {
    SCOPED_TRACE(one.name + " (" + one.source + ")");
    try {
      run(one, gateway, ++epoch);
    } catch (TimedOut const& late) {
      ADD_FAILURE() << late.what();
    }
  }
}

// Reads an answer to `method` to its end, or to where it was cut; `whole` says which.
struct Received {
  std::vector<unsigned> interim;
  Answer answer;
  bool whole = false;
};

Received receive(Connection& client, http::Method method) {
  Received out;
  std::string bytes;
  http::ResponseHead head;
  auto const more = [&] {
    auto const piece = client.read_some();
    bytes += piece;
    return !piece.empty();
  };
  for (;;) {
    std::size_t scanned = 0;
    auto const parsed = http::parse_response_head(bytes, {1 << 20, 256}, method, head, scanned);
    EXPECT_NE(parsed.state, http::HeadParse::State::refused) << bytes;
    if (parsed.state == http::HeadParse::State::refused) return out;
    if (parsed.state == http::HeadParse::State::incomplete) {
      if (!more()) return out;
      continue;
    }
    out.answer.head = bytes.substr(0, parsed.bytes);
    out.answer.status = head.status;
    auto const kind = head.body;
    auto const length = head.content_length;
    bytes.erase(0, parsed.bytes);
    if (out.answer.status < 200) {
      out.interim.push_back(out.answer.status);
      continue;
    }
    if (kind == http::BodyKind::none) {
      out.whole = true;
    } else if (kind == http::BodyKind::length) {
      while (bytes.size() < length && more()) {
      }
      out.whole = bytes.size() >= length;
      out.answer.body = bytes.substr(0, length);
    } else if (kind == http::BodyKind::chunked) {
      http::ChunkScanner chunks(chunk_limits);
      for (;;) {
        auto const step = chunks.feed(bytes, [&](std::string_view piece) { out.answer.body += piece; });
        bytes.erase(0, step.consumed);
        if (chunks.done() || step.why != http::Refusal::none || !more()) break;
      }
      out.whole = chunks.done();
    } else {
      while (more()) {
      }
      out.answer.body = bytes;
      out.whole = !client.reset_by_peer();
    }
    return out;
  }
}

// An event stream starts with the gateway's own reconnection time.
std::string_view without_retry(std::string_view body) {
  return body.starts_with("retry: ") ? body.substr(body.find("\n\n") + 2) : body;
}

void run(ResponseCase const& expected, Gateway& gateway, std::uint64_t epoch) {
  std::atomic<bool> told{false};
  Server nested([&](Connection& connection) {
    for (;;) {
      if (!read_request(connection).head.ends_with("\r\n\r\n")) return;
      if (told.exchange(true)) {
        if (!connection.send(ok_answer("again"))) return;
        continue;
      }
      connection.send(expected.response);
      if (expected.then_close) return;
    }
  });
  gateway.add("c1", nested.port(), "alice", conversation::RuntimeState::running, epoch);
  auto const method = expected.method == "HEAD"   ? http::Method::head
                      : expected.method == "POST" ? http::Method::post
                                                  : http::Method::get;
  auto client = gateway.connect();
  client.send(expected.method + " /a HTTP/1.1\r\nHost: gw.test\r\n" + key_field("c1") +
              (method == http::Method::post ? "Content-Length: 0\r\n\r\n" : "\r\n"));
  auto const received = receive(client, method);
  // An answer that proves broken before any of it was passed on is replaced, not cut.
  bool const replaced = !expected.complete && error_code_of(received.answer) == "bad_runtime_answer";
  EXPECT_EQ(received.answer.status, replaced ? 502u : expected.status) << received.answer.head << received.answer.body;
  EXPECT_EQ(received.interim, expected.interim);
  if (!expected.code.empty()) {
    EXPECT_EQ(error_code_of(received.answer), expected.code == "upstream_closed" ? "runtime_closed" : "bad_runtime_answer");
  } else if (!replaced) {
    expect_texts(received.answer.head, expected.has, expected.lacks);
    EXPECT_EQ(lines_named(received.answer.head, "x-request-id"), 1u);
    EXPECT_EQ(without_retry(received.answer.body), expected.body);
    EXPECT_EQ(received.whole, expected.complete);
  }
  // Another client's request shows whether the connection was kept.
  EXPECT_EQ(gateway.get("/b", key_field("c1")).body, "again");
  EXPECT_EQ(nested.accepted(), expected.upstream == "kept" ? 1u : 2u);
}

TEST(CorpusThroughTheGateway, EveryAnswerIsPassedOrReplacedAndItsConnectionKeptOrNot) {
  Gateway gateway;
  gateway.start();
  std::uint64_t epoch = 0;
  for (auto const& one : load_response_cases()) {
    SCOPED_TRACE(one.name + " (" + one.source + ")");
    try {
      run(one, gateway, ++epoch);
    } catch (TimedOut const& late) {
      ADD_FAILURE() << late.what();
    }
  }
}

}  // namespace
}  // namespace nestgate::test
