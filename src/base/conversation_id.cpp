#include "nestgate/base/conversation_id.hpp"

#include <algorithm>

#include "nestgate/base/text.hpp"

namespace nestgate {
namespace {

constexpr bool is_id_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

// Writes 32 lower-case hex digits; false when `text` is neither 32 hex digits nor 8-4-4-4-12.
bool write_uuid_digits(std::string_view text, char* out) {
  if (text.size() != 32 && text.size() != 36) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    bool const dash_here = text.size() == 36 && (i == 8 || i == 13 || i == 18 || i == 23);
    if (dash_here) {
      if (text[i] != '-') return false;
      continue;
    }
    int const value = hex_value(text[i]);
    if (value < 0) return false;
    *out++ = "0123456789abcdef"[value];
  }
  return true;
}

}  // namespace

std::optional<ConversationId> ConversationId::parse(std::string_view text) {
  if (text.empty() || text.size() > length_max || text == "." || text == "..") return std::nullopt;
  if (!std::all_of(text.begin(), text.end(), is_id_char)) return std::nullopt;
  std::string digits(32, '0');
  if (write_uuid_digits(text, digits.data())) return ConversationId(std::string(text), std::move(digits), true);
  return ConversationId(std::string(text), std::string(text), false);
}

std::optional<ConversationId> ConversationId::parse_in_path(std::string_view segment) {
  std::string decoded;
  if (segment.find('%') != segment.npos) {
    auto plain = percent_decoded(segment);
    if (!plain) return std::nullopt;
    decoded = std::move(*plain);
    segment = decoded;
  }
  constexpr std::string_view urn = "urn:uuid:";
  auto is_urn = segment.size() > urn.size() && std::equal(urn.begin(), urn.end(), segment.begin(),
                                                          [](char a, char b) { return a == (b | 0x20) || a == b; });
  if (is_urn) segment.remove_prefix(urn.size());
  bool const braces = segment.size() >= 2 && segment.front() == '{' && segment.back() == '}';
  if (braces) segment = segment.substr(1, segment.size() - 2);
  auto id = parse(segment);
  if ((braces || is_urn) && id && !id->is_uuid()) return std::nullopt;
  return id;
}

std::string_view ConversationId::canonicalize_in_path(std::string_view segment, std::array<char, length_max>& out) {
  if (write_uuid_digits(segment, out.data())) return {out.data(), 32};
  auto const id = parse_in_path(segment);
  if (!id) return {};
  id->canonical().copy(out.data(), out.size());
  return {out.data(), id->canonical().size()};
}

std::string ConversationId::dashed() const {
  if (!is_uuid_) return text_;
  return dashed_uuid(canonical_);
}

}  // namespace nestgate
