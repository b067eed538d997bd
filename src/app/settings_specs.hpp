#pragma once

#include <algorithm>
#include <array>
#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/settings_keys.hpp"
#include "app/settings_values.hpp"

// What a key's value may be. Each spec has read (a checked conversion), print (its inverse, as TOML) and allowed (said in
// the documentation and in faults).
namespace nestgate::app {

inline std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (char const c : text) {
    if (c == '"' || c == '\\') out.push_back('\\');
    out.push_back(c);
  }
  out.push_back('"');
  return out;
}

inline Problem not_allowed(RawValue const& value, std::string const& allowed) {
  constexpr std::size_t shown_max = 64;
  auto shown = value.text.substr(0, shown_max);
  if (value.text.size() > shown_max) shown += "...";
  if (value.kind == RawValue::Kind::text) shown = in_quotes(shown);
  return shown + " is not allowed; allowed: " + allowed;
}

// Of a list or table: one problem after the other.
inline void add_problem(Problem& into, std::string_view what) {
  if (into) {
    into->append("; ").append(what);
  } else {
    into.emplace(what);
  }
}

inline bool may_be(RawValue const& value, RawValue::Kind kind) {
  return value.kind == kind || value.origin == RawValue::Origin::environment;
}

// From the environment a list is written "a,b,c"; empty text is the empty list.
inline RawValue as_list(RawValue const& value) {
  if (value.origin == RawValue::Origin::file || value.kind != RawValue::Kind::text) return value;
  RawValue list{RawValue::Kind::list, value.text, {}, {}, value.origin};
  std::string_view rest = value.text;
  while (!rest.empty()) {
    auto const comma = std::min(rest.find(','), rest.size());
    auto item = rest.substr(0, comma);
    while (item.starts_with(' ')) item.remove_prefix(1);
    while (item.ends_with(' ')) item.remove_suffix(1);
    list.items.push_back({RawValue::Kind::text, std::string(item), {}, {}, value.origin});
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  return list;
}

// From the environment a table is written "name=value,name=value".
inline RawValue as_map(RawValue const& value) {
  if (value.origin == RawValue::Origin::file || value.kind != RawValue::Kind::text) return value;
  RawValue map{RawValue::Kind::map, value.text, {}, {}, value.origin};
  for (auto& item : as_list(value).items) {
    auto const equals = item.text.find('=');
    if (equals == item.text.npos) return value;
    auto name = item.text.substr(0, equals);
    item.text.erase(0, equals + 1);
    map.names.push_back(std::move(name));
    map.items.push_back(std::move(item));
  }
  return map;
}

struct Count {
  std::int64_t min, max;

  std::string allowed() const { return std::to_string(min) + " to " + std::to_string(max); }
  template <std::integral T>
  Problem read(T& out, RawValue const& value) const {
    auto const number = may_be(value, RawValue::Kind::integer) ? parse_count(value.text) : std::nullopt;
    if (!number || *number < min || *number > max) return not_allowed(value, "an integer, " + allowed());
    out = static_cast<T>(*number);
    return std::nullopt;
  }
  template <std::integral T>
  std::string print(T value) const {
    return std::to_string(value);
  }
};

struct Bytes {
  std::int64_t min, max;

  std::string allowed() const { return "bytes, " + print_bytes(min) + " to " + print_bytes(max); }
  template <std::integral T>
  Problem read(T& out, RawValue const& value) const {
    bool const right = value.kind == RawValue::Kind::integer || value.kind == RawValue::Kind::text;
    auto const bytes = right ? parse_bytes(value.text) : std::nullopt;
    if (!bytes || *bytes < min || *bytes > max) return not_allowed(value, allowed() + R"( (as 8192, "64KiB", "8MiB"))");
    out = static_cast<T>(*bytes);
    return std::nullopt;
  }
  template <std::integral T>
  std::string print(T value) const {
    auto const text = print_bytes(static_cast<std::int64_t>(value));
    return parse_count(text) ? text : in_quotes(text);
  }
};

enum class Zero : std::uint8_t { in_bounds_only, off };

struct Duration {
  std::chrono::milliseconds min, max;
  Zero zero = Zero::in_bounds_only;

  std::string allowed() const {
    return "time, " + print_duration(min) + " to " + print_duration(max) + (zero == Zero::off ? ", or 0: off" : "");
  }
  template <class Rep, class Period>
  Problem read(std::chrono::duration<Rep, Period>& out, RawValue const& value) const {
    bool const zero_number = value.kind == RawValue::Kind::integer && value.text == "0";
    bool const right = value.kind == RawValue::Kind::text || zero_number;
    auto const time = right ? parse_duration(value.text) : std::nullopt;
    bool const off = time && time->count() == 0 && zero == Zero::off;
    using Target = std::chrono::duration<Rep, Period>;
    bool const exact = time && std::chrono::duration_cast<Target>(*time) == *time;
    if (!off && (!time || !exact || *time < min || *time > max)) {
      return not_allowed(value, allowed() + R"( (as "250ms", "10s", "15m", "1h"))");
    }
    out = std::chrono::duration_cast<Target>(*time);
    return std::nullopt;
  }
  template <class Rep, class Period>
  std::string print(std::chrono::duration<Rep, Period> value) const {
    return in_quotes(print_duration(std::chrono::duration_cast<std::chrono::milliseconds>(value)));
  }
};

// A limit that need not be set: 0.
template <class Spec>
struct OrUnset {
  Spec spec;

  std::string allowed() const { return spec.allowed() + ", or 0: unset"; }
  template <class T>
  Problem read(std::optional<T>& out, RawValue const& value) const {
    if (value.text == "0") {
      out.reset();
      return std::nullopt;
    }
    T one{};
    if (spec.read(one, value)) return not_allowed(value, allowed());
    out = one;
    return std::nullopt;
  }
  template <class T>
  std::string print(std::optional<T> const& value) const {
    return value ? spec.print(*value) : "0";
  }
};

struct Flag {
  std::string allowed() const { return "true or false"; }
  Problem read(bool& out, RawValue const& value) const {
    if (!may_be(value, RawValue::Kind::boolean) || (value.text != "true" && value.text != "false")) {
      return not_allowed(value, allowed());
    }
    out = value.text == "true";
    return std::nullopt;
  }
  std::string print(bool value) const { return value ? "true" : "false"; }
};

// true or false, for a member that is an enum of two.
template <class E>
struct FlagOf {
  E when_false, when_true;

  std::string allowed() const { return Flag{}.allowed(); }
  Problem read(E& out, RawValue const& value) const {
    bool flag = false;
    if (auto problem = Flag{}.read(flag, value)) return problem;
    out = flag ? when_true : when_false;
    return std::nullopt;
  }
  std::string print(E value) const { return Flag{}.print(value == when_true); }
};

template <class E, std::size_t N>
struct Choice {
  std::array<std::pair<std::string_view, E>, N> names;

  std::string allowed() const {
    std::string out = "one of";
    for (auto const& [name, e] : names) out.append(&name == &names.front().first ? " " : ", ").append(in_quotes(name));
    return out;
  }
  Problem read(E& out, RawValue const& value) const {
    for (auto const& [name, e] : names) {
      if (value.kind == RawValue::Kind::text && value.text == name) {
        out = e;
        return std::nullopt;
      }
    }
    return not_allowed(value, allowed());
  }
  std::string print(E value) const {
    auto const found = std::find_if(names.begin(), names.end(), [value](auto const& n) { return n.second == value; });
    return in_quotes(found == names.end() ? std::string_view{} : found->first);
  }
};

// Text of bounded length without control characters, and what `check` asks beyond that.
struct Text {
  std::size_t length_min, length_max;
  std::string_view form = "text";  // said in `allowed`
  bool (*check)(std::string_view) = [](std::string_view) { return true; };

  std::string allowed() const {
    return std::string(form) + ", " + std::to_string(length_min) + " to " + std::to_string(length_max) + " characters";
  }
  bool fits(std::string_view text) const {
    auto const control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; };
    return text.size() >= length_min && text.size() <= length_max && std::none_of(text.begin(), text.end(), control) &&
           (text.empty() || check(text));
  }
  Problem read(std::string& out, RawValue const& value) const {
    if (value.kind != RawValue::Kind::text || !fits(value.text)) return not_allowed(value, allowed());
    out = value.text;
    return std::nullopt;
  }
  std::string print(std::string const& value) const { return in_quotes(value); }
};

