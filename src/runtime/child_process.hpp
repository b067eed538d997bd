#pragma once

#include <sys/types.h>

#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "cgroup.hpp"
#include "keeper_line.hpp"
#include "nestgate/base/secret.hpp"
#include "nestgate/net/net.hpp"

namespace nestgate::runtime {

using Descriptor = asio::posix::basic_stream_descriptor<Executor>;

struct Launch {
  std::string program;                   // absolute
  std::vector<std::string> arguments;    // argv, the program's name first
  std::vector<std::string> environment;  // NAME=value
  std::vector<Secret> secrets;           // more of them
  std::filesystem::path directory;
  std::vector<std::pair<int, std::uint64_t>> limits;  // of setrlimit
};

// One server in a session and process group of its own, under a keeper (keeper/main.cpp) that ends it and all that it ever
// started: when told to, when the server ends, and when the gateway is gone. The keeper comes first and waits for what it is
// to run. Lives on the control core. Must have ended before it is destroyed.
class ChildProcess {
 public:
  // Forks and executes the keeper, an absolute path. Fault: unavailable.
  static Result<ChildProcess> prepare(Executor executor, std::string const& keeper, Seat seat);
  ChildProcess(ChildProcess&&) = default;
  ~ChildProcess();

  // Runs it, once, in a keeper that has told that it is seated. Blocks for an exec, about half a millisecond. Fault:
  // unavailable, with its errno; `ended` is to be awaited then too.
  Result<> launch(Launch const& launch);
  pid_t keeper() const noexcept { return keeper_; }
  // Its standard output and error; ends when every holder is gone.
  Descriptor& output() noexcept { return output_; }
  // To the server's group; SIGKILL: to all that it ever started, and to a keeper that runs nothing.
  void signal(int signal) noexcept { send(static_cast<unsigned char>(signal)); }
  // Answered by a report.
  void pause() noexcept { send(order_pause); }
  void resume() noexcept { send(order_resume); }
  // What the keeper tells next; not to be cancelled. `ended` and `lost` are the last.
  Task<Report> report();
  // The last of its reports: returns when nothing of it is left.
  Task<Report> ended();

  // Who is told what a child says, and what its keeper says of it.
  class Listener {
   public:
    virtual void on_output(std::string_view bytes) = 0;
    virtual void on_report(Report report) = 0;

   protected:
    ~Listener() = default;
  };
  // As ended, and tells `listener` meanwhile. What is in the pipe when nothing is left of the server is read up to
  // `rest_max` bytes: another may hold its other end.
  Task<Report> follow(Listener& listener, std::uint64_t rest_max);

 private:
  ChildProcess(pid_t keeper, Descriptor line, Descriptor output, Fd output_end)
      : keeper_(keeper), line_(std::move(line)), output_(std::move(output)), output_end_(std::move(output_end)) {}
  void send(unsigned char order) noexcept;
  Task<> pump(Listener& listener, bool const& is_final);
  pid_t keeper_;
  Descriptor line_;
  Descriptor output_;
  Fd output_end_;  // until the server has it
};

// "exited with status 3"
std::string describe(Report const& last);

}  // namespace nestgate::runtime
