#include "port_lease.hpp"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/system/system_category.hpp>
#include <cerrno>
#include <utility>

namespace nestgate::runtime {

Result<PortLease> PortLease::take() {
  auto const fault = [] { return Fault{FaultKind::unavailable, {errno, boost::system::system_category()}, "runtime.port"}; };
  int const holder = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (holder < 0) return fault();
  PortLease lease(holder, 0);  // closes on every return
  int const on = 1;
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  auto* const address = reinterpret_cast<sockaddr*>(&at);
  if (::setsockopt(holder, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0) return fault();
  if (::bind(holder, address, size) != 0) return fault();
  if (::getsockname(holder, address, &size) != 0) return fault();
  lease.port_ = ntohs(at.sin_port);
  return lease;
}

PortLease::PortLease(PortLease&& other) noexcept : holder_(std::exchange(other.holder_, -1)), port_(other.port_) {}

PortLease::~PortLease() {
  if (holder_ >= 0) ::close(holder_);
}

}  // namespace nestgate::runtime
