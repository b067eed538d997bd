#pragma once

#include <cstdint>
#include <string_view>

#include "internals.hpp"
#include "lease.hpp"
#include "nestgate/net/stream_io.hpp"
#include "opened.hpp"

namespace nestgate::proxy {

// What goes through a tunnel, as far as it changes what the gateway does.
// agent_server: a close with 1000 or 1001 that the nested server sends first is passed on as 1012, since an SDK client
// takes it for an invitation to come back at once, a hundred times a second (agent_server_live.md 1.1).
// socket_io: a client is told in an event why its conversation was closed, and upkeep that comes as text is no use of it.
enum class Speaks : std::uint8_t { anything, agent_server, socket_io };

struct TunnelRoute {
  Opened opened;
  Speaks speaks;
};

// Joins a client and a nested server after the 101: raw bytes both ways, only frame heads are read. The tunnel owns both
// connections and itself; it ends with either side, by its limits, or by the drain. `from_client` and `from_nested` are
// bytes that were read already.
template <class Stream>
void start_tunnel(ProxyCore& proxy, Stream client, Lease nested, TunnelRoute route, std::string_view from_client,
                  std::string_view from_nested);

}  // namespace nestgate::proxy