// A path, kept as written; load_settings makes it absolute, from the settings file's directory.
struct Path {
  std::size_t length_min;

  std::string allowed() const { return length_min == 0 ? "path, may be empty" : "path"; }
  Problem read(std::filesystem::path& out, RawValue const& value) const {
    constexpr std::size_t length_max = 4096;
    bool const fits = value.text.size() >= length_min && value.text.size() <= length_max;
    if (value.kind != RawValue::Kind::text || !fits || value.text.find('\0') != value.text.npos) {
      return not_allowed(value, allowed());
    }
    out = value.text;
    return std::nullopt;
  }
  std::string print(std::filesystem::path const& value) const { return in_quotes(value.string()); }
};

template <class Item>
struct ListOf {
  Item item;
  std::size_t size_min, size_max;

  std::string allowed() const {
    return "list of " + std::to_string(size_min) + " to " + std::to_string(size_max) + ": " + item.allowed();
  }
  template <class T>
  Problem read(std::vector<T>& out, RawValue const& value) const {
    auto const list = as_list(value);
    bool const right = list.kind == RawValue::Kind::list && list.items.size() >= size_min && list.items.size() <= size_max;
    if (!right) return not_allowed(value, allowed());
    std::vector<T> read_items;
    Problem problems;
    for (auto const& raw : list.items) {
      T one{};
      if (auto const problem = item.read(one, raw)) add_problem(problems, *problem);
      read_items.push_back(std::move(one));
    }
    if (!problems) out = std::move(read_items);
    return problems;
  }
  template <class T>
  std::string print(std::vector<T> const& value) const {
    std::string out = "[";
    for (auto const& one : value) out.append(out.size() > 1 ? ", " : "").append(item.print(one));
    return out + "]";
  }
};

