#pragma once

#include <memory>

#include "endpoint.hpp"
#include "nestgate/api/settings.hpp"
#include "nestgate/automation/service.hpp"

namespace nestgate::api {

// What the service says of itself (automation.md 1.1, 37 to 41), consent to telemetry, and what is not done here and says
// so: mirrors in git, drafts. `service` outlives it.
std::unique_ptr<EndpointGroup> make_service_routes(automation::Service& service, AutomationApiSettings const& settings);

}  // namespace nestgate::api
