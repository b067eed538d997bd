#pragma once

#include <memory>

#include "endpoint.hpp"
#include "nestgate/automation/service.hpp"

namespace nestgate::api {

// /v1/uploads: tarballs that automations name (automation.md 1.5). `service` outlives it.
std::unique_ptr<EndpointGroup> make_uploads(automation::Service& service);

}  // namespace nestgate::api
