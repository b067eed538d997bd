#pragma once

#include <memory>

#include "nestgate/api/settings.hpp"
#include "nestgate/conversation/manager.hpp"
#include "route_family.hpp"

namespace nestgate::api {

// /api/v1/webhooks…: what nested servers push of themselves, by their session keys alone. `manager` outlives it.
std::unique_ptr<RouteFamily> make_webhook_api(conversation::Manager& manager, WebhookSettings settings);

}  // namespace nestgate::api
