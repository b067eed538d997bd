#pragma once

#include <cstdint>

// What the gateway and a keeper say to each other, over a stream socket between them.
namespace nestgate::runtime {

inline constexpr int keeper_line = 3;  // the keeper's end
inline constexpr char keeper_program[] = "nestgate-keeper";

// What a keeper gets on its command line: how many folders of cgroups it has open, from keeper_line + 1 on, and which kind
// of freezer the last of them is.
enum class Freezer : char { none = '-', v1 = '1', v2 = '2' };
inline constexpr int seat_folders_max = 4;

// To the gateway.
enum class Told : std::int32_t {
  seated,   // 0: the process that is to be the server is in its cgroups; else errno, and the keeper ends
  started,  // 0: the server runs; else errno, and the keeper ends
  paused,   // 0, or errno
  resumed,  // 0, or errno
  ended,    // nothing of the server is left; its wait status
  lost,     // never sent: the line ended
};
struct Report {
  Told what;
  std::int32_t value;
};

// To the keeper, one byte each: the number of a signal for the server's group, or one of these. SIGKILL, or the end of the
// line, ends all that the server ever started; any other signal resumes it first.
inline constexpr unsigned char order_pause = 0x80;
inline constexpr unsigned char order_resume = 0x81;

// The first message to the keeper, before any order: one byte, with two descriptors, the server's output and a file of
// memory that holds this and behind it, each ended by NUL, program, directory, arguments and variables.
struct LaunchHead {
  std::uint32_t arguments;
  std::uint32_t variables;
  std::uint32_t limits;
  struct Limit {
    std::int32_t resource;
    std::uint64_t value;
  } limit[8];
};

}  // namespace nestgate::runtime
