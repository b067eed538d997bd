#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "nestgate/base/counter.hpp"
#include "nestgate/http/route.hpp"

namespace nestgate::proxy {

inline constexpr std::size_t route_kinds = static_cast<std::size_t>(http::RouteKind::none) + 1;
inline constexpr std::size_t status_classes = 5;  // 1xx to 5xx

// Why a request, a connection or an upgrade was turned away by the gateway itself.
enum class Reject : std::uint8_t {
  bad_request,  // the strict parser
  unauthorized,
  not_found,
  runtime_not_running,
  overloaded,  // connection, upstream or backlog limits
  upgrade_rate,
  head_timeout,
  body_too_large,
  count_,
};
std::string_view to_string(Reject why) noexcept;
inline constexpr std::size_t reject_reasons = static_cast<std::size_t>(Reject::count_);

// How a websocket ended.
enum class TunnelEnd : std::uint8_t {
  client,
  nested_server,
  slow_client,
  dead_client,
  idle,
  drain,
  withdrawn,
  revoked,  // the key that opened it was withdrawn
  protocol_error,
  count_
};
std::string_view to_string(TunnelEnd why) noexcept;
inline constexpr std::size_t tunnel_ends = static_cast<std::size_t>(TunnelEnd::count_);

// One a core, written by its thread only, read by the scrape.
struct Stats {
  std::array<std::array<Counter, status_classes>, route_kinds> requests;
  // From the head's first byte to the answer's last, websockets left out.
  std::array<LatencyHistogram, route_kinds> duration;
  std::array<LatencyHistogram, route_kinds> upstream_wait;  // from the request sent to the answer's head
  std::array<Counter, reject_reasons> rejected;
  Counter connections_accepted;
  Gauge connections_open;  // tunnels included
  Counter tunnels_opened;
  Gauge tunnels_open;
  std::array<Counter, tunnel_ends> tunnels_ended;
  Gauge tunnel_backlog_bytes;
  Counter client_bytes_in, client_bytes_out;  // bodies and tunnels, without heads
  Counter upstream_connects, upstream_connect_failures;
  Counter upstream_reused, upstream_resent;
  Gauge upstream_in_use;
  Counter aliases_learnt;
};

}  // namespace nestgate::proxy
