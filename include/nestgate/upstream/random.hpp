#pragma once

#include <cstddef>
#include <string>

namespace nestgate::upstream {

// `bytes` of the system's randomness as lower-case hex; good for tokens.
std::string random_hex(std::size_t bytes);
// A version 4 UUID as 32 lower-case hex digits.
std::string random_uuid_hex();

}  // namespace nestgate::upstream
