#pragma once

#include <string_view>

namespace nestgate::api {

// 1 to 128 bytes without spaces, slashes and control bytes: names become environment variables and parts of paths, where
// clients refuse "." and "..".
bool is_secret_name(std::string_view name) noexcept;
inline constexpr std::string_view why_not_a_secret_name =
    "a name must be 1 to 128 bytes without spaces, slashes and control bytes, and not . or ..";

}  // namespace nestgate::api
