#pragma once

#include <sys/types.h>

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <filesystem>
#include <string>
#include <vector>

#include "nestgate/base/secret.hpp"
#include "nestgate/net/net.hpp"
#include "nestgate/runtime/process_settings.hpp"

namespace nestgate::runtime {

using Descriptor = asio::posix::basic_stream_descriptor<Executor>;

struct Launch {
  std::string program;                   // absolute
  std::vector<std::string> arguments;    // argv, the program's name first
  std::vector<std::string> environment;  // NAME=value
  Secret secret_variable;                // one more, NAME=value; empty: none
  std::filesystem::path directory;
  ResourceLimits limits;
};

// One child in a session and process group of its own, which dies with the thread that started it. Lives on the control
// core. Must be reaped before it is destroyed: its pid is its own until then, so no signal can hit a stranger.
class ChildProcess {
 public:
  // Forks and executes; what fails on the way to exec, in the child too, is a fault (unavailable) with its errno.
  static Result<ChildProcess> start(Executor executor, Launch const& launch);
  ChildProcess(ChildProcess&&) = default;
  ~ChildProcess();

  pid_t pid() const noexcept { return pid_; }
  // Its standard output and error; ends when every holder is gone.
  Descriptor& output() noexcept { return output_; }
  // Returns when the child has ended, or with a fault when cancelled.
  Task<Result<>> ended();
  void signal_group(int signal) const noexcept;
  void signal_session(int signal) const noexcept;
  // After it ended: kills what is left of its session, reaps it, and says how it ended: "exited with status 3".
  std::string reap();

 private:
  ChildProcess(pid_t pid, Descriptor watch, Descriptor output)
      : pid_(pid), watch_(std::move(watch)), output_(std::move(output)) {}
  pid_t pid_;
  Descriptor watch_;  // pidfd
  Descriptor output_;
};

}  // namespace nestgate::runtime
