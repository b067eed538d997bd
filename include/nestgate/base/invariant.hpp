#pragma once

#include <source_location>

namespace nestgate {

// A broken invariant is our bug, so the process stops; bad input and a lost peer are Faults.
[[noreturn]] void invariant_failed(char const* text, char const* why, std::source_location at);

}  // namespace nestgate

// `why` says why `cond` must hold, not that it does not.
#define NESTGATE_INVARIANT(cond, why) \
  ((cond) ? void() : ::nestgate::invariant_failed(#cond, why, std::source_location::current()))
