#pragma once

#include <simdjson.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "nestgate/store/automation_rows.hpp"

// Values of requests as the automation service's clients know them judged: with the codes, texts and coercions of
// Pydantic 2 (automation.md 1.0). All faults of a request are collected. Pure.
//
//   Faults faults;
//   Model in(faults, body_value(faults, body));
//   in.need("name", out.name, text(1, 500));
//   in.may("timeout", out.timeout, checked(whole(), good_timeout));
//   in.done();
//   if (!faults.empty()) co_return unprocessable(faults);
namespace nestgate::api {

// Where in a request something stands: {"body", "plugins", 0, "source"}.
using Step = std::variant<std::string, std::size_t>;
using Loc = std::vector<Step>;
Loc below(Loc loc, Step step);

struct ModelFault {
  std::string type;
  Loc loc;
  std::string message;
  std::string input_json;    // what was given, secrets masked
  std::string context_json;  // an object; "" none
};

// What is wrong with a request. Beyond `faults_max` none is noted.
class Faults {
 public:
  static constexpr std::size_t faults_max = 100;
  void add(ModelFault fault);
  bool empty() const noexcept { return all_.empty(); }
  std::vector<ModelFault> const& all() const noexcept { return all_; }

 private:
  std::vector<ModelFault> all_;
};
// {"detail":[{"type","loc","msg","input","ctx"?}, …]}
std::string faults_json(Faults const& faults);

enum class Hidden : bool { no, yes };

// A value that is being read: JSON, or the text of a query or a path. Views live as long as what was parsed.
class Value {
 public:
  Value(Faults& faults, Loc loc, simdjson::dom::element element, Hidden hidden = Hidden::no)
      : faults_(&faults), loc_(std::move(loc)), given_(element), hidden_(hidden) {}
  Value(Faults& faults, Loc loc, std::string_view parameter) : faults_(&faults), loc_(std::move(loc)), given_(parameter) {}

  Loc const& loc() const noexcept { return loc_; }
  Faults& faults() const noexcept { return *faults_; }
  Hidden hidden() const noexcept { return hidden_; }
  bool is_null() const;
  std::optional<std::string_view> text() const;
  // Nothing for the text of a parameter.
  std::optional<simdjson::dom::element> json() const;
  // The same with another place of its faults: that of a union's arm, as Pydantic has it.
  Value as(Step arm) const;
  Value concealed() const;

  // Notes a fault; false, so that a rule can return it.
  bool refuse(std::string type, std::string message, std::string context_json = {}) const;
  // `message` behind "Value error, ".
  bool refuse_value(std::string_view message) const;

 private:
  Faults* faults_;
  Loc loc_;
  std::variant<simdjson::dom::element, std::string_view> given_;
  Hidden hidden_ = Hidden::no;
};

// What a value must be. It writes to `out` and is true, or notes why not and is false.
template <class T>
using Rule = std::function<bool(Value const& value, T& out)>;

inline constexpr std::size_t no_max = SIZE_MAX;

// Whether databases keep it as a text: UTF-8 without null characters, which what a URL or a header says need not be.
bool is_storable(std::string_view text);

// A text's length counts characters. `pattern` is told; `matches` decides.
struct Pattern {
  char const* pattern;
  bool (*matches)(std::string_view);
};
Rule<std::string> text(std::size_t min = 0, std::size_t max = no_max, std::optional<Pattern> pattern = std::nullopt);
// The same, never shown again in a fault.
Rule<std::string> hidden_text(std::size_t min, std::size_t max);
Rule<std::int64_t> whole(std::optional<std::int64_t> min = std::nullopt, std::optional<std::int64_t> max = std::nullopt);
Rule<double> number();
Rule<bool> flag();
// Lower case with dashes.
Rule<std::string> uuid();
Rule<std::string> one_of(std::vector<std::string> words);
Rule<std::chrono::system_clock::time_point> moment();
// An object, kept as its JSON.
Rule<std::string> any_object();

// `rule`, then `check`: why the value will not do, or nothing. `check` may also change it.
template <class T>
Rule<T> checked(Rule<T> rule, std::function<std::optional<std::string>(T&)> check) {
  return [rule = std::move(rule), check = std::move(check)](Value const& value, T& out) {
    if (!rule(value, out)) return false;
    auto const why = check(out);
    return !why || value.refuse_value(*why);
  };
}

bool is_list_of(Value const& value, std::size_t min, std::size_t max, std::function<void(Value const&)> const& each);

template <class T>
Rule<std::vector<T>> list_of(Rule<T> rule, std::size_t min = 0, std::size_t max = no_max) {
  return [rule = std::move(rule), min, max](Value const& value, std::vector<T>& out) {
    bool all_well = true;
    out.clear();
    bool const fits = is_list_of(value, min, max, [&](Value const& item) {
      T one{};
      all_well = rule(item, one) && all_well;
      out.push_back(std::move(one));
    });
    return fits && all_well;
  };
}

// A member that a change may leave alone, set to null, or set.
template <class T>
struct Change {
  bool is_given = false;
  std::optional<T> value;
};

enum class Extra : bool { forbid, ignore };

// An object's members, read one by one in the order of the model's fields. Of a value that is no object one fault is noted
// and no member is there.
class Model {
 public:
  explicit Model(Value value, Extra extra = Extra::forbid);
  // Nothing was given: noted already.
  explicit Model(std::optional<Value> value, Extra extra = Extra::forbid);

