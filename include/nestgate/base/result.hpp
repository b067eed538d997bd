#pragma once

#include <boost/assert/source_location.hpp>
#include <boost/system/error_code.hpp>
#include <boost/system/result.hpp>
#include <cstdint>
#include <string_view>

namespace nestgate {

// What went wrong, by what the caller can do about it. `http_status` (http/fault_status.hpp) maps it to a status.
enum class FaultKind : std::uint8_t {
  bad_input,
  unauthorized,
  forbidden,
  not_found,
  conflict,
  too_large,
  overloaded,
  unavailable,  // starting or restarting: the same call may work later
  timed_out,
  cancelled,
  upstream,
  internal,
};

std::string_view to_string(FaultKind kind) noexcept;

// Trivially destructible on purpose: g++ 12 destroys some temporaries in co_await statements twice.
struct Fault {
  FaultKind kind;
  boost::system::error_code cause{};  // what the system said, if anything
  std::string_view where{};           // a string literal: "upstream.connect"
};

template <class T = void>
using Result = boost::system::result<T, Fault>;

// Found by boost::system::result: value() on a fault is our bug.
[[noreturn]] void throw_exception_from_error(Fault const& fault, boost::source_location const& at);

}  // namespace nestgate

#define NESTGATE_TRY(name, expr)                    \
  auto name##_result = (expr);                      \
  if (!name##_result) return name##_result.error(); \
  auto& name = *name##_result

#define NESTGATE_TRY_VOID(expr) \
  if (auto nestgate_try_result = (expr); !nestgate_try_result) return nestgate_try_result.error()

// Binds `name` to the value, or returns the fault from the coroutine. `expr` is usually a co_await.
#define NESTGATE_CO_TRY(name, expr)                    \
  auto name##_result = (expr);                         \
  if (!name##_result) co_return name##_result.error(); \
  auto& name = *name##_result

#define NESTGATE_CO_TRY_VOID(expr) \
  if (auto nestgate_try_result = (expr); !nestgate_try_result) co_return nestgate_try_result.error()
