#pragma once

#include "nestlet/commands.hpp"
#include "nestlet/json.hpp"

namespace nestgate::nestlet {

// {"command": str, "cwd": str|null, "timeout": int=300}, of the bash routes and of the bash socket (agent_server.md 4).
Checked<CommandRequest> read_command(JsonObject const& body, Limits const& limits);

}  // namespace nestgate::nestlet
