#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nestgate/net/core.hpp"

namespace nestgate::upstream {

using Endpoints = std::vector<asio::ip::tcp::endpoint>;

// The addresses of a host, in the system's order, never empty; at once for a literal. A cancel is obeyed at once, though
// the system's look-up goes on behind it. Faults: upstream (unknown name, or no answer), cancelled.
Task<Result<Endpoints>> resolve(std::string host, std::uint16_t port);

// The one to use: a server that listens on every address has both families, one that listens on one mostly has IPv4.
asio::ip::tcp::endpoint const& preferred(Endpoints const& found);

}  // namespace nestgate::upstream
