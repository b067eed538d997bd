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
#include "nestgate/proxy/own_routes.hpp"

namespace nestgate::app {

enum class Readiness : std::uint8_t {
  ready,
  starting,
  draining,
  store_unusable,  // what runs is served; nothing can be remembered
};

// A request below /api/. HEAD is given as GET.
struct AdminRequest {
  enum class Method : std::uint8_t { get, post } method = Method::get;
  std::string path;
  std::string query;
};

struct AdminAnswer {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body = {};
  std::string code = {}, message = {};            // of an error: written in the shape of all errors, instead of `body`
  std::string allow = {};                         // of a 405
  std::shared_ptr<proxy::ApiStream> stream = {};  // instead of `body`: piece by piece, as long as it lasts
};

// What the admin address shows. All are called on the admin server's core.
struct AdminSources {
  std::function<Readiness()> readiness;
  std::vector<std::shared_ptr<prometheus::Collectable>> metrics;
  std::function<Task<std::string>()> routes;                         // the routing table as JSON
  std::function<Task<AdminAnswer>(AdminRequest request)> operators;  // what is below /api/; empty: nothing
};

struct AdminLimits {
  std::uint32_t connections_max = 64;  // beyond it a connection is closed at once
  std::uint32_t head_bytes_max = 16 * 1024;
  std::chrono::milliseconds head_time_max{10'000};
  std::chrono::milliseconds idle_time_max{60'000};
  std::chrono::milliseconds write_time_max{10'000};
};

// The operators' address: GET and HEAD of /healthz, /readyz, /metrics and /debug/routes, and below /api/ what operators
// ask and do; everything else is an error in the shape of operator.md "Over the wire". It asks for no credential, so a web
// page that an operator's browser shows must not get through: below /api/ a request with an Origin is refused (browsers
// send one with every POST and with whatever crosses origins, also to a name that was rebound to this address), and a POST
// must carry `X-Nestgate-Operator: 1`, which no form can. Lives on one core.
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
