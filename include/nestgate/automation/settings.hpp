#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nestgate/automation/trigger.hpp"
#include "nestgate/base/secret.hpp"

namespace nestgate::automation {

enum class PrivateCallbacks : bool { refuse, allow };

// `[automation]`. A count of 0 is no limit where it is said.
struct Settings {
  // What scripts are told to call back, ".../api/automation". Empty: as the client that brought the run's tarball wrote
  // it, else the default.
  std::string base_url;
  std::string base_url_default;             // where nobody wrote one
  Target target;                            // of automations that name none
  std::string workspace_base;               // where runs have their folders in the runtime; "": /workspace, else $HOME
  std::string agent_server_url;             // of the runtime's server as scripts see it; "": as the gateway sees it
  std::shared_ptr<Secret const> kv_secret;  // signs the tokens of the key-value store; nothing: it is off
  std::string zone_folder = "/usr/share/zoneinfo";

  PrivateCallbacks private_callbacks = PrivateCallbacks::refuse;
  std::shared_ptr<std::vector<Secret> const> webhook_signing_keys;  // of plain callbacks; newest first; none: not signed

  std::chrono::seconds run_time_default{600};
  std::chrono::seconds run_time_max{1'800};
  std::chrono::seconds report_margin{120};  // beyond a run's time, before its runtime is asked and it is given up
  std::chrono::seconds hard_grace{600};     // beyond that, while its runtime does not answer
  std::chrono::milliseconds provision_time_max{300'000};  // until its runtime is there
  std::chrono::milliseconds watch_interval{1'000};        // between two looks at a command, where nothing is pushed
  std::chrono::milliseconds guards_gathered_for{5'000};   // those that may go from one runtime go together
  std::chrono::milliseconds upload_time_max{60'000};      // each try
  std::chrono::milliseconds start_time_max{10'000};       // for the answer to a start, before its command is looked for
  std::chrono::seconds download_time_max{120};            // of an external tarball
  std::uint64_t download_bytes_max = 100ULL * 1024 * 1024;

  std::uint32_t runs_in_flight_max = 1'000;            // RUNNING ones, of all gateways on the store
  std::uint32_t runs_in_flight_of_user_max = 0;        // 0: no limit
  std::uint32_t runs_in_flight_of_automation_max = 0;  // 0: no limit
  std::uint32_t runs_in_flight_of_runtime_max = 0;     // 0: no limit
  std::uint32_t starts_per_minute_of_user_max = 0;     // 0: no limit
  std::uint32_t runs_waiting_max = 100'000;            // PENDING ones; beyond it none is taken
  std::chrono::milliseconds scan_interval{5'000};      // between two looks for what nobody said
  std::chrono::milliseconds fire_ahead{100};           // of its moment a schedule's run is made; it starts at the moment
  std::chrono::seconds runs_kept_for{90 * 86'400};     // ended ones, and what belongs to them

  std::uint32_t tarball_bytes_max = 64 * 1024 * 1024;           // of a run with its own
  std::uint64_t tarball_bytes_held_max = 256ULL * 1024 * 1024;  // kept for the next run and on their way to runtimes
  std::uint32_t output_tail_bytes = 16 * 1024;                  // of each stream

  std::chrono::seconds delivery_pause_first{5};  // doubles with each attempt, with jitter
  std::chrono::seconds delivery_pause_max{4 * 3600};
  std::chrono::seconds delivery_give_up{24 * 3600};       // after its first attempt
  std::chrono::seconds endpoint_failing_max{5 * 86'400};  // then it is switched off
  std::chrono::milliseconds delivery_time_max{15'000};    // of one attempt
  std::uint32_t deliveries_at_once_max = 64;
};

}  // namespace nestgate::automation
