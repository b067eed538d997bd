#pragma once

#include <memory>

#include "nestgate/automation/service.hpp"
#include "route_family.hpp"

namespace nestgate::api {

// /api/automation…. `runs` outlives it.
std::unique_ptr<RouteFamily> make_automation_api(automation::Service& runs);

}  // namespace nestgate::api
