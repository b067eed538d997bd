#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/base/secret.hpp"

// Signatures of outgoing webhooks, as the Standard Webhooks specification has them. Pure.
namespace nestgate::identity {

// The key bytes of base64 with or without "whsec_" before it, 24 to 64 of them. Nothing for any other text.
std::optional<Secret> parse_webhook_secret(std::string_view text);

// The value of `webhook-signature`: "v1," + base64 of HMAC-SHA-256 over "id.timestamp.payload" for each key, separated
// by spaces; newest key first while keys rotate. `timestamp` is in seconds since 1970; `payload` the exact bytes sent.
std::string webhook_signature(std::vector<Secret> const& keys, std::string_view id, std::int64_t timestamp,
                              std::string_view payload);

}  // namespace nestgate::identity
