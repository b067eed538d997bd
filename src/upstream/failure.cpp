#include "nestgate/upstream/failure.hpp"

#include <utility>

namespace nestgate::upstream {

void throw_exception_from_error(Failure const& failure, boost::source_location const& at) {
  nestgate::throw_exception_from_error(failure.fault, at);
}

Failure fail(FaultKind kind, std::string_view where, std::string reason) {
  return Failure{Fault{kind, {}, where}, std::move(reason)};
}

Failure failed(std::string_view step, Fault const& fault) {
  std::string reason(step);
  reason += ": ";
  switch (fault.kind) {
    case FaultKind::timed_out: reason += "timed out"; break;
    case FaultKind::too_large: reason += "the answer is too large"; break;
    case FaultKind::forbidden: reason += "the address is not a public one"; break;
    case FaultKind::cancelled: reason += "cancelled"; break;
    default: reason += fault.cause ? fault.cause.message() : std::string(to_string(fault.kind));
  }
  return Failure{fault, std::move(reason)};
}

Failure refused(std::string_view step, unsigned status) {
  std::string reason(step);
  reason += ": the server answered " + std::to_string(status);
  auto failure = fail(FaultKind::upstream, "upstream.refused", std::move(reason));
  failure.status = status;
  return failure;
}

}  // namespace nestgate::upstream
