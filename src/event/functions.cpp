#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>

#include "event/evaluator.hpp"
#include "event/letter_case.hpp"
#include "event/order.hpp"
#include "event/text.hpp"
#include "nestgate/event/glob.hpp"

namespace nestgate::event {
namespace {

__extension__ using Wide = __int128;

// Kinds that an argument may be of.
enum Accepts : std::uint8_t {
  any = 0,
  number = 1,
  string = 2,
  array = 4,
  object = 8,
  reference = 16,
  numbers = 32,  // an array of nothing else
  strings = 64,
};

EvaluationFault type_fault(std::string_view name, std::string_view kind) {
  return {EvaluationFault::Kind::type, std::string(name) + "() does not take a value of type " + std::string(kind)};
}

EvaluationFault value_fault(std::string_view name) {
  return {EvaluationFault::Kind::value, std::string(name) + "() has no result for this value"};
}

bool is_of(Value const& value, unsigned accepted) {
  switch (value.kind()) {
    case Value::Kind::integer:
    case Value::Kind::real: return accepted & number;
    case Value::Kind::string: return accepted & string;
    case Value::Kind::array: return accepted & (array | numbers | strings);
    case Value::Kind::object: return accepted & object;
    case Value::Kind::expression: return accepted & reference;
    case Value::Kind::null:
    case Value::Kind::boolean: return false;
  }
  return false;
}

// Where only numbers or only strings are wanted, the first item says which.
Evaluated<void> check_items(Evaluator& evaluator, std::string_view name, Value const& value, unsigned accepted) {
  auto const& items = value.as_array();
  if (items.empty()) return {};
  NESTGATE_TRY_VOID(evaluator.pay_steps(items.size()));
  bool const of_strings = items.front().is_string();
  if (!(accepted & (of_strings ? strings : numbers))) return type_fault(name, kind_name(items.front()));
  for (auto const& item : items)
    if (of_strings ? !item.is_string() : !item.is_number()) return type_fault(name, kind_name(item));
  return {};
}

Evaluated<void> check_argument(Evaluator& evaluator, std::string_view name, Value const& value, unsigned accepted) {
  if (accepted == any) return {};
  if (!is_of(value, accepted)) return type_fault(name, kind_name(value));
  if (value.is_array() && !(accepted & array)) return check_items(evaluator, name, value, accepted);
  return {};
}

// An integer beyond 64 bits goes on as a real.
Value from_wide(Wide n) {
  if (n >= std::numeric_limits<std::int64_t>::min() && n <= std::numeric_limits<std::int64_t>::max())
    return Value::integer(static_cast<std::int64_t>(n));
  if (n > 0 && n <= std::numeric_limits<std::uint64_t>::max()) return Value::integer(static_cast<std::uint64_t>(n));
  return Value::real(static_cast<double>(n));
}

Wide to_wide(Value const& integer) { return static_cast<Wide>(integer.as_number()); }

// Integers are summed exactly, up to the first real.
Value sum_of(Value::Array const& items) {
  Wide whole = 0;
  std::size_t i = 0;
  for (; i < items.size() && items[i].kind() == Value::Kind::integer; ++i) whole += to_wide(items[i]);
  if (i == items.size()) return from_wide(whole);
  auto total = static_cast<double>(whole);
  for (; i < items.size(); ++i) total += items[i].as_real();
  return Value::real(total);
}

Evaluated<Value> abs(Evaluator&, Arguments const& a) {
  if (a[0].kind() == Value::Kind::real) return Value::real(std::fabs(a[0].as_real()));
  auto const n = to_wide(a[0]);
  return from_wide(n < 0 ? -n : n);
}

Evaluated<Value> avg(Evaluator&, Arguments const& a) {
  auto const& items = a[0].as_array();
  if (items.empty()) return Value();
  auto const total = sum_of(items);
  if (total.kind() == Value::Kind::real) return Value::real(total.as_real() / static_cast<double>(items.size()));
  return Value::real(static_cast<double>(total.as_number() / static_cast<long double>(items.size())));
}

Evaluated<Value> rounded(std::string_view name, Value const& value, double (*round)(double)) {
  if (value.kind() == Value::Kind::integer) return value;
  double const whole = round(value.as_real());
  if (!std::isfinite(whole)) return value_fault(name);
  if (std::fabs(whole) < 0x1p63) return Value::integer(static_cast<std::int64_t>(whole));
  return Value::real(whole);
}

Evaluated<Value> ceil(Evaluator&, Arguments const& a) { return rounded("ceil", a[0], std::ceil); }
Evaluated<Value> floor(Evaluator&, Arguments const& a) { return rounded("floor", a[0], std::floor); }

// In linear time, which std::string_view::find does not promise. Short parts may be compared at every byte.
Evaluated<bool> has(Evaluator& evaluator, std::string_view text, std::string_view part) {
  NESTGATE_TRY_VOID(evaluator.pay_text(part.size() + text.size() * (1 + std::min<std::size_t>(part.size(), 256) / 32)));
  return part.empty() || (!text.empty() && memmem(text.data(), text.size(), part.data(), part.size()) != nullptr);
}

Evaluated<Value> contains(Evaluator& evaluator, Arguments const& a) {
  if (a[0].is_string()) {
    if (!a[1].is_string()) return type_fault("contains", kind_name(a[1]));
    NESTGATE_TRY(found, has(evaluator, a[0].as_string(), a[1].as_string()));
    return Value::boolean(found);
  }
  for (auto const& item : a[0].as_array()) {
    NESTGATE_TRY(same, evaluator.equal(item, a[1]));
    if (same) return Value::boolean(true);
  }
  return Value::boolean(false);
}

Evaluated<Value> starts_with(Evaluator& evaluator, Arguments const& a) {
  NESTGATE_TRY_VOID(evaluator.pay_text(a[1].as_string().size()));
  return Value::boolean(a[0].as_string().starts_with(a[1].as_string()));
}

Evaluated<Value> ends_with(Evaluator& evaluator, Arguments const& a) {
  NESTGATE_TRY_VOID(evaluator.pay_text(a[1].as_string().size()));
  return Value::boolean(a[0].as_string().ends_with(a[1].as_string()));
}

Evaluated<Value> glob(Evaluator& evaluator, Arguments const& a) {
  auto const text = a[0].as_string(), pattern = a[1].as_string();
  if (pattern.size() > evaluator.budget().pattern_bytes_max) return over_budget("length of a pattern");
  NESTGATE_TRY_VOID(evaluator.pay_steps(glob_steps(pattern, text)));
  return Value::boolean(glob_matches(pattern, text));
}

Evaluated<Value> icontains(Evaluator& evaluator, Arguments const& a) {
  NESTGATE_TRY(text, evaluator.made_text(lower(a[0].as_string())));
  NESTGATE_TRY(part, evaluator.made_text(lower(a[1].as_string())));
  NESTGATE_TRY(found, has(evaluator, text.as_string(), part.as_string()));
  return Value::boolean(found);
}

Evaluated<Value> regex(Evaluator& evaluator, Arguments const& a) {
  NESTGATE_TRY(found, evaluator.search(a[1].as_string(), a[0].as_string()));
  return Value::boolean(found);
}

Evaluated<Value> to_lower(Evaluator& evaluator, Arguments const& a) { return evaluator.made_text(lower(a[0].as_string())); }

Evaluated<Value> to_upper(Evaluator& evaluator, Arguments const& a) { return evaluator.made_text(upper(a[0].as_string())); }

Evaluated<Value> join(Evaluator& evaluator, Arguments const& a) {
  auto const& items = a[1].as_array();
  auto const separator = a[0].as_string();
  std::string out;
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (i > 0) out.append(separator);
    out.append(items[i].as_string());
    if (out.size() / 32 > evaluator.budget().values_max) return over_budget("values");
  }
  return evaluator.made_text(std::move(out));
}

Evaluated<Value> keys(Evaluator& evaluator, Arguments const& a) {
  Value::Array names;
  for (auto const& member : a[0].as_object().members()) {
    NESTGATE_TRY(name, evaluator.made_text(member.name));
    names.push_back(std::move(name));
  }
  return evaluator.made_array(std::move(names));
}

Evaluated<Value> values(Evaluator& evaluator, Arguments const& a) {
  Value::Array items;
  for (auto const& member : a[0].as_object().members()) items.push_back(member.value);
  return evaluator.made_array(std::move(items));
}

Evaluated<Value> length(Evaluator& evaluator, Arguments const& a) {
  if (a[0].is_array()) return Value::integer(std::uint64_t{a[0].as_array().size()});
  if (a[0].is_object()) return Value::integer(std::uint64_t{a[0].as_object().members().size()});
  NESTGATE_TRY_VOID(evaluator.pay_text(a[0].as_string().size()));
  return Value::integer(std::uint64_t{count_code_points(a[0].as_string())});
}

Evaluated<Value> map(Evaluator& evaluator, Arguments const& a) {
  Value::Array items;
  for (auto const& element : a[1].as_array()) {
    NESTGATE_TRY(item, evaluator.apply(a[0], element));
    NESTGATE_TRY_VOID(evaluator.collect(items, std::move(item)));
  }
  return evaluator.made(Value::array(std::move(items)));
}

Evaluated<void> pay_comparisons(Evaluator& evaluator, Value const& item, std::uint64_t times) {
  return evaluator.pay_steps(times * (1 + (item.is_string() ? item.as_string().size() / 64 : 0)));
}

std::uint64_t comparisons_to_sort(std::size_t items) { return static_cast<std::uint64_t>(std::bit_width(items)); }

bool less(Value const& a, Value const& b) { return compare(a, b) < 0; }

Evaluated<Value> max(Evaluator& evaluator, Arguments const& a) {
  auto const& items = a[0].as_array();
  for (auto const& item : items) NESTGATE_TRY_VOID(pay_comparisons(evaluator, item, 1));
  return items.empty() ? Value() : *std::ranges::max_element(items, less);
}

Evaluated<Value> min(Evaluator& evaluator, Arguments const& a) {
  auto const& items = a[0].as_array();
  for (auto const& item : items) NESTGATE_TRY_VOID(pay_comparisons(evaluator, item, 1));
  return items.empty() ? Value() : *std::ranges::min_element(items, less);
}

Evaluated<Value> sort(Evaluator& evaluator, Arguments const& a) {
  auto const& items = a[0].as_array();
  auto const times = comparisons_to_sort(items.size());
  for (auto const& item : items) NESTGATE_TRY_VOID(pay_comparisons(evaluator, item, times));
  auto const order =
      stable_order(items.size(), [&](std::uint32_t i, std::uint32_t j) { return compare(items[i], items[j]); });
  Value::Array sorted;
  for (auto const i : order) sorted.push_back(items[i]);
  return evaluator.made_array(std::move(sorted));
}

struct Keyed {
  Value key, item;
};

// Each item with what the expression says of it: numbers only or strings only.
Evaluated<std::vector<Keyed>> keyed(Evaluator& evaluator, std::string_view name, Value const& items,
                                    Value const& reference) {
  std::vector<Keyed> out;
  auto const times = comparisons_to_sort(items.as_array().size());
  for (auto const& item : items.as_array()) {
    NESTGATE_TRY(key, evaluator.apply(reference, item));
    NESTGATE_TRY_VOID(pay_comparisons(evaluator, key, times));
    bool const ordered = key.is_number() || key.is_string();
    if (!ordered || (!out.empty() && key.is_string() != out.front().key.is_string()))
      return type_fault(name, kind_name(key));
    out.push_back({std::move(key), item});
  }
  return out;
}

bool less_by_key(Keyed const& a, Keyed const& b) { return less(a.key, b.key); }

Evaluated<Value> sort_by(Evaluator& evaluator, Arguments const& a) {
  NESTGATE_TRY(items, keyed(evaluator, "sort_by", a[0], a[1]));
  auto const order =
      stable_order(items.size(), [&](std::uint32_t i, std::uint32_t j) { return compare(items[i].key, items[j].key); });
  Value::Array sorted;
  for (auto const i : order) sorted.push_back(items[i].item);
  return evaluator.made_array(std::move(sorted));
}

Evaluated<Value> max_by(Evaluator& evaluator, Arguments const& a) {
  NESTGATE_TRY(items, keyed(evaluator, "max_by", a[0], a[1]));
  return items.empty() ? Value() : std::ranges::max_element(items, less_by_key)->item;
}

Evaluated<Value> min_by(Evaluator& evaluator, Arguments const& a) {
  NESTGATE_TRY(items, keyed(evaluator, "min_by", a[0], a[1]));
  return items.empty() ? Value() : std::ranges::min_element(items, less_by_key)->item;
}

Evaluated<Value> merge(Evaluator& evaluator, Arguments const& a) {
  std::vector<Member> members;
  for (auto const& argument : a) {
    if (!argument.is_object()) return type_fault("merge", kind_name(argument));
    for (auto const& member : argument.as_object().members()) {
      NESTGATE_TRY_VOID(evaluator.pay_text(64 * 16 + 16 * member.name.size()));
      members.push_back(member);
    }
  }
  return evaluator.made_object(std::move(members));
}

Evaluated<Value> not_null(Evaluator&, Arguments const& a) {
  auto const found = std::ranges::find_if_not(a, &Value::is_null);
  return found == a.end() ? Value() : *found;
}

Evaluated<Value> reverse(Evaluator& evaluator, Arguments const& a) {
  if (a[0].is_array()) {
    auto const& items = a[0].as_array();
    return evaluator.made_array(Value::Array(items.rbegin(), items.rend()));
  }
  auto rest = a[0].as_string();
  std::string out(rest.size(), '\0');
  for (auto end = out.end(); !rest.empty();) {
    auto const before = rest;
    take_code_point(rest);
    end = std::copy_backward(before.begin(), before.end() - static_cast<std::ptrdiff_t>(rest.size()), end);
  }
  return evaluator.made_text(std::move(out));
}

Evaluated<Value> sum(Evaluator&, Arguments const& a) { return sum_of(a[0].as_array()); }

Evaluated<Value> to_array(Evaluator& evaluator, Arguments const& a) {
  return a[0].is_array() ? Evaluated<Value>(a[0]) : evaluator.made_array({a[0]});
}

constexpr bool is_space(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r') || (c >= 0x1C && c <= 0x1F); }

// Digits may have single underscores between them, in Python's numbers.
std::optional<std::string> without_underscores(std::string_view text) {
  auto const is_digit = [&](std::size_t i) { return i < text.size() && text[i] >= '0' && text[i] <= '9'; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_')
      out.push_back(text[i]);
    else if (i == 0 || !is_digit(i - 1) || !is_digit(i + 1))
      return std::nullopt;
  }
  return out;
}

// What int() reads, else what float() reads; nothing for other text.
Value number_in(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  auto const plain = without_underscores(text);
  if (!plain) return {};
  std::string_view digits = *plain;
  if (digits.starts_with('+') && !digits.substr(1).starts_with('-')) digits.remove_prefix(1);
  auto const* const end = digits.data() + digits.size();
  std::int64_t whole = 0;
  if (auto const read = std::from_chars(digits.data(), end, whole); read.ec == std::errc{} && read.ptr == end)
    return Value::integer(whole);
  std::uint64_t large = 0;
  if (auto const read = std::from_chars(digits.data(), end, large); read.ec == std::errc{} && read.ptr == end)
    return Value::integer(large);
  double real = 0;
  auto const read = std::from_chars(digits.data(), end, real);
  if (read.ptr != end || digits.find('(') != std::string_view::npos) return {};
  if (read.ec == std::errc{}) return Value::real(real);
  if (read.ec == std::errc::result_out_of_range) return Value::real(std::strtod(std::string(digits).c_str(), nullptr));
  return {};
}

Evaluated<Value> to_number(Evaluator& evaluator, Arguments const& a) {
  if (a[0].is_number()) return a[0];
  if (a[0].kind() == Value::Kind::expression) return type_fault("to_number", kind_name(a[0]));
  if (!a[0].is_string()) return Value();
  NESTGATE_TRY_VOID(evaluator.pay_text(a[0].as_string().size()));
  return number_in(a[0].as_string());
}

Evaluated<Value> to_string(Evaluator& evaluator, Arguments const& a) {
  if (a[0].is_string()) return a[0];
  std::string out;
  if (!append_json(out, a[0], JsonForm::python_compact, 32 * evaluator.budget().values_max)) return over_budget("values");
  return evaluator.made_text(std::move(out));
}

Evaluated<Value> type(Evaluator&, Arguments const& a) {
  if (a[0].kind() == Value::Kind::expression) return Value();
  return Value::string(std::string(kind_name(a[0])));
}

struct Function {
  std::string_view name;
  Evaluated<Value> (*call)(Evaluator&, Arguments const&);
  std::size_t arguments;
  std::array<std::uint8_t, 2> accepts;
  bool variadic = false;  // takes more than `arguments`, which are not checked here
};

constexpr std::array<Function, 31> functions{{
    {"abs", abs, 1, {number}},
    {"avg", avg, 1, {numbers}},
    {"ceil", ceil, 1, {number}},
    {"contains", contains, 2, {array | string, any}},
    {"ends_with", ends_with, 2, {string, string}},
    {"floor", floor, 1, {number}},
    {"glob", glob, 2, {string, string}},
    {"icontains", icontains, 2, {string, string}},
    {"join", join, 2, {string, strings}},
    {"keys", keys, 1, {object}},
    {"length", length, 1, {string | array | object}},
    {"lower", to_lower, 1, {string}},
    {"map", map, 2, {reference, array}},
    {"max", max, 1, {numbers | strings}},
    {"max_by", max_by, 2, {array, reference}},
    {"merge", merge, 1, {object}, true},
    {"min", min, 1, {numbers | strings}},
    {"min_by", min_by, 2, {array, reference}},
    {"not_null", not_null, 1, {any}, true},
    {"regex", regex, 2, {string, string}},
    {"reverse", reverse, 1, {array | string}},
    {"sort", sort, 1, {numbers | strings}},
    {"sort_by", sort_by, 2, {array, reference}},
    {"starts_with", starts_with, 2, {string, string}},
    {"sum", sum, 1, {numbers}},
    {"to_array", to_array, 1, {any}},
    {"to_number", to_number, 1, {any}},
    {"to_string", to_string, 1, {any}},
    {"type", type, 1, {any}},
    {"upper", to_upper, 1, {string}},
    {"values", values, 1, {object}},
}};

}  // namespace

std::span<std::string_view const> function_names() noexcept {
  static constexpr auto names = [] {
    std::array<std::string_view, functions.size()> out;
    std::ranges::transform(functions, out.begin(), &Function::name);
    return out;
  }();
  static_assert(std::ranges::is_sorted(names));
  return names;
}

Evaluated<Value> call_function(Evaluator& evaluator, std::string_view name, Arguments const& arguments) {
  auto const at = std::ranges::lower_bound(functions, name, {}, &Function::name);
  if (at == functions.end() || at->name != name)
    return EvaluationFault{EvaluationFault::Kind::unknown_function, "unknown function: " + std::string(name) + "()"};
  if (at->variadic ? arguments.size() < at->arguments : arguments.size() != at->arguments)
    return EvaluationFault{EvaluationFault::Kind::arity, std::string(name) + "() takes another number of arguments than " +
                                                             std::to_string(arguments.size())};
  for (std::size_t i = 0; i < at->arguments; ++i)
    NESTGATE_TRY_VOID(check_argument(evaluator, name, arguments[i], at->accepts[i]));
  return at->call(evaluator, arguments);
}

}  // namespace nestgate::event
