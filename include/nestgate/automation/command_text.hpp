#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nestgate::automation {

// A command goes to a shell as one argument, of which the kernel takes 128 KiB (MAX_ARG_STRLEN).
inline constexpr std::size_t command_bytes_max = 64 * 1024;

// Why `text` cannot be a run's entrypoint or set-up script, in the contract's words (automation.md 1.2); nothing when it
// can. Pure.
std::optional<std::string> why_not_a_command(std::string_view field, std::string_view text);

}  // namespace nestgate::automation
