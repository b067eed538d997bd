#pragma once

#include <memory>

#include "endpoint.hpp"
#include "nestgate/automation/service.hpp"

namespace nestgate::api {

// /v1/preset/prompt and /v1/preset/plugin: automations whose tarball is made here. `service` outlives it.
std::unique_ptr<EndpointGroup> make_preset_endpoints(automation::Service& service);

}  // namespace nestgate::api
