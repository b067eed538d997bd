#pragma once

#include <memory>

#include "nestgate/conversation/manager.hpp"
#include "route_family.hpp"

namespace nestgate::api {

// /api/routes…: servers that someone else runs, for admins. `manager` outlives it.
std::unique_ptr<RouteFamily> make_static_routes_api(conversation::Manager& manager);

}  // namespace nestgate::api
