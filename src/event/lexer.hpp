#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/event/expression.hpp"

namespace nestgate::event {

enum class TokenKind : std::uint8_t {
  end,
  unquoted_identifier,
  quoted_identifier,
  literal,
  number,
  current,
  dot,
  star,
  comma,
  colon,
  left_parenthesis,
  right_parenthesis,
  left_bracket,
  right_bracket,
  left_brace,
  right_brace,
  flatten,
  filter,
  reference,
  pipe,
  either,
  both,
  negation,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
};

struct Token {
  TokenKind kind = TokenKind::end;
  std::size_t start = 0;    // in bytes
  std::string_view text{};  // as it was written
  std::string name{};       // of an identifier
  std::int64_t number = 0;  // beyond an int64: the nearest
  Value literal{};
};

// The last token is always `end`.
Parsed<std::vector<Token>> tokenize(std::string_view text);
SyntaxFault syntax_fault(std::string_view what, Token const& token);

}  // namespace nestgate::event
