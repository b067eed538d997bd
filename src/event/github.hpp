#pragma once

#include "nestgate/event/source.hpp"

namespace nestgate::event {

Recognition recognise_github(Value const& raw);
std::span<DetectionRule const> github_rules() noexcept;
std::span<std::string_view const> github_types() noexcept;

}  // namespace nestgate::event
