#include "nestlet/warden.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <string_view>

namespace nestgate::nestlet {
namespace {

// Some children of the calling thread, as the kernel lists them; the first of them surely. 0 ends the list.
using Children = std::array<pid_t, 256>;
Children some_children() {
  Children out{};
  std::array<char, 4096> text;
  int const list = ::open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
  auto const n = list < 0 ? 0 : ::read(list, text.data(), text.size());
  if (list >= 0) ::close(list);
  std::string_view rest(text.data(), n > 0 ? static_cast<std::size_t>(n) : 0);
  // Each number is followed by a space; one without is cut off.
  for (std::size_t count = 0; count + 1 < out.size(); ++count) {
    auto const end = rest.find(' ');
    if (end == rest.npos) break;
    std::from_chars(rest.data(), rest.data() + end, out[count]);
    rest.remove_prefix(end + 1);
  }
  return out;
}

constexpr int killed = 127;

extern "C" void end_with_the_warden(int) {
  kill_all_children();
  ::_exit(killed);
}

// SIGHUP is how the kernel says that the warden is gone. In a handler, for the loop may be busy with the disk.
void become_server(pid_t warden) {
  ::setsid();  // what is sent to the warden's group is the warden's to pass on
  ::signal(SIGHUP, end_with_the_warden);
  ::prctl(PR_SET_PDEATHSIG, SIGHUP);
  if (::getppid() != warden) ::_exit(killed);  // it died before the line above
}

int exit_code_of(int status) {
  if (WIFEXITED(status)) return WEXITSTATUS(status);
  // As the server ended. What kills without a core already left one.
  ::prctl(PR_SET_DUMPABLE, 0);
  ::signal(WTERMSIG(status), SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::raise(WTERMSIG(status));
  return killed;
}

int stand_guard(pid_t server, sigset_t const& awaited) {
  ::prctl(PR_SET_NAME, "nestlet-warden");
  int status = 0;
  for (pid_t ended = 0; ended != server;) {
    int number = 0;
    if (::sigwait(&awaited, &number) == 0 && number != SIGCHLD) ::kill(server, number);
    ended = ::waitpid(server, &status, WNOHANG);
  }
  kill_all_children();
  return exit_code_of(status);
}

}  // namespace

std::optional<Split> split_off_server() {
  ::signal(SIGCHLD, SIG_DFL);  // inherited as ignored, it would hide the server's end
  sigset_t awaited;
  sigset_t before;
  ::sigemptyset(&awaited);
  for (int const number : {SIGTERM, SIGINT, SIGCHLD}) ::sigaddset(&awaited, number);
  ::sigprocmask(SIG_BLOCK, &awaited, &before);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  pid_t const warden = ::getpid();
  pid_t const server = ::fork();
  if (server < 0) return std::nullopt;
  if (server > 0) return Split{stand_guard(server, awaited), warden};
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  become_server(warden);
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
  return Split{std::nullopt, warden};
}

void kill_all_children() {
  for (auto pids = some_children(); pids.front() > 0; pids = some_children()) {
    // All of them before the first is waited for: less time for one to start another.
    for (pid_t const pid : pids) {
      if (pid > 0) ::kill(pid, SIGKILL);
    }
    for (pid_t const pid : pids) {
      while (pid > 0 && ::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
      }
    }
  }
}

}  // namespace nestgate::nestlet
