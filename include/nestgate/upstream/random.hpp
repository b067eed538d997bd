#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace nestgate::upstream {

// With the system's randomness.
void fill_random(std::span<unsigned char> out);
// `bytes` of the system's randomness as lower-case hex; good for tokens.
std::string random_hex(std::size_t bytes);
// A version 4 UUID as 32 lower-case hex digits.
std::string random_uuid_hex();

}  // namespace nestgate::upstream
