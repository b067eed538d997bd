#pragma once

#include <optional>

#include "nestgate/automation/service.hpp"

namespace nestgate::automation {

// Why a run cannot be taken: the field, what is wrong, the limit; nothing when it can. bad_input, too_large for the
// tarball. Pure.
std::optional<Failure> why_refused(RunRequest const& request, Settings const& settings);

}  // namespace nestgate::automation
