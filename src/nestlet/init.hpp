#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/base/secret.hpp"
#include "nestlet/json.hpp"
#include "nestlet/session_keys.hpp"
#include "nestlet/webhooks.hpp"

// Deferred init: a server that was started before anybody knew for whom (agent_server.md 3.4). Pure.
namespace nestgate::nestlet {

enum class InitState : std::uint8_t { not_deferred, dormant, ready };
std::string_view to_string(InitState state) noexcept;

// How the server begins, as its environment says.
struct Boot {
  InitState state = InitState::not_deferred;  // dormant with OH_DEFERRED_INIT
  Secret init_key;                            // X-Init-API-Key: OH_SECRET_KEY, else the first session key; empty: open
  std::vector<WebhookSpec> webhooks;          // OH_WEBHOOKS_0_BASE_URL
};
// The fault says which variable, and what is wrong with it.
boost::system::result<Boot, KeyFault> boot_from(std::vector<std::string_view> const& environment, SessionKeys const& keys);

// What POST /api/init tells. Of what agent servers take, nestlet uses this; the rest is checked and left.
struct InitRequest {
  std::optional<SessionKeys> keys;  // nothing: those of the start stay
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<WebhookSpec> webhooks;
};
// 422 for unknown fields and wrong types.
Checked<InitRequest> read_init(JsonObject const& body);

}  // namespace nestgate::nestlet
