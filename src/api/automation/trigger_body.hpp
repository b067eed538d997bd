#pragma once

#include "model.hpp"
#include "nestgate/automation/settings.hpp"
#include "nestgate/automation/trigger.hpp"
#include "nestgate/schedule/zones.hpp"

namespace nestgate::api {

// What the members of an automation's bodies are judged by.
struct BodyRules {
  schedule::Zones& zones;  // reads a zone's file the first time that it is named
  std::chrono::seconds run_time_max;
  automation::PrivateCallbacks private_callbacks;
  store::Time now;
};

// {"type":"cron"|"event",…} (automation.md 1.2), with our own members of a cron trigger and those of later releases of an
// event trigger. A schedule that never fires after `now` is refused.
Rule<automation::Trigger> trigger(BodyRules const& rules);

}  // namespace nestgate::api
