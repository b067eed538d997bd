#pragma once

#include <cstdint>
#include <string_view>

namespace nestgate::event {

// Whether all of `text` is what `pattern` describes, as Python's fnmatch.fnmatchcase decides: `*` any text, `?` one code
// point, `[seq]` and `[!seq]` one of a set with ranges; a bracket that is not closed stands for itself; nothing escapes.
// Time at most the product of both lengths, memory none.
bool glob_matches(std::string_view pattern, std::string_view text) noexcept;
// What that costs at most, in the steps of a budget (expression.hpp).
constexpr std::uint64_t glob_steps(std::string_view pattern, std::string_view text) noexcept {
  return 1 + std::uint64_t{text.size()} * (1 + pattern.size()) / 8;
}

}  // namespace nestgate::event
