#include "nestgate/base/text.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include "nestgate/base/invariant.hpp"

namespace nestgate {
namespace {

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

// Takes `count` digits off the front; -1 when they are not there.
int take_digits(std::string_view& text, std::size_t count) noexcept {
  if (text.size() < count) return -1;
  int number = 0;
  for (char const c : text.substr(0, count)) {
    if (c < '0' || c > '9') return -1;
    number = number * 10 + (c - '0');
  }
  text.remove_prefix(count);
  return number;
}

// Any of `chars`.
bool take(std::string_view& text, std::string_view chars) noexcept {
  if (text.empty() || chars.find(text.front()) == chars.npos) return false;
  text.remove_prefix(1);
  return true;
}

// Of the digits behind the point at least one.
std::optional<std::chrono::microseconds> take_fraction(std::string_view& text) noexcept {
  auto const count = std::min(text.find_first_not_of("0123456789"), text.size());
  if (count == 0) return std::nullopt;
  std::chrono::microseconds::rep micros = 0;
  for (std::size_t i = 0; i < 6; ++i) micros = micros * 10 + (i < count ? text[i] - '0' : 0);
  text.remove_prefix(count);
  return std::chrono::microseconds(micros);
}

// "Z" or "+02:00".
std::optional<std::chrono::minutes> take_offset(std::string_view& text) noexcept {
  if (take(text, "Zz")) return std::chrono::minutes(0);
  bool const is_west = text.starts_with('-');
  if (!take(text, "+-")) return std::nullopt;
  int const hours = take_digits(text, 2);
  bool const has_colon = take(text, ":");
  int const minutes = take_digits(text, 2);
  if (hours < 0 || hours > 23 || !has_colon || minutes < 0 || minutes > 59) return std::nullopt;
  auto const offset = std::chrono::hours(hours) + std::chrono::minutes(minutes);
  return is_west ? -offset : offset;
}

}  // namespace

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

std::optional<std::chrono::system_clock::time_point> parse_rfc3339(std::string_view text) noexcept {
  int const year = take_digits(text, 4);
  bool is_good = take(text, "-");
  int const month = take_digits(text, 2);
  is_good = is_good && take(text, "-");
  int const day = take_digits(text, 2);
  is_good = is_good && take(text, "Tt ");
  int const hour = take_digits(text, 2);
  is_good = is_good && take(text, ":");
  int const minute = take_digits(text, 2);
  is_good = is_good && take(text, ":");
  int const second = take_digits(text, 2);
  constexpr int leap_second = 60;
  if (!is_good || year < 1970 || year > 2200 || month < 0 || day < 0 || hour < 0 || hour > 23 || minute < 0 || minute > 59 ||
      second < 0 || second > leap_second)
    return std::nullopt;
  std::chrono::year_month_day const date(std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day)));
  std::chrono::microseconds fraction{0};
  if (take(text, ".")) {
    auto const taken = take_fraction(text);
    if (!taken) return std::nullopt;
    fraction = *taken;
  }
  auto const offset = take_offset(text);
  if (!date.ok() || !offset || !text.empty()) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second) + fraction - *offset;
}

std::size_t characters_in(std::string_view text) noexcept {
  auto const count = std::ranges::count_if(text, [](char c) { return !continues_character(c); });
  return static_cast<std::size_t>(count);
}

std::string_view cut_to(std::string_view text, std::size_t bytes_max) noexcept {
  if (text.size() <= bytes_max) return text;
  auto end = bytes_max;
  while (end > 0 && continues_character(text[end])) --end;
  return text.substr(0, end);
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

std::optional<std::string> percent_decoded(std::string_view segment) {
  std::string out;
  out.reserve(segment.size());
  for (std::size_t i = 0; i < segment.size(); ++i) {
    if (segment[i] != '%') {
      out.push_back(segment[i]);
      continue;
    }
    if (i + 2 >= segment.size()) return std::nullopt;
    int const high = hex_value(segment[i + 1]);
    int const low = hex_value(segment[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

}  // namespace nestgate
