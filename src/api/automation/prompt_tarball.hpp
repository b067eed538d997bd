#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace nestgate::api {

// `tar_gz` with `prompt` as its member prompt.txt, which keeps its place and mode; all else is as it was. Nothing: it has no
// such member, is no gzipped tar, or is larger than `bytes_max` unpacked. Pure; takes its time: not on the control core.
std::optional<std::string> with_prompt(std::string_view tar_gz, std::string_view prompt, std::size_t bytes_max);

}  // namespace nestgate::api
