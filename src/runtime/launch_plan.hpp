#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "command_template.hpp"
#include "nestgate/base/secret.hpp"
#include "nestgate/runtime/process_settings.hpp"
#include "nestgate/runtime/provider.hpp"

namespace nestgate::runtime {

// What the processes of a runtime find in their environment.
struct Variables {
  std::vector<std::string> plain;  // NAME=value
  std::vector<Secret> wished;      // NAME=value, by the runtime's owner
  std::vector<Secret> keys;        // NAME=value, for the server alone
};

// Fault: bad_input (a name that is none, a NUL).
Outcome<Variables> plan_variables(ProcessSettings const& settings, Spec const& spec, std::string const& search_path,
                                  std::string const& home);

// The value of a variable that its commands see; nothing when there is none.
std::optional<std::string_view> value_of(Variables const& variables, std::string_view name);

// What a wish means by a working directory: relative and absolute paths are both taken below the workspace, unless an
// absolute one is in it already. Pure.
std::filesystem::path place_below(std::filesystem::path const& workspace, std::string const& wished);
// Makes it. Fault: bad_input (it leads out, or cannot be made). Blocks.
Outcome<std::filesystem::path> make_working_directory(std::filesystem::path const& workspace, std::string const& wished);

// The limits for setrlimit; `memory_bytes` is that of each process's data.
std::vector<std::pair<int, std::uint64_t>> plan_limits(ResourceLimits const& limits, std::uint32_t factor,
                                                       std::optional<std::uint64_t> memory_bytes);

}  // namespace nestgate::runtime
