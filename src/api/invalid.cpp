#include "invalid.hpp"

#include "nestgate/base/result.hpp"

namespace nestgate::api {

std::string message_of(Invalid const& invalid) {
  return (invalid.field.empty() ? std::string("the body") : invalid.field) + ": " + invalid.message;
}

void throw_exception_from_error(Invalid const&, boost::source_location const& at) {
  nestgate::throw_exception_from_error(Fault{FaultKind::bad_input, {}, "api.body"}, at);
}

}  // namespace nestgate::api
