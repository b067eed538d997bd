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
  // `short_payload_max`: data frames with no more than so many bytes are left out of long_frames().
  explicit FrameScanner(Masked expected, std::uint8_t short_payload_max = 0) noexcept
      : expected_(expected), short_payload_max_(short_payload_max) {}
  // Takes the next bytes of the direction. Returns false once what was seen cannot be a websocket (a reserved opcode, a
  // fragmented or long control frame, a length with the top bit set, mask other than `expected`) and ever after: end the
  // tunnel.
  bool feed(std::string_view bytes) noexcept;

  bool at_boundary() const noexcept { return payload_left_ == 0 && head_have_ == 0; }
  // How many of `bytes`, the next of the direction, may pass until the next boundary behind them; the whole of it when none
  // is within. At a boundary: up to the end of the frame that starts there.
  std::size_t to_boundary(std::string_view bytes) const noexcept;
  // A close frame's head went by: nothing of ours may follow.
  bool closed() const noexcept { return close_seen_; }
  std::uint64_t data_frames() const noexcept { return data_frames_; }
  std::uint64_t long_frames() const noexcept { return long_frames_; }
  // A fragmented message has begun: before its end only control frames of ours may be put in.
  bool in_message() const noexcept { return in_message_; }

 private:
  std::size_t step(std::string_view bytes) noexcept;
  bool begin_payload() noexcept;

  Masked expected_;
  bool close_seen_ = false;
  bool broken_ = false;
  bool in_message_ = false;
  std::uint8_t short_payload_max_;
  std::uint8_t head_have_ = 0;
  std::array<unsigned char, 14> head_{};
  std::uint64_t payload_left_ = 0;
  std::uint64_t data_frames_ = 0;
  std::uint64_t long_frames_ = 0;
};

// A whole frame, FIN set. A control frame's payload may have 125 bytes (RFC 6455 section 5.5). What goes to a server must be
// masked.
void append_frame(std::string& out, Opcode opcode, std::string_view payload);
void append_masked_frame(std::string& out, Opcode opcode, std::string_view payload, std::array<unsigned char, 4> mask);
// A close frame's payload: code and reason, the reason cut to 123 bytes at a character's start.
std::string close_payload(std::uint16_t code, std::string_view reason);

// The first message of a socket that names its key in it (agent_server.md 2.2), put together from the client's frames. For
// a socket that was accepted without extensions.
class FirstMessage {
 public:
  // `bytes_max` holds for the message, and for the control frames before its end.
  explicit FirstMessage(std::uint32_t bytes_max) noexcept : bytes_max_(bytes_max) {}

  // not_text: a binary message; closed: a close frame; broken: no websocket (see FrameScanner), or a bit of an extension.
  enum class State : std::uint8_t { incomplete, text, not_text, closed, too_large, broken };
  // Takes from `bytes` up to the message's end; `consumed` says how many. Only `incomplete` asks for more.
  State feed(std::string_view bytes, std::size_t& consumed);

  std::string const& text() const noexcept { return text_; }
  // Whole pong frames, one for each ping so far: send them, then clear.
  std::string const& pongs() const noexcept { return pongs_; }
  void clear_pongs() noexcept { pongs_.clear(); }

 private:
  State begin_payload();
  State end_frame();

  std::uint32_t bytes_max_;
  State state_ = State::incomplete;
  bool in_message_ = false;  // between the fragments of one
  bool in_payload_ = false;
  std::uint8_t head_have_ = 0;
  std::array<unsigned char, 14> head_{};
  std::uint32_t payload_length_ = 0;
  std::uint32_t payload_have_ = 0;
  std::uint32_t control_bytes_ = 0;
  std::string control_;
  std::string text_;
  std::string pongs_;
};

// Sec-WebSocket-Accept for a client's key (RFC 6455 section 4.2.2).
std::string websocket_accept(std::string_view key);
// A client's key is 16 bytes in base64 (RFC 6455 section 4.1), of which the last character's unused bits may be anything:
// the RFC's own example has them set.
bool is_websocket_key(std::string_view key) noexcept;

}  // namespace nestgate::http
