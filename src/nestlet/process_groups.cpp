#include "nestlet/process_groups.hpp"

#include <sys/wait.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <fstream>

namespace nestgate::nestlet {
namespace {

// The children of the calling thread, as the kernel lists them.
std::vector<pid_t> children() {
  std::ifstream list("/proc/thread-self/children");
  std::vector<pid_t> out;
  for (pid_t pid = 0; list >> pid;) out.push_back(pid);
  return out;
}

// True when no child of ours is left in the group.
bool reap_lingering(pid_t group) {
  for (;;) {
    siginfo_t info{};
    if (::waitid(P_PGID, static_cast<id_t>(group), &info, WEXITED | WNOHANG) != 0) return errno == ECHILD;
    if (info.si_pid == 0) return false;
  }
}

}  // namespace

void ProcessGroups::enter(pid_t group) { led_.push_back(group); }

void ProcessGroups::leave(pid_t group) {
  std::erase(led_, group);
  if (!reap_lingering(group)) lingering_.push_back(group);
}

void ProcessGroups::sweep() {
  std::erase_if(lingering_, [](pid_t group) { return reap_lingering(group); });
  // Orphans in groups of their own. A leader that has just ended is left to the one who waits for it.
  for (pid_t const pid : children()) {
    if (std::find(led_.begin(), led_.end(), pid) == led_.end()) ::waitpid(pid, nullptr, WNOHANG);
  }
}

void ProcessGroups::kill_lingering() {
  for (pid_t const group : lingering_) ::kill(-group, SIGKILL);
}

}  // namespace nestgate::nestlet
