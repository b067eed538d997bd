#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "nestgate/base/result.hpp"

namespace nestgate::event {

namespace detail {
struct Node;
}

struct Member;
class Object;

// What a document may cost before it is read. A value takes 24 to 150 bytes of memory, so their number is what bounds it.
struct DocumentLimits {
  std::size_t bytes_max = 32 * 1024 * 1024;
  std::size_t values_max = 2'000'000;  // scalars, arrays and objects; names of members are not counted
  std::size_t depth_max = 512;
};

// A JSON value that never changes. A copy shares what it holds, so it costs a reference count; threads may share one.
// Integers and reals are told apart as Python does: `1` is not written as `1.0` is.
class Value {
 public:
  enum class Kind : std::uint8_t { null, boolean, integer, real, string, array, object, expression };
  using Array = std::vector<Value>;

  Value() = default;  // null
  static Value boolean(bool b) { return Value(Held(b)); }
  static Value integer(std::int64_t n) { return Value(Held(n)); }
  static Value integer(std::uint64_t n);
  static Value real(double n) { return Value(Held(n)); }
  static Value string(std::string text);
  static Value array(Array items);
  // Of members with the same name the last one's value stands, in the place of the first, as in a Python dict.
  static Value object(std::vector<Member> members);
  // What `&expression` evaluates to. Only the evaluator makes and opens it; for all others it is not a JSON value.
  static Value expression(std::shared_ptr<detail::Node const> node);

  // Faults: bad_input for what is no JSON, too_large beyond a limit. An integer beyond 64 bits becomes a real, half a
  // surrogate pair U+FFFD.
  static Result<Value> parse(std::string_view json, DocumentLimits const& limits = {});

  Kind kind() const noexcept;
  bool is_null() const noexcept { return kind() == Kind::null; }
  bool is_number() const noexcept { return kind() == Kind::integer || kind() == Kind::real; }
  bool is_string() const noexcept { return kind() == Kind::string; }
  bool is_array() const noexcept { return kind() == Kind::array; }
  bool is_object() const noexcept { return kind() == Kind::object; }

  // Each of these asks for the kind that it names (an invariant).
  bool as_boolean() const;
  std::string_view as_string() const;
  Array const& as_array() const;
  Object const& as_object() const;
  std::shared_ptr<detail::Node const> const& as_expression() const;
  // Exact for every number: 64 bits of mantissa hold both kinds.
  long double as_number() const;
  double as_real() const { return static_cast<double>(as_number()); }
  // Nothing for another kind than `integer`, and for what is beyond an int64.
  std::optional<std::int64_t> to_int64() const noexcept;

  // The member of an object; nothing for another kind.
  Value const* find(std::string_view name) const noexcept;
  // How deep arrays and objects are nested: 0 for a scalar.
  std::uint32_t depth() const noexcept;
  // The same node, or the same scalar without looking into it.
  bool shares_with(Value const& other) const noexcept;
  // What `if value:` decides in Python: null, false, 0, "", [] and {} are false.
  bool is_truthy() const noexcept;

 private:
  struct List {
    Array items;
    std::uint32_t depth;
  };
  using Held = std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::shared_ptr<std::string const>,
                            std::shared_ptr<List const>, std::shared_ptr<Object const>, std::shared_ptr<detail::Node const>>;
  explicit Value(Held held) : held_(std::move(held)) {}

  Held held_;
};

struct Member {
  std::string name;
  Value value;
};

// Members in the order in which they came; found in logarithmic time.
class Object {
 public:
  explicit Object(std::vector<Member> members);

  std::span<Member const> members() const noexcept { return members_; }
  Value const* find(std::string_view name) const noexcept;
  std::uint32_t depth() const noexcept { return depth_; }

 private:
  std::vector<Member> members_;
  std::vector<std::uint32_t> by_name_;  // empty while there are few members
  std::uint32_t depth_ = 1;
};

// How JSON is spelled: `compact` for storing and sending; the other two as Python's json.dumps does, with everything
// beyond ASCII escaped: with the separators "," and ":", and with ", " and ": ".
enum class JsonForm : std::uint8_t { compact, python_compact, python };

// Appends `value`. False once `out` has more than `bytes_max` bytes; what is there then is no JSON. A value that was
// evaluated can be exponentially longer as text than it is in memory.
bool append_json(std::string& out, Value const& value, JsonForm form, std::size_t bytes_max);
// As Python's repr: the shortest digits that are read back as the same, `1.0`, `1e+16`, `inf`, `nan`.
std::string python_text(double number);
// Python's str() of a string, number or boolean (`True`); nothing for another kind.
std::optional<std::string> python_text(Value const& scalar);

}  // namespace nestgate::event
