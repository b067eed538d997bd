#include "invalid.hpp"

#include "nestgate/base/result.hpp"

namespace nestgate::api {

void throw_exception_from_error(Invalid const&, boost::source_location const& at) {
  nestgate::throw_exception_from_error(Fault{FaultKind::bad_input, {}, "api.body"}, at);
}

}  // namespace nestgate::api
