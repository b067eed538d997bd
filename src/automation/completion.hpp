#pragma once

#include <string>

#include "nestgate/automation/run.hpp"

namespace nestgate::automation {

// What the completion callback posts: the SDK's shape, {"status","run_id"[,"error"][,"conversation_id"][,"cost"]}
// (agent_server.md 5).
std::string completion_body(Run const& run);
// The same for every attempt to tell one end of a run, so that receivers can drop repetitions.
std::string completion_message_id(Run const& run);

}  // namespace nestgate::automation
