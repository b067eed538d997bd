#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "command_chain.hpp"
#include "nestgate/automation/settings.hpp"
#include "nestgate/base/secret.hpp"
#include "nestgate/store/automation_store.hpp"
#include "nestgate/upstream/place.hpp"

// What a run's script is told (automation.md 5.3, automation_live.md 4). Pure.
namespace nestgate::automation {

struct RunSurroundings {
  std::string base_url;  // ".../api/automation"
  std::string sandbox_id;
  upstream::Place const& server;
  Secret const& session_key;
  Secret const& run_token;
  Secret const& kv_token;  // empty: none
};

struct RunEnvironment {
  std::vector<std::pair<std::string, Secret>> variables;
  std::string event_file;  // not empty: the payload is too long for a variable, and goes into a file
};

// The variables of a run; those that it brings itself come last.
RunEnvironment environment_of(store::RunRow const& run, store::AutomationRow const* automation, Settings const& settings,
                              RunPaths const& paths, RunSurroundings const& around);

// AUTOMATION_EVENT_PAYLOAD, written as Python's json.dumps does.
std::string event_payload(store::RunRow const& run, store::AutomationRow const* automation);

// The token by which a run's script reaches its automation's key-value document for a day (automation.md 1.8).
Secret kv_token(Secret const& kv_secret, store::RunRow const& run, store::Time now);

// The bytes of a variable with its name that every exec takes: the kernel refuses one of 128 KiB (MAX_ARG_STRLEN).
inline constexpr std::size_t variable_bytes_max = 128 * 1024 - 1;

}  // namespace nestgate::automation
