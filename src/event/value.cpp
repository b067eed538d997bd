#include "nestgate/event/value.hpp"

#include <algorithm>
#include <limits>

#include "event/order.hpp"
#include "nestgate/base/invariant.hpp"

namespace nestgate::event {
namespace {

// Up to here a walk is as fast as a search.
constexpr std::size_t members_walked_max = 8;

std::uint32_t depth_of_items(Value::Array const& items) {
  std::uint32_t deepest = 0;
  for (auto const& item : items) deepest = std::max(deepest, item.depth());
  return deepest + 1;
}

// The value of the last member of a name goes to the first, the others go.
void merge_same_names(std::vector<Member>& members, std::vector<std::uint32_t> const& by_name) {
  std::vector<bool> goes(members.size());
  for (std::size_t first = 0, next = 1; next < by_name.size(); ++next) {
    if (members[by_name[first]].name != members[by_name[next]].name) {
      first = next;
      continue;
    }
    members[by_name[first]].value = members[by_name[next]].value;
    goes[by_name[next]] = true;
  }
  std::size_t kept = 0;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (goes[i]) continue;
    if (kept != i) members[kept] = std::move(members[i]);
    ++kept;
  }
  members.resize(kept);
}

std::vector<std::uint32_t> sorted_by_name(std::vector<Member> const& members) {
  return stable_order(members.size(),
                      [&members](std::uint32_t i, std::uint32_t j) { return members[i].name.compare(members[j].name); });
}

}  // namespace

Object::Object(std::vector<Member> members) : members_(std::move(members)) {
  if (members_.size() > 1) {
    by_name_ = sorted_by_name(members_);
    auto const same = [this](std::uint32_t a, std::uint32_t b) { return members_[a].name == members_[b].name; };
    if (std::ranges::adjacent_find(by_name_, same) != by_name_.end()) {
      merge_same_names(members_, by_name_);
      by_name_ = sorted_by_name(members_);
    }
    if (members_.size() <= members_walked_max) by_name_ = {};
  }
  for (auto const& member : members_) depth_ = std::max(depth_, member.value.depth() + 1);
}

Value const* Object::find(std::string_view name) const noexcept {
  if (by_name_.empty()) {
    auto const at = std::ranges::find(members_, name, &Member::name);
    return at == members_.end() ? nullptr : &at->value;
  }
  auto const at =
      std::ranges::lower_bound(by_name_, name, {}, [this](std::uint32_t i) -> std::string_view { return members_[i].name; });
  return at == by_name_.end() || members_[*at].name != name ? nullptr : &members_[*at].value;
}

Value Value::integer(std::uint64_t n) {
  if (n <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
    return Value(Held(static_cast<std::int64_t>(n)));
  return Value(Held(n));
}

Value Value::string(std::string text) {
  static auto const empty = std::make_shared<std::string const>();
  return Value(Held(text.empty() ? empty : std::make_shared<std::string const>(std::move(text))));
}

Value Value::array(Array items) {
  static auto const empty = std::make_shared<List const>(List{{}, 1});
  if (items.empty()) return Value(Held(empty));
  auto const depth = depth_of_items(items);
  return Value(Held(std::make_shared<List const>(List{std::move(items), depth})));
}

Value Value::object(std::vector<Member> members) {
  static auto const empty = std::make_shared<Object const>(std::vector<Member>());
  return Value(Held(members.empty() ? empty : std::make_shared<Object const>(std::move(members))));
}

Value Value::expression(std::shared_ptr<detail::Node const> node) { return Value(Held(std::move(node))); }

Value::Kind Value::kind() const noexcept {
  constexpr Kind kinds[] = {Kind::null,   Kind::boolean, Kind::integer, Kind::integer,   Kind::real,
                            Kind::string, Kind::array,   Kind::object,  Kind::expression};
  static_assert(std::size(kinds) == std::variant_size_v<Held>);
  return kinds[held_.index()];
}

bool Value::as_boolean() const {
  auto const* held = std::get_if<bool>(&held_);
  NESTGATE_INVARIANT(held, "the caller asked for the kind");
  return *held;
}

std::string_view Value::as_string() const {
  auto const* held = std::get_if<std::shared_ptr<std::string const>>(&held_);
  NESTGATE_INVARIANT(held, "the caller asked for the kind");
  return **held;
}

Value::Array const& Value::as_array() const {
  auto const* held = std::get_if<std::shared_ptr<List const>>(&held_);
  NESTGATE_INVARIANT(held, "the caller asked for the kind");
  return (*held)->items;
}

Object const& Value::as_object() const {
  auto const* held = std::get_if<std::shared_ptr<Object const>>(&held_);
  NESTGATE_INVARIANT(held, "the caller asked for the kind");
  return **held;
}

std::shared_ptr<detail::Node const> const& Value::as_expression() const {
  auto const* held = std::get_if<std::shared_ptr<detail::Node const>>(&held_);
  NESTGATE_INVARIANT(held, "the caller asked for the kind");
  return *held;
}

long double Value::as_number() const {
  static_assert(std::numeric_limits<long double>::digits >= 64, "an integer of 64 bits fits");
  if (auto const* n = std::get_if<std::int64_t>(&held_)) return static_cast<long double>(*n);
  if (auto const* n = std::get_if<std::uint64_t>(&held_)) return static_cast<long double>(*n);
  auto const* held = std::get_if<double>(&held_);
  NESTGATE_INVARIANT(held, "the caller asked for the kind");
  return static_cast<long double>(*held);
}

std::optional<std::int64_t> Value::to_int64() const noexcept {
  auto const* n = std::get_if<std::int64_t>(&held_);
  return n ? std::optional(*n) : std::nullopt;
}

Value const* Value::find(std::string_view name) const noexcept {
  auto const* held = std::get_if<std::shared_ptr<Object const>>(&held_);
  return held ? (*held)->find(name) : nullptr;
}

std::uint32_t Value::depth() const noexcept {
  if (auto const* list = std::get_if<std::shared_ptr<List const>>(&held_)) return (*list)->depth;
  if (auto const* object = std::get_if<std::shared_ptr<Object const>>(&held_)) return (*object)->depth();
  return 0;
}

bool Value::shares_with(Value const& other) const noexcept { return held_ == other.held_; }

bool Value::is_truthy() const noexcept {
  switch (kind()) {
    case Kind::null: return false;
    case Kind::boolean: return as_boolean();
    case Kind::integer:
    case Kind::real: return as_number() != 0;
    case Kind::string: return !as_string().empty();
    case Kind::array: return !as_array().empty();
    case Kind::object: return !as_object().members().empty();
    case Kind::expression: return true;
  }
  return true;
}

}  // namespace nestgate::event
