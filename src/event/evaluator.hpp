#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "event/node.hpp"
#include "event/pattern.hpp"
#include "nestgate/event/expression.hpp"

namespace nestgate::event {

// One evaluation: walks the tree over a document and pays for each step from the budget. Lives on one stack.
class Evaluator {
 public:
  explicit Evaluator(Budget const& budget) : budget_(budget) {}

  Evaluated<Value> visit(detail::Node const& node, Value const& value);
  // What `&expression` evaluated to, for one value.
  Evaluated<Value> apply(Value const& reference, Value const& value) { return visit(*reference.as_expression(), value); }

  // Each is a fault once the budget is used up.
  Evaluated<void> pay_steps(std::uint64_t steps);
  Evaluated<void> pay_text(std::size_t bytes) { return pay_steps(1 + bytes / 64); }
  Evaluated<Value> made(Value value);
  Evaluated<Value> made_text(std::string text);
  // What a function made of arguments that are there already.
  Evaluated<Value> made_array(Value::Array items);
  Evaluated<Value> made_object(std::vector<Member> members);
  // One item more of an array that is yet to be made.
  Evaluated<void> collect(Value::Array& into, Value item);

  // As Python's `==`: true equals 1, an array equals what is equal item by item.
  Evaluated<bool> equal(Value const& a, Value const& b);
  // As Python's `re.search`. A text that is no pattern is found nowhere.
  Evaluated<bool> search(std::string_view pattern, std::string_view text);
  Budget const& budget() const { return budget_; }

 private:
  Evaluated<Value> visit_kind(detail::Node const& node, Value const& value);
  Evaluated<Value> visit_chain(detail::Node const& node, Value const& value);
  Evaluated<Value> visit_comparison(detail::Node const& node, Value const& value);
  Evaluated<Value> visit_either(detail::Node const& node, Value const& value);
  Evaluated<Value> visit_both(detail::Node const& node, Value const& value);
  Evaluated<Value> visit_negation(detail::Node const& node, Value const& value);
  Evaluated<Value> visit_projection(detail::Node const& node, Value const& value);
  Evaluated<Value> visit_value_projection(detail::Node const& node, Value const& value);
  Evaluated<Value> visit_filter(detail::Node const& node, Value const& value);
  Evaluated<Value> visit_flatten(detail::Node const& node, Value const& value);
  Evaluated<Value> visit_slice(detail::Node const& node, Value const& value);
  Evaluated<Value> visit_list(detail::Node const& node, Value const& value);
  Evaluated<Value> visit_hash(detail::Node const& node, Value const& value);
  Evaluated<Value> visit_call(detail::Node const& node, Value const& value);
  Evaluated<std::optional<Pattern> const*> compiled(std::string_view pattern);
  Evaluated<bool> equal_arrays(Value const& a, Value const& b);
  Evaluated<bool> equal_objects(Value const& a, Value const& b);

  Budget budget_;
  std::uint64_t steps_ = 0, values_ = 0;
  std::uint32_t depth_ = 0;
  std::unordered_map<std::string, std::optional<Pattern>> patterns_;  // compiled already; nothing: no pattern
};

using Arguments = std::vector<Value>;
// Checks number and kinds of the arguments, then calls.
Evaluated<Value> call_function(Evaluator& evaluator, std::string_view name, Arguments const& arguments);

EvaluationFault over_budget(std::string_view what);
std::string_view kind_name(Value const& value) noexcept;
// -1, 0 or 1, of two numbers or two strings. Not a number comes after all others, so that a sort has an order.
int compare(Value const& a, Value const& b);

}  // namespace nestgate::event
