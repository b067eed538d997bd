#pragma once

#include <memory>
#include <string_view>

#include "nestgate/runtime/process_settings.hpp"
#include "nestgate/runtime/provider.hpp"

namespace nestgate::runtime {

struct ProviderSettings {
  ProcessSettings process;
};

// The provider of that name ("process"); a failure (bad_input) names those that exist, or the setting that is wrong.
// `control` is the control core's executor, and its thread must live as long as the process: children die with the thread
// that forked them.
Outcome<std::unique_ptr<RuntimeProvider>> make_provider(std::string_view name, ProviderSettings settings, Executor control);

}  // namespace nestgate::runtime
