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

// Splits at most `chars_max` characters off the front of `buffer`, never through a UTF-8 sequence.
std::string take_chars(std::string& buffer, std::size_t chars_max);

}  // namespace nestgate::nestlet
