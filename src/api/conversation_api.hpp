#pragma once

#include <memory>

#include "image_rule.hpp"
#include "nestgate/conversation/manager.hpp"
#include "route_family.hpp"

namespace nestgate::api {

// /api/conversations…, with an API key; with a session key the same paths are the nested server's. What is given outlives
// it.
std::unique_ptr<RouteFamily> make_conversation_api(conversation::Manager& manager,
                                                   conversation::DirectoryPublisher& publisher, ImageRule images);

}  // namespace nestgate::api
