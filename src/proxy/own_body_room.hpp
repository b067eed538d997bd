#pragma once

#include <atomic>
#include <cstdint>

// What bodies of requests to own routes take together, whoever sends them. Any core.
namespace nestgate::proxy {

class OwnBodyRoom {
 public:
  bool has(std::uint64_t bytes, std::uint64_t bytes_max) const noexcept {
    auto const held = held_.load(std::memory_order_relaxed);
    return held <= bytes_max && bytes <= bytes_max - held;
  }
  // Takes nothing where there is no room for all of it.
  bool take(std::uint64_t bytes, std::uint64_t bytes_max) noexcept {
    auto held = held_.load(std::memory_order_relaxed);
    do {
      if (held > bytes_max || bytes > bytes_max - held) return false;  // the limit may have become less
    } while (!held_.compare_exchange_weak(held, held + bytes, std::memory_order_relaxed));
    return true;
  }
  void give_back(std::uint64_t bytes) noexcept { held_.fetch_sub(bytes, std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> held_{0};
};

// The part of it that one body has, given back at the latest with this. Only bytes that have come count: who announces a
// body and sends none of it takes no room from others.
class HeldOwnBody {
 public:
  explicit HeldOwnBody(OwnBodyRoom& room) noexcept : room_(room) {}
  HeldOwnBody(HeldOwnBody const&) = delete;
  ~HeldOwnBody() { end(); }

  bool grow_to(std::uint64_t bytes, std::uint64_t bytes_max) noexcept {
    if (!room_.take(bytes - held_, bytes_max)) return false;
    held_ = bytes;
    return true;
  }
  void end() noexcept {
    room_.give_back(held_);
    held_ = 0;
  }

 private:
  OwnBodyRoom& room_;
  std::uint64_t held_ = 0;
};

}  // namespace nestgate::proxy
