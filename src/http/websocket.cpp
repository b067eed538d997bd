#include "nestgate/http/websocket.hpp"

#include <openssl/evp.h>
#include <openssl/sha.h>

#include <algorithm>

#include "nestgate/base/invariant.hpp"
#include "nestgate/base/text.hpp"

namespace nestgate::http {
namespace {

using Head = std::array<unsigned char, 14>;

constexpr unsigned char fin_bit = 0x80;
constexpr unsigned char extension_bits = 0x70;
constexpr unsigned char mask_bit = 0x80;
constexpr unsigned char control_bit = 0x08;
constexpr std::size_t control_payload_max = 125;

bool is_fin(Head const& head) { return (head[0] & fin_bit) != 0; }
unsigned opcode_of(Head const& head) { return head[0] & 0x0fu; }
bool is_control(Head const& head) { return (head[0] & control_bit) != 0; }
bool is_masked(Head const& head) { return (head[1] & mask_bit) != 0; }

constexpr bool is_opcode(unsigned value) { return value <= 2 || (value >= 8 && value <= 10); }

std::size_t length_bytes(Head const& head) {
  unsigned const short_length = head[1] & 0x7fu;
  return short_length == 127 ? 8 : short_length == 126 ? 2 : 0;
}

// How long the head is, once its first two bytes are there.
std::size_t head_length(Head const& head) { return 2 + length_bytes(head) + (is_masked(head) ? 4 : 0); }

std::uint64_t payload_length(Head const& head) {
  std::size_t const bytes = length_bytes(head);
  if (bytes == 0) return head[1] & 0x7fu;
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < bytes; ++i) length = length << 8 | head[2 + i];
  return length;
}

// RFC 6455 section 5.2 and 5.5, as far as one head shows it.
bool is_frame_head(Head const& head, Masked expected) {
  if (!is_opcode(opcode_of(head)) || is_masked(head) != (expected == Masked::yes)) return false;
  if (is_control(head)) return is_fin(head) && length_bytes(head) == 0;
  return payload_length(head) >> 63 == 0;
}

// Puts bytes into `head` until it is whole, or there are no more; returns how many it took.
std::size_t fill_head(Head& head, std::uint8_t& have, std::string_view bytes) {
  std::size_t taken = 0;
  while (taken < bytes.size() && (have < 2 || have < head_length(head)))
    head[have++] = static_cast<unsigned char>(bytes[taken++]);
  return taken;
}

bool is_whole(Head const& head, std::uint8_t have) { return have >= 2 && have == head_length(head); }

void append_frame_head(std::string& out, Opcode opcode, std::size_t length, Masked masked) {
  bool const control = (static_cast<unsigned>(opcode) & control_bit) != 0;
  NESTGATE_INVARIANT(!control || length <= control_payload_max,
                     "a control frame's payload has at most 125 bytes (RFC 6455 section 5.5)");
  auto put = [&out](std::uint64_t byte) { out += static_cast<char>(byte & 0xff); };
  unsigned const mask = masked == Masked::yes ? mask_bit : 0u;
  put(fin_bit | static_cast<unsigned>(opcode));
  if (length < 126) {
    put(mask | length);
    return;
  }
  bool const fits_two = length <= 0xffff;
  put(mask | (fits_two ? 126u : 127u));
  for (int shift = fits_two ? 8 : 56; shift >= 0; shift -= 8) put(std::uint64_t{length} >> shift);
}

}  // namespace

bool FrameScanner::begin_payload() noexcept {
  if (!is_frame_head(head_, expected_)) return false;
  payload_left_ = payload_length(head_);
  if (!is_control(head_)) {
    ++data_frames_;
    if (payload_left_ > short_payload_max_) ++long_frames_;
    in_message_ = !is_fin(head_);
  }
  if (opcode_of(head_) == static_cast<unsigned>(Opcode::close)) close_seen_ = true;
  head_have_ = 0;
  return true;
}

// Up to the end of the frame that `bytes` are in, or of `bytes`.
std::size_t FrameScanner::step(std::string_view bytes) noexcept {
  std::size_t taken = 0;
  if (payload_left_ == 0) {
    taken = fill_head(head_, head_have_, bytes);
    // Two bytes show most faults; the rest of such a head is not waited for.
    bool const hopeless =
        head_have_ >= 2 && (!is_opcode(opcode_of(head_)) || is_masked(head_) != (expected_ == Masked::yes));
    if (hopeless) {
      broken_ = true;
      return taken;
    }
    if (!is_whole(head_, head_have_)) return taken;
    if (!begin_payload()) {
      broken_ = true;
      return taken;
    }
  }
  auto const payload = std::min<std::uint64_t>(payload_left_, bytes.size() - taken);
  payload_left_ -= payload;
  return taken + static_cast<std::size_t>(payload);
}

