#pragma once

#include <memory>

#include "endpoint.hpp"
#include "nestgate/automation/service.hpp"

namespace nestgate::api {

// Runs: of an automation, across automations, and those that bring their own tarball. `service` outlives it.
// `local_key`: for the routes that take a run's own token, too; may be nothing.
std::unique_ptr<EndpointGroup> make_runs(automation::Service& service, std::shared_ptr<Secret const> local_key);

}  // namespace nestgate::api
