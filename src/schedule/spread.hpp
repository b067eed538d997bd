#pragma once

#include <cstdint>

namespace nestgate::schedule {

// Of a number that may be any of 64 bits the one in [0, count) that is as far along.
inline std::uint64_t spread_over(std::uint64_t number, std::uint64_t count) noexcept {
  std::uint64_t const high = number >> 32, low = number & 0xFFFF'FFFF;
  std::uint64_t const count_high = count >> 32, count_low = count & 0xFFFF'FFFF;
  // The upper half of the product of 128 bits.
  std::uint64_t const middle = high * count_low + (low * count_low >> 32);
  std::uint64_t const other = low * count_high + (middle & 0xFFFF'FFFF);
  return high * count_high + (middle >> 32) + (other >> 32);
}

}  // namespace nestgate::schedule
