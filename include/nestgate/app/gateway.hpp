#pragma once

#include <memory>
#include <string>
#include <vector>

#include "nestgate/app/admin.hpp"
#include "nestgate/app/settings.hpp"
#include "nestgate/net/core.hpp"

namespace nestgate::app {

// Where the gateway listens, with real ports.
struct Addresses {
  std::vector<std::string> client;
  std::vector<std::string> client_tls;
  std::string admin;
};

// The whole program but for signals and files: built from settings, started, reloaded and drained. Lives on the control
// core, which the caller runs, and outlives it nowhere.
class Gateway {
 public:
  Gateway(Core& control, Settings settings);
  Gateway(Gateway const&) = delete;
  Gateway& operator=(Gateway const&) = delete;
  ~Gateway();

  // Binds every address, publishes the static runtimes, starts the cores. What is wrong is one line for the operator; all
  // that was begun has ended then, and only the destructor may be called.
  Task<bool> start(std::string& problem);
  Addresses const& addresses() const noexcept;
  // Takes what can change while it runs: keys, secrets, routing, limits, times, certificates. `problem` is set, and
  // nothing changed, when a certificate cannot be read.
  Task<bool> reload(Settings next, std::string& problem);
  void reopen_logs();
  // Phase one: no new connections, what runs may finish within `timeouts.drain_grace`; phase two: the rest is cut, then
  // runs and runtimes are ended, which waits no longer than `close_time_max` for a provider's server that is away.
  // Afterwards only the destructor may be called.
  Task<> drain();

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace nestgate::app
