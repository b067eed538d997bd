#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nestgate/proxy/own_routes.hpp"

// Which other sites' pages may call the automation API (automation.md 1.0, CORS): any that shows a key itself, without the
// browser's cookies; those of the settings with them. Pure.
namespace nestgate::api {

// The answer to a preflight; nothing: this is none.
std::optional<proxy::ApiResponse> answer_preflight(proxy::ApiRequest const& request,
                                                   std::vector<std::string> const& origins);

// What an answer to a page of another site has besides. Taken from the request before it is handled.
std::vector<std::pair<std::string, std::string>> cross_origin_headers(proxy::ApiRequest const& request,
                                                                      std::vector<std::string> const& origins);

}  // namespace nestgate::api
