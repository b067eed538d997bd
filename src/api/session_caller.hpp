#pragma once

#include <optional>

#include "nestgate/base/secret.hpp"
#include "nestgate/conversation/manager.hpp"

namespace nestgate::api {

// The running conversation that a session key opens; nothing for no key, an unknown one, and one of what does not run.
std::optional<conversation::View> running_by_key(conversation::Manager const& manager, Secret const& session_key);

}  // namespace nestgate::api
