#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "nestgate/base/secret.hpp"

namespace nestgate::automation {

enum class PrivateCallbacks : bool { refuse, allow };

// `[automation]`.
struct Settings {
  // What scripts are told to call back, ".../api/automation". Empty: as the client that asked for the run wrote it.
  std::string base_url;
  PrivateCallbacks private_callbacks = PrivateCallbacks::refuse;
  std::shared_ptr<std::vector<Secret> const> webhook_signing_keys;  // newest first; none: completions are not signed
  std::chrono::seconds run_time_default{600};
  std::chrono::seconds run_time_max{1'800};
  std::chrono::seconds report_margin{120};  // beyond a run's time, before it is given up
  std::chrono::milliseconds watch_interval{1'000};
  std::chrono::milliseconds upload_time_max{60'000};  // each try
  std::uint32_t runs_in_flight_max = 1'000;
  std::uint32_t runs_kept_max = 10'000;  // ended ones, the oldest go first
  std::uint32_t tarball_bytes_max = 64 * 1024 * 1024;
  std::uint64_t tarball_bytes_held_max = 256ULL * 1024 * 1024;  // of all runs, until they are in their runtimes
  std::uint32_t output_tail_bytes = 16 * 1024;                  // of each stream
  std::uint32_t delivery_attempts_max = 10;
  std::chrono::milliseconds delivery_pause_first{1'000};  // doubles with each attempt
  std::chrono::milliseconds delivery_pause_max{300'000};
  std::chrono::milliseconds delivery_time_max{15'000};  // of one attempt
  std::uint32_t deliveries_at_once_max = 64;
  std::uint32_t deliveries_waiting_max = 10'000;  // for their turn or their next attempt; beyond it one is given up
};

}  // namespace nestgate::automation
