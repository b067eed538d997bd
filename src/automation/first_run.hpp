#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "nestgate/store/automation_rows.hpp"

namespace nestgate::automation {

// An automation's preset_metadata with the outcome of its first run (automation.md 3.5). Nothing: it was made from no
// template, has an outcome already, or the run was neither completed nor failed. Pure.
std::optional<std::string> with_first_run(std::string_view preset_metadata_json, store::RunRow const& ended,
                                          store::Time now);

}  // namespace nestgate::automation
