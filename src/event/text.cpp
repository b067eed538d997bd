#include "event/text.hpp"

namespace nestgate::event {
namespace {

constexpr char32_t stray_byte = 0xDC00;

std::size_t length_by_lead(unsigned char lead) noexcept {
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return 2;
  if (lead >= 0xE0 && lead <= 0xEF) return 3;
  if (lead >= 0xF0 && lead <= 0xF4) return 4;
  return 1;
}

}  // namespace

char32_t take_code_point(std::string_view& text) noexcept {
  auto const lead = static_cast<unsigned char>(text.front());
  auto const length = length_by_lead(lead);
  char32_t c = length == 1 ? lead : lead & (0xFFU >> (length + 1));
  bool whole = length > 1 || lead < 0x80;
  for (std::size_t i = 1; i < length; ++i) {
    auto const byte = i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
    whole = whole && (byte & 0xC0U) == 0x80U;
    c = c << 6 | (byte & 0x3FU);
  }
  bool const is_shortest = length < 3 || (length == 3 ? c >= 0x800 : c >= 0x10000);
  if (!whole || !is_shortest || (c >= 0xD800 && c < 0xE000) || c > 0x10FFFF) {
    text.remove_prefix(1);
    return stray_byte + lead;
  }
  text.remove_prefix(length);
  return c;
}

void append_code_point(std::string& out, char32_t c) {
  auto const tail = [&out, c](unsigned shift) { out.push_back(static_cast<char>(0x80U | (c >> shift & 0x3FU))); };
  if (c < 0x80 || (c >= stray_byte + 0x80 && c <= stray_byte + 0xFF)) {
    out.push_back(static_cast<char>(c));
  } else if (c < 0x800) {
    out.push_back(static_cast<char>(0xC0U | c >> 6));
    tail(0);
  } else if (c < 0x10000) {
    out.push_back(static_cast<char>(0xE0U | c >> 12));
    tail(6);
    tail(0);
  } else {
    out.push_back(static_cast<char>(0xF0U | c >> 18));
    tail(12);
    tail(6);
    tail(0);
  }
}

std::size_t count_code_points(std::string_view text) noexcept {
  std::size_t count = 0;
  while (!text.empty()) {
    take_code_point(text);
    ++count;
  }
  return count;
}

}  // namespace nestgate::event
