#include "nestlet/command_request.hpp"

namespace nestgate::nestlet {

Checked<CommandRequest> read_command(JsonObject const& body, Limits const& limits) {
  NESTGATE_TRY(command, read_shell(body, "body"));
  NESTGATE_TRY(seconds, read_timeout(body, limits.command_timeout_seconds, "body"));
  command.timeout_seconds = seconds;
  return std::move(command);
}

Checked<CommandRequest> read_shell(JsonObject const& from, std::string_view where) {
  NESTGATE_TRY(command, need_string(from, "command", where));
  NESTGATE_TRY(directory, maybe_string(from, "cwd", where));
  if (command.find('\0') != command.npos) return invalid(where, "command", "value_error", "Must not contain NUL");
  return CommandRequest{std::move(command), std::move(directory)};
}

Checked<std::uint64_t> read_timeout(JsonObject const& from, std::uint64_t otherwise, std::string_view where) {
  constexpr std::int64_t day_seconds = 24 * 60 * 60;
  NESTGATE_TRY(timeout, maybe_integer(from, "timeout", where));
  if (timeout && (*timeout < 1 || *timeout > day_seconds)) {
    return invalid(where, "timeout", "value_error", "Input should be from 1 to 86400 seconds");
  }
  return timeout ? static_cast<std::uint64_t>(*timeout) : otherwise;
}

}  // namespace nestgate::nestlet
