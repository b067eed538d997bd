#include "child_process.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/read.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "nestgate/base/invariant.hpp"
#include "nestgate/net/task_group.hpp"

namespace nestgate::runtime {
namespace {

struct Pair {
  Fd ours;
  Fd theirs;
};

Result<Pair> make_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return system_fault(errno, "runtime.pipe");
  return Pair{Fd(ends[0]), Fd(ends[1])};
}

Result<Pair> make_line() {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return system_fault(errno, "runtime.line");
  return Pair{Fd(ends[0]), Fd(ends[1])};
}

// All that the child needs, made before the fork: between fork and exec only async-signal-safe calls are allowed.
struct KeeperPlan {
  char const* program;
  std::array<char*, 4> arguments;
  int line;
  std::array<int, seat_folders_max> folders;
  int folder_count;
};

[[noreturn]] void give_up(int line) {
  Report const report{Told::seated, errno};
  [[maybe_unused]] auto const told = ::write(line, &report, sizeof report);
  ::_exit(127);
}

// Copies `from` to the place that it is inherited at; those that stand in the way were moved above all such places.
void place(int from, int at, int line) {
  if (::dup2(from, at) < 0) give_up(line);
}

// A session of its own: a terminal's signals reach neither the keeper nor the server. What the keeper holds open is the
// line, and the folders of the groups.
[[noreturn]] void become_keeper(KeeperPlan const& plan) {
  constexpr int places_end = keeper_line + 1 + seat_folders_max;
  int const line = ::fcntl(plan.line, F_DUPFD, places_end);
  if (line < 0) give_up(plan.line);
  if (::setsid() < 0) give_up(line);
  for (int signal = 1; signal < NSIG; ++signal) ::signal(signal, SIG_DFL);
  std::array<int, seat_folders_max> folders{};
  for (std::size_t i = 0; i < static_cast<std::size_t>(plan.folder_count); ++i)
    if ((folders[i] = ::fcntl(plan.folders[i], F_DUPFD, places_end)) < 0) give_up(line);
  int const null = ::open("/dev/null", O_RDWR);
  if (null < 0) give_up(line);
  for (int standard = 0; standard <= STDERR_FILENO; ++standard) place(null, standard, line);
  place(line, keeper_line, line);
  for (int i = 0; i < plan.folder_count; ++i) place(folders[static_cast<std::size_t>(i)], keeper_line + 1 + i, line);
  auto const rest = static_cast<unsigned>(keeper_line + 1 + plan.folder_count);
  if (::close_range(rest, ~0U, CLOSE_RANGE_CLOEXEC) != 0) give_up(line);
  if (::chdir("/") != 0) give_up(line);
  char* const no_variables[] = {nullptr};
  ::execve(plan.program, plan.arguments.data(), no_variables);
  give_up(line);
}

// execve takes its strings as not const, and does not write to them.
char* as_argument(char const* text) { return const_cast<char*>(text); }

void reap(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

bool write_all(int file, void const* data, std::size_t size) {
  auto const* at = static_cast<char const*>(data);
  while (size > 0) {
    auto const written = ::write(file, at, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    at += written;
    size -= static_cast<std::size_t>(written);
  }
  return true;
}

bool write_string(int file, std::string_view text) {
  return write_all(file, text.data(), text.size()) && write_all(file, "", 1);
}

// A file of memory, so that a launch of any size is one message, and its secrets stand on no heap.
Result<Fd> write_launch(Launch const& launch) {
  Fd file(::memfd_create("launch", MFD_CLOEXEC));
  LaunchHead head{};
  head.arguments = static_cast<std::uint32_t>(launch.arguments.size());
  head.variables = static_cast<std::uint32_t>(launch.environment.size() + launch.secrets.size());
  head.limits = static_cast<std::uint32_t>(launch.limits.size());
  NESTGATE_INVARIANT(launch.limits.size() <= std::size(head.limit), "a launch has room for its limits");
  std::transform(launch.limits.begin(), launch.limits.end(), head.limit,
                 [](auto const& limit) { return LaunchHead::Limit{limit.first, limit.second}; });
  bool good = file.get() >= 0 && write_all(file.get(), &head, sizeof head) && write_string(file.get(), launch.program) &&
              write_string(file.get(), launch.directory.native());
  for (auto const& argument : launch.arguments) good = good && write_string(file.get(), argument);
  for (auto const& variable : launch.environment) good = good && write_string(file.get(), variable);
  for (auto const& variable : launch.secrets) good = good && write_string(file.get(), variable.reveal());
  if (!good) return system_fault(errno, "runtime.launch");
  return file;
}

bool send_descriptors(int line, int output, int file) {
  char byte = 0;
  iovec data{&byte, 1};
  int const passed[] = {output, file};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof passed)] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* const head = CMSG_FIRSTHDR(&message);
  head->cmsg_level = SOL_SOCKET;
  head->cmsg_type = SCM_RIGHTS;
  head->cmsg_len = CMSG_LEN(sizeof passed);
  std::memcpy(CMSG_DATA(head), passed, sizeof passed);
  return ::sendmsg(line, &message, MSG_NOSIGNAL) == 1;
}

// errno of the start; the end of the line without a word is one of the keeper's own.
int read_started(int line) {
  Report report{};
  auto* at = reinterpret_cast<char*>(&report);
  for (std::size_t got = 0; got < sizeof report;) {
    pollfd readable{line, POLLIN, 0};
    if (::poll(&readable, 1, -1) < 0 && errno != EINTR) return errno;
    auto const size = ::read(line, at + got, sizeof report - got);
    if (size < 0 && (errno == EAGAIN || errno == EINTR)) continue;
    if (size <= 0) return ECHILD;
    got += static_cast<std::size_t>(size);
  }
  return report.what == Told::started ? report.value : ECHILD;
}

}  // namespace

