// Any bytes as a request head. What is taken must survive its own rewriting: the nested server, if it reads as we do, sees
// one head with the same framing and one key, whatever the client wrote.
#include <cstdint>
#include <string>
#include <string_view>

#include "nestgate/base/invariant.hpp"
#include "nestgate/http/head.hpp"
#include "nestgate/http/rewrite.hpp"

namespace {

using namespace nestgate::http;

constexpr HeadLimits limits{4096, 64};
constexpr HeadLimits wide_limits{16384, 96};  // ours come on top
constexpr std::string_view our_key = "the-key";

bool is_inside(std::string_view part, std::string_view whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void check_views(RequestHead const& head, std::string_view bytes) {
  for (Field const& field : head.fields()) {
    NESTGATE_INVARIANT(is_inside(field.name, bytes) && is_inside(field.value, bytes), "fields are pieces of the head");
    NESTGATE_INVARIANT(is_token(field.name), "a name is a token");
    NESTGATE_INVARIANT(field.value.find_first_of(std::string_view("\r\n\0", 3)) == field.value.npos, "a value is one line");
  }
  NESTGATE_INVARIANT(!head.target.empty() && head.target.find_first_of(" #\r\n") == head.target.npos,
                     "a target is one word");
}

void check_rewriting(RequestHead const& head, ForwardedTrust trust) {
  RequestRewrite rewrite;
  rewrite.target = head.target;
  rewrite.session_key = our_key;
  rewrite.peer_address = "192.0.2.1";
  rewrite.scheme = "http";
  rewrite.request_id = "id";
  rewrite.keep_upgrade = head.websocket_upgrade;
  rewrite.trust = trust;
  std::string out;
  append_request_head(out, head, rewrite);

  RequestHead again;
  std::size_t scanned = 0;
  auto const parsed = parse_request_head(out, wide_limits, again, scanned);
  bool const handshake_kept =
      !head.websocket_upgrade || !head.has_nominated_fields;  // a client may nominate its own key away
  if (!handshake_kept && parsed.state == HeadParse::State::refused) return;
  NESTGATE_INVARIANT(parsed.state == HeadParse::State::complete && parsed.bytes == out.size(),
                     "what we send is one whole head");
  NESTGATE_INVARIANT(again.body == head.body && again.content_length == head.content_length, "the framing is kept");
  NESTGATE_INVARIANT(again.method_text == head.method_text && again.target == head.target, "method and target are kept");
  NESTGATE_INVARIANT(again.websocket_upgrade == head.websocket_upgrade, "an upgrade stays one");
  NESTGATE_INVARIANT(!again.expect_continue && again.version == Version::http_1_1, "hop by hop");
  std::size_t keys = 0;
  for (Field const& field : again.fields()) {
    NESTGATE_INVARIANT(field.id != FieldId::shadow, "nothing that could be taken for another field");
    if (field.id == FieldId::x_session_api_key) ++keys;
  }
  NESTGATE_INVARIANT(keys == 1 && again.value(FieldId::x_session_api_key) == our_key, "one key, ours");
  NESTGATE_INVARIANT(head.authority.empty() || again.authority.size() == head.authority.size(), "Host is kept");
}

void check_pieces(std::string_view bytes, HeadParse const& at_once) {
  RequestHead head;
  std::size_t scanned = 0;
  HeadParse result;
  for (std::size_t n = 1; n <= bytes.size() && result.state == HeadParse::State::incomplete; ++n) {
    result = parse_request_head(bytes.substr(0, n), limits, head, scanned);
  }
  bool const told_later = at_once.state == HeadParse::State::refused && result.state == HeadParse::State::incomplete;
  NESTGATE_INVARIANT(
      told_later || (result.state == at_once.state && result.why == at_once.why && result.bytes == at_once.bytes),
      "the pieces that a head comes in do not matter");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string_view const bytes(reinterpret_cast<char const*>(data), size);
  static RequestHead head;
  std::size_t scanned = 0;
  auto const parsed = parse_request_head(bytes, limits, head, scanned);
  if (parsed.state == HeadParse::State::complete) {
    check_views(head, bytes.substr(0, parsed.bytes));
    check_rewriting(head, ForwardedTrust::replace);
    check_rewriting(head, ForwardedTrust::append);
  }
  check_pieces(bytes, parsed);
  return 0;
}
