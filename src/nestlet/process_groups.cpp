#include "nestlet/process_groups.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <string>

namespace nestgate::nestlet {
namespace {

// On the line: a group's number to watch it, the negative to forget it.
[[noreturn]] void stand_guard(int line) {
  ::setsid();
  ::prctl(PR_SET_NAME, "nestlet-warden");
  for (int const number : {SIGTERM, SIGINT, SIGHUP, SIGQUIT}) ::signal(number, SIG_IGN);
  int const null = ::open("/dev/null", O_RDWR);
  for (int const fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) ::dup2(null, fd);
  int const kept = 3;
  ::dup2(line, kept);
  ::syscall(SYS_close_range, static_cast<unsigned>(kept) + 1, ~0u, 0);
  auto const ignored = ::chdir("/");
  static_cast<void>(ignored);
  std::vector<pid_t> groups;
  for (;;) {
    pid_t said = 0;
    auto const n = ::read(kept, &said, sizeof said);
    if (n < 0 && errno == EINTR) continue;
    if (n != sizeof said) break;
    if (said > 0) {
      groups.push_back(said);
    } else {
      std::erase(groups, -said);
    }
  }
  for (pid_t const group : groups) ::kill(-group, SIGKILL);
  ::_exit(0);
}

// The children of the calling thread, as the kernel lists them.
std::vector<pid_t> children() {
  std::ifstream list("/proc/thread-self/children");
  std::vector<pid_t> out;
  for (pid_t pid = 0; list >> pid;) out.push_back(pid);
  return out;
}

}  // namespace

Warden Warden::start() {
  std::array<int, 2> ends;
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) return Warden(Fd());
  Fd mine(ends[0]);
  Fd const its(ends[1]);
  pid_t const pid = ::fork();
  if (pid == 0) {
    ::close(mine.release());
    stand_guard(its.get());
  }
  return Warden(pid > 0 ? std::move(mine) : Fd());
}

void Warden::watch(pid_t group) { say(group); }
void Warden::forget(pid_t group) { say(-group); }

void Warden::say(pid_t group) {
  if (line_) ::send(line_.get(), &group, sizeof group, MSG_NOSIGNAL);
}

void ProcessGroups::enter(pid_t group) {
  led_.push_back(group);
  if (warden_ != nullptr) warden_->watch(group);
}

void ProcessGroups::leave(pid_t group) {
  std::erase(led_, group);
  if (!reap_lingering(group)) {
    lingering_.push_back(group);
  } else if (warden_ != nullptr) {
    warden_->forget(group);
  }
}

// True when no child of ours is left in the group.
bool ProcessGroups::reap_lingering(pid_t group) {
  for (;;) {
    siginfo_t info{};
    if (::waitid(P_PGID, static_cast<id_t>(group), &info, WEXITED | WNOHANG) != 0) return errno == ECHILD;
    if (info.si_pid == 0) return false;
  }
}

void ProcessGroups::sweep() {
  std::erase_if(lingering_, [this](pid_t group) {
    if (!reap_lingering(group)) return false;
    if (warden_ != nullptr) warden_->forget(group);
    return true;
  });
  // Orphans in groups of their own. A leader that has just ended is left to the one who waits for it.
  for (pid_t const pid : children()) {
    if (std::find(led_.begin(), led_.end(), pid) == led_.end()) ::waitpid(pid, nullptr, WNOHANG);
  }
}

void ProcessGroups::kill_lingering() {
  for (pid_t const group : lingering_) ::kill(-group, SIGKILL);
}

void kill_all_children() {
  for (auto pids = children(); !pids.empty(); pids = children()) {
    for (pid_t const pid : pids) {
      ::kill(pid, SIGKILL);
      ::waitpid(pid, nullptr, 0);
    }
  }
}

}  // namespace nestgate::nestlet
