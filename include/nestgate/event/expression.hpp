#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "nestgate/event/value.hpp"

namespace nestgate::event {

// What an evaluation may cost. A step is a node of the expression that is visited, an element that is looked at, or some
// dozens of bytes of text; it takes 20 to 100 ns.
struct Budget {
  std::uint64_t steps_max = 2'000'000;
  std::uint64_t values_max = 500'000;        // made on the way; 32 bytes of text count as one
  std::uint32_t depth_max = 500;             // of visits inside visits, and of what is made
  std::size_t pattern_bytes_max = 8 * 1024;  // of regex() and glob()
};

// Why a text is no expression, for its author.
struct SyntaxFault {
  std::string text;  // "Unexpected token ']' at column 4"
};

// Why an expression has no value for a document. The text names functions and kinds, never what the document says.
struct EvaluationFault {
  enum class Kind : std::uint8_t {
    unknown_function,
    arity,
    type,
    value,
    over_budget,
  };
  Kind kind;
  std::string text;
};

template <class T>
using Parsed = boost::system::result<T, SyntaxFault>;
template <class T>
using Evaluated = boost::system::result<T, EvaluationFault>;

// The functions that an expression may call, sorted.
std::span<std::string_view const> function_names() noexcept;

// A JMESPath expression with the functions of the filter language (README.md has what differs from jmespath.py). Never
// changes, a copy is cheap, threads may share one. Nothing here suspends or can be cancelled: the budget is what ends it.
class Expression {
 public:
  static constexpr std::size_t text_bytes_max = 64 * 1024;
  static constexpr std::uint32_t depth_max = 200;  // of brackets in brackets, and of operators on each other

  // Functions are looked up at evaluation, so that an unknown one is no syntax fault.
  static Parsed<Expression> parse(std::string_view text);

  Evaluated<Value> evaluate(Value const& document, Budget const& budget = {}) const;
  // Whether the value is true to Python: 0 is false here, while it is true inside `&&` and `||`.
  Evaluated<bool> matches(Value const& document, Budget const& budget = {}) const;

 private:
  explicit Expression(std::shared_ptr<detail::Node const> root) : root_(std::move(root)) {}

  std::shared_ptr<detail::Node const> root_;
};

}  // namespace nestgate::event
