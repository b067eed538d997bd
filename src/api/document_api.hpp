#pragma once

#include <memory>
#include <string_view>

#include "route_family.hpp"

namespace nestgate::api {

// src/api/openapi.json as it was built in.
std::string_view openapi_document() noexcept;

// /openapi.json, for everybody.
std::unique_ptr<RouteFamily> make_document_api();

}  // namespace nestgate::api
