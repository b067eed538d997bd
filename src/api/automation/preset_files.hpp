#pragma once

#include <string_view>

// presets/main.py and presets/setup.sh, built in.
namespace nestgate::api {

std::string_view preset_main() noexcept;
std::string_view preset_setup() noexcept;

}  // namespace nestgate::api
