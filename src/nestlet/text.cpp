#include "nestlet/text.hpp"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <ctime>

#include "nestgate/base/conversation_id.hpp"
#include "nestgate/base/invariant.hpp"

namespace nestgate::nestlet {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string moment_text(std::tm const& parts, long micros) {
  std::array<char, 64> out;
  auto const n = std::snprintf(out.data(), out.size(), "%04d-%02d-%02dT%02d:%02d:%02d.%06ld", parts.tm_year + 1900,
                               parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, micros);
  return {out.data(), static_cast<std::size_t>(n)};
}

std::pair<std::time_t, long> split(Moment at) {
  auto const seconds = std::chrono::floor<std::chrono::seconds>(at);
  return {static_cast<std::time_t>(seconds.time_since_epoch().count()), static_cast<long>((at - seconds).count())};
}

// Reads exactly `digits` digits off the front.
std::optional<int> take_digits(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) return std::nullopt;
  int number = 0;
  for (std::size_t i = 0; i < digits; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    number = number * 10 + (text[i] - '0');
  }
  text.remove_prefix(digits);
  return number;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

// "", "Z" or "+01:00"; nothing when it is none of these.
std::optional<std::chrono::seconds> parse_offset(std::string_view text, std::chrono::seconds naive) {
  if (text.empty()) return naive;
  if (text == "Z" || text == "z") return std::chrono::seconds{0};
  int const sign = text.front() == '-' ? -1 : 1;
  if (!take(text, '+') && !take(text, '-')) return std::nullopt;
  auto const hours = take_digits(text, 2);
  take(text, ':');
  auto const minutes = take_digits(text, 2);
  if (!hours || !minutes || !text.empty()) return std::nullopt;
  return sign * (std::chrono::hours(*hours) + std::chrono::minutes(*minutes));
}

std::optional<std::string> decode(std::string_view text, char space) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out.push_back(text[i] == space ? ' ' : text[i]);
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    int const high = hex_value(text[i + 1]);
    int const low = hex_value(text[i + 2]);
    if (high < 0 || low < 0 || high + low == 0) return std::nullopt;
    out.push_back(static_cast<char>(high * 16 + low));
    i += 2;
  }
  return out;
}

// `owed`: how many bytes may still continue the character before.
bool begins_character(char c, unsigned& owed) {
  auto const byte = static_cast<unsigned char>(c);
  if ((byte & 0xC0) == 0x80 && owed > 0) {
    --owed;
    return false;
  }
  owed = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : byte >= 0xC0 ? 1 : 0;
  return true;
}

// The length of the first `chars` characters.
std::size_t bytes_of(std::string_view text, std::size_t chars) {
  unsigned owed = 0;
  std::size_t end = 0;
  for (; end < text.size(); ++end) {
    if (!begins_character(text[end], owed)) continue;
    if (chars == 0) break;
    --chars;
  }
  return end;
}

}  // namespace

Moment now() { return std::chrono::floor<std::chrono::microseconds>(std::chrono::system_clock::now()); }

std::string utc_text(Moment at) {
  auto const [seconds, micros] = split(at);
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return moment_text(parts, micros) + "Z";
}

std::string local_text(Moment at) {
  auto const [seconds, micros] = split(at);
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  return moment_text(parts, micros);
}

