#pragma once

#include <memory>

#include "endpoint.hpp"
#include "nestgate/automation/service.hpp"

namespace nestgate::api {

// /v1 and /v1/{automation_id}: automations themselves (automation.md 1.3). `service` outlives it.
std::unique_ptr<EndpointGroup> make_automations(automation::Service& service);

// What every new automation's tarball must be, and a changed one's: nothing when it is, and `path` is in its canonical
// form then. `service` and `path` outlive the call.
Task<std::optional<proxy::ApiResponse>> refuse_tarball(automation::Service& service, automation::Caller caller,
                                                       std::string& path);
// A new row of the caller's, with its defaults: id, tenant, time-out, times.
store::AutomationRow new_automation(automation::Service const& service, automation::Caller const& caller);
// By what bodies are judged now.
struct BodyRules;
BodyRules body_rules(automation::Service& service);

}  // namespace nestgate::api
