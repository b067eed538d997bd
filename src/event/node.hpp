#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "nestgate/event/value.hpp"

namespace nestgate::event::detail {

enum class NodeKind : std::uint8_t {
  current,
  field,             // name
  literal,           // literal; `&expression` is one, too
  index,             // number
  slice,             // bounds
  chain,             // each child on the result of the one before: `a.b`, `a[0]`, `a | b`
  either,            // `||`
  both,              // `&&`
  negation,          // child
  comparison,        // comparator; left, right
  projection,        // of an array: base, what is asked of each element
  value_projection,  // of an object's values: the same
  filter,            // base, what is asked of each element, condition
  flatten,           // base
  list,              // children
  hash,              // names, children
  call,              // name, children are arguments
};

enum class Comparator : std::uint8_t { equal, not_equal, less, less_equal, greater, greater_equal };

// How a chain came about, where jmespath.py's grammar makes a difference of it.
enum class ChainKind : std::uint8_t { none, dot, index, pipe };

struct Node {
  NodeKind kind = NodeKind::current;
  Comparator comparator = Comparator::equal;
  ChainKind chain = ChainKind::none;
  std::uint32_t depth = 1;  // of nodes below, this one counted
  std::int64_t number = 0;
  std::array<std::optional<std::int64_t>, 3> bounds{};
  std::string name;
  Value literal;
  std::vector<std::string> names;
  std::vector<Node> children;
};

}  // namespace nestgate::event::detail
