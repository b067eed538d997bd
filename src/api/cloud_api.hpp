#pragma once

#include <memory>

#include "known_secrets.hpp"
#include "nestgate/api/settings.hpp"
#include "nestgate/conversation/manager.hpp"
#include "route_family.hpp"

namespace nestgate::api {

// /api/v1/sandboxes… and /api/v1/sandbox-specs…: the Cloud API for clients of the SDK. With an API key, but for the secrets
// of a sandbox, which its session key opens. `manager` outlives it.
std::unique_ptr<RouteFamily> make_cloud_api(conversation::Manager& manager, std::shared_ptr<KnownSecrets> secrets,
                                            CloudSettings settings, Audit audit);

}  // namespace nestgate::api