  bool has(std::string_view name) const;
  // Marks the member as known. Nothing: it is not there.
  std::optional<Value> take(std::string_view name);

  template <class T, class R>
  bool need(std::string_view name, T& out, R const& rule) {
    auto const value = take(name);
    if (!value) return is_object_ && missing(name);
    return read(*value, out, rule);
  }
  // Absent: `out` stays, and that is well. null is for what is optional.
  template <class T, class R>
  bool may(std::string_view name, T& out, R const& rule) {
    auto const value = take(name);
    return !value || read(*value, out, rule);
  }
  // null is no value of it.
  template <class T, class R>
  bool change(std::string_view name, std::optional<T>& out, R const& rule) {
    auto const value = take(name);
    if (!value) return true;
    out.emplace();
    return rule(*value, *out);
  }
  template <class T, class R>
  bool change(std::string_view name, Change<T>& out, R const& rule) {
    auto const value = take(name);
    if (!value) return true;
    out.is_given = true;
    return read(*value, out.value, rule);
  }
  // Notes what nothing asked for. False where this object had any fault.
  bool done();

  bool is_object() const noexcept { return is_object_; }
  Value const& value() const { return *value_; }

 private:
  template <class T, class R>
  static bool read(Value const& value, T& out, R const& rule) {
    return rule(value, out);
  }
  template <class T, class R>
  static bool read(Value const& value, std::optional<T>& out, R const& rule) {
    out.reset();
    if (value.is_null()) return true;
    T read_one{};
    if (!rule(value, read_one)) return false;
    out = std::move(read_one);
    return true;
  }
  bool missing(std::string_view name) const;
  void read_members();

  std::optional<Value> value_;
  Extra extra_;
  bool is_object_ = false;
  std::size_t faults_before_ = 0;
  std::vector<std::pair<std::string_view, simdjson::dom::element>> members_;
  std::vector<std::string_view> asked_;
};

// A request's body. What it gives lives as long as it.
class JsonBody {
 public:
  enum class State : std::uint8_t {
    absent,     // empty
    not_json,   // its Content-Type does not say JSON
    malformed,  // `fault` says where
    not_text,   // it is no UTF-8
    read,
  };
  JsonBody() = default;
  JsonBody(std::string_view content_type, std::string_view body);

  State state() const noexcept { return state_; }
  ModelFault const& fault() const noexcept { return fault_; }
  simdjson::dom::element root() const noexcept { return root_; }

 private:
  void parse(std::string_view body);
  void refuse(std::string_view body);

  State state_ = State::absent;
  ModelFault fault_;
  std::unique_ptr<simdjson::dom::parser> parser_;  // by pointer: elements keep its address
  simdjson::dom::element root_;
};
// Nothing where there is none, which is noted.
std::optional<Value> body_value(Faults& faults, JsonBody const& body);

// Parameters of a query, decoded; of several with a name the last counts.
class Query {
 public:
  Query(Faults& faults, std::string_view query);
  template <class T, class R>
  bool may(std::string_view name, T& out, R const& rule) const {
    auto const at = find(name);
    return !at || rule(Value(*faults_, Loc{"query", std::string(name)}, *at), out);
  }
  template <class T, class R>
  bool may(std::string_view name, std::optional<T>& out, R const& rule) const {
    auto const at = find(name);
    if (!at) return true;
    out.emplace();
    return rule(Value(*faults_, Loc{"query", std::string(name)}, *at), *out);
  }
  template <class T, class R>
  bool need(std::string_view name, T& out, R const& rule) const {
    return find(name) ? may(name, out, rule) : missing(name);
  }

 private:
  std::optional<std::string_view> find(std::string_view name) const;
  bool missing(std::string_view name) const;

  Faults* faults_;
  std::vector<std::pair<std::string, std::string>> parameters_;
};

// 1 to 100, from 0.
store::PageOf page_of(Query const& query);

// A path's id, as the routes before it took it.
std::string path_uuid(Faults& faults, std::string_view name, std::string_view given);

}  // namespace nestgate::api
