#pragma once

#include "nestgate/net/interruptible.hpp"

namespace nestgate::runtime {

// Ends the calls of a provider's own server for good, also those that a cancel of their caller does not end. On the control
// core; outlives its calls.
class Cut {
 public:
  explicit Cut(Executor control) : trip_(control, Clock::time_point::max()) {}

  void make() {
    is_made_ = true;
    trip_.cancel();
  }
  bool is_made() const noexcept { return is_made_; }

  // `call`, until it ends; unavailable once the cut is made.
  template <class T>
  Task<Result<T>> until_made(Task<Result<T>> call) {
    Fault const cut{FaultKind::unavailable, asio::error::operation_aborted, "runtime.cut"};
    if (is_made_) co_return cut;
    auto answer = co_await unless_tripped(trip_, std::move(call));
    if (answer) co_return std::move(*answer);
    if (is_made_) co_return cut;
    co_return Fault{FaultKind::cancelled, asio::error::operation_aborted, "runtime.call"};
  }

 private:
  Timer trip_;  // cancelled by make
  bool is_made_ = false;
};

}  // namespace nestgate::runtime
