#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "nestgate/proxy/own_routes.hpp"
#include "nestgate/upstream/failure.hpp"

// What the route families answer with, and how they read a query.
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

// `fallback` when it is not there; nothing when it is no number within the bounds.
std::optional<std::size_t> number_in(std::string_view query, std::string_view name, std::size_t fallback, std::size_t min,
                                     std::size_t max);
// Decoded; "" when it is not there.
std::string text_in(std::string_view query, std::string_view name);

}  // namespace nestgate::api
