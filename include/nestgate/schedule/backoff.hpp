#pragma once

#include <chrono>
#include <cstdint>

namespace nestgate::schedule {

// Pauses between attempts: each twice as long as the one before, up to a longest one, and then made uneven so that those
// who failed together do not come back together. Pure: the random number is the caller's.
struct Backoff {
  enum class Jitter : std::uint8_t {
    none,
    equal,  // from half of the pause to the whole of it
    full,   // from nothing to the whole of it
  };
  std::chrono::milliseconds first{1'000};
  std::chrono::milliseconds longest{300'000};
  Jitter jitter = Jitter::equal;

  // Before the retry that follows `failures` attempts (1: the first retry). `random` is any number, all equally likely.
  std::chrono::milliseconds pause(std::uint32_t failures, std::uint64_t random) const noexcept;
};

}  // namespace nestgate::schedule
