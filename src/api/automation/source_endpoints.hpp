#pragma once

#include <memory>

#include "endpoint.hpp"
#include "nestgate/api/settings.hpp"
#include "nestgate/automation/service.hpp"

namespace nestgate::api {

// /v1/webhooks: the custom event sources of the caller's organisation.
std::unique_ptr<EndpointGroup> make_source_endpoints(automation::Service& service, AutomationApiSettings const& settings);

}  // namespace nestgate::api
