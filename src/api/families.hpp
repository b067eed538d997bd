#pragma once

#include <memory>
#include <vector>

#include "nestgate/automation/service.hpp"
#include "nestgate/conversation/manager.hpp"
#include "route_family.hpp"

namespace nestgate::api {

// All of them; a path belongs to the first that covers it.
std::vector<std::unique_ptr<RouteFamily>> make_families(conversation::Manager& manager,
                                                        conversation::DirectoryPublisher& publisher,
                                                        automation::Service& runs);

}  // namespace nestgate::api
