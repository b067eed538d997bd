#include "nestlet/command_request.hpp"

namespace nestgate::nestlet {

Checked<CommandRequest> read_command(JsonObject const& body, Limits const& limits) {
  constexpr std::int64_t day_seconds = 24 * 60 * 60;
  NESTGATE_TRY(command, need_string(body, "command"));
  NESTGATE_TRY(directory, maybe_string(body, "cwd"));
  NESTGATE_TRY(timeout, maybe_integer(body, "timeout"));
  if (command.find('\0') != command.npos) return invalid("body", "command", "value_error", "Must not contain NUL");
  if (timeout && (*timeout < 1 || *timeout > day_seconds)) {
    return invalid("body", "timeout", "value_error", "Input should be from 1 to 86400 seconds");
  }
  return CommandRequest{std::move(command), std::move(directory),
                        timeout ? static_cast<std::uint64_t>(*timeout) : limits.command_timeout_seconds};
}

}  // namespace nestgate::nestlet
