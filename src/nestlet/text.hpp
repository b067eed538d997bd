#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Pure leaves: text in, values out.
namespace nestgate::nestlet {

// Microseconds since 1970, UTC.
using Moment = std::chrono::sys_time<std::chrono::microseconds>;
Moment now();

std::string utc_text(Moment at);    // "2026-01-01T00:00:00.000001Z", as bash events have it
std::string local_text(Moment at);  // without zone, in the server's zone, as conversation events have it
std::string http_date(std::chrono::sys_seconds at);
// ISO 8601 with or without fraction and offset. Without offset it is taken as UTC in bash filters and as local time in
// the conversations': `naive_offset` is what to subtract then.
std::optional<Moment> parse_moment(std::string_view text, std::chrono::seconds naive_offset);
std::chrono::seconds local_offset(Moment at);

// Percent-decoded once; nothing when an escape is broken or gives NUL.
std::optional<std::string> percent_decode(std::string_view text);

// The parameters of a query string, in order; '+' is a space. Broken escapes stay as they are.
class Query {
 public:
  Query() = default;
  explicit Query(std::string_view text);
  std::optional<std::string_view> get(std::string_view name) const;
  std::vector<std::string_view> all(std::string_view name) const;

 private:
  std::vector<std::pair<std::string, std::string>> items_;
};

std::string new_id();  // 32 lower-case hex digits of a random UUID (version 4)
// The 32 hex digits of a UUID in any of the forms that pydantic takes: dashed or not, any case, braces, urn:uuid:.
std::optional<std::string> uuid_hex(std::string_view text);

std::optional<std::int64_t> parse_integer(std::string_view text);

// The words that pydantic takes for true and false, in any case.
std::optional<bool> parse_boolean(std::string_view text);

// Text that comes in pieces; its characters are counted once, as they come. A byte that continues no UTF-8 sequence counts
// as a character, for it becomes U+FFFD: so none has more than four bytes.
class CharBuffer {
 public:
  void append(std::string_view piece);
  std::size_t chars() const noexcept { return chars_; }
  bool empty() const noexcept { return text_.empty(); }
  // At most `chars_max` characters off the front, never through a sequence.
  std::string take(std::size_t chars_max);
  // All but a last character that is not whole yet.
  std::string take_whole();
  // Drops what is past `chars_max` characters.
  void cut(std::size_t chars_max);

 private:
  std::string text_;
  std::size_t chars_ = 0;
  unsigned owed_ = 0;  // bytes that may still continue the last character
};

}  // namespace nestgate::nestlet
