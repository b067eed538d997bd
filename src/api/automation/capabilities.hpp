#pragma once

#include <memory>
#include <string>
#include <vector>

#include "endpoint.hpp"
#include "nestgate/api/settings.hpp"
#include "nestgate/automation/service.hpp"

namespace nestgate::api {

// What is told of a deployment before anything is set up.
struct Capabilities {
  std::chrono::seconds run_time_max;
  std::chrono::seconds cron_interval_min;
  bool has_builtin_sources = false;
  bool has_kv = false;
  std::vector<std::string> custom_sources;  // that are switched on, in any order
  std::vector<std::string> zones;           // sorted
};
// Pure. Without members that are null.
std::string capabilities_json(Capabilities const& of);

// /v1/capabilities and /v1/validate (automation.md 1.7). `service` outlives it.
std::unique_ptr<EndpointGroup> make_capability_endpoints(automation::Service& service, AutomationApiSettings settings);

}  // namespace nestgate::api
