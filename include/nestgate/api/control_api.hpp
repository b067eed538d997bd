#pragma once

#include <memory>

#include "nestgate/automation/service.hpp"
#include "nestgate/conversation/manager.hpp"
#include "nestgate/proxy/own_routes.hpp"

namespace nestgate::api {

// Every route of the gateway's own. What is given outlives it; `handle` runs on the control core.
std::unique_ptr<proxy::OwnRoutes> make_control_api(conversation::Manager& manager,
                                                   conversation::DirectoryPublisher& publisher, automation::Service& runs);

}  // namespace nestgate::api
