#pragma once

#include <string_view>

#include "nestgate/http/head.hpp"
#include "nestgate/proxy/config.hpp"

namespace nestgate::proxy {

// Whether a request is a user's act, by the rules. `target` as the nested server sees it, without a routing prefix. Pure.
bool is_act(WakeRules const& rules, http::RequestHead const& head, std::string_view target);

// A GET of Socket.IO's long polling that waits for what its session is told. `target` as above.
bool is_long_poll(http::RequestHead const& head, std::string_view target);

// A frame of Engine.IO or Socket.IO that no user has sent (pong, probe, upgrade, connect) is no longer than this.
inline constexpr std::uint8_t socket_io_upkeep_bytes_max = 8;

}  // namespace nestgate::proxy
