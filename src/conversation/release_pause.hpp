#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace nestgate::conversation {

// How long a release waits before its next try: 200 ms, then twice as long each time, up to 5 s.
inline std::chrono::milliseconds release_pause(std::uint32_t try_number) {
  constexpr std::chrono::milliseconds min{100}, max{5'000};
  return std::min(min * (1 << std::min(try_number, 6U)), max);
}

}  // namespace nestgate::conversation
