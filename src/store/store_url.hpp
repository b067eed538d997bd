#pragma once

#include <string>
#include <string_view>

#include "nestgate/store/store.hpp"

namespace nestgate::store {

inline constexpr std::string_view sqlite_in_memory = ":memory:";

// Of "sqlite:PATH" the absolute path, or sqlite_in_memory. Fault bad_input.
Outcome<std::string> sqlite_file_of(std::string_view url);

}  // namespace nestgate::store
