#include "nestgate/api/list_query.hpp"

#include <charconv>

#include "nestgate/http/head.hpp"

namespace nestgate::api {

std::optional<std::size_t> number_in(std::string_view query, std::string_view name, std::size_t fallback, std::size_t min,
                                     std::size_t max) {
  auto const text = http::query_value(query, name).value;  // not decoded: numbers need no encoding
  if (text.empty()) return fallback;
  std::size_t value = 0;
  auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (ec != std::errc{} || end != text.data() + text.size() || value < min || value > max) return std::nullopt;
  return value;
}

std::optional<bool> flag_in(std::string_view query, std::string_view name, bool fallback) {
  auto const text = http::query_value(query, name).value;
  if (text.empty()) return fallback;
  for (std::string_view const word : {"true", "1", "yes", "on"})
    if (http::equals_ignoring_case(text, word)) return true;
  for (std::string_view const word : {"false", "0", "no", "off"})
    if (http::equals_ignoring_case(text, word)) return false;
  return std::nullopt;
}

std::string text_in(std::string_view query, std::string_view name) {
  auto const raw = http::query_value(query, name).value;
  std::string decoded(raw.size(), '\0');  // decoding never makes it longer
  return std::string(http::decode_query_value(raw, decoded));
}

std::string page_id_of(conversation::View const& last) {
  return std::to_string(last.created_at.time_since_epoch().count()) + "." + last.id.canonical();
}

std::optional<conversation::Position> parse_page_id(std::string_view text) {
  using Clock = std::chrono::system_clock;
  Clock::rep ticks = 0;
  auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), ticks);
  if (ec != std::errc{} || end == text.data() + text.size() || *end != '.') return std::nullopt;
  auto const id = ConversationId::parse(text.substr(static_cast<std::size_t>(end - text.data()) + 1));
  if (!id) return std::nullopt;
  return conversation::Position{Clock::time_point(Clock::duration(ticks)), id->canonical()};
}

}  // namespace nestgate::api
