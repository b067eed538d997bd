#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "nestgate/base/deadline.hpp"
#include "nestgate/net/net.hpp"
#include "nestgate/upstream/failure.hpp"
#include "nestgate/upstream/place.hpp"

namespace nestgate::nested {

// What a server says it uses. Servers of today's kind say nothing of it.
struct Resources {
  std::optional<std::uint64_t> memory_bytes;
  std::optional<double> cpu_percent;  // of one CPU
};

// Of the answer to GET /server_info (nested_server.md 3.1); empty where it is not as expected. Pure.
Resources parse_resources(std::string_view server_info);
// Faults: upstream (any status but 200 too), timed_out. On the control core; a cancel of the caller ends the call.
Task<upstream::Outcome<Resources>> ask_resources(upstream::Place at, Deadline by);

}  // namespace nestgate::nested
