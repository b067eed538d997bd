#pragma once

#include <iosfwd>

#include "nestgate/app/serve.hpp"
#include "nestgate/app/settings.hpp"

namespace nestgate::app {

inline constexpr int exit_done = 0;
inline constexpr int exit_failed = 1;       // at run time
inline constexpr int exit_wrong_usage = 2;  // or settings: one line on standard error for each fault

struct Terminal {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
};

using ServeFunction = int (*)(Settings settings, ServeOptions options);

// The whole command line (operator.md "nestgate"). Returns the program's exit code.
int run_command_line(int argc, char const* const* argv, Environment environment, Terminal terminal,
                     ServeFunction serve_with);

}  // namespace nestgate::app
