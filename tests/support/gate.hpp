#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>

#include "support/loopback.hpp"

namespace nestgate::test {

// Holds a server's thread until the test, on its own, has seen what is there meanwhile; not for ever.
class Gate {
 public:
  ~Gate() { open(); }
  void open() {
    std::lock_guard const lock(mutex_);
    is_open_ = true;
    opened_.notify_all();
  }
  void close() {
    std::lock_guard const lock(mutex_);
    is_open_ = false;
  }
  void pass() {
    std::unique_lock lock(mutex_);
    opened_.wait_for(lock, std::chrono::milliseconds(patience_ms), [this] { return is_open_; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool is_open_ = false;
};

}  // namespace nestgate::test
