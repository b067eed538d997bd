#pragma once

#include <memory>

#include "nestgate/api/settings.hpp"
#include "nestgate/conversation/manager.hpp"
#include "route_family.hpp"

namespace nestgate::api {

// /start, /stop, /pause, /resume, /list, /sessions…, /runtime/{id}, /registry_prefix and /image_exists: the remote runtime
// API, whose sessions are conversations. With an API key. `manager` outlives it.
std::unique_ptr<RouteFamily> make_runtime_api(conversation::Manager& manager, RuntimeApiSettings settings);

}  // namespace nestgate::api
