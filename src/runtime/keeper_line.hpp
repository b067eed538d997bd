#pragma once

namespace nestgate::runtime {

// The line between the gateway and a keeper, a stream socket: to the gateway go two ints, errno of the server's start (0: it
// runs) and, when nothing is left of it, its wait status. To the keeper go bytes, each the number of a signal for the
// server's group; SIGKILL, or the end of the line, ends all that the server ever started.
inline constexpr int keeper_line = 3;  // the keeper's end
inline constexpr char keeper_program[] = "nestgate-keeper";

}  // namespace nestgate::runtime
