#include "child_process.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <boost/system/system_category.hpp>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <utility>

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

struct Pipe {
  Fd read;
  Fd write;
};

Fault fault_of(int error, std::string_view where) {
  return Fault{FaultKind::unavailable, {error, boost::system::system_category()}, where};
}

Result<Pipe> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fault_of(errno, "runtime.pipe");
  return Pipe{Fd(ends[0]), Fd(ends[1])};
}

// All that the child needs, made before the fork: between fork and exec only async-signal-safe calls are allowed.
struct ChildPlan {
  char const* program;
  char const* directory;
  std::vector<char*> arguments;
  std::vector<char*> environment;
  std::vector<std::pair<int, rlimit>> limits;
  pid_t parent;
  int output;
  int trouble;  // gets errno; closed by exec
};

[[noreturn]] void give_up(int trouble) {
  int const error = errno;
  [[maybe_unused]] auto const told = ::write(trouble, &error, sizeof error);
  ::_exit(127);
}

[[noreturn]] void run_child(ChildPlan const& plan) {
  if (::setsid() < 0) give_up(plan.trouble);
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(plan.trouble);
  if (::getppid() != plan.parent) ::_exit(127);  // it died before the line above
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  int const null = ::open("/dev/null", O_RDONLY);
  if (null < 0 || ::dup2(null, 0) < 0 || ::dup2(plan.output, 1) < 0 || ::dup2(plan.output, 2) < 0) give_up(plan.trouble);
  if (::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) give_up(plan.trouble);
  if (::chdir(plan.directory) != 0) give_up(plan.trouble);
  for (auto const& [resource, limit] : plan.limits)
    if (::setrlimit(static_cast<__rlimit_resource>(resource), &limit) != 0) give_up(plan.trouble);
  ::umask(077);
  ::execve(plan.program, plan.arguments.data(), plan.environment.data());
  give_up(plan.trouble);
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

// The session of a process; 0 when it is gone.
pid_t session_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string stat;
  std::getline(file, stat);
  auto const name_end = stat.rfind(')');  // the name may hold anything
  if (name_end == stat.npos) return 0;
  std::string_view rest = std::string_view(stat).substr(name_end + 2);
  for (int skipped = 0; skipped < 3; ++skipped)
    rest.remove_prefix(std::min(rest.find(' ') + 1, rest.size()));  // state ppid pgrp
  pid_t session = 0;
  std::from_chars(rest.data(), rest.data() + rest.size(), session);
  return session;
}

}  // namespace

Result<ChildProcess> ChildProcess::start(Executor executor, Launch const& launch) {
  NESTGATE_TRY(output, make_pipe());
  NESTGATE_TRY(trouble, make_pipe());

  ChildPlan plan{};
  std::string const directory = launch.directory.string();
  plan.program = launch.program.c_str();
  plan.directory = directory.c_str();
  for (auto const& argument : launch.arguments) plan.arguments.push_back(as_argument(argument.c_str()));
  plan.arguments.push_back(nullptr);
  for (auto const& variable : launch.environment) plan.environment.push_back(as_argument(variable.c_str()));
  if (!launch.secret_variable.empty()) plan.environment.push_back(as_argument(launch.secret_variable.reveal().data()));
  plan.environment.push_back(nullptr);
  plan.limits = plan_limits(launch.limits);
  plan.parent = ::getpid();
  plan.output = output.write.get();
  plan.trouble = trouble.write.get();

  pid_t const pid = ::fork();
  if (pid < 0) return fault_of(errno, "runtime.fork");
  if (pid == 0) run_child(plan);

  ::close(trouble.write.release());
  ::close(output.write.release());
  // Blocks until the child's exec closed the pipe: well under a millisecond, and vfork would block as long.
  int error = 0;
  auto told = ::read(trouble.read.get(), &error, sizeof error);
  while (told < 0 && errno == EINTR) told = ::read(trouble.read.get(), &error, sizeof error);
  Fd watch(error == 0 ? static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)) : -1);
  if (watch.get() < 0) {
    if (error == 0) error = errno;
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
    return fault_of(error, "runtime.exec");
  }
  return ChildProcess(pid, Descriptor(executor, watch.release()), Descriptor(executor, output.read.release()));
}

ChildProcess::~ChildProcess() {
  // A moved-from child has given its descriptors away.
  NESTGATE_INVARIANT(!watch_.is_open(), "a child that is not reaped stays a zombie");
}

Task<Result<>> ChildProcess::ended() {
  auto [ec] = co_await watch_.async_wait(asio::posix::descriptor_base::wait_read, no_throw);
  if (ec) co_return Fault{FaultKind::cancelled, ec, "runtime.watch"};
  co_return Result<>{};
}

void ChildProcess::signal_group(int signal) const noexcept { ::kill(-pid_, signal); }

void ChildProcess::signal_session(int signal) const noexcept {
  ::kill(-pid_, signal);
  std::error_code ignored;
  for (auto const& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    std::string const name = entry.path().filename();
    pid_t pid = 0;
    auto const [end, bad] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (bad == std::errc{} && *end == '\0' && session_of(pid) == pid_) ::kill(pid, signal);
  }
}

std::string ChildProcess::reap() {
  signal_session(SIGKILL);  // before the reaping: afterwards the session's id may be somebody else's
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  error_code ignored;
  watch_.close(ignored);
  if (WIFSIGNALED(status)) return "killed by signal " + std::to_string(WTERMSIG(status));
  return "exited with status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace nestgate::runtime
