#include "nestgate/base/result.hpp"

#include <stdexcept>
#include <string>

namespace nestgate {

std::string_view to_string(FaultKind kind) noexcept {
  switch (kind) {
    case FaultKind::bad_input: return "bad_input";
    case FaultKind::unauthorized: return "unauthorized";
    case FaultKind::forbidden: return "forbidden";
    case FaultKind::not_found: return "not_found";
    case FaultKind::conflict: return "conflict";
    case FaultKind::too_large: return "too_large";
    case FaultKind::overloaded: return "overloaded";
    case FaultKind::unavailable: return "unavailable";
    case FaultKind::timed_out: return "timed_out";
    case FaultKind::cancelled: return "cancelled";
    case FaultKind::upstream: return "upstream";
    case FaultKind::internal: return "internal";
  }
  return "internal";
}

void throw_exception_from_error(Fault const& fault, boost::source_location const&) {
  throw std::logic_error("value() on a fault at " + std::string(fault.where));
}

}  // namespace nestgate
