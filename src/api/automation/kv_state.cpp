#include "kv_state.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <stdexcept>

namespace nestgate::api {
namespace {

using event::JsonForm;
using event::Member;
using event::Value;
using Kind = KvFault::Kind;
using What = KvOperation::What;

constexpr std::string_view version_name = "$version";

std::string text_member(Value const& object, std::string_view name) {
  auto const* value = object.find(name);
  return value && value->is_string() ? std::string(value->as_string()) : std::string();
}

std::uint64_t number_member(Value const& object, std::string_view name) {
  auto const* value = object.find(name);
  auto const number = value ? value->to_int64() : std::nullopt;
  return number && *number >= 0 ? static_cast<std::uint64_t>(*number) : 0;
}

// As Python's int() of digits with a sign; a negative one counts from the end.
std::optional<std::size_t> index_of(std::string_view text, std::size_t size) {
  std::int64_t number = 0;
  auto const digits = text.substr(text.starts_with('+') ? 1 : 0);
  auto const [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  if (number < 0) number += static_cast<std::int64_t>(size);
  if (number < 0 || static_cast<std::uint64_t>(number) >= size) return std::nullopt;
  return static_cast<std::size_t>(number);
}

// The object with `value` at the path, objects made on the way. Nothing: something else stands in it.
std::optional<Value> with_value_at(Value const* object, std::span<std::string const> path, Value const& value) {
  if (path.empty()) return value;
  if (object && !object->is_object()) return std::nullopt;
  auto below = with_value_at(object ? object->find(path.front()) : nullptr, path.subspan(1), value);
  if (!below) return std::nullopt;
  std::vector<Member> members;
  if (object) members.assign(object->as_object().members().begin(), object->as_object().members().end());
  members.push_back({path.front(), *std::move(below)});
  return Value::object(std::move(members));
}

}  // namespace

void throw_exception_from_error(KvFault const& fault, boost::source_location const&) {
  throw std::logic_error("value() of an operation that failed: " + fault.text);
}

KvDone<std::vector<std::string>> parse_kv_path(std::string_view path) {
  std::vector<std::string> out;
  std::string plain;
  auto const take_plain = [&] {
    if (!plain.empty()) out.push_back(std::exchange(plain, {}));
  };
  for (std::size_t at = 0; at < path.size(); ++at) {
    if (path[at] == '.') {
      take_plain();
    } else if (path[at] == '[') {
      take_plain();
      auto const end = path.find(']', at);
      if (end == path.npos) return KvFault{Kind::path, "Invalid path: unclosed bracket in '" + std::string(path) + "'"};
      auto key = path.substr(at + 1, end - at - 1);
      bool const is_quoted = key.size() >= 2 && key.front() == key.back() && (key.front() == '"' || key.front() == '\'');
      if (is_quoted) key = key.substr(1, key.size() - 2);
      out.emplace_back(key);
      at = end;
    } else {
      plain += path[at];
    }
  }
  take_plain();
  if (out.size() > kv_path_segments_max)
    return KvFault{Kind::path, "Path exceeds maximum depth of " + std::to_string(kv_path_segments_max) + " (" +
                                   std::to_string(out.size()) + " segments)"};
  return out;
}

std::optional<Value> value_at(Value const& value, std::vector<std::string> const& path) {
  Value current = value;
  for (auto const& segment : path) {
    Value const* below = nullptr;
    if (current.is_object()) below = current.find(segment);
    if (current.is_array()) {
      auto const index = index_of(segment, current.as_array().size());
      if (index) below = &current.as_array()[*index];
    }
    if (!below) return std::nullopt;
    // The copy first: what holds it may go with the assignment.
    Value next = *below;
    current = std::move(next);
  }
  return current;
}

std::optional<KvState> KvState::parse(store::KvDocument const& document) {
  KvState out;
  if (!document.is_there) return out;
  auto const root = Value::parse(document.json);
  if (!root || !root->is_object()) return std::nullopt;
  out.version_ = number_member(*root, version_name);
  for (auto const& [key, kept] : root->as_object().members()) {
    if (key == version_name) continue;
    auto const* value = kept.find("value");
    if (!value) return std::nullopt;
    out.entries_.push_back(
        {key, *value, number_member(kept, "version"), text_member(kept, "created_at"), text_member(kept, "updated_at")});
  }
  return out;
}

KvState::Entry* KvState::entry(std::string_view key) noexcept {
  auto const found = std::find_if(entries_.begin(), entries_.end(), [&](Entry const& e) { return e.key == key; });
  return found == entries_.end() ? nullptr : &*found;
}

KvState::Entry const* KvState::find(std::string_view key) const noexcept { return const_cast<KvState*>(this)->entry(key); }

void KvState::put(std::string_view key, Value value, std::string const& now) {
  auto* known = entry(key);
  if (!known) {
    known = &entries_.emplace_back();
    known->key = key;
    known->created_at = now;
  }
  known->value = std::move(value);
  known->updated_at = now;
  known->version = version_ + 1;
}

KvDone<KvOutcome> KvState::apply(KvOperation const& operation, bool makes_parents, std::string const& now) {
  switch (operation.what) {
    case What::set: return set(operation, now);
    case What::remove: return remove(operation);
    case What::increase:
    case What::decrease: return add(operation, now);
    case What::push_left:
    case What::push_right: return push(operation, now);
    case What::pop_left:
    case What::pop_right: return pop(operation, now);
    case What::patch: return patch(operation, makes_parents, now);
  }
  return KvOutcome{};
}

KvDone<KvOutcome> KvState::set(KvOperation const& operation, std::string const& now) {
  bool const was_there = entry(operation.key) != nullptr;
  if (operation.only_new && was_there) return KvFault{Kind::exists, {}};
  if (operation.only_known && !was_there) return KvFault{Kind::missing, {}};
  if (operation.value.depth() > kv_depth_max) return KvFault{Kind::too_deep, {}};
  put(operation.key, operation.value, now);
  return KvOutcome{.value = operation.value, .was_there = was_there};
}

KvDone<KvOutcome> KvState::remove(KvOperation const& operation) {
  auto const count = std::erase_if(entries_, [&](Entry const& e) { return e.key == operation.key; });
  return KvOutcome{.was_there = count > 0, .changes = count > 0};
}

KvDone<KvOutcome> KvState::add(KvOperation const& operation, std::string const& now) {
  std::int64_t number = 0;
  if (auto const* known = entry(operation.key)) {
    if (known->value.kind() == Value::Kind::boolean) return KvFault{Kind::boolean, {}};
    if (known->value.kind() == Value::Kind::real) return KvFault{Kind::real, {}};
    if (known->value.kind() != Value::Kind::integer) return KvFault{Kind::not_integer, {}};
    auto const before = known->value.to_int64();
    if (!before) return KvFault{Kind::beyond_64_bits, {}};
    number = *before;
  }
  bool const is_over = operation.what == What::increase ? __builtin_add_overflow(number, operation.by, &number)
                                                        : __builtin_sub_overflow(number, operation.by, &number);
  if (is_over) return KvFault{Kind::beyond_64_bits, {}};
  put(operation.key, Value::integer(number), now);
  return KvOutcome{.value = Value::integer(number)};
}

KvDone<KvOutcome> KvState::push(KvOperation const& operation, std::string const& now) {
  Value::Array items;
  if (auto const* known = entry(operation.key)) {
    if (!known->value.is_array()) return KvFault{Kind::not_list, {}};
    items = known->value.as_array();
  }
  if (operation.value.depth() >= kv_depth_max) return KvFault{Kind::too_deep, {}};
  items.insert(operation.what == What::push_left ? items.begin() : items.end(), operation.value);
  auto const length = items.size();
  put(operation.key, Value::array(std::move(items)), now);
  return KvOutcome{.length = length};
}

KvDone<KvOutcome> KvState::pop(KvOperation const& operation, std::string const& now) {
  auto const* known = entry(operation.key);
  if (known && !known->value.is_array()) return KvFault{Kind::not_list, {}};
  if (!known || known->value.as_array().empty()) return KvOutcome{.changes = false};
  auto items = known->value.as_array();
  auto const taken = operation.what == What::pop_left ? items.begin() : items.end() - 1;
  KvOutcome out{.value = *taken};
  items.erase(taken);
  put(operation.key, Value::array(std::move(items)), now);
  return out;
}

KvDone<KvOutcome> KvState::patch(KvOperation const& operation, bool makes_parents, std::string const& now) {
  auto const* known = entry(operation.key);
  if (!known && !makes_parents) return KvFault{Kind::not_found, {}};
  if (known && !known->value.is_object()) return KvFault{Kind::not_object, {}};
  NESTGATE_TRY(path, parse_kv_path(operation.path));
  if (path.empty()) return KvFault{Kind::path, "Path is empty"};
  auto changed = with_value_at(known ? &known->value : nullptr, path, operation.value);
  if (!changed) return KvFault{Kind::path, "Cannot set path '" + operation.path + "': intermediate value is not a dict"};
  if (changed->depth() > kv_depth_max) return KvFault{Kind::too_deep, {}};
  put(operation.key, *std::move(changed), now);
  return KvOutcome{.value = operation.value};
}

std::size_t KvState::python_size() const {
  std::vector<Member> members;
  members.reserve(entries_.size() + 1);
  for (auto const& one : entries_) members.push_back({one.key, one.value});
  if (version_ > 0) members.push_back({std::string(version_name), Value::integer(version_)});
  std::string text;
  event::append_json(text, Value::object(std::move(members)), JsonForm::python, SIZE_MAX);
  return text.size();
}

std::string KvState::written() {
  ++version_;
  std::vector<Member> members{{std::string(version_name), Value::integer(version_)}};
  for (auto const& one : entries_)
    members.push_back({one.key, Value::object({{"value", one.value},
                                               {"version", Value::integer(one.version)},
                                               {"created_at", Value::string(one.created_at)},
                                               {"updated_at", Value::string(one.updated_at)}})});
  std::string text;
  event::append_json(text, Value::object(std::move(members)), JsonForm::compact, SIZE_MAX);
  return text;
}

}  // namespace nestgate::api
