// Any bytes as a response head; the first byte says to which method. What is taken must survive its own rewriting.
#include <cstdint>
#include <string>
#include <string_view>

#include "nestgate/base/invariant.hpp"
#include "nestgate/http/head.hpp"
#include "nestgate/http/rewrite.hpp"

namespace {

using namespace nestgate::http;

constexpr HeadLimits limits{4096, 64};
constexpr HeadLimits wide_limits{16384, 96};

void check_rewriting(ResponseHead const& head, Method method) {
  ResponseRewrite rewrite;
  rewrite.request_id = "id";
  rewrite.location_prefix = "/runtime/c1";
  std::string out;
  append_response_head(out, head, rewrite);
  ResponseHead again;
  std::size_t scanned = 0;
  auto const parsed = parse_response_head(out, wide_limits, method, again, scanned);
  NESTGATE_INVARIANT(parsed.state == HeadParse::State::complete && parsed.bytes == out.size(),
                     "what we send is one whole head");
  NESTGATE_INVARIANT(again.status == head.status && again.reason == head.reason, "status and reason are kept");
  NESTGATE_INVARIANT(again.body == head.body, "the framing is kept");
  NESTGATE_INVARIANT(head.body != BodyKind::length || again.content_length == head.content_length, "the length is kept");
  NESTGATE_INVARIANT(again.find(FieldId::server) == nullptr, "Server is not disclosed");
}

void check_pieces(std::string_view bytes, Method method, HeadParse const& at_once) {
  ResponseHead head;
  std::size_t scanned = 0;
  HeadParse result;
  for (std::size_t n = 1; n <= bytes.size() && result.state == HeadParse::State::incomplete; ++n) {
    result = parse_response_head(bytes.substr(0, n), limits, method, head, scanned);
  }
  bool const told_later = at_once.state == HeadParse::State::refused && result.state == HeadParse::State::incomplete;
  NESTGATE_INVARIANT(
      told_later || (result.state == at_once.state && result.why == at_once.why && result.bytes == at_once.bytes),
      "the pieces that a head comes in do not matter");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  if (size == 0) return 0;
  Method const method = data[0] == 'H' ? Method::head : Method::get;
  std::string_view const bytes(reinterpret_cast<char const*>(data) + 1, size - 1);
  static ResponseHead head;
  std::size_t scanned = 0;
  auto const parsed = parse_response_head(bytes, limits, method, head, scanned);
  if (parsed.state == HeadParse::State::complete) check_rewriting(head, method);
  check_pieces(bytes, method, parsed);
  return 0;
}
