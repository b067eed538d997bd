#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

// Forms of text that several modules write or check. Pure.
namespace nestgate {

// 0 to 15, either case; -1 for what is no hex digit.
constexpr int hex_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// [A-Za-z_][A-Za-z0-9_]*: what a shell takes as a variable (POSIX 8.1).
bool is_variable_name(std::string_view text) noexcept;
// 8-4-4-4-12, of a UUID's 32 hex digits.
std::string dashed_uuid(std::string_view hex);
// RFC 3339 in UTC with 0 to 6 digits of a second, cut, not rounded: "2026-01-02T03:04:05.678Z".
std::string rfc3339(std::chrono::system_clock::time_point time, unsigned digits);
// RFC 3339 with any offset; what is finer than a microsecond is cut. Nothing for other text and for years beyond 1970 to
// 2200.
std::optional<std::chrono::system_clock::time_point> parse_rfc3339(std::string_view text) noexcept;
// How many characters a text of UTF-8 has.
std::size_t characters_in(std::string_view text) noexcept;
// Its first bytes, at most that many, without a part of a character (UTF-8) at their end.
std::string_view cut_to(std::string_view text, std::size_t bytes_max) noexcept;

// As the value of a query parameter: all but RFC 3986's unreserved characters (section 2.3) as %XX.
void append_percent_encoded(std::string& out, std::string_view text);
// A path's segment, each %XX decoded once; nothing where a `%` stands without two hex digits behind it.
std::optional<std::string> percent_decoded(std::string_view segment);

}  // namespace nestgate
