#pragma once

#include <string>

#include "nestgate/automation/settings.hpp"
#include "nestgate/proxy/own_routes.hpp"

namespace nestgate::api {

// Where clients and scripts reach the automation API, ".../api/automation": as the settings say, else as this client wrote
// it.
inline std::string base_url_for(automation::Settings const& settings, proxy::ApiRequest const& request) {
  return settings.base_url.empty() ? request.origin + request.mount + "/api/automation" : settings.base_url;
}

}  // namespace nestgate::api
