#include "event/evaluator.hpp"

#include <algorithm>
#include <cmath>

#include "event/parser.hpp"

namespace nestgate::event {
namespace {

using detail::ChainKind;
using detail::Comparator;
using detail::Node;
using detail::NodeKind;

constexpr std::size_t patterns_kept_max = 8;
constexpr std::uint64_t pattern_instructions_max = 20'000;
constexpr std::uint64_t steps_per_instruction = 20;

// What `&&`, `||` and filters take for false: no number is.
bool is_false(Value const& value) {
  switch (value.kind()) {
    case Value::Kind::integer:
    case Value::Kind::real: return false;
    default: return !value.is_truthy();
  }
}

// jmespath.py tells 0 and 1 from booleans where it compares, though not inside of arrays and objects.
bool is_bit_and_boolean(Value const& a, Value const& b) {
  return a.is_number() && (a.as_number() == 0 || a.as_number() == 1) && b.kind() == Value::Kind::boolean;
}

bool holds(Comparator comparator, Value const& a, Value const& b) {
  // Nothing holds of what is not a number.
  if (a.is_number() && (std::isnan(a.as_real()) || std::isnan(b.as_real()))) return false;
  int const order = compare(a, b);
  switch (comparator) {
    case Comparator::less: return order < 0;
    case Comparator::less_equal: return order <= 0;
    case Comparator::greater: return order > 0;
    case Comparator::greater_equal: return order >= 0;
    case Comparator::equal:
    case Comparator::not_equal: break;
  }
  return false;
}

Value item_at(Value const& value, std::int64_t index) {
  if (!value.is_array()) return {};
  auto const& items = value.as_array();
  auto const size = static_cast<std::int64_t>(items.size());
  if (index < 0) index += size;
  return index < 0 || index >= size ? Value() : items[static_cast<std::size_t>(index)];
}

// A bound of a Python slice, counted from the front and brought inside [low, high].
std::int64_t slice_bound(std::int64_t bound, std::int64_t size, std::int64_t low, std::int64_t high) {
  if (bound < 0) bound += size;
  return std::clamp(bound, low, high);
}

}  // namespace

EvaluationFault over_budget(std::string_view what) {
  return {EvaluationFault::Kind::over_budget, "over budget: " + std::string(what)};
}

std::string_view kind_name(Value const& value) noexcept {
  switch (value.kind()) {
    case Value::Kind::null: return "null";
    case Value::Kind::boolean: return "boolean";
    case Value::Kind::integer:
    case Value::Kind::real: return "number";
    case Value::Kind::string: return "string";
    case Value::Kind::array: return "array";
    case Value::Kind::object: return "object";
    case Value::Kind::expression: return "expref";
  }
  return "null";
}

int compare(Value const& a, Value const& b) {
  if (a.is_string()) {
    int const order = a.as_string().compare(b.as_string());
    return (order > 0) - (order < 0);
  }
  auto const x = a.as_number(), y = b.as_number();
  if (std::isnan(x) || std::isnan(y)) return static_cast<int>(std::isnan(x)) - static_cast<int>(std::isnan(y));
  return (x > y) - (x < y);
}

Evaluated<void> Evaluator::pay_steps(std::uint64_t steps) {
  if (steps > budget_.steps_max - steps_) return over_budget("steps");
  steps_ += steps;
  return {};
}

Evaluated<Value> Evaluator::made(Value value) {
  if (++values_ > budget_.values_max) return over_budget("values");
  if (value.depth() > budget_.depth_max + DocumentLimits{}.depth_max) return over_budget("depth of values");
  return value;
}

Evaluated<Value> Evaluator::made_text(std::string text) {
  NESTGATE_TRY_VOID(pay_text(text.size()));
  values_ += text.size() / 32;
  return made(Value::string(std::move(text)));
}

Evaluated<Value> Evaluator::made_array(Value::Array items) {
  NESTGATE_TRY_VOID(pay_steps(items.size()));
  values_ += items.size();
  return made(Value::array(std::move(items)));
}

Evaluated<Value> Evaluator::made_object(std::vector<Member> members) {
  NESTGATE_TRY_VOID(pay_steps(members.size()));
  values_ += members.size();
  return made(Value::object(std::move(members)));
}

// Paid for before it is kept, so that nothing grows beyond the budget.
Evaluated<void> Evaluator::collect(Value::Array& into, Value item) {
  if (++values_ > budget_.values_max) return over_budget("values");
  into.push_back(std::move(item));
  return {};
}

Evaluated<std::optional<Pattern> const*> Evaluator::compiled(std::string_view pattern) {
  if (pattern.size() > budget_.pattern_bytes_max) return over_budget("length of a pattern");
  NESTGATE_TRY_VOID(pay_text(pattern.size()));
  std::string key(pattern);
  if (auto const found = patterns_.find(key); found != patterns_.end()) return &found->second;
  if (patterns_.size() == patterns_kept_max) patterns_.clear();
  auto const translated = translate_pattern(pattern);
  if (translated) {
    if (translated->size.instructions > pattern_instructions_max) return over_budget("size of a pattern");
    NESTGATE_TRY_VOID(pay_steps(1'000 + steps_per_instruction * translated->size.instructions));
  }
  auto& kept = patterns_[std::move(key)];
  if (translated) kept.emplace(*translated);
  return &kept;
}

// The time for a byte is that of the slow search, which a hostile pattern brings about: 8 ns a position.
Evaluated<bool> Evaluator::search(std::string_view pattern, std::string_view text) {
  NESTGATE_TRY(found, compiled(pattern));
  if (!*found) return false;
  NESTGATE_TRY_VOID(pay_steps(1 + text.size() * (1 + (*found)->size().positions) / 6));
  return (*found)->is_found_in(text);
}

Evaluated<bool> Evaluator::equal(Value const& a, Value const& b) {
  NESTGATE_TRY_VOID(pay_steps(1));
  if (a.shares_with(b)) return true;
  auto const as_number = [](Value const& value) {
    return value.kind() == Value::Kind::boolean ? static_cast<long double>(value.as_boolean()) : value.as_number();
  };
  auto const is_numeric = [](Value const& value) { return value.is_number() || value.kind() == Value::Kind::boolean; };
  if (is_numeric(a) && is_numeric(b)) return as_number(a) == as_number(b);
  if (a.kind() != b.kind()) return false;
  switch (a.kind()) {
    case Value::Kind::string:
      if (a.as_string().size() != b.as_string().size()) return false;
      NESTGATE_TRY_VOID(pay_text(a.as_string().size()));
      return a.as_string() == b.as_string();
    case Value::Kind::array: return equal_arrays(a, b);
    case Value::Kind::object: return equal_objects(a, b);
    default: return false;
  }
}

Evaluated<bool> Evaluator::equal_arrays(Value const& a, Value const& b) {
  auto const &x = a.as_array(), &y = b.as_array();
  if (x.size() != y.size()) return false;
  for (std::size_t i = 0; i < x.size(); ++i) {
    NESTGATE_TRY(same, equal(x[i], y[i]));
    if (!same) return false;
  }
  return true;
}

Evaluated<bool> Evaluator::equal_objects(Value const& a, Value const& b) {
  auto const &x = a.as_object(), &y = b.as_object();
  if (x.members().size() != y.members().size()) return false;
  for (auto const& member : x.members()) {
    NESTGATE_TRY_VOID(pay_text(member.name.size()));
    auto const* other = y.find(member.name);
    if (!other) return false;
    NESTGATE_TRY(same, equal(member.value, *other));
    if (!same) return false;
  }
  return true;
}

Evaluated<Value> Evaluator::visit(Node const& node, Value const& value) {
  NESTGATE_TRY_VOID(pay_steps(1));
  if (depth_ >= budget_.depth_max) return over_budget("depth");
  ++depth_;
  auto result = visit_kind(node, value);
  --depth_;
  return result;
}

Evaluated<Value> Evaluator::visit_kind(Node const& node, Value const& value) {
  switch (node.kind) {
    case NodeKind::current: return value;
    case NodeKind::field: {
      NESTGATE_TRY_VOID(pay_text(node.name.size()));
      auto const* member = value.find(node.name);
      return member ? *member : Value();
    }
    case NodeKind::literal: return node.literal;
    case NodeKind::index: return item_at(value, node.number);
    case NodeKind::slice: return visit_slice(node, value);
    case NodeKind::chain: return visit_chain(node, value);
    case NodeKind::either: return visit_either(node, value);
    case NodeKind::both: return visit_both(node, value);
    case NodeKind::negation: return visit_negation(node, value);
    case NodeKind::comparison: return visit_comparison(node, value);
    case NodeKind::projection: return visit_projection(node, value);
    case NodeKind::value_projection: return visit_value_projection(node, value);
    case NodeKind::filter: return visit_filter(node, value);
    case NodeKind::flatten: return visit_flatten(node, value);
    case NodeKind::list: return visit_list(node, value);
    case NodeKind::hash: return visit_hash(node, value);
    case NodeKind::call: return visit_call(node, value);
  }
  return Value();
}

Evaluated<Value> Evaluator::visit_chain(Node const& node, Value const& value) {
  Value result = value;
  for (auto const& child : node.children) {
    NESTGATE_TRY(next, visit(child, result));
    result = std::move(next);
  }
  return result;
}

Evaluated<Value> Evaluator::visit_either(Node const& node, Value const& value) {
  Value result;
  for (auto const& child : node.children) {
    NESTGATE_TRY(next, visit(child, value));
    result = std::move(next);
    if (!is_false(result)) break;
  }
  return result;
}

Evaluated<Value> Evaluator::visit_both(Node const& node, Value const& value) {
  Value result;
  for (auto const& child : node.children) {
    NESTGATE_TRY(next, visit(child, value));
    result = std::move(next);
    if (is_false(result)) break;
  }
  return result;
}

Evaluated<Value> Evaluator::visit_negation(Node const& node, Value const& value) {
  NESTGATE_TRY(operand, visit(node.children[0], value));
  return Value::boolean(is_false(operand));
}

Evaluated<Value> Evaluator::visit_comparison(Node const& node, Value const& value) {
  NESTGATE_TRY(left, visit(node.children[0], value));
  NESTGATE_TRY(right, visit(node.children[1], value));
  if (node.comparator == Comparator::equal || node.comparator == Comparator::not_equal) {
    bool same = false;
    if (!is_bit_and_boolean(left, right) && !is_bit_and_boolean(right, left)) {
      NESTGATE_TRY(compared, equal(left, right));
      same = compared;
    }
    return Value::boolean(same == (node.comparator == Comparator::equal));
  }
  if (!(left.is_number() || left.is_string()) || !(right.is_number() || right.is_string())) return Value();
  if (left.is_string() != right.is_string())
    return EvaluationFault{EvaluationFault::Kind::type, "a number and a string have no order"};
  if (left.is_string()) NESTGATE_TRY_VOID(pay_text(std::min(left.as_string().size(), right.as_string().size())));
  return Value::boolean(holds(node.comparator, left, right));
}

Evaluated<Value> Evaluator::visit_projection(Node const& node, Value const& value) {
  NESTGATE_TRY(base, visit(node.children[0], value));
  if (!base.is_array()) return Value();
  Value::Array items;
  for (auto const& element : base.as_array()) {
    NESTGATE_TRY(item, visit(node.children[1], element));
    if (!item.is_null()) NESTGATE_TRY_VOID(collect(items, std::move(item)));
  }
  return made(Value::array(std::move(items)));
}

Evaluated<Value> Evaluator::visit_value_projection(Node const& node, Value const& value) {
  NESTGATE_TRY(base, visit(node.children[0], value));
  if (!base.is_object()) return Value();
  Value::Array items;
  for (auto const& member : base.as_object().members()) {
    NESTGATE_TRY(item, visit(node.children[1], member.value));
    if (!item.is_null()) NESTGATE_TRY_VOID(collect(items, std::move(item)));
  }
  return made(Value::array(std::move(items)));
}

Evaluated<Value> Evaluator::visit_filter(Node const& node, Value const& value) {
  NESTGATE_TRY(base, visit(node.children[0], value));
  if (!base.is_array()) return Value();
  Value::Array items;
  for (auto const& element : base.as_array()) {
    NESTGATE_TRY(condition, visit(node.children[2], element));
    if (is_false(condition)) continue;
    NESTGATE_TRY(item, visit(node.children[1], element));
    if (!item.is_null()) NESTGATE_TRY_VOID(collect(items, std::move(item)));
  }
  return made(Value::array(std::move(items)));
}

Evaluated<Value> Evaluator::visit_flatten(Node const& node, Value const& value) {
  NESTGATE_TRY(base, visit(node.children[0], value));
  if (!base.is_array()) return Value();
  NESTGATE_TRY_VOID(pay_steps(base.as_array().size()));
  Value::Array items;
  for (auto const& element : base.as_array()) {
    if (!element.is_array()) {
      NESTGATE_TRY_VOID(collect(items, element));
      continue;
    }
    for (auto const& inner : element.as_array()) NESTGATE_TRY_VOID(collect(items, inner));
  }
  return made(Value::array(std::move(items)));
}

Evaluated<Value> Evaluator::visit_slice(Node const& node, Value const& value) {
  if (!value.is_array()) return Value();
  auto const& items = value.as_array();
  auto const size = static_cast<std::int64_t>(items.size());
  auto const [start, stop, step_asked] = node.bounds;
  auto const step = step_asked.value_or(1);
  if (step == 0) return EvaluationFault{EvaluationFault::Kind::value, "a slice's step is 0"};
  // From the back, the end before the first item is -1.
  std::int64_t const low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
  auto const first = start ? slice_bound(*start, size, low, high) : (step > 0 ? low : high);
  auto const end = stop ? slice_bound(*stop, size, low, high) : (step > 0 ? high : low);
  Value::Array taken;
  for (auto i = first; step > 0 ? i < end : i > end;) {
    NESTGATE_TRY_VOID(collect(taken, items[static_cast<std::size_t>(i)]));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return made(Value::array(std::move(taken)));
}

Evaluated<Value> Evaluator::visit_list(Node const& node, Value const& value) {
  if (value.is_null()) return Value();
  Value::Array items;
  for (auto const& child : node.children) {
    NESTGATE_TRY(item, visit(child, value));
    NESTGATE_TRY_VOID(collect(items, std::move(item)));
  }
  return made(Value::array(std::move(items)));
}

Evaluated<Value> Evaluator::visit_hash(Node const& node, Value const& value) {
  if (value.is_null()) return Value();
  std::vector<Member> members;
  for (std::size_t i = 0; i < node.children.size(); ++i) {
    NESTGATE_TRY(member, visit(node.children[i], value));
    members.push_back({node.names[i], std::move(member)});
  }
  return made_object(std::move(members));
}

Evaluated<Value> Evaluator::visit_call(Node const& node, Value const& value) {
  Arguments arguments;
  for (auto const& child : node.children) {
    NESTGATE_TRY(argument, visit(child, value));
    arguments.push_back(std::move(argument));
  }
  return call_function(*this, node.name, arguments);
}

Parsed<Expression> Expression::parse(std::string_view text) {
  NESTGATE_TRY(root, parse_expression(text));
  return Expression(std::make_shared<Node const>(std::move(root)));
}

Evaluated<Value> Expression::evaluate(Value const& document, Budget const& budget) const {
  return Evaluator(budget).visit(*root_, document);
}

Evaluated<bool> Expression::matches(Value const& document, Budget const& budget) const {
  NESTGATE_TRY(value, evaluate(document, budget));
  return value.is_truthy();
}

}  // namespace nestgate::event
