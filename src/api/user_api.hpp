#pragma once

#include <memory>

#include "known_secrets.hpp"
#include "nestgate/api/settings.hpp"
#include "nestgate/conversation/manager.hpp"
#include "nestgate/store/store.hpp"
#include "route_family.hpp"

namespace nestgate::api {

// /api/v1/users/me…: the settings and secrets of an API key's owner. `manager` and `store` outlive it.
std::unique_ptr<RouteFamily> make_user_api(conversation::Manager& manager, store::Store& store,
                                           std::shared_ptr<KnownSecrets> secrets, Audit audit);

}  // namespace nestgate::api
