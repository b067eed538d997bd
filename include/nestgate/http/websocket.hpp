#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "nestgate/http/head.hpp"

namespace nestgate::http {

enum class Opcode : std::uint8_t { continuation = 0, text = 1, binary = 2, close = 8, ping = 9, pong = 10 };
enum class Masked : bool { no, yes };

// Follows one direction of a websocket (RFC 6455 section 5.2) by frame heads only: payloads are counted, never looked at,
// so any extension or subprotocol passes. Bytes of ours may be put in where `at_boundary()` holds.
class FrameScanner {
 public:
  // Takes the next bytes of the direction. Returns false once what was seen cannot be a websocket (a reserved opcode, a
  // fragmented or long control frame, a length with the top bit set, mask other than `expected`): end the tunnel.
  explicit FrameScanner(Masked expected) noexcept : expected_(expected) {}
  bool feed(std::string_view bytes) noexcept;

  bool at_boundary() const noexcept { return payload_left_ == 0 && head_have_ == 0; }
  // How many of `bytes` may pass until the next boundary; the whole of it when none is within.
  std::size_t to_boundary(std::string_view bytes) const noexcept;
  // A close frame's head went by: nothing of ours may follow.
  bool closed() const noexcept { return close_seen_; }
  std::uint64_t frames() const noexcept { return frames_; }
  std::uint64_t data_frames() const noexcept { return data_frames_; }

 private:
  bool head_complete() noexcept;
  Masked expected_;
  bool close_seen_ = false;
  std::uint8_t head_have_ = 0;
  std::uint8_t head_need_ = 2;
  std::array<unsigned char, 14> head_{};
  std::uint64_t payload_left_ = 0;
  std::uint64_t frames_ = 0;
  std::uint64_t data_frames_ = 0;
};

// A whole small frame, FIN set. `payload` up to 64 KiB + some; a client's frame must be masked (with `mask`).
void append_frame(std::string& out, Opcode opcode, std::string_view payload);
void append_masked_frame(std::string& out, Opcode opcode, std::string_view payload, std::array<unsigned char, 4> mask);
// A close frame's payload: code and reason, the reason cut to 123 bytes at a character's start.
std::string close_payload(std::uint16_t code, std::string_view reason);

// One message put together from the client's frames: the first frame of a socket that names its key (agent_server.md 2.2).
class FirstMessage {
 public:
  explicit FirstMessage(std::uint32_t bytes_max) noexcept : bytes_max_(bytes_max) {}
  enum class State : std::uint8_t { incomplete, text, not_text, closed, too_large, broken };
  // Consumes from `bytes`; control frames before the message: pings are counted into `pings` payloads to answer, pongs dropped.
  State feed(std::string_view bytes, std::size_t& consumed);
  std::string const& text() const noexcept { return text_; }
  std::string const& ping_payloads() const noexcept { return pongs_; }  // whole pong frames to send back
  void clear_pongs() noexcept { pongs_.clear(); }

 private:
  std::uint32_t bytes_max_;
  std::string pending_;
  std::string text_;
  std::string pongs_;
  bool in_message_ = false;
};

// Sec-WebSocket-Accept for a client's key (RFC 6455 section 4.2.2).
std::string websocket_accept(std::string_view key);
// A client's key is 16 bytes in base64 (RFC 6455 section 4.1).
bool is_websocket_key(std::string_view key) noexcept;

}  // namespace nestgate::http
