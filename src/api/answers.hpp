#pragma once

#include <string>
#include <string_view>

#include "nestgate/proxy/own_routes.hpp"
#include "nestgate/upstream/failure.hpp"

// What the route families answer with.
namespace nestgate::api {

proxy::ApiResponse answer(unsigned status, std::string body);
// In the gateway's own error shape.
proxy::ApiResponse error(proxy::ApiRequest const& request, unsigned status, std::string_view code, std::string_view message);
// The same with the status that fits the fault. What the nested server will not have is 422: the request could be read.
proxy::ApiResponse failure(proxy::ApiRequest const& request, upstream::Failure const& failure);
// In the automation API's shape.
proxy::ApiResponse detail_failure(upstream::Failure const& failure);
// 405 with `allow`; `body` in the shape of the route's family.
proxy::ApiResponse not_allowed(std::string allow, std::string body);
proxy::ApiResponse not_allowed(proxy::ApiRequest const& request, std::string const& allow);

}  // namespace nestgate::api
