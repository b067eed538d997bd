#pragma once

#include <memory>
#include <vector>

#include "nestgate/api/control_api.hpp"
#include "route_family.hpp"

namespace nestgate::api {

// All of them; a path belongs to the first that covers it.
std::vector<std::unique_ptr<RouteFamily>> make_families(Surroundings const& surroundings);

}  // namespace nestgate::api
