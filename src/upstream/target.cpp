#include "nestgate/upstream/target.hpp"

#include <sys/socket.h>

#include <algorithm>

namespace nestgate::upstream {

std::unique_ptr<Connection> Target::take_idle(Clock::time_point now, Clock::duration idle_max) {
  if (idle_.empty()) return nullptr;
  auto connection = std::move(idle_.back());
  idle_.pop_back();
  if (now - connection->idle_since < idle_max) return connection;
  idle_.clear();  // the youngest is too old, so all are
  return nullptr;
}

void Target::put_idle(std::unique_ptr<Connection> connection, Clock::time_point now, std::size_t idle_connections_max) {
  if (withdrawn_ || idle_.size() >= idle_connections_max) return;
  connection->idle_since = now;
  idle_.push_back(std::move(connection));
}

void Target::close_idle_before(Clock::time_point moment) {
  auto const old = [moment](auto const& connection) { return connection->idle_since < moment; };
  idle_.erase(idle_.begin(), std::find_if_not(idle_.begin(), idle_.end(), old));  // oldest first
}

bool peer_has_ended(TcpSocket& socket) noexcept {
  char byte;
  auto const got = ::recv(socket.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return got >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

}  // namespace nestgate::upstream
