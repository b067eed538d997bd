#pragma once

#include <array>
#include <bit>
#include <cstdint>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

// Byte classes of RFC 9110 and the searches over them that every head goes through. Private to the http leaf.
namespace nestgate::http::scan {

// RFC 9110 section 5.6.2.
inline constexpr std::array<bool, 256> token_chars = [] {
  std::array<bool, 256> table{};
  for (unsigned char c = '0'; c <= '9'; ++c) table[c] = true;
  for (unsigned char c = 'a'; c <= 'z'; ++c) table[c] = true;
  for (unsigned char c = 'A'; c <= 'Z'; ++c) table[c] = true;
  for (char c : {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
    table[static_cast<unsigned char>(c)] = true;
  }
  return table;
}();

constexpr bool is_token_char(char c) noexcept { return token_chars[static_cast<unsigned char>(c)]; }
constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_white_space(char c) noexcept { return c == ' ' || c == '\t'; }
// What may not stand in a field's value (RFC 9110 section 5.5): control bytes except HTAB.
constexpr bool is_control(char c) noexcept {
  auto const byte = static_cast<unsigned char>(c);
  return (byte < 0x20 && byte != '\t') || byte == 0x7f;
}
constexpr char to_lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

// Values of hex digits; -1 for other bytes.
constexpr int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The first control byte of [p, end), or end. One byte at a time: the tail of the wide search, and what it is tested
// against.
constexpr char const* find_control_narrow(char const* p, char const* end) noexcept {
  while (p != end && !is_control(*p)) ++p;
  return p;
}

constexpr char const* find_non_token_narrow(char const* p, char const* end) noexcept {
  while (p != end && is_token_char(*p)) ++p;
  return p;
}

// The first byte of [p, end) that is not visible ASCII (0x21 to 0x7e), or end.
constexpr char const* find_non_visible_narrow(char const* p, char const* end) noexcept {
  while (p != end && *p > 0x20 && *p < 0x7f) ++p;
  return p;
}

#if defined(__SSE2__)

namespace detail {

inline __m128i load(char const* p) noexcept { return _mm_loadu_si128(reinterpret_cast<__m128i const*>(p)); }
// Bytes of `v` that are at most `limit`, unsigned.
inline __m128i at_most(__m128i v, char limit) noexcept { return _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(limit)), v); }
inline unsigned mask_of(__m128i v) noexcept { return static_cast<unsigned>(_mm_movemask_epi8(v)); }

}  // namespace detail

inline char const* find_control(char const* p, char const* end) noexcept {
  while (end - p >= 16) {
    __m128i const v = detail::load(p);
    __m128i const low = _mm_andnot_si128(_mm_cmpeq_epi8(v, _mm_set1_epi8('\t')), detail::at_most(v, 0x1f));
    unsigned const hits = detail::mask_of(_mm_or_si128(low, _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f))));
    if (hits != 0) return p + std::countr_zero(hits);
    p += 16;
  }
  return find_control_narrow(p, end);
}

// Sixteen letters, digits and dashes at a time: all that usual names consist of. Anything else is looked up.
inline char const* find_non_token(char const* p, char const* end) noexcept {
  while (end - p >= 16) {
    __m128i const v = detail::load(p);
    __m128i const lower = _mm_or_si128(v, _mm_set1_epi8(0x20));
    __m128i const letter = detail::at_most(_mm_sub_epi8(lower, _mm_set1_epi8('a')), 25);
    __m128i const digit = detail::at_most(_mm_sub_epi8(v, _mm_set1_epi8('0')), 9);
    __m128i const dash = _mm_cmpeq_epi8(v, _mm_set1_epi8('-'));
    unsigned const misses = detail::mask_of(_mm_or_si128(_mm_or_si128(letter, digit), dash)) ^ 0xffffu;
    if (misses == 0) {
      p += 16;
      continue;
    }
    p += std::countr_zero(misses);
    if (!is_token_char(*p)) return p;
    ++p;
  }
  return find_non_token_narrow(p, end);
}

inline char const* find_non_visible(char const* p, char const* end) noexcept {
  while (end - p >= 16) {
    __m128i const v = detail::load(p);
    unsigned const misses = detail::mask_of(detail::at_most(_mm_sub_epi8(v, _mm_set1_epi8(0x21)), 0x7e - 0x21)) ^ 0xffffu;
    if (misses != 0) return p + std::countr_zero(misses);
    p += 16;
  }
  return find_non_visible_narrow(p, end);
}

#else

inline char const* find_control(char const* p, char const* end) noexcept { return find_control_narrow(p, end); }
inline char const* find_non_token(char const* p, char const* end) noexcept { return find_non_token_narrow(p, end); }
inline char const* find_non_visible(char const* p, char const* end) noexcept { return find_non_visible_narrow(p, end); }

#endif

}  // namespace nestgate::http::scan
