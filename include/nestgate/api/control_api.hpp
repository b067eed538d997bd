#pragma once

#include <memory>

#include "nestgate/automation/service.hpp"
#include "nestgate/conversation/manager.hpp"
#include "nestgate/proxy/own_routes.hpp"

namespace nestgate::api {

// /api/conversations… and /api/automation…. `manager` and `runs` outlive it; `handle` runs on the control core.
std::unique_ptr<proxy::OwnRoutes> make_control_api(conversation::Manager& manager, automation::Service& runs);

}  // namespace nestgate::api
