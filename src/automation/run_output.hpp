#pragma once

#include <memory>
#include <string>

#include "nestgate/automation/service.hpp"

namespace nestgate::automation {

// What the command of a run says: from its server while that is there, else what was kept of its end. All outlive it.
std::unique_ptr<OutputFeed> make_output_feed(store::AutomationStore& rows, conversation::Manager& manager,
                                             std::string run_id, std::chrono::milliseconds interval);

}  // namespace nestgate::automation
