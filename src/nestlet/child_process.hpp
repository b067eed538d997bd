#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "nestgate/base/result.hpp"
#include "nestlet/fd.hpp"

namespace nestgate::nestlet {

struct CommandLine {
  std::string command;  // for /bin/bash -c, or /bin/sh -c where there is no bash
  std::string directory;
  std::vector<std::string> environment;  // "NAME=value"; all of it
};

// A shell in a session and process group of its own, so that `pid` names the whole group. The kernel kills it when the
// thread that started it ends. Stdin is /dev/null.
struct ChildProcess {
  pid_t pid = -1;
  Fd pidfd;  // readable once it has ended
  Fd out;
  Fd err;
};

struct SpawnFault {
  int error;               // errno
  std::string_view where;  // "fork", "chdir", "exec"; a literal
};

// Blocks until the child has called exec or failed to.
boost::system::result<ChildProcess, SpawnFault> spawn_shell(CommandLine const& line);

// The exit code as Python has it: negative for a signal. Reaps; the process must have ended.
int reap(ChildProcess const& child);

}  // namespace nestgate::nestlet
