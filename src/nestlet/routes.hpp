#pragma once

#include <array>
#include <span>

#include "nestlet/router.hpp"

// The routes, a table for each surface; a handler checks its input and answers with data.
namespace nestgate::nestlet {

std::span<Route const> server_routes();  // /alive, /server_info, ...
std::span<Route const> bash_routes();    // /api/bash/... (agent_server.md 4)
std::span<Route const> file_routes();    // /api/file/...

inline auto all_routes() { return std::array{server_routes(), bash_routes(), file_routes()}; }

}  // namespace nestgate::nestlet
