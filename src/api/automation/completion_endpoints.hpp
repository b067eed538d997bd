#pragma once

#include <memory>

#include "endpoint.hpp"
#include "nestgate/automation/service.hpp"

namespace nestgate::api {

// /v1/endpoints: where completions are posted as Standard Webhooks has them. `service` outlives it.
std::unique_ptr<EndpointGroup> make_completion_endpoints(automation::Service& service);

}  // namespace nestgate::api
