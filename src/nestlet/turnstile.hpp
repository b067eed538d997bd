#pragma once

#include "nestlet/net.hpp"

namespace nestgate::nestlet {

// Lets one coroutine in at a time. Outlives its passes.
class Turnstile {
 public:
  explicit Turnstile(Executor executor) : freed_(executor, Clock::time_point::max()) {}

  class [[nodiscard]] Pass {
   public:
    explicit Pass(Turnstile& of) : of_(&of) {}
    Pass(Pass&& other) noexcept : of_(std::exchange(other.of_, nullptr)) {}
    Pass& operator=(Pass&&) = delete;
    ~Pass() {
      if (of_ == nullptr) return;
      of_->taken_ = false;
      of_->freed_.cancel_one();
    }

   private:
    Turnstile* of_;
  };

  // A cancelled caller gets in as well: what it does next ends soon.
  Task<Pass> enter() {
    while (taken_ && !told_to_stop(co_await asio::this_coro::cancellation_state)) co_await freed_.async_wait(no_throw);
    taken_ = true;
    co_return Pass(*this);
  }

 private:
  Timer freed_;
  bool taken_ = false;
};

}  // namespace nestgate::nestlet
