// Any bytes as one direction of a websocket; the first two bytes choose the side and the pieces. The pieces must not matter,
// and a message that we frame ourselves comes out as it went in.
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>

#include "nestgate/base/invariant.hpp"
#include "nestgate/http/websocket.hpp"

namespace {

using namespace nestgate::http;

struct Seen {
  bool valid = true;
  bool boundary = false;
  bool closed = false;
  std::uint64_t data_frames = 0;
  friend bool operator==(Seen const&, Seen const&) = default;
};

Seen result_of(FrameScanner const& scanner, bool valid) {
  // Where exactly a broken direction stands depends on how much of it was there.
  if (!valid) return {false, false, scanner.closed(), scanner.data_frames()};
  return {true, scanner.at_boundary(), scanner.closed(), scanner.data_frames()};
}

Seen scan(std::string_view bytes, Masked side, std::size_t piece) {
  FrameScanner scanner(side);
  bool valid = true;
  for (std::size_t at = 0; at < bytes.size() && valid; at += piece) valid = scanner.feed(bytes.substr(at, piece));
  return result_of(scanner, valid);
}

// Goes from boundary to boundary, as the tunnel does when it has something of its own to say.
Seen scan_by_boundaries(std::string_view bytes, Masked side) {
  FrameScanner scanner(side);
  bool valid = true;
  while (!bytes.empty() && valid) {
    auto const step = scanner.to_boundary(bytes);
    NESTGATE_INVARIANT(step > 0 && step <= bytes.size(), "there is progress");
    auto const before = scanner.data_frames();
    valid = scanner.feed(bytes.substr(0, step));
    NESTGATE_INVARIANT(!valid || scanner.at_boundary() || step == bytes.size(), "it stops at a boundary or at the end");
    NESTGATE_INVARIANT(!valid || scanner.data_frames() <= before + 1, "no boundary is passed over");
    bytes.remove_prefix(step);
  }
  return result_of(scanner, valid);
}

struct First {
  FirstMessage::State state = FirstMessage::State::incomplete;
  std::size_t consumed = 0;
  std::string text;
  std::string pongs;
  friend bool operator==(First const&, First const&) = default;
};

First first_message(std::string_view bytes, std::size_t piece) {
  FirstMessage message(256);
  First out;
  while (out.consumed < bytes.size() && out.state == FirstMessage::State::incomplete) {
    std::size_t consumed = 0;
    auto const given = bytes.substr(out.consumed, piece);
    out.state = message.feed(given, consumed);
    NESTGATE_INVARIANT(consumed <= given.size(), "no more than there is");
    NESTGATE_INVARIANT(consumed == given.size() || out.state != FirstMessage::State::incomplete,
                       "all is taken before the end");
    out.consumed += consumed;
  }
  out.text = message.text();
  out.pongs = message.pongs();
  NESTGATE_INVARIANT(out.text.size() <= 256, "the limit holds");
  return out;
}

void check_round_trip(std::string_view text) {
  std::string frame;
  append_masked_frame(frame, Opcode::text, text.substr(0, 256), {7, 0, 255, 128});
  auto const out = first_message(frame, 5);
  NESTGATE_INVARIANT(out.state == FirstMessage::State::text && out.text == text.substr(0, 256), "as it went in");
  NESTGATE_INVARIANT(out.consumed == frame.size(), "the whole frame");
  auto const seen = scan(frame, Masked::yes, 3);
  NESTGATE_INVARIANT(seen.valid && seen.boundary && seen.data_frames == 1, "one frame");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  if (size < 2) return 0;
  Masked const side = data[0] % 2 == 0 ? Masked::yes : Masked::no;
  std::size_t const piece = data[1] % 16u + 1u;
  std::string_view const bytes(reinterpret_cast<char const*>(data) + 2, size - 2);
  Seen const whole = scan(bytes, side, bytes.size() + 1);
  NESTGATE_INVARIANT(scan(bytes, side, 1) == whole && scan(bytes, side, piece) == whole, "the pieces do not matter");
  NESTGATE_INVARIANT(scan_by_boundaries(bytes, side) == whole, "nor do the boundaries");
  NESTGATE_INVARIANT(first_message(bytes, 1) == first_message(bytes, bytes.size() + 1),
                     "the pieces of a message do not matter");
  check_round_trip(bytes);
  return 0;
}
