#pragma once

#include <cstdint>

#include "nestgate/base/result.hpp"

namespace nestgate::runtime {

// A loopback TCP port that stays ours while a child binds and listens on it: bound with SO_REUSEADDR, never listening.
// Linux lets another socket with SO_REUSEADDR bind such a port by number, and hands it to nobody who asks for any port.
class PortLease {
 public:
  static Result<PortLease> take();
  PortLease(PortLease&& other) noexcept;
  PortLease& operator=(PortLease&&) = delete;
  ~PortLease();

  std::uint16_t port() const noexcept { return port_; }

 private:
  PortLease(int holder, std::uint16_t port) : holder_(holder), port_(port) {}
  int holder_;
  std::uint16_t port_;
};

}  // namespace nestgate::runtime
