#pragma once

#include <memory>

#include "nestgate/api/event_stats.hpp"
#include "nestgate/api/settings.hpp"
#include "nestgate/automation/service.hpp"
#include "nestgate/conversation/manager.hpp"
#include "nestgate/proxy/own_routes.hpp"
#include "nestgate/store/store.hpp"

namespace nestgate::api {

// What the routes need. What is referred to outlives them.
struct Surroundings {
  conversation::Manager& manager;
  conversation::DirectoryPublisher& publisher;
  automation::Service& runs;
  store::Store& store;
  Settings settings = {};
  Audit audit = {};                                                          // nothing: nobody is told
  std::shared_ptr<EventStats> event_stats = std::make_shared<EventStats>();  // kept by whoever shows them, too
};

// Every route of the gateway's own; `handle` runs on the control core.
std::unique_ptr<proxy::OwnRoutes> make_control_api(Surroundings const& surroundings);

}  // namespace nestgate::api