// A table of names and values of one kind: ports = { vscode = 8001 }. In the environment "vscode=8001,app=8002".
template <class Item>
struct MapOf {
  Text name;
  Item item;
  std::size_t size_max;

  std::string allowed() const {
    return "table of at most " + std::to_string(size_max) + ", name (" + name.allowed() + ") = " + item.allowed();
  }
  template <class Container>
  Problem read(Container& out, RawValue const& value) const {
    auto const map = as_map(value);
    if (map.kind != RawValue::Kind::map || map.items.size() > size_max) return not_allowed(value, allowed());
    Container read_members;
    Problem problems;
    for (std::size_t i = 0; i < map.items.size(); ++i) {
      auto const& member = map.names[i];
      typename Container::value_type::second_type one{};
      if (!name.fits(member))
        add_problem(problems, "name " + in_quotes(member) + " is not allowed; allowed: " + name.allowed());
      if (auto const problem = item.read(one, map.items[i])) add_problem(problems, *problem);
      read_members.insert(read_members.end(), {member, std::move(one)});
    }
    if (!problems) out = std::move(read_members);
    return problems;
  }
  template <class Container>
  std::string print(Container const& value) const {
    std::string out = "{";
    for (auto const& [member, one] : value) {
      out.append(out.size() > 1 ? ", " : " ").append(member).append(" = ").append(item.print(one));
    }
    return out + (value.empty() ? "}" : " }");
  }
};

}  // namespace nestgate::app
