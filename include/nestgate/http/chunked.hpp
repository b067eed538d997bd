#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "nestgate/http/head.hpp"

namespace nestgate::http {

struct ChunkLimits {
  std::uint32_t extension_bytes_max;  // per message
  std::uint32_t trailer_bytes_max;
};

// Follows a chunked body (RFC 9112 section 7.1) through pieces of any size without copying it: what it accepts can be
// passed on as it is. Strict: hex digits without sign or prefix, at most 16 of them, CRLF only, extensions and trailers
// within their limits, trailers that are fields and none that frame, route or authenticate (RFC 9110 section 6.5.1).
class ChunkScanner {
 public:
  explicit ChunkScanner(ChunkLimits limits) noexcept : limits_(limits) {}

  struct Step {
    std::uint32_t consumed = 0;  // how much of the piece belongs to the body; the rest is behind it
    Refusal why = Refusal::none;
  };
  // Takes a piece of less than 4 GiB. `consumed` is less than the piece only when the body ended within (`done()`) or it
  // was refused; once refused, always refused.
  Step feed(std::string_view piece) noexcept;
  // As feed, and calls `append_payload` with each part of the piece that is payload, in order.
  template <class Append>
  Step feed(std::string_view piece, Append&& append_payload);

  bool done() const noexcept { return state_ == State::done; }

 private:
  enum class State : std::uint8_t {
    size,
    extension_space,  // behind the size or a value: only ';' may follow the white space
    extension_start,  // behind ';'
    extension_name,
    extension_equals,  // white space behind a name: '=' or ';' must follow
    extension_value_start,
    extension_value,
    extension_quoted,
    extension_escape,
    extension_end,  // behind a quoted value
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_start,
    trailer_name,
    trailer_value,
    trailer_lf,
    end_lf,
    done,
    refused,
  };

  // Up to the end of the piece, or of the payload in it, or of the body.
  Step advance(std::string_view piece, std::string_view& payload) noexcept;
  Refusal take(char c) noexcept;
  Refusal take_size(char c) noexcept;
  Refusal take_extension(char c) noexcept;
  Refusal take_trailer(char c) noexcept;
  Refusal end_size_line() noexcept;

  ChunkLimits limits_;
  State state_ = State::size;
  std::uint8_t digits_ = 0;
  std::uint8_t name_length_ = 0;  // of the trailer that is being read
  Refusal why_ = Refusal::none;
  std::uint32_t extension_bytes_ = 0;
  std::uint32_t trailer_bytes_ = 0;
  std::uint64_t left_ = 0;
  std::array<char, 40> name_{};  // its beginning, enough to tell the names that are refused
};

template <class Append>
ChunkScanner::Step ChunkScanner::feed(std::string_view piece, Append&& append_payload) {
  Step total;
  while (total.consumed < piece.size() && !done()) {
    std::string_view payload;
    Step const step = advance(piece.substr(total.consumed), payload);
    if (!payload.empty()) append_payload(payload);
    total.consumed += step.consumed;
    total.why = step.why;
    if (step.why != Refusal::none) return total;
  }
  return total;
}

// A chunk of our own (RFC 9112 section 7.1); not for an empty payload, which would be the last.
void append_chunk(std::string& out, std::string_view payload);

}  // namespace nestgate::http