bool FrameScanner::feed(std::string_view bytes) noexcept {
  while (!bytes.empty() && !broken_) bytes.remove_prefix(step(bytes));
  return !broken_;
}

std::size_t FrameScanner::to_boundary(std::string_view bytes) const noexcept {
  if (payload_left_ > 0) return static_cast<std::size_t>(std::min<std::uint64_t>(payload_left_, bytes.size()));
  FrameScanner ahead = *this;
  std::size_t const taken = ahead.step(bytes);
  return ahead.broken_ ? bytes.size() : taken;
}

void append_frame(std::string& out, Opcode opcode, std::string_view payload) {
  append_frame_head(out, opcode, payload.size(), Masked::no);
  out += payload;
}

void append_masked_frame(std::string& out, Opcode opcode, std::string_view payload, std::array<unsigned char, 4> mask) {
  append_frame_head(out, opcode, payload.size(), Masked::yes);
  for (unsigned char byte : mask) out += static_cast<char>(byte);
  for (std::size_t i = 0; i < payload.size(); ++i)
    out += static_cast<char>(static_cast<unsigned char>(payload[i]) ^ mask[i % 4]);
}

std::string close_payload(std::uint16_t code, std::string_view reason) {
  constexpr std::size_t reason_max = control_payload_max - 2;
  std::string out;
  out += static_cast<char>(code >> 8);
  out += static_cast<char>(code & 0xff);
  out += cut_to(reason, reason_max);
  return out;
}

FirstMessage::State FirstMessage::begin_payload() {
  if (!is_frame_head(head_, Masked::yes) || (head_[0] & extension_bits) != 0) return State::broken;
  auto const opcode = static_cast<Opcode>(opcode_of(head_));
  std::uint64_t const length = payload_length(head_);
  if (is_control(head_)) {
    control_bytes_ += static_cast<std::uint32_t>(head_length(head_) + length);
    if (control_bytes_ > bytes_max_) return State::too_large;
    control_.clear();
  } else {
    if (opcode == Opcode::binary) return State::not_text;
    if ((opcode == Opcode::continuation) != in_message_) return State::broken;
    if (length > bytes_max_ - text_.size()) return State::too_large;
    in_message_ = true;
  }
  payload_length_ = static_cast<std::uint32_t>(length);
  payload_have_ = 0;
  in_payload_ = true;
  return State::incomplete;
}

FirstMessage::State FirstMessage::end_frame() {
  in_payload_ = false;
  head_have_ = 0;
  if (!is_control(head_)) return is_fin(head_) ? State::text : State::incomplete;
  auto const opcode = static_cast<Opcode>(opcode_of(head_));
  if (opcode == Opcode::close) return State::closed;
  if (opcode == Opcode::ping) append_frame(pongs_, Opcode::pong, control_);
  return State::incomplete;
}

FirstMessage::State FirstMessage::feed(std::string_view bytes, std::size_t& consumed) {
  consumed = 0;
  while (state_ == State::incomplete && consumed < bytes.size()) {
    if (!in_payload_) {
      consumed += fill_head(head_, head_have_, bytes.substr(consumed));
      if (!is_whole(head_, head_have_)) break;
      state_ = begin_payload();
      if (state_ != State::incomplete) break;
    }
    std::size_t const mask_at = head_length(head_) - 4;
    std::string& into = is_control(head_) ? control_ : text_;
    while (payload_have_ < payload_length_ && consumed < bytes.size()) {
      auto const byte = static_cast<unsigned char>(bytes[consumed++]);
      into += static_cast<char>(byte ^ head_[mask_at + payload_have_++ % 4]);
    }
    if (payload_have_ == payload_length_) state_ = end_frame();
  }
  return state_;
}

std::string websocket_accept(std::string_view key) {
  constexpr std::string_view guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::string text(key);
  text += guid;
  std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
  SHA1(reinterpret_cast<unsigned char const*>(text.data()), text.size(), digest.data());
  std::array<unsigned char, 29> base64;  // 28 characters and the zero that EVP_EncodeBlock puts behind them
  EVP_EncodeBlock(base64.data(), digest.data(), static_cast<int>(digest.size()));
  return {reinterpret_cast<char const*>(base64.data()), 28};
}

bool is_websocket_key(std::string_view key) noexcept {
  auto is_base64 = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
  };
  return key.size() == 24 && key.ends_with("==") && std::all_of(key.begin(), key.begin() + 22, is_base64);
}

}  // namespace nestgate::http
