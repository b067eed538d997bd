#include "nestgate/http/field.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "http/scan.hpp"

namespace nestgate::http {
namespace {

// In the order of FieldId, without `other` and `shadow`.
constexpr std::array<std::string_view, 39> listed = {
    "accept",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "cookie",
    "date",
    "expect",
    "forwarded",
    "host",
    "keep-alive",
    "location",
    "origin",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "sec-websocket-accept",
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-protocol",
    "sec-websocket-version",
    "server",
    "set-cookie",
    "te",
    "traceparent",
    "tracestate",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "x-api-key",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
    "x-session-api-key",
};
static_assert(listed.size() + 1 == static_cast<std::size_t>(FieldId::shadow));
static_assert(listed[static_cast<std::size_t>(FieldId::te) - 1] == "te");

constexpr std::size_t longest = 24;
constexpr std::size_t slots = 128;

// A perfect hash of the listed names but "te": the last four bytes and the first, in lower case, and the length. The
// factor was searched for; the table below does not compile with one that lets two names collide.
constexpr std::size_t slot_of(std::uint32_t tail, unsigned char first, std::size_t length) noexcept {
  std::uint32_t const mixed = ((tail | 0x20202020u) ^ (first | 0x20u)) + static_cast<std::uint32_t>(length) * 0x9e3779b1u;
  return (mixed * 0x9e638c8fu) >> 25;
}

constexpr std::uint32_t tail_of(std::string_view name) {
  std::uint32_t tail = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    tail |= static_cast<std::uint32_t>(static_cast<unsigned char>(name[name.size() - 4 + i])) << (8 * i);
  }
  return tail;
}

// A listed name, and for each of its bytes the bit by which upper and lower case differ (none for '-').
struct Entry {
  std::array<char, longest> lower{};
  std::array<char, longest> case_bits{};
  std::uint8_t length = 0;
  FieldId id = FieldId::other;
};

constexpr std::array<Entry, slots> table = [] {
  std::array<Entry, slots> out{};
  for (std::size_t i = 0; i < listed.size(); ++i) {
    std::string_view const name = listed[i];
    if (name == "te") continue;
    Entry& entry = out[slot_of(tail_of(name), static_cast<unsigned char>(name[0]), name.size())];
    if (entry.length != 0) throw "two names share a slot";
    for (std::size_t k = 0; k < name.size(); ++k) {
      entry.lower[k] = name[k];
      entry.case_bits[k] = name[k] == '-' ? '\0' : ' ';
    }
    entry.length = static_cast<std::uint8_t>(name.size());
    entry.id = static_cast<FieldId>(i + 1);
  }
  return out;
}();

template <class Word>
bool same_word(char const* name, Entry const& entry, std::size_t at) noexcept {
  Word text, lower, bits;
  std::memcpy(&text, name + at, sizeof text);
  std::memcpy(&lower, entry.lower.data() + at, sizeof lower);
  std::memcpy(&bits, entry.case_bits.data() + at, sizeof bits);
  return (text | bits) == lower;
}

// Whole words, the last one overlapping, so that no byte outside the name is read.
bool same_name(char const* name, Entry const& entry) noexcept {
  std::size_t const length = entry.length;
  if (length < 8) return same_word<std::uint32_t>(name, entry, 0) && same_word<std::uint32_t>(name, entry, length - 4);
  for (std::size_t at = 0; at + 8 < length; at += 8) {
    if (!same_word<std::uint64_t>(name, entry, at)) return false;
  }
  return same_word<std::uint64_t>(name, entry, length - 8);
}

FieldId listed_id(std::string_view name) noexcept {
  if (name.size() < 4) return equals_ignoring_case(name, "te") ? FieldId::te : FieldId::other;
  if (name.size() > longest) return FieldId::other;
  std::uint32_t tail;
  std::memcpy(&tail, name.data() + name.size() - 4, sizeof tail);
  if constexpr (std::endian::native == std::endian::big) tail = __builtin_bswap32(tail);
  Entry const& entry = table[slot_of(tail, static_cast<unsigned char>(name[0]), name.size())];
  return entry.length == name.size() && same_name(name.data(), entry) ? entry.id : FieldId::other;
}

}  // namespace

FieldId field_id(std::string_view name) noexcept {
  FieldId const id = listed_id(name);
  if (id != FieldId::other || name.size() > longest || name.find('_') == name.npos) return id;
  std::array<char, longest> dashed;
  std::replace_copy(name.begin(), name.end(), dashed.begin(), '_', '-');
  return listed_id({dashed.data(), name.size()}) == FieldId::other ? FieldId::other : FieldId::shadow;
}

bool is_token(std::string_view text) noexcept {
  char const* const end = text.data() + text.size();
  return !text.empty() && scan::find_non_token(text.data(), end) == end;
}

bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept {
  auto same = [](char x, char y) { return scan::to_lower(x) == scan::to_lower(y); };
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), same);
}

}  // namespace nestgate::http
