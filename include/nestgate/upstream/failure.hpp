#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "nestgate/base/result.hpp"

namespace nestgate::upstream {

// Why a step failed: the fault for programs, one sentence for people. The sentence is shown to the conversation's owner
// and logged, so it holds no secret, and of what a server answered at most a bounded, printable excerpt.
struct Failure {
  Fault fault;
  std::string reason;
  // Of an overloaded fault: the limit that was met and what was in use, where it counts things; 0: none such.
  std::uint32_t limit = 0, current = 0;
  unsigned status = 0;  // of an answer that refused the step; 0: there was none
};

template <class T = void>
using Outcome = boost::system::result<T, Failure>;

// Found by boost::system::result: value() on a failure is our bug.
[[noreturn]] void throw_exception_from_error(Failure const& failure, boost::source_location const& at);

// Of our own: `where` is a literal.
Failure fail(FaultKind kind, std::string_view where, std::string reason);
// "step: timed out", "step: Connection refused", …
Failure failed(std::string_view step, Fault const& fault);
// "step: the server answered 500"
Failure refused(std::string_view step, unsigned status);

}  // namespace nestgate::upstream