Result<ChildProcess> ChildProcess::prepare(Executor executor, std::string const& keeper, Seat seat) {
  NESTGATE_TRY(output, make_pipe());
  NESTGATE_TRY(line, make_line());
  NESTGATE_INVARIANT(seat.folders.size() <= seat_folders_max, "a keeper has places for its folders");

  char folders[] = {static_cast<char>('0' + seat.folders.size()), '\0'};
  char freezer[] = {static_cast<char>(seat.freezer), '\0'};
  KeeperPlan plan{};
  plan.program = keeper.c_str();
  plan.arguments = {as_argument(keeper_program), folders, freezer, nullptr};
  plan.line = line.theirs.get();
  plan.folder_count = static_cast<int>(seat.folders.size());
  std::transform(seat.folders.begin(), seat.folders.end(), plan.folders.begin(), [](Fd const& fd) { return fd.get(); });

  pid_t const keeper_id = ::fork();
  if (keeper_id < 0) return system_fault(errno, "runtime.fork");
  if (keeper_id == 0) become_keeper(plan);
  return ChildProcess(keeper_id, Descriptor(executor, line.ours.release()), Descriptor(executor, output.ours.release()),
                      std::move(output.theirs));
}

ChildProcess::~ChildProcess() {
  // A moved-from child has given its descriptors away.
  NESTGATE_INVARIANT(!line_.is_open(), "a keeper that is not reaped stays a zombie");
}

Result<> ChildProcess::launch(Launch const& launch) {
  Fd const output = std::move(output_end_);
  auto const file = write_launch(launch);
  if (!file) return file.error();
  if (!send_descriptors(line_.native_handle(), output.get(), file->get())) return system_fault(errno, "runtime.launch");
  if (int const error = read_started(line_.native_handle()); error != 0) return system_fault(error, "runtime.exec");
  return Result<>{};
}

void ChildProcess::send(unsigned char order) noexcept {
  [[maybe_unused]] auto const told = ::send(line_.native_handle(), &order, 1, MSG_NOSIGNAL);  // it may have just ended
}

Task<Report> ChildProcess::report() {
  Report report{Told::lost, 0};
  if (!line_.is_open()) co_return report;
  auto [ec, size] = co_await asio::async_read(line_, asio::buffer(&report, sizeof report), no_throw);
  NESTGATE_INVARIANT(ec != asio::error::operation_aborted, "who wants an end sooner sends SIGKILL");
  if (ec) report = Report{Told::lost, 0};
  if (report.what == Told::ended || report.what == Told::lost) {
    reap(keeper_);  // it told, or is dead: there is nothing to wait for
    error_code ignored;
    line_.close(ignored);
  }
  co_return report;
}

Task<Report> ChildProcess::ended() {
  for (;;) {
    Report const last = co_await report();
    if (last.what == Told::ended || last.what == Told::lost) co_return last;
  }
}

Task<> ChildProcess::pump(Listener& listener, bool const& is_final) {
  std::array<char, 16 * 1024> buffer;
  while (!is_final) {
    auto [ec, size] = co_await output_.async_read_some(asio::buffer(buffer), no_throw);
    listener.on_output(std::string_view(buffer.data(), size));
    if (ec) co_return;
  }
}

Task<Report> ChildProcess::follow(Listener& listener, std::uint64_t rest_max) {
  TaskGroup pumps(output_.get_executor());
  bool is_final = false;
  pumps.spawn("runtime.pump", pump(listener, is_final));
  Report last{};
  for (last = co_await report(); last.what != Told::ended && last.what != Told::lost; last = co_await report())
    listener.on_report(last);
  is_final = true;
  error_code ec;
  output_.cancel(ec);
  [[maybe_unused]] auto joined = co_await pumps.join();
  std::array<char, 16 * 1024> buffer;
  output_.non_blocking(true, ec);
  while (!ec && rest_max > 0) {
    auto const size = output_.read_some(asio::buffer(buffer), ec);
    listener.on_output(std::string_view(buffer.data(), size));
    rest_max -= std::min<std::uint64_t>(rest_max, size);
  }
  output_.close(ec);
  co_return last;
}

std::string describe(Report const& last) {
  if (last.what == Told::lost) return "lost its keeper";
  if (WIFSIGNALED(last.value)) return "killed by signal " + std::to_string(WTERMSIG(last.value));
  return "exited with status " + std::to_string(WEXITSTATUS(last.value));
}

}  // namespace nestgate::runtime
