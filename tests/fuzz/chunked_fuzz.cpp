// Any bytes as a chunked body; the first byte says into which pieces they are cut. The pieces must not matter, and what is
// accepted must mean the same to a second, naive reading.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "nestgate/base/invariant.hpp"
#include "nestgate/http/chunked.hpp"

namespace {

using namespace nestgate::http;

struct Outcome {
  Refusal why = Refusal::none;
  std::size_t consumed = 0;
  std::string payload;
  bool done = false;
  friend bool operator==(Outcome const&, Outcome const&) = default;
};

Outcome scan(std::string_view body, std::size_t piece) {
  ChunkScanner chunks(ChunkLimits{64, 128});
  Outcome out;
  while (out.consumed < body.size() && !chunks.done() && out.why == Refusal::none) {
    auto const step = chunks.feed(body.substr(out.consumed, piece), [&](std::string_view part) { out.payload += part; });
    NESTGATE_INVARIANT(step.consumed > 0 || step.why != Refusal::none, "a piece is taken, or refused");
    out.consumed += step.consumed;
    out.why = step.why;
  }
  out.done = chunks.done();
  return out;
}

// For a body that was accepted: sizes by strtoull, lines by their LF.
std::string payload_of(std::string_view body) {
  std::string out;
  for (;;) {
    auto const end = body.find('\n');
    NESTGATE_INVARIANT(end != body.npos, "a size line ends");
    std::string const line(body.substr(0, end));
    auto const size = std::strtoull(line.c_str(), nullptr, 16);
    body.remove_prefix(end + 1);
    if (size == 0) return out;
    NESTGATE_INVARIANT(body.size() >= size + 2, "a chunk is whole");
    out += body.substr(0, size);
    body.remove_prefix(size + 2);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view const body(reinterpret_cast<char const*>(data) + 1, size - 1);
  Outcome const whole = scan(body, body.size() + 1);
  NESTGATE_INVARIANT(scan(body, 1) == whole, "the pieces do not matter");
  NESTGATE_INVARIANT(scan(body, data[0] % 32u + 1u) == whole, "the pieces do not matter");
  if (whole.done) NESTGATE_INVARIANT(payload_of(body.substr(0, whole.consumed)) == whole.payload, "both readings agree");
  return 0;
}
