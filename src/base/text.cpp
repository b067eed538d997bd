#include "nestgate/base/text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include "nestgate/base/invariant.hpp"

namespace nestgate {

bool is_variable_name(std::string_view text) noexcept {
  auto const letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  auto const rest = [&letter](char c) { return letter(c) || (c >= '0' && c <= '9'); };
  return !text.empty() && letter(text.front()) && std::all_of(text.begin(), text.end(), rest);
}

std::string dashed_uuid(std::string_view hex) {
  NESTGATE_INVARIANT(hex.size() == 32, "a UUID has 32 digits");
  std::string out(hex);
  for (std::size_t const at : {8U, 13U, 18U, 23U}) out.insert(at, 1, '-');
  return out;
}

std::string rfc3339(std::chrono::system_clock::time_point time, unsigned digits) {
  NESTGATE_INVARIANT(digits <= 6, "nobody writes more than microseconds");
  auto const micros = std::chrono::floor<std::chrono::microseconds>(time.time_since_epoch());
  auto const whole = std::chrono::floor<std::chrono::seconds>(micros);
  std::time_t const seconds = whole.count();
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 48> text;
  std::string out(text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S", &parts));
  if (digits != 0) {
    std::snprintf(text.data(), text.size(), ".%06lld", static_cast<long long>((micros - whole).count()));
    out.append(text.data(), 1 + digits);
  }
  return out + "Z";
}

void append_percent_encoded(std::string& out, std::string_view text) {
  constexpr char digits[] = "0123456789ABCDEF";
  for (char const c : text) {
    bool const is_unreserved = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                               c == '.' || c == '_' || c == '~';
    if (is_unreserved) {
      out += c;
      continue;
    }
    auto const byte = static_cast<unsigned char>(c);
    out += '%';
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
}

}  // namespace nestgate
