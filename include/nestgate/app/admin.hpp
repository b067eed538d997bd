#pragma once

#include <prometheus/collectable.h>
#include <prometheus/metric_family.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nestgate/net/core.hpp"

namespace nestgate::app {

enum class Readiness : std::uint8_t { ready, starting, draining };

// What the admin address shows. All are called on the admin server's core.
struct AdminSources {
  std::function<Readiness()> readiness;
  std::vector<std::shared_ptr<prometheus::Collectable>> metrics;
  std::function<Task<std::string>()> routes;  // the routing table as JSON
};

struct AdminLimits {
  std::uint32_t connections_max = 64;  // beyond it a connection is closed at once
  std::uint32_t head_bytes_max = 16 * 1024;
  std::chrono::milliseconds head_time_max{10'000};
  std::chrono::milliseconds idle_time_max{60'000};
  std::chrono::milliseconds write_time_max{10'000};
};

// The operators' address: GET and HEAD of /healthz, /readyz, /metrics and /debug/routes; everything else is an error in
// the shape of operator.md "Over the wire". It asks for no credential. Lives on one core.
class AdminServer {
 public:
  AdminServer(Core& core, AdminSources sources, AdminLimits limits = {});

  // Binds, and returns the real address. Faults: bad_input with the system's code.
  Result<asio::ip::tcp::endpoint> listen(asio::ip::tcp::endpoint const& at);
  // Accepts until stop(). Once, after listen.
  void start();
  // Ends its connections and returns when none is left.
  Task<> stop();

 private:
  Task<> serve(TcpSocket socket);

  AdminSources sources_;
  AdminLimits limits_;
  TcpAcceptor acceptor_;
  std::uint32_t connections_ = 0;
  TaskGroup tasks_;
};

}  // namespace nestgate::app
