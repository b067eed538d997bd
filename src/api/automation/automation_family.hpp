#pragma once

#include <memory>
#include <vector>

#include "api/route_family.hpp"
#include "endpoint.hpp"
#include "nestgate/api/settings.hpp"

namespace nestgate::api {

// All of /api/automation, and its two routes at the root: authentication, CORS, redirects, 404 and 405 for all groups. A
// path belongs to the first endpoint that has it and the method, so groups with fixed segments come first.
std::unique_ptr<RouteFamily> make_automation_family(std::vector<std::unique_ptr<EndpointGroup>> groups,
                                                    AutomationApiSettings settings);

}  // namespace nestgate::api
