#pragma once

#include <string>
#include <string_view>

#include "nestgate/proxy/own_routes.hpp"

// Answers of GET /v1/{automation_id}/tarball. Pure.
namespace nestgate::api {

// `name` is the automation's, under which a browser keeps the file (RFC 6266).
proxy::ApiResponse stored_tarball(std::string_view name, std::string bytes);
// Of what lies elsewhere: a redirect, or why there can be none.
proxy::ApiResponse external_tarball(std::string_view path);

}  // namespace nestgate::api
