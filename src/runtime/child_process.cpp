#include "child_process.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/asio/read.hpp>
#include <boost/system/system_category.hpp>
#include <cerrno>
#include <utility>

#include "keeper_line.hpp"
#include "nestgate/base/invariant.hpp"

namespace nestgate::runtime {
namespace {

class Fd {
 public:
  explicit Fd(int value = -1) noexcept : value_(value) {}
  Fd(Fd&& other) noexcept : value_(other.release()) {}
  Fd& operator=(Fd&&) = delete;
  ~Fd() {
    if (value_ >= 0) ::close(value_);
  }
  int get() const noexcept { return value_; }
  int release() noexcept { return std::exchange(value_, -1); }

 private:
  int value_;
};

struct Pair {
  Fd ours;
  Fd theirs;
};

Fault fault_of(int error, std::string_view where) {
  return Fault{FaultKind::unavailable, {error, boost::system::system_category()}, where};
}

Result<Pair> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fault_of(errno, "runtime.pipe");
  return Pair{Fd(ends[0]), Fd(ends[1])};
}

Result<Pair> make_line() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return fault_of(errno, "runtime.line");
  return Pair{Fd(ends[0]), Fd(ends[1])};
}

// All that the child needs, made before the fork: between fork and exec only async-signal-safe calls are allowed.
struct ChildPlan {
  char const* keeper;
  char const* directory;
  std::vector<char*> arguments;
  std::vector<char*> environment;
  std::vector<std::pair<int, rlimit>> limits;
  int output;
  int line;
};

[[noreturn]] void give_up(int line) {
  int const error = errno;
  [[maybe_unused]] auto const told = ::write(line, &error, sizeof error);
  ::_exit(127);
}

// What the keeper inherits is what the server gets, but for the line and the session: a terminal's signals reach neither.
[[noreturn]] void become_keeper(ChildPlan const& plan) {
  if (::setsid() < 0) give_up(plan.line);
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  int const null = ::open("/dev/null", O_RDONLY);
  if (null < 0 || ::dup2(null, 0) < 0 || ::dup2(plan.output, 1) < 0 || ::dup2(plan.output, 2) < 0) give_up(plan.line);
  if (::dup2(plan.line, keeper_line) < 0) give_up(plan.line);
  if (::close_range(keeper_line + 1, ~0U, CLOSE_RANGE_CLOEXEC) != 0) give_up(keeper_line);
  if (::fcntl(keeper_line, F_SETFD, 0) != 0) give_up(keeper_line);
  if (::chdir(plan.directory) != 0) give_up(keeper_line);
  for (auto const& [resource, limit] : plan.limits)
    if (::setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) give_up(keeper_line);
  ::umask(077);
  ::execve(plan.keeper, plan.arguments.data(), plan.environment.data());
  give_up(keeper_line);
}

std::vector<std::pair<int, rlimit>> plan_limits(ResourceLimits const& limits) {
  std::vector<std::pair<int, rlimit>> out;
  auto const add = [&out](int resource, std::optional<std::uint64_t> value) {
    if (value) out.emplace_back(resource, rlimit{*value, *value});
  };
  add(RLIMIT_AS, limits.address_space_bytes);
  add(RLIMIT_NOFILE, limits.open_files);
  add(RLIMIT_NPROC, limits.processes);
  add(RLIMIT_CPU, limits.cpu_seconds);
  add(RLIMIT_FSIZE, limits.file_bytes);
  return out;
}

// execve takes its strings as not const, and does not write to them.
char* as_argument(char const* text) { return const_cast<char*>(text); }

// What a keeper tells first; its end without a word is one of its own.
int read_start(int line) {
  int error = 0;
  ssize_t told = 0;
  do told = ::read(line, &error, sizeof error);
  while (told < 0 && errno == EINTR);
  return told == static_cast<ssize_t>(sizeof error) ? error : ECHILD;
}

void reap(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

Result<ChildProcess> ChildProcess::start(Executor executor, Launch const& launch) {
  NESTGATE_TRY(output, make_pipe());
  NESTGATE_TRY(line, make_line());

  ChildPlan plan{};
  std::string const directory = launch.directory.string();
  plan.keeper = launch.keeper.c_str();
  plan.directory = directory.c_str();
  plan.arguments = {as_argument(keeper_program), as_argument(launch.program.c_str())};
  for (auto const& argument : launch.arguments) plan.arguments.push_back(as_argument(argument.c_str()));
  plan.arguments.push_back(nullptr);
  for (auto const& variable : launch.environment) plan.environment.push_back(as_argument(variable.c_str()));
  if (!launch.secret_variable.empty()) plan.environment.push_back(as_argument(launch.secret_variable.reveal().data()));
  plan.environment.push_back(nullptr);
  plan.limits = plan_limits(launch.limits);
  plan.output = output.theirs.get();
  plan.line = line.theirs.get();

  pid_t const keeper = ::fork();
  if (keeper < 0) return fault_of(errno, "runtime.fork");
  if (keeper == 0) become_keeper(plan);

  ::close(line.theirs.release());
  ::close(output.theirs.release());
  // Blocks for the two execs, about a millisecond.
  if (int const error = read_start(line.ours.get()); error != 0) {
    reap(keeper);
    return fault_of(error, "runtime.exec");
  }
  return ChildProcess(keeper, Descriptor(executor, line.ours.release()), Descriptor(executor, output.ours.release()));
}

ChildProcess::~ChildProcess() {
  // A moved-from child has given its descriptors away.
  NESTGATE_INVARIANT(!line_.is_open(), "a keeper that is not reaped stays a zombie");
}

void ChildProcess::signal(int signal) noexcept {
  char const byte = static_cast<char>(signal);
  [[maybe_unused]] auto const told = ::send(line_.native_handle(), &byte, 1, MSG_NOSIGNAL);  // it may have just ended
}

Task<std::string> ChildProcess::ended() {
  int status = 0;
  auto [ec, size] = co_await asio::async_read(line_, asio::buffer(&status, sizeof status), no_throw);
  NESTGATE_INVARIANT(ec != asio::error::operation_aborted, "who wants an end sooner sends SIGKILL");
  reap(keeper_);  // it told, or is dead: there is nothing to wait for
  error_code ignored;
  line_.close(ignored);
  if (ec) co_return "lost its keeper";
  if (WIFSIGNALED(status)) co_return "killed by signal " + std::to_string(WTERMSIG(status));
  co_return "exited with status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace nestgate::runtime
