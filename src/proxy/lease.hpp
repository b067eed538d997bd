#pragma once

#include <memory>
#include <utility>

#include "internals.hpp"

namespace nestgate::proxy {

// A connection to a nested server in use: counted until it is given back or closed.
class Lease {
 public:
  Lease() = default;
  Lease(ProxyCore& proxy, upstream::TargetPtr target, std::unique_ptr<upstream::Connection> connection)
      : proxy_(&proxy), target_(std::move(target)), connection_(std::move(connection)) {
    ++target_->in_use;
    proxy_->counters().upstream_in_use.add();
  }
  Lease(Lease&& other) noexcept
      : proxy_(other.proxy_), target_(std::move(other.target_)), connection_(std::move(other.connection_)) {
    other.target_ = nullptr;
  }
  Lease& operator=(Lease&& other) noexcept {
    if (this == &other) return *this;
    end();
    proxy_ = other.proxy_;
    target_ = std::exchange(other.target_, nullptr);
    connection_ = std::move(other.connection_);
    return *this;
  }
  ~Lease() { end(); }

  explicit operator bool() const noexcept { return connection_ != nullptr; }
  TcpSocket& socket() noexcept { return connection_->socket; }
  upstream::Connection& connection() noexcept { return *connection_; }
  upstream::Target& target() noexcept { return *target_; }
  // The last answer was read to its end and the peer keeps the connection.
  void give_back() {
    ++connection_->exchanges;
    target_->put_idle(std::move(connection_), ProxyCore::Internals::coarse_now(),
                      proxy_->config().limits.upstream_idle_connections_per_runtime_max);
    proxy_->internals().watch_idle(target_);
    end();
  }
  void end() noexcept {
    if (!target_) return;
    connection_.reset();
    --target_->in_use;
    proxy_->counters().upstream_in_use.sub();
    target_ = nullptr;
  }

 private:
  ProxyCore* proxy_ = nullptr;
  upstream::TargetPtr target_;
  std::unique_ptr<upstream::Connection> connection_;
};

}  // namespace nestgate::proxy
