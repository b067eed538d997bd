#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nestgate::event {

// What Python's json module reads and simdjson refuses, spelled so that both read it: integers beyond 64 bits get `.0`,
// halves of surrogate pairs become \ufffd (servers in Java and JavaScript send those where they cut a text). Nothing if
// there is neither. What was no JSON before is none after.
std::optional<std::string> mended_json(std::string_view json);

}  // namespace nestgate::event
