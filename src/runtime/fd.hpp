#pragma once

#include <unistd.h>

#include <boost/system/system_category.hpp>
#include <utility>

#include "nestgate/base/result.hpp"

namespace nestgate::runtime {

// A descriptor that is closed when its owner dies; -1: none.
class Fd {
 public:
  explicit Fd(int value = -1) noexcept : value_(value) {}
  Fd(Fd&& other) noexcept : value_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (int const old = std::exchange(value_, other.release()); old >= 0) ::close(old);
    return *this;
  }
  ~Fd() {
    if (value_ >= 0) ::close(value_);
  }
  int get() const noexcept { return value_; }
  int release() noexcept { return std::exchange(value_, -1); }

 private:
  int value_;
};

// What the system said, of a step that may work later.
inline Fault system_fault(int error, std::string_view where) {
  return Fault{FaultKind::unavailable, {error, boost::system::system_category()}, where};
}

}  // namespace nestgate::runtime
