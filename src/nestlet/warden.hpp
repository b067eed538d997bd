#pragma once

#include <sys/types.h>

#include <optional>

namespace nestgate::nestlet {

// Two processes, so that no command outlives nestlet however it ends: the caller stays behind as the warden and its child,
// in a session of its own, goes on as the server. Both are subreapers: what a command leaves behind, whatever sessions and
// double forks it used, becomes the server's child, and the warden's when the server has died. Whichever of the two is
// left kills all of that and ends.
//
// The warden passes SIGTERM and SIGINT on and ends as the server did.
struct Split {
  std::optional<int> ended;  // in the warden, at the very end: the exit code
  pid_t warden = -1;         // in the server: who is signalled to stop it
};
// Call it before any thread is started. Nothing when the system cannot fork.
std::optional<Split> split_off_server();

// Kills every child, and what becomes a child by that, until none is left. Only at the very end, as a subreaper. Safe in a
// signal handler.
void kill_all_children();

}  // namespace nestgate::nestlet
