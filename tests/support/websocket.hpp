#pragma once

// A websocket client and a nested server for tests, frame by frame: what is sent and what came back, nothing done by
// itself. Both ends of a tunnel are in the hands of the test.

#include <sys/time.h>

#include <array>
#include <condition_variable>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "nestgate/http/websocket.hpp"
#include "support/eventually.hpp"
#include "support/gateway.hpp"

namespace nestgate::test {

// Hands every accepted connection to the test.
class ScriptedServer {
 public:
  ScriptedServer() : server_([this](Connection& connection) { take(connection); }) {}
  std::uint16_t port() const { return server_.port(); }
  std::size_t accepted() const { return server_.accepted(); }
  void stop() { server_.stop(); }
  Connection next() {
    std::unique_lock lock(mutex_);
    auto const there = [this] { return !waiting_.empty(); };
    if (!came_.wait_for(lock, std::chrono::milliseconds(patience_ms), there)) throw TimedOut("no connection came");
    auto connection = std::move(waiting_.front());
    waiting_.pop_front();
    return connection;
  }

 private:
  void take(Connection& connection) {
    timeval const patience{patience_ms / 1000, 0};
    ::setsockopt(connection.fd(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    std::lock_guard const lock(mutex_);
    waiting_.push_back(std::move(connection));
    came_.notify_one();
  }
  std::mutex mutex_;
  std::condition_variable came_;
  std::deque<Connection> waiting_;
  Server server_;
};

struct Frame {
  unsigned opcode = 0;
  bool fin = false;
  bool deflated = false;  // RSV1
  std::string payload;    // unmasked
  std::string wire;       // as it came
  std::uint16_t code() const {
    if (payload.size() < 2) return 1005;
    return static_cast<std::uint16_t>(static_cast<unsigned char>(payload[0]) << 8 | static_cast<unsigned char>(payload[1]));
  }
  std::string reason() const { return payload.size() > 2 ? payload.substr(2) : std::string(); }
};

inline constexpr unsigned continuation_opcode = 0, text_opcode = 1, binary_opcode = 2, close_opcode = 8, ping_opcode = 9,
                          pong_opcode = 10;

// A frame whose first byte is `first`: for fragments and reserved bits.
inline std::string frame_with(unsigned first, std::string_view payload, http::Masked masked) {
  std::string whole;
  if (masked == http::Masked::yes) {
    http::append_masked_frame(whole, http::Opcode::text, payload, {0x11, 0x22, 0x33, 0x44});
  } else {
    http::append_frame(whole, http::Opcode::text, payload);
  }
  whole[0] = static_cast<char>(first);
  return whole;
}
inline std::string from_client(unsigned opcode, std::string_view payload) {
  return frame_with(0x80 | opcode, payload, http::Masked::yes);
}
inline std::string from_server(unsigned opcode, std::string_view payload) {
  return frame_with(0x80 | opcode, payload, http::Masked::no);
}
inline std::string closing(std::uint16_t code, std::string_view reason) { return http::close_payload(code, reason); }

// The next frame; nothing when the connection ended, also within a frame.
template <class Stream>
std::optional<Frame> read_frame(Stream& from) {
  Frame out;
  auto take = [&](std::size_t n) {
    if (n == 0) return std::optional(std::string());
    auto const piece = from.read_exactly(n);
    out.wire += piece;
    return piece.size() == n ? std::optional(piece) : std::nullopt;
  };
  auto const start = take(2);
  if (!start) return std::nullopt;
  auto const first = static_cast<unsigned char>((*start)[0]), second = static_cast<unsigned char>((*start)[1]);
  out.opcode = first & 0x0fu;
  out.fin = (first & 0x80) != 0;
  out.deflated = (first & 0x40) != 0;
  std::size_t length = second & 0x7fu;
  if (length > 125) {
    auto const longer = take(length == 126 ? 2 : 8);
    if (!longer) return std::nullopt;
    length = 0;
    for (char const byte : *longer) length = length << 8 | static_cast<unsigned char>(byte);
  }
  std::string mask(4, '\0');
  if ((second & 0x80) != 0) {
    auto const given = take(4);
    if (!given) return std::nullopt;
    mask = *given;
  }
  auto const payload = take(length);
  if (!payload) return std::nullopt;
  out.payload = *payload;
  for (std::size_t i = 0; i < length; ++i) out.payload[i] = static_cast<char>(out.payload[i] ^ mask[i % 4]);
  return out;
}

// Reads to the end and returns the last close frame's code; 0 when there was none.
template <class Stream>
std::uint16_t close_code_at_end(Stream& from) {
  std::uint16_t code = 0;
  while (auto const frame = read_frame(from)) {
    if (frame->opcode == close_opcode) code = frame->code();
  }
  return code;
}

inline std::string upgrade_request(std::string_view target, std::string_view fields = {}) {
  return "GET " + std::string(target) + " HTTP/1.1\r\nHost: gateway\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" + std::string(fields) + "\r\n";
}

// As the agent server says it (agent_server.md 2.2): no reason phrase, mixed case.
inline std::string switching_protocols(std::string_view fields = {}) {
  return "HTTP/1.1 101 \r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" +
         std::string(fields) + "\r\n";
}

// Both ends of an open tunnel.
struct Tunnelled {
  Connection client;
  Connection nested;
};
inline Tunnelled open_tunnel(Gateway& gateway, ScriptedServer& server, std::string_view target, std::string_view fields) {
  auto client = gateway.connect();
  client.send(upgrade_request(target, fields));
  auto nested = server.next();
  read_request(nested);
  nested.send(switching_protocols());
  auto const answer = read_answer(client, WithBody::no);
  if (answer.status != 101) throw std::runtime_error("no upgrade: " + answer.head);
  return {std::move(client), std::move(nested)};
}

inline std::string auth_message(std::string_view key) {
  return R"({"type":"auth","session_api_key":")" + std::string(key) + "\"}";
}

// A socket that is to name its key in its first frame, accepted by the gateway.
inline Connection open_unnamed(Gateway& gateway, std::string_view target, std::string_view fields = {}) {
  auto client = gateway.connect();
  client.send(upgrade_request(target, fields));
  auto const answer = read_answer(client, WithBody::no);
  if (answer.status != 101) throw std::runtime_error("no upgrade: " + answer.head);
  return client;
}

}  // namespace nestgate::test
