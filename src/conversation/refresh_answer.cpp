#include "conversation/refresh_answer.hpp"

#include <simdjson.h>

#include <algorithm>
#include <string>

#include "nestgate/base/text.hpp"

namespace nestgate::conversation {

namespace dom = simdjson::dom;

std::optional<RefreshAnswer> parse_refresh_answer(std::string_view json) {
  dom::parser parser;
  dom::object object;
  std::string_view token, expires_at;
  if (parser.parse(json.data(), json.size()).get_object().get(object)) return std::nullopt;
  if (object["token"].get_string().get(token) || token.empty()) return std::nullopt;
  RefreshAnswer answer{Secret(std::string(token)), std::nullopt};
  if (!object["expires_at"].get_string().get(expires_at)) answer.expires_at = parse_rfc3339(expires_at);
  return answer;
}

std::chrono::system_clock::time_point refresh_time(std::chrono::system_clock::time_point expires_at,
                                                   std::chrono::system_clock::time_point now,
                                                   std::chrono::milliseconds before) noexcept {
  constexpr auto soonest = std::chrono::seconds(10);
  return std::max({expires_at - before, now + (expires_at - now) / 2, now + soonest});
}

}  // namespace nestgate::conversation