std::string http_date(std::chrono::sys_seconds at) {
  auto const seconds = static_cast<std::time_t>(at.time_since_epoch().count());
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  std::array<char, 64> out;
  return {out.data(), std::strftime(out.data(), out.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

std::chrono::seconds local_offset(Moment at) {
  auto const [seconds, micros] = split(at);
  std::tm parts{};
  ::localtime_r(&seconds, &parts);
  return std::chrono::seconds(parts.tm_gmtoff);
}

std::optional<Moment> parse_moment(std::string_view text, std::chrono::seconds naive_offset) {
  auto const year = take_digits(text, 4);
  bool const dash1 = take(text, '-');
  auto const month = take_digits(text, 2);
  bool const dash2 = take(text, '-');
  auto const day = take_digits(text, 2);
  if (!year || !dash1 || !month || !dash2 || !day) return std::nullopt;
  auto const date = std::chrono::year(*year) / std::chrono::month(static_cast<unsigned>(*month)) /
                    std::chrono::day(static_cast<unsigned>(*day));
  if (!date.ok()) return std::nullopt;
  std::chrono::microseconds time{0};
  if (take(text, 'T') || take(text, ' ')) {
    auto const hours = take_digits(text, 2);
    bool const colon = take(text, ':');
    auto const minutes = take_digits(text, 2);
    if (!hours || !colon || !minutes || *hours > 23 || *minutes > 59) return std::nullopt;
    time = std::chrono::hours(*hours) + std::chrono::minutes(*minutes);
    if (take(text, ':')) {
      auto const seconds = take_digits(text, 2);
      if (!seconds || *seconds > 60) return std::nullopt;
      time += std::chrono::seconds(*seconds);
    }
    if (take(text, '.')) {
      auto const digits = std::min<std::size_t>(
          6, text.find_first_not_of("0123456789") == text.npos ? text.size() : text.find_first_not_of("0123456789"));
      auto micros = take_digits(text, digits);
      if (digits == 0 || !micros) return std::nullopt;
      for (auto i = digits; i < 6; ++i) *micros *= 10;
      time += std::chrono::microseconds(*micros);
      while (!text.empty() && text.front() >= '0' && text.front() <= '9') text.remove_prefix(1);
    }
  }
  auto const offset = parse_offset(text, naive_offset);
  if (!offset) return std::nullopt;
  return std::chrono::sys_days(date) + time - *offset;
}

std::optional<std::string> percent_decode(std::string_view text) { return decode(text, '\0'); }

Query::Query(std::string_view text) {
  while (!text.empty()) {
    auto const end = text.find('&');
    auto const item = text.substr(0, end);
    auto const equals = item.find('=');
    auto const name = item.substr(0, equals);
    auto const value = equals == item.npos ? std::string_view{} : item.substr(equals + 1);
    if (!item.empty()) {
      items_.emplace_back(decode(name, '+').value_or(std::string(name)), decode(value, '+').value_or(std::string(value)));
    }
    text = end == text.npos ? std::string_view{} : text.substr(end + 1);
  }
}

std::optional<std::string_view> Query::get(std::string_view name) const {
  for (auto const& [key, value] : items_) {
    if (key == name) return value;
  }
  return std::nullopt;
}

std::vector<std::string_view> Query::all(std::string_view name) const {
  std::vector<std::string_view> out;
  for (auto const& [key, value] : items_) {
    if (key == name) out.push_back(value);
  }
  return out;
}

std::string new_id() {
  std::array<unsigned char, 16> bytes;
  auto const n = ::getrandom(bytes.data(), bytes.size(), 0);
  NESTGATE_INVARIANT(n == static_cast<ssize_t>(bytes.size()), "getrandom gives up to 256 bytes at once");
  bytes[6] = static_cast<unsigned char>((bytes[6] & 0x0F) | 0x40);
  bytes[8] = static_cast<unsigned char>((bytes[8] & 0x3F) | 0x80);
  std::string out;
  out.reserve(32);
  for (auto const byte : bytes) {
    out.push_back("0123456789abcdef"[byte >> 4]);
    out.push_back("0123456789abcdef"[byte & 15]);
  }
  return out;
}

std::optional<std::string> uuid_hex(std::string_view text) {
  auto const id = ConversationId::parse_in_path(text);
  if (!id || !id->is_uuid()) return std::nullopt;
  return id->canonical();
}

std::optional<std::int64_t> parse_integer(std::string_view text) {
  std::int64_t number = 0;
  auto const [end, fault] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (fault != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<bool> parse_boolean(std::string_view text) {
  constexpr std::array<std::string_view, 6> yes = {"1", "true", "t", "yes", "y", "on"};
  constexpr std::array<std::string_view, 6> no = {"0", "false", "f", "no", "n", "off"};
  std::string word(text);
  for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  if (std::find(yes.begin(), yes.end(), word) != yes.end()) return true;
  if (std::find(no.begin(), no.end(), word) != no.end()) return false;
  return std::nullopt;
}

void CharBuffer::append(std::string_view piece) {
  for (char const c : piece) chars_ += begins_character(c, owed_) ? 1 : 0;
  text_.append(piece);
}

std::string CharBuffer::take(std::size_t chars_max) {
  std::string out;
  if (chars_ <= chars_max) {
    chars_ = 0;
    owed_ = 0;
    out.swap(text_);
    return out;
  }
  auto const end = bytes_of(text_, chars_max);
  out = text_.substr(0, end);
  text_.erase(0, end);
  chars_ -= chars_max;
  return out;
}

std::string CharBuffer::take_whole() {
  if (owed_ == 0) return take(chars_);
  auto begins = text_.size() - 1;
  while ((static_cast<unsigned char>(text_[begins]) & 0xC0) == 0x80) --begins;
  std::string out = text_.substr(0, begins);
  text_.erase(0, begins);
  chars_ = 1;
  return out;
}

void CharBuffer::cut(std::size_t chars_max) {
  if (chars_ <= chars_max) return;
  text_.resize(bytes_of(text_, chars_max));
  chars_ = chars_max;
  owed_ = 0;
}

}  // namespace nestgate::nestlet
