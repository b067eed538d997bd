#pragma once

#include <cstdint>
#include <string_view>

#include "internals.hpp"
#include "lease.hpp"
#include "nestgate/net/stream_io.hpp"

namespace nestgate::proxy {

// What becomes of a close with 1000 or 1001 that the nested server sends first: an SDK client takes it for an invitation
// to come back at once, a hundred times a second (agent_server_live.md 1.1), so on its sockets it is passed on as 1012.
enum class RelayGoingAway : std::uint8_t { as_it_is, as_service_restart };

struct TunnelRoute {
  conversation::EntryPtr entry;
  RelayGoingAway going_away;
};

// Joins a client and a nested server after the 101: raw bytes both ways, only frame heads are read. The tunnel owns both
// connections and itself; it ends with either side, by its limits, or by the drain. `from_client` and `from_nested` are
// bytes that were read already.
template <class Stream>
void start_tunnel(ProxyCore& proxy, Stream client, Lease nested, TunnelRoute route, std::string_view from_client,
                  std::string_view from_nested);

}  // namespace nestgate::proxy
