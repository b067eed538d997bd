#pragma once

#include <sys/types.h>

#include <vector>

#include "nestlet/fd.hpp"

namespace nestgate::nestlet {

// A second process that outlives nestlet by a moment: when nestlet dies, however it dies, it kills the process groups of
// the commands that were still there. It runs in a session of its own and ignores the signals that stop nestlet.
class Warden {
 public:
  // Forks: call it before any thread is started. The warden holds none of the caller's files but /dev/null.
  static Warden start();

  void watch(pid_t group);
  void forget(pid_t group);

 private:
  explicit Warden(Fd line) : line_(std::move(line)) {}
  void say(pid_t group);
  Fd line_;
};

// The process groups of commands that have not wholly ended: a shell may leave background processes behind, and they stay
// until nestlet ends. A group is forgotten only when none of its members is left, so that its number cannot have been
// given to somebody else when it is killed.
class ProcessGroups {
 public:
  // `warden` may be null. The groups must be gone or killed before it dies.
  explicit ProcessGroups(Warden* warden) : warden_(warden) {}

  void enter(pid_t group);
  // The leader was reaped. What it left behind is kept in sight if it became ours (subreaper).
  void leave(pid_t group);
  // After SIGCHLD: reaps orphans that became ours and forgets groups that are empty. Only with PR_SET_CHILD_SUBREAPER,
  // in a process whose children are all its commands'.
  void sweep();
  void kill_lingering();

 private:
  bool reap_lingering(pid_t group);
  Warden* warden_;
  std::vector<pid_t> led_;        // the leader lives, or is not reaped
  std::vector<pid_t> lingering_;  // the leader is gone
};

// Kills every child, and what becomes a child by that, until none is left. Only at the very end, as a subreaper.
void kill_all_children();

}  // namespace nestgate::nestlet
