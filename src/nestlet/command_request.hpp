#pragma once

#include "nestlet/commands.hpp"
#include "nestlet/json.hpp"

namespace nestgate::nestlet {

// {"command": str, "cwd": str|null, "timeout": int=300}, of the bash routes and of the bash socket (agent_server.md 4).
Checked<CommandRequest> read_command(JsonObject const& body, Limits const& limits);
// Its parts, where they stand apart; `where` as in json.hpp.
Checked<CommandRequest> read_shell(JsonObject const& from, std::string_view where);
Checked<std::uint64_t> read_timeout(JsonObject const& from, std::uint64_t otherwise, std::string_view where);

}  // namespace nestgate::nestlet
