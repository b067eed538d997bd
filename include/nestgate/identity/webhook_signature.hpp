#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/base/secret.hpp"

// Signatures of webhooks: as the Standard Webhooks specification has them, coming and going, and two older schemes of what
// comes. Whoever verifies names several keys while they rotate: each one opens. Compared in constant time. Pure.
namespace nestgate::identity {

// The key bytes of base64 with or without "whsec_" before it, 24 to 64 of them. Nothing for any other text.
std::optional<Secret> parse_webhook_secret(std::string_view text);
// The key bytes of any text that somebody chose as a secret: as above, else of base64url with or without "whsec_", else the
// text itself.
Secret webhook_key_of(Secret const& text);
// "whsec_" + 43 characters of base64url, of 32 random bytes.
Secret webhook_secret_of(std::span<unsigned char const, 32> random);

// The value of `webhook-signature`: "v1," + base64 of HMAC-SHA-256 over "id.timestamp.payload" for each key, separated
// by spaces; newest key first while keys rotate. `timestamp` is in seconds since 1970; `payload` the exact bytes sent.
std::string webhook_signature(std::vector<Secret> const& keys, std::string_view id, std::int64_t timestamp,
                              std::string_view payload);

// The headers of a webhook that came; empty where one is missing.
struct SignedHeaders {
  std::string_view id, timestamp, signature;
};
// Which of the clock's times a timestamp may have: as far away, either side.
struct FreshWithin {
  std::chrono::system_clock::time_point now;
  std::chrono::seconds tolerance{300};
};
// Whether it is a time, in seconds since 1970, and within.
bool is_fresh(std::string_view timestamp, FreshWithin const& fresh);
// Whether one of the signatures of version v1 is that of one of the keys, and its time is fresh. All three are needed.
bool verify_webhook(std::vector<Secret> const& keys, SignedHeaders const& headers, std::string_view payload,
                    FreshWithin const& fresh);
// Slack's: "v0=" + hex of HMAC-SHA-256 over "v0:timestamp:payload". There is no id.
bool verify_slack_webhook(std::vector<Secret> const& keys, SignedHeaders const& headers, std::string_view payload,
                          FreshWithin const& fresh);
// GitHub's: hex of HMAC-SHA-256 over the payload, in small letters, with or without "sha256=" before it. No time, no id.
bool verify_hex_signature(std::vector<Secret> const& keys, std::string_view signature, std::string_view payload);

}  // namespace nestgate::identity
