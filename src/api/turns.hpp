#pragma once

#include <map>
#include <string>

#include "nestgate/net/net.hpp"

namespace nestgate::api {

// One at a time for a key; the others wait. On one core; outlives its turns.
class Turns {
 public:
  class Turn {
   public:
    Turn(Turns& turns, std::string key) : turns_(&turns), key_(std::move(key)) {}
    Turn(Turn&& other) noexcept : turns_(std::exchange(other.turns_, nullptr)), key_(std::move(other.key_)) {}
    Turn& operator=(Turn&&) = delete;
    Turn(Turn const&) = delete;
    Turn& operator=(Turn const&) = delete;
    ~Turn() {
      if (turns_) turns_->end(key_);
    }

   private:
    Turns* turns_;
    std::string key_;
  };

  Task<Turn> take(std::string key) {
    auto executor = co_await asio::this_coro::executor;
    for (;;) {
      auto const [at, is_first] = taken_.try_emplace(key, executor, Clock::time_point::max());
      if (is_first) co_return Turn(*this, std::move(key));
      [[maybe_unused]] auto [ended] = co_await at->second.async_wait(no_throw);
    }
  }

 private:
  void end(std::string const& key) { taken_.erase(key); }  // wakes all who wait; the first of them is next

  std::map<std::string, Timer> taken_;
};

}  // namespace nestgate::api
