#pragma once

#include <string_view>

#include "http/scan.hpp"

namespace nestgate::http {

constexpr std::string_view without_white_space(std::string_view text) noexcept {
  while (!text.empty() && scan::is_white_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && scan::is_white_space(text.back())) text.remove_suffix(1);
  return text;
}

// Calls `take` with each element of a comma-separated list (RFC 9110 section 5.6.1), white space removed, empty ones
// included, until it returns false. Returns whether it never did.
template <class Take>
constexpr bool for_each_element(std::string_view list, Take&& take) {
  for (;;) {
    auto const comma = list.find(',');
    if (!take(without_white_space(list.substr(0, comma)))) return false;
    if (comma == list.npos) return true;
    list.remove_prefix(comma + 1);
  }
}

}  // namespace nestgate::http
