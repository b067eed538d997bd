#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "nestgate/runtime/process_settings.hpp"
#include "nestgate/runtime/provider.hpp"

namespace nestgate::runtime {

struct ProviderSettings {
  ProcessSettings process;
};

// Why no runtime could be started with these settings: a program that is not there, an unknown placeholder. Changes
// nothing, so it can be asked before a start.
std::optional<std::string> problem_with(ProcessSettings const& settings);

// The provider of that name ("process"); a failure (bad_input) names those that exist, or the setting that is wrong.
// `control` is the control core's executor.
Outcome<std::unique_ptr<RuntimeProvider>> make_provider(std::string_view name, ProviderSettings settings, Executor control);

}  // namespace nestgate::runtime
