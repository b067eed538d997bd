#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "nestgate/base/secret.hpp"

namespace nestgate::conversation {

// What a token endpoint gives (nested_server.md 2.4).
struct RefreshAnswer {
  Secret token;                                                     // not empty
  std::optional<std::chrono::system_clock::time_point> expires_at;  // nothing: it did not say so, or not as RFC 3339
};

// {"token":"…","expires_at"?:"…"}. Nothing for an answer of another shape or without a token. Pure.
std::optional<RefreshAnswer> parse_refresh_answer(std::string_view json);

// When a token that ends at `expires_at` is to be refreshed: `before` its end, but never in its first half, and not within
// the next ten seconds.
std::chrono::system_clock::time_point refresh_time(std::chrono::system_clock::time_point expires_at,
                                                   std::chrono::system_clock::time_point now,
                                                   std::chrono::milliseconds before) noexcept;

}  // namespace nestgate::conversation
