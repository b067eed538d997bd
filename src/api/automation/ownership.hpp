#pragma once

#include <string>

#include "nestgate/automation/caller.hpp"
#include "nestgate/store/automation_store.hpp"

// What a caller may see of the automation service: its own, within its organisation. The texts are the contract's.
namespace nestgate::api {

bool owns(automation::Caller const& caller, store::Tenant const& tenant);
// Not one that was deleted.
bool sees(automation::Caller const& caller, store::AutomationRow const& automation);

// Faults: not_found (also for another's and a deleted one), those of the store. `rows` outlives the call.
Task<upstream::Outcome<store::AutomationRow>> own_automation(store::AutomationStore& rows, automation::Caller caller,
                                                             std::string id);
// Faults: not_found (also for another's).
Task<upstream::Outcome<store::RunRow>> own_run(store::AutomationStore& rows, automation::Caller caller, std::string id);
// Faults: not_found.
Task<upstream::Outcome<store::UploadRow>> own_upload(store::AutomationStore& rows, automation::Caller caller,
                                                     std::string id);
Task<upstream::Outcome<store::EndpointRow>> own_endpoint(store::AutomationStore& rows, automation::Caller caller,
                                                         std::string id);

}  // namespace nestgate::api
