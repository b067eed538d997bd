#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nestgate::event {

// A pattern of Python's `re` in RE2's spelling: classes by Unicode's tables, `$` before a last newline, too. Nothing for
// what Python refuses and for what RE2 cannot do in linear time; RE2 refuses the rest (brackets that do not pair).
std::optional<std::string> re2_pattern(std::string_view python_pattern);

}  // namespace nestgate::event
