#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "nestgate/automation/caller.hpp"
#include "nestgate/proxy/own_routes.hpp"

// Who asks the automation API (automation.md 2.1, 2.2). Pure; any core.
namespace nestgate::api {

// The key that the request shows: the bearer, else X-Session-API-Key. nullptr: none. It lives as long as the request.
Secret const* shown_key(proxy::ApiRequest const& request) noexcept;

struct Authentication {
  std::optional<automation::Caller> caller;
  std::string_view refusal;  // a literal: the detail of the 401 where there is no caller
};
// `local_key`: that of the one local user; nullptr: there is none. A key that is not it may still be one of the gateway's
// API keys, of which the proxy told.
Authentication authenticate(proxy::ApiRequest const& request, Secret const* local_key);
// The same question where the answer is all that matters.
bool is_known(proxy::ApiRequest const& request, Secret const* local_key) noexcept;

}  // namespace nestgate::api
