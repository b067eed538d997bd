#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "nestgate/base/secret.hpp"

namespace nestgate::upstream {

// With the system's randomness.
void fill_random(std::span<unsigned char> out);
// `bytes` of the system's randomness as lower-case hex.
std::string random_hex(std::size_t bytes);
// The same, for who holds it may.
Secret random_token(std::size_t bytes);
std::uint64_t random_number();
// A version 4 UUID as 32 lower-case hex digits.
std::string random_uuid_hex();
// A version 7 UUID (RFC 9562 section 5.7): ids that are made later sort behind, so that an index grows at its end.
std::string timed_uuid_hex(std::chrono::system_clock::time_point now);

}  // namespace nestgate::upstream
