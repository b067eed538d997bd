#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nestgate::event {

// How large a pattern is with each repeat written out: `positions` where a search can stand, which is what the time for a
// byte grows with, and RE2's `instructions`, roughly, which is what compiling it takes.
struct PatternSize {
  std::uint64_t positions = 0, instructions = 0;
};

struct TranslatedPattern {
  std::string text;
  PatternSize size;
};

// A pattern of Python's `re` in RE2's spelling: classes by Unicode's tables, `$` before a last newline, too. Nothing for
// what Python refuses and for what RE2 cannot do in linear time; RE2 refuses the little that is left.
std::optional<TranslatedPattern> translate_pattern(std::string_view python_pattern);

}  // namespace nestgate::event
