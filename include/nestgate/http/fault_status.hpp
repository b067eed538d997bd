#pragma once

#include <string_view>

#include "nestgate/base/result.hpp"

namespace nestgate::http {

// The only place where a fault becomes an HTTP status. No `default:`, so the compiler names the kind somebody forgot.
constexpr unsigned http_status(FaultKind kind) {
  switch (kind) {
    case FaultKind::bad_input: return 400;
    case FaultKind::unauthorized: return 401;
    case FaultKind::forbidden: return 403;
    case FaultKind::not_found: return 404;
    case FaultKind::conflict: return 409;
    case FaultKind::too_large: return 413;
    case FaultKind::overloaded: return 503;
    case FaultKind::unavailable: return 503;
    case FaultKind::timed_out: return 504;
    case FaultKind::cancelled: return 499;
    case FaultKind::upstream: return 502;
    case FaultKind::internal: return 500;
  }
  return 500;
}

// As registered with IANA; empty for a status without one.
std::string_view reason_phrase(unsigned status) noexcept;

}  // namespace nestgate::http
