#include "nestlet/child_process.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <optional>

namespace nestgate::nestlet {
namespace {

struct Pipe {
  Fd read;
  Fd write;
};

std::optional<Pipe> make_pipe() {
  std::array<int, 2> ends;
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return std::nullopt;
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

// What the child tells its parent when it cannot become the shell.
struct ChildReport {
  enum class Stage : int { chdir, exec } stage;
  int error;
};

struct ChildPlan {
  char const* command;
  char const* directory;
  char* const* environment;
  pid_t parent;
  int out;
  int err;
  int report;
};

[[noreturn]] void fail(ChildPlan const& plan, ChildReport::Stage stage) {
  ChildReport const report{stage, errno};
  auto const ignored = ::write(plan.report, &report, sizeof report);
  static_cast<void>(ignored);
  ::_exit(127);
}

// Between fork and exec: only async-signal-safe calls, no allocation.
[[noreturn]] void become_shell(ChildPlan const& plan) {
  ::setsid();
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != plan.parent) ::_exit(127);  // the parent died before the line above
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  for (int const number : {SIGPIPE, SIGCHLD, SIGTERM, SIGINT, SIGHUP}) ::signal(number, SIG_DFL);
  int const null = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  ::dup2(null, STDIN_FILENO);
  ::dup2(plan.out, STDOUT_FILENO);
  ::dup2(plan.err, STDERR_FILENO);
  if (::chdir(plan.directory) != 0) fail(plan, ChildReport::Stage::chdir);
  // Asio opens its sockets without close-on-exec.
  ::syscall(SYS_close_range, 3u, ~0u, CLOSE_RANGE_CLOEXEC);
  char const* const bash[] = {"bash", "-c", plan.command, nullptr};
  char const* const sh[] = {"sh", "-c", plan.command, nullptr};
  ::execve("/bin/bash", const_cast<char* const*>(bash), plan.environment);
  ::execve("/bin/sh", const_cast<char* const*>(sh), plan.environment);
  fail(plan, ChildReport::Stage::exec);
}

}  // namespace

boost::system::result<ChildProcess, SpawnFault> spawn_shell(CommandLine const& line) {
  auto out = make_pipe();
  auto err = make_pipe();
  auto report = make_pipe();
  if (!out || !err || !report) return SpawnFault{errno, "pipe"};
  std::vector<char*> environment;
  environment.reserve(line.environment.size() + 1);
  for (auto const& entry : line.environment) environment.push_back(const_cast<char*>(entry.c_str()));
  environment.push_back(nullptr);
  ChildPlan const plan{line.command.c_str(), line.directory.c_str(), environment.data(), ::getpid(),
                       out->write.get(),     err->write.get(),       report->write.get()};
  pid_t const pid = ::fork();
  if (pid == 0) become_shell(plan);
  if (pid < 0) return SpawnFault{errno, "fork"};
  ChildProcess child{pid, Fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0u))), std::move(out->read),
                     std::move(err->read)};
  int const pidfd_error = child.pidfd ? 0 : errno;
  report->write = Fd();
  ChildReport said{};
  ssize_t n = 0;
  do n = ::read(report->read.get(), &said, sizeof said);
  while (n < 0 && errno == EINTR);
  if (n == 0 && pidfd_error == 0) return child;
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  if (pidfd_error != 0) return SpawnFault{pidfd_error, "pidfd_open"};
  return SpawnFault{said.error, said.stage == ChildReport::Stage::chdir ? "chdir" : "exec"};
}

int reap(ChildProcess const& child) {
  int status = 0;
  while (::waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace nestgate::nestlet
