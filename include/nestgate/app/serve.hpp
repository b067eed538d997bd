#pragma once

#include <filesystem>
#include <optional>

#include "nestgate/app/settings.hpp"

namespace nestgate::app {

struct ServeOptions {
  std::filesystem::path config_file;  // read again on SIGHUP
  std::optional<std::filesystem::path> ready_file;
  Environment environment;  // as the process was started with; used again on SIGHUP
};

// Runs the gateway until SIGTERM or SIGINT and drains it. Returns the program's exit code: 0 after a drain, 1 when it
// could not listen or start. Call on the main thread; blocks.
int serve(Settings settings, ServeOptions options);

}  // namespace nestgate::app
