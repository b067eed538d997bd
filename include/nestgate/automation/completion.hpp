#pragma once

#include <string>

#include "nestgate/base/secret.hpp"
#include "nestgate/store/automation_rows.hpp"

// What is told of a run's end, and to whom. Pure.
namespace nestgate::automation {

// As the SDK's workspaces tell it: {"status","run_id","error"?,"conversation_id"?,"cost"?} (agent_server.md 5).
std::string plain_completion(store::RunRow const& run);
// The Standard Webhooks form: {"type":"automation.run.completed","timestamp":…,"data":{…}}.
std::string completion_event(store::RunRow const& run);

// A plain callback: the sealed column `callback_json`.
struct PlainCallback {
  std::string url;
  Secret bearer;  // empty: none is sent
};
Secret to_json(PlainCallback const& callback);
// Of what to_json wrote; an empty one for an empty text.
PlainCallback parse_plain_callback(Secret const& json);

}  // namespace nestgate::automation
