#pragma once

#include <array>
#include <span>

#include "nestlet/router.hpp"

// The routes, a table for each surface; a handler checks its input and answers with data.
namespace nestgate::nestlet {

std::span<Route const> server_routes();        // /alive, /server_info, ...
std::span<Route const> init_routes();          // /api/init (agent_server.md 3.4)
std::span<Route const> bash_routes();          // /api/bash/... (agent_server.md 4)
std::span<Route const> file_routes();          // /api/file/...
std::span<Route const> conversation_routes();  // /api/conversations... of both generations (agent_server.md 1.4)
std::span<Route const> settings_routes();      // /api/settings, /api/secrets, ... (nested_server.md 3.2)
std::span<Route const> action_routes();        // /execute_action, ... (nested_server.md 5.3)

inline auto all_routes() {
  return std::array{server_routes(),       init_routes(),     bash_routes(),  file_routes(),
                    conversation_routes(), settings_routes(), action_routes()};
}

}  // namespace nestgate::nestlet
