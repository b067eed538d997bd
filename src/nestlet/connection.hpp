#pragma once

#include "nestlet/app.hpp"
#include "nestlet/net.hpp"

namespace nestgate::nestlet {

// What the server has to know of a connection to end it gently.
enum class ConnectionState : std::uint8_t { idle, busy };

// Serves one client's requests, one after the other, until either side closes or an answer says so. `state` is written
// here and read by the server; it outlives the coroutine.
Task<> serve_connection(App& app, Stream& stream, ConnectionState& state);

}  // namespace nestgate::nestlet
