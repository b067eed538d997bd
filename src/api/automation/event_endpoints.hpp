#pragma once

#include <memory>

#include "endpoint.hpp"
#include "nestgate/api/event_stats.hpp"
#include "nestgate/api/settings.hpp"
#include "nestgate/automation/service.hpp"

namespace nestgate::api {

// /v1/events: what sources deliver, opened by their signatures. Signatures, bodies and filters are looked at on the
// service's workers, so that none of them holds up the control core. `service` outlives it.
std::unique_ptr<EndpointGroup> make_event_endpoints(automation::Service& service, AutomationApiSettings settings,
                                                    std::shared_ptr<EventStats> stats);

}  // namespace nestgate::api
