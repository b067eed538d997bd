#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nestgate/base/secret.hpp"
#include "nestgate/net/tls.hpp"

namespace nestgate::runtime {

// `[runtime.remote]`: runtimes that a remote runtime API makes. What is empty or 0 is left to it, unless said otherwise.
struct RemoteSettings {
  std::string url = "http://localhost:8000";  // of the API
  std::string api_key_file;                   // as written
  Secret api_key;                             // read from the file; needed. All of its runtimes are this installation's
  std::string image;                          // "": each start must name one, or the API knows one
  std::vector<std::string> command;
  std::string working_dir;
  std::vector<std::pair<std::string, std::string>> environment;  // readable by commands
  std::uint32_t resource_factor = 1;                             // 1, 2, 4 or 8, times the wish's; the product at most 8
  std::string runtime_class;
  std::uint32_t run_as_user = 0;
  std::uint32_t run_as_group = 0;
  std::uint32_t fs_group = 0;
  std::string image_pull_policy;
  std::shared_ptr<ClientTls const> nested_tls;  // trusted for the runtimes' servers; nullptr: the system's authorities
  std::chrono::milliseconds call_time_max{180'000};
  std::chrono::milliseconds ready_pause{2'000};  // between two looks whether a runtime is ready
  std::chrono::milliseconds list_pause{10'000};  // between two looks for runtimes that ended
  // A call that is answered 429 is made so many times, with pauses that double from one bound to the other.
  std::uint32_t rate_limit_tries_max = 3;
  std::chrono::milliseconds rate_limit_pause_min{4'000};
  std::chrono::milliseconds rate_limit_pause_max{60'000};

  RemoteSettings clone() const;
};

}  // namespace nestgate::runtime
