#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "invalid.hpp"
#include "nestgate/proxy/own_routes.hpp"
#include "nestgate/upstream/failure.hpp"

// Answers of the routes that take another server's place, in that server's form: {"detail": …}. Pure.
namespace nestgate::api {

// {"success":true}
proxy::ApiResponse success();
proxy::ApiResponse refusal(unsigned status, std::string_view detail);
proxy::ApiResponse no_such_route(std::string allow);  // 405 where a method is allowed, else 404
// 422, as FastAPI words it.
proxy::ApiResponse invalid_query(std::string_view name, std::string_view type, std::string_view message);
// A failure by its kind; 429 with the limit's body where a limit was met.
proxy::ApiResponse refusal(proxy::ApiRequest const& request, upstream::Failure const& failure);

// Why nobody may have this with an API key, or nothing when its bearer may: there is none, or it is for another API.
std::optional<proxy::ApiResponse> refuse_principal(std::optional<identity::Principal> const& principal);

// Every value of a query's parameter, decoded, in their order; at most `count_max` + 1 of them.
std::vector<std::string> texts_in(std::string_view query, std::string_view name, std::size_t count_max);

}  // namespace nestgate::api
