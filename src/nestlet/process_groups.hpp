#pragma once

#include <sys/types.h>

#include <vector>

namespace nestgate::nestlet {

// The process groups of commands that have not wholly ended: a shell may leave background processes behind, and they stay
// until nestlet ends. A group is forgotten only when none of its members is left, so that its number cannot have been
// given to somebody else when it is killed.
class ProcessGroups {
 public:
  void enter(pid_t group);
  // The leader was reaped. What it left behind is kept in sight if it became ours (subreaper).
  void leave(pid_t group);
  // After SIGCHLD: reaps orphans that became ours and forgets groups that are empty. Only with PR_SET_CHILD_SUBREAPER,
  // in a process whose children are all its commands'.
  void sweep();
  void kill_lingering();

 private:
  std::vector<pid_t> led_;        // the leader lives, or is not reaped
  std::vector<pid_t> lingering_;  // the leader is gone
};

}  // namespace nestgate::nestlet
