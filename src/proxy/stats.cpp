#include "nestgate/proxy/stats.hpp"

namespace nestgate::proxy {

std::string_view to_string(Reject why) noexcept {
  switch (why) {
    case Reject::bad_request: return "bad_request";
    case Reject::unauthorized: return "unauthorized";
    case Reject::not_found: return "not_found";
    case Reject::runtime_not_running: return "runtime_not_running";
    case Reject::overloaded: return "overloaded";
    case Reject::upgrade_rate: return "upgrade_rate";
    case Reject::head_timeout: return "head_timeout";
    case Reject::body_too_large: return "body_too_large";
    case Reject::count_: break;
  }
  return "unknown";
}

std::string_view to_string(TunnelEnd why) noexcept {
  switch (why) {
    case TunnelEnd::client: return "client";
    case TunnelEnd::nested_server: return "nested_server";
    case TunnelEnd::slow_client: return "slow_client";
    case TunnelEnd::dead_client: return "dead_client";
    case TunnelEnd::idle: return "idle";
    case TunnelEnd::drain: return "drain";
    case TunnelEnd::withdrawn: return "withdrawn";
    case TunnelEnd::revoked: return "revoked";
    case TunnelEnd::protocol_error: return "protocol_error";
    case TunnelEnd::count_: break;
  }
  return "unknown";
}

}  // namespace nestgate::proxy
