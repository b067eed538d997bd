#pragma once

#include <string_view>

namespace nestgate::event {

// Whether all of `text` is what `pattern` describes, as Python's fnmatch.fnmatchcase decides: `*` any text, `?` one code
// point, `[seq]` and `[!seq]` one of a set with ranges; a bracket that is not closed stands for itself; nothing escapes.
// Time at most the product of both lengths, memory none.
bool glob_matches(std::string_view pattern, std::string_view text) noexcept;

}  // namespace nestgate::event
