#pragma once

#include <optional>
#include <string>

#include "nestgate/automation/service.hpp"

namespace nestgate::automation {

// Why a run cannot be taken: the field, what is wrong, the limit; nothing when it can. Pure.
std::optional<std::string> why_refused(RunRequest const& request, Settings const& settings);

}  // namespace nestgate::automation
