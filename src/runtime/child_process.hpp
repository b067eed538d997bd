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
  std::string keeper;                    // nestgate-keeper, absolute
  std::string program;                   // absolute
  std::vector<std::string> arguments;    // argv, the program's name first
  std::vector<std::string> environment;  // NAME=value
  Secret secret_variable;                // one more, NAME=value; empty: none
  std::filesystem::path directory;
  ResourceLimits limits;
};

// One server in a session and process group of its own, under a keeper (keeper/main.cpp) that ends it and all that it ever
// started: when told to, when the server ends, and when the gateway is gone. Lives on the control core. Must have ended
// before it is destroyed.
class ChildProcess {
 public:
  // Forks and executes; what fails on the way to the server's exec is a fault (unavailable) with its errno.
  static Result<ChildProcess> start(Executor executor, Launch const& launch);
  ChildProcess(ChildProcess&&) = default;
  ~ChildProcess();

  // Its standard output and error; ends when every holder is gone.
  Descriptor& output() noexcept { return output_; }
  // To the server's group; SIGKILL: to all that it ever started.
  void signal(int signal) noexcept;
  // Once, and not to be cancelled: returns when nothing of it is left, with how the server ended: "exited with status 3".
  Task<std::string> ended();

 private:
  ChildProcess(pid_t keeper, Descriptor line, Descriptor output)
      : keeper_(keeper), line_(std::move(line)), output_(std::move(output)) {}
  pid_t keeper_;
  Descriptor line_;
  Descriptor output_;
};

}  // namespace nestgate::runtime
