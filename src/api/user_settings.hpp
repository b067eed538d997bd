#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "invalid.hpp"
#include "nestgate/base/secret.hpp"

// A user's settings: a JSON object that holds keys of models and of tool servers. Pure.
namespace nestgate::api {

// JSON merge patch (RFC 7396) of `settings` (empty: none were set) by an object. Invalid: no object, deeper than 32, beyond
// 1 MiB, or with the member `id`, which is the gateway's.
Checked<Secret> merge_settings(Secret const& settings, std::string_view patch);

enum class Shown : std::uint8_t {
  no_secrets,    // what looks like a secret is "**********"
  tool_servers,  // those of `mcp_config` are there: an agent cannot use its tools without
  all_secrets,
};

// The user's settings with `id` before them. Nothing when what is stored is no JSON object.
std::optional<std::string> user_json(std::string_view owner, Secret const& settings, Shown shown);

struct SecretBody {
  Secret value;
  std::string description;
};
// {"value": "…", "description"?: "…"}; a value has 1 byte to 64 KiB, a description up to 1 KiB.
Checked<SecretBody> parse_secret_body(std::string_view body);

}  // namespace nestgate::api
