#include "model.hpp"

#include <algorithm>
#include <cmath>

#include "api/masked.hpp"
#include "json_fault.hpp"
#include "nestgate/api/list_query.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/codec/json_writer.hpp"

namespace nestgate::api {

namespace dom = simdjson::dom;
using codec::JsonWriter;

namespace {

constexpr std::size_t input_bytes_max = 16 * 1024;  // a larger one is not shown again

void write_loc(JsonWriter& w, Loc const& loc) {
  w.begin_array();
  for (auto const& step : loc) {
    if (auto const* const name = std::get_if<std::string>(&step)) {
      w.value(*name);
    } else {
      w.value(std::get<std::size_t>(step));
    }
  }
  w.end_array();
}

bool is_under_a_secret_name(Loc const& loc) {
  return std::any_of(loc.begin(), loc.end(), [](Step const& step) {
    auto const* const name = std::get_if<std::string>(&step);
    return name != nullptr && names_secrets(*name);
  });
}

std::string shown(std::optional<dom::element> json, std::optional<std::string_view> text, Here here) {
  std::string out;
  JsonWriter w(out);
  if (json) {
    write_masked(w, *json, here);
  } else {
    w.value(here == Here::secret ? mask : text.value_or(""));
  }
  return out.size() > input_bytes_max ? "null" : out;
}

std::string context(std::string_view name, auto const& value) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().member(name, value).end_object();
  return out;
}

std::string counted(std::size_t count, std::string_view one, std::string_view many) {
  std::string out = std::to_string(count);
  return out.append(" ").append(count == 1 ? one : many);
}

bool fits_text(Value const& value, std::string const& out, std::size_t min, std::size_t max) {
  if (!simdjson::validate_utf8(out))
    return value.refuse("string_unicode", "Input should be a valid string, unable to parse raw data as a unicode string");
  auto const length = characters_in(out);
  if (length < min)
    return value.refuse("string_too_short", "String should have at least " + counted(min, "character", "characters"),
                        context("min_length", min));
  if (length > max)
    return value.refuse("string_too_long", "String should have at most " + counted(max, "character", "characters"),
                        context("max_length", max));
  return is_storable(out) || value.refuse_value("must not contain null characters");
}

// What Python's int() takes of a text: sign, digits with single underscores between them, and Pydantic's ".0".
std::optional<std::int64_t> parse_whole(std::string_view text) {
  auto const trim = [](char c) { return c == ' ' || (c >= '\t' && c <= '\r'); };
  while (!text.empty() && trim(text.front())) text.remove_prefix(1);
  while (!text.empty() && trim(text.back())) text.remove_suffix(1);
  bool const is_negative = text.starts_with('-');
  if (is_negative || text.starts_with('+')) text.remove_prefix(1);
  if (auto const dot = text.find('.'); dot != text.npos) {
    if (text.find_first_not_of('0', dot + 1) != text.npos) return std::nullopt;
    text = text.substr(0, dot);
  }
  if (text.empty() || text.front() == '_' || text.back() == '_' || text.find("__") != text.npos) return std::nullopt;
  std::int64_t out = 0;
  bool is_over = false;
  for (char const c : text) {
    if (c == '_') continue;
    if (c < '0' || c > '9') return std::nullopt;
    is_over = is_over || __builtin_mul_overflow(out, 10, &out) || __builtin_add_overflow(out, c - '0', &out);
  }
  if (is_over) out = INT64_MAX;  // beyond any bound
  return is_negative ? -out : out;
}

bool whole_of_double(Value const& value, double given, std::int64_t& out) {
  if (given != std::floor(given))
    return value.refuse("int_from_float", "Input should be a valid integer, got a number with a fractional part");
  if (std::fabs(given) >= 9.2e18)
    return value.refuse("int_parsing_size", "Unable to parse input string as an integer, exceeded maximum size");
  out = static_cast<std::int64_t>(given);
  return true;
}

bool read_whole(Value const& value, std::int64_t& out) {
  if (auto const text = value.text()) {
    auto const parsed = parse_whole(*text);
    if (parsed) out = *parsed;
    return parsed || value.refuse("int_parsing", "Input should be a valid integer, unable to parse string as an integer");
  }
  auto const element = *value.json();
  bool truth = false;
  std::uint64_t large = 0;
  double fraction = 0;
  if (!element.get_bool().get(truth)) {
    out = truth ? 1 : 0;
  } else if (element.is<std::int64_t>()) {
    out = element.get_int64().value();
  } else if (!element.get_uint64().get(large)) {
    out = INT64_MAX;
  } else if (!element.get_double().get(fraction)) {
    return whole_of_double(value, fraction, out);
  } else {
    return value.refuse("int_type", "Input should be a valid integer");
  }
  return true;
}

std::optional<double> parse_number(std::string_view text) {
  std::string const owned(text);
  char* end = nullptr;
  double const out = std::strtod(owned.c_str(), &end);
  bool const is_all = !owned.empty() && end == owned.c_str() + owned.size() && std::isfinite(out);
  return is_all ? std::optional<double>(out) : std::nullopt;
}

std::optional<bool> truth_of(std::string_view word) {
  std::string lower(word);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  for (std::string_view const yes : {"1", "true", "t", "yes", "y", "on"}) {
    if (lower == yes) return true;
  }
  for (std::string_view const no : {"0", "false", "f", "no", "n", "off"}) {
    if (lower == no) return false;
  }
  return std::nullopt;
}

bool read_flag(Value const& value, bool& out) {
  constexpr auto not_one = "Input should be a valid boolean, unable to interpret input";
  std::optional<bool> truth;
  double number = 0;
  if (auto const text = value.text()) {
    truth = truth_of(*text);
  } else if (value.json()->is<bool>()) {
    truth = value.json()->get_bool().value();
  } else if (!value.json()->get_double().get(number)) {
    if (number != std::floor(number)) return value.refuse("bool_type", "Input should be a valid boolean");
    if (number == 0 || number == 1) truth = number == 1;
  } else {
    return value.refuse("bool_type", "Input should be a valid boolean");
  }
  if (!truth) return value.refuse("bool_parsing", not_one);
  out = *truth;
  return true;
}

constexpr std::size_t uuid_digits = 32;
constexpr std::array<std::size_t, 5> group_digits = {8, 4, 4, 4, 12};

struct UuidText {
  std::string_view digits;  // with their dashes
  std::size_t before = 0;
  bool is_plain = false;  // neither braces nor a prefix
};

UuidText unwrapped(std::string_view given) {
  constexpr std::string_view prefix = "urn:uuid:";
  if (given.size() >= 2 && given.starts_with('{') && given.ends_with('}'))
    return {given.substr(1, given.size() - 2), 1, false};
  if (given.starts_with(prefix)) return {given.substr(prefix.size()), prefix.size(), false};
  return {given, 0, true};
}

std::string why_not_a_uuid_character(std::string_view digits, std::size_t at, std::size_t before) {
  std::size_t length = 1;
  while (at + length < digits.size() && (static_cast<unsigned char>(digits[at + length]) & 0xC0) == 0x80) ++length;
  return "invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], found `" +
         std::string(digits.substr(at, length)) + "` at " + std::to_string(at + before + 1);
}

// Nothing: it is one.
std::optional<std::string> why_not_a_uuid(std::string_view given) {
  auto const [digits, before, is_plain] = unwrapped(given);
  std::vector<std::size_t> groups(1);
  for (std::size_t at = 0; at < digits.size(); ++at) {
    if (digits[at] == '-') {
      groups.push_back(0);
    } else if (hex_value(digits[at]) < 0) {
      return why_not_a_uuid_character(digits, at, before);
    } else {
      ++groups.back();
    }
  }
  if (groups.size() == 1 && groups[0] == uuid_digits) return std::nullopt;
  if (groups.size() == 1 && is_plain)
    return "invalid length: expected length 32 for simple format, found " + std::to_string(given.size());
  if (groups.size() != group_digits.size()) return "invalid group count: expected 5, found " + std::to_string(groups.size());
  for (std::size_t i = 0; i < group_digits.size(); ++i) {
    if (groups[i] != group_digits[i])
      return "invalid group length in group " + std::to_string(i) + ": expected " + std::to_string(group_digits[i]) +
             ", found " + std::to_string(groups[i]);
  }
  return std::nullopt;
}

bool read_uuid(Value const& value, std::string& out) {
  auto const given = value.text();
  if (!given) return value.refuse("uuid_type", "UUID input should be a string, bytes or UUID object");
  if (auto const why = why_not_a_uuid(*given))
    return value.refuse("uuid_parsing", "Input should be a valid UUID, " + *why, context("error", *why));
  std::string hex;
  for (char const c : unwrapped(*given).digits) {
    if (c != '-') hex += "0123456789abcdef"[hex_value(c)];
  }
  out = dashed_uuid(hex);
  return true;
}

std::string quoted_words(std::vector<std::string> const& words) {
  std::string out;
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (i != 0) out += i + 1 == words.size() ? " or " : ", ";
    out += "'" + words[i] + "'";
  }
  return out;
}

std::string length_context(std::string_view name, std::size_t bound, std::size_t actual) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().member("field_type", "List").member(name, bound).member("actual_length", actual).end_object();
  return out;
}

}  // namespace

bool is_storable(std::string_view text) {
  return text.find('\0') == text.npos && simdjson::validate_utf8(text.data(), text.size());
}

Loc below(Loc loc, Step step) {
  loc.push_back(std::move(step));
  return loc;
}

void Faults::add(ModelFault fault) {
  if (all_.size() < faults_max) all_.push_back(std::move(fault));
}

std::string faults_json(Faults const& faults) {
  std::string out;
  JsonWriter w(out);
  w.begin_object().key("detail").begin_array();
  for (auto const& fault : faults.all()) {
    w.begin_object().member("type", fault.type).key("loc");
    write_loc(w, fault.loc);
    w.member("msg", fault.message).key("input").raw(fault.input_json);
    if (!fault.context_json.empty()) w.key("ctx").raw(fault.context_json);
    w.end_object();
  }
  w.end_array().end_object();
  return out;
}

bool Value::is_null() const {
  auto const element = json();
  return element && element->is_null();
}

std::optional<std::string_view> Value::text() const {
  if (auto const* const parameter = std::get_if<std::string_view>(&given_)) return *parameter;
  std::string_view text;
  if (std::get<dom::element>(given_).get_string().get(text)) return std::nullopt;
  return text;
}

std::optional<dom::element> Value::json() const {
  auto const* const element = std::get_if<dom::element>(&given_);
  return element ? std::optional<dom::element>(*element) : std::nullopt;
}

Value Value::as(Step arm) const {
  Value out = *this;
  out.loc_.push_back(std::move(arm));
  return out;
}

Value Value::concealed() const {
  Value out = *this;
  out.hidden_ = Hidden::yes;
  return out;
}

bool Value::refuse(std::string type, std::string message, std::string context_json) const {
  bool const hides = hidden_ == Hidden::yes || is_under_a_secret_name(loc_);
  std::string input = shown(json(), text(), hides ? Here::secret : Here::plain);
  faults_->add({std::move(type), loc_, std::move(message), std::move(input), std::move(context_json)});
  return false;
}

bool Value::refuse_value(std::string_view message) const {
  return refuse("value_error", "Value error, " + std::string(message), R"({"error":{}})");
}

Rule<std::string> text(std::size_t min, std::size_t max, std::optional<Pattern> pattern) {
  return [=](Value const& value, std::string& out) {
    auto const given = value.text();
    if (!given) return value.refuse("string_type", "Input should be a valid string");
    out = *given;
    if (!fits_text(value, out, min, max)) return false;
    if (!pattern || pattern->matches(out)) return true;
    return value.refuse("string_pattern_mismatch", "String should match pattern '" + std::string(pattern->pattern) + "'",
                        context("pattern", std::string_view(pattern->pattern)));
  };
}

Rule<std::string> hidden_text(std::size_t min, std::size_t max) {
  return [rule = text(min, max)](Value const& value, std::string& out) { return rule(value.concealed(), out); };
}

Rule<std::int64_t> whole(std::optional<std::int64_t> min, std::optional<std::int64_t> max) {
  return [=](Value const& value, std::int64_t& out) {
    if (!read_whole(value, out)) return false;
    if (min && out < *min)
      return value.refuse("greater_than_equal", "Input should be greater than or equal to " + std::to_string(*min),
                          context("ge", *min));
    if (max && out > *max)
      return value.refuse("less_than_equal", "Input should be less than or equal to " + std::to_string(*max),
                          context("le", *max));
    return true;
  };
}

Rule<double> number() {
  return [](Value const& value, double& out) {
    bool truth = false;
    if (auto const text = value.text()) {
      auto const parsed = parse_number(*text);
      if (parsed) out = *parsed;
      return parsed || value.refuse("float_parsing", "Input should be a valid number, unable to parse string as a number");
    }
    if (!value.json()->get_bool().get(truth)) {
      out = truth ? 1 : 0;
      return true;
    }
    return !value.json()->get_double().get(out) || value.refuse("float_type", "Input should be a valid number");
  };
}

Rule<bool> flag() { return read_flag; }
Rule<std::string> uuid() { return read_uuid; }

Rule<std::string> one_of(std::vector<std::string> words) {
  return [words = std::move(words)](Value const& value, std::string& out) {
    auto const given = value.text();
    bool const is_one = given && std::find(words.begin(), words.end(), *given) != words.end();
    if (is_one) out = *given;
    auto const expected = quoted_words(words);
    return is_one || value.refuse("literal_error", "Input should be " + expected, context("expected", expected));
  };
}

Rule<std::chrono::system_clock::time_point> moment() {
  return [](Value const& value, std::chrono::system_clock::time_point& out) {
    auto const given = value.text();
    if (!given) return value.refuse("datetime_type", "Input should be a valid datetime");
    auto const parsed = parse_rfc3339(*given);
    if (parsed) out = *parsed;
    constexpr std::string_view why = "a date and a time with its zone, as RFC 3339 writes them";
    return parsed ||
           value.refuse("datetime_parsing", "Input should be a valid datetime, " + std::string(why), context("error", why));
  };
}

Rule<std::string> any_object() {
  return [](Value const& value, std::string& out) {
    auto const element = value.json();
    bool const is_object = element && element->is<dom::object>();
    if (is_object) out = simdjson::minify(*element);
    return is_object || value.refuse("dict_type", "Input should be a valid dictionary");
  };
}

bool is_list_of(Value const& value, std::size_t min, std::size_t max, std::function<void(Value const&)> const& each) {
  dom::array items;
  auto const element = value.json();
  if (!element || element->get_array().get(items)) return value.refuse("list_type", "Input should be a valid list");
  std::size_t count = 0;
  for (auto const item : items) {
    if (count < max) each(Value(value.faults(), below(value.loc(), count), item, value.hidden()));
    ++count;
  }
  if (count < min)
    return value.refuse(
        "too_short",
        "List should have at least " + counted(min, "item", "items") + " after validation, not " + std::to_string(count),
        length_context("min_length", min, count));
  if (count > max)
    return value.refuse(
        "too_long",
        "List should have at most " + counted(max, "item", "items") + " after validation, not " + std::to_string(count),
        length_context("max_length", max, count));
  return true;
}

Model::Model(Value value, Extra extra) : value_(std::move(value)), extra_(extra) {
  faults_before_ = value_->faults().all().size();
  read_members();
}

Model::Model(std::optional<Value> value, Extra extra) : value_(std::move(value)), extra_(extra) {
  if (!value_) return;
  faults_before_ = value_->faults().all().size();
  read_members();
}

void Model::read_members() {
  dom::object object;
  auto const element = value_->json();
  is_object_ = element && !element->get_object().get(object);
  if (!is_object_) {
    value_->refuse("model_attributes_type", "Input should be a valid dictionary or object to extract fields from");
    return;
  }
  for (auto const [name, member] : object) members_.emplace_back(name, member);
}

bool Model::has(std::string_view name) const {
  return std::any_of(members_.begin(), members_.end(), [&](auto const& member) { return member.first == name; });
}

std::optional<Value> Model::take(std::string_view name) {
  asked_.push_back(name);
  auto const at = std::find_if(members_.rbegin(), members_.rend(), [&](auto const& member) { return member.first == name; });
  if (at == members_.rend()) return std::nullopt;
  return Value(value_->faults(), below(value_->loc(), std::string(name)), at->second, value_->hidden());
}

bool Model::missing(std::string_view name) const {
  std::string input = shown(value_->json(), {}, value_->hidden() == Hidden::yes ? Here::secret : Here::plain);
  value_->faults().add({"missing", below(value_->loc(), std::string(name)), "Field required", std::move(input), {}});
  return false;
}

bool Model::done() {
  if (!is_object_) return false;
  std::vector<std::string_view> told;
  for (auto const& [name, member] : members_) {
    bool const is_known = extra_ == Extra::ignore || std::find(asked_.begin(), asked_.end(), name) != asked_.end();
    if (is_known || std::find(told.begin(), told.end(), name) != told.end()) continue;
    if (told.size() == Faults::faults_max) break;
    told.push_back(name);
    Value(value_->faults(), below(value_->loc(), std::string(name)), member, value_->hidden())
        .refuse("extra_forbidden", "Extra inputs are not permitted");
  }
  return value_->faults().all().size() == faults_before_;
}

JsonBody::JsonBody(std::string_view content_type, std::string_view body) {
  if (body.empty()) return;
  std::string type(content_type.substr(0, content_type.find_first_of("; \t")));
  std::transform(type.begin(), type.end(), type.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  bool const is_json = type == "application/json" || (type.starts_with("application/") && type.ends_with("+json"));
  if (!is_json) {
    state_ = State::not_json;
  } else if (!simdjson::validate_utf8(body.data(), body.size())) {
    state_ = State::not_text;
  } else {
    parse(body);
  }
}

void JsonBody::parse(std::string_view body) {
  constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
  if (body.starts_with(byte_order_mark)) body.remove_prefix(byte_order_mark.size());
  parser_ = std::make_unique<dom::parser>();
  if (parser_->parse(body.data(), body.size()).get(root_)) return refuse(body);
  state_ = State::read;
}

void JsonBody::refuse(std::string_view body) {
  auto const [why, at] = find_json_fault(body);
  state_ = State::malformed;
  fault_ = {"json_invalid", Loc{"body", at}, "JSON decode error", "{}", context("error", why)};
}

std::optional<Value> body_value(Faults& faults, JsonBody const& body) {
  if (body.state() == JsonBody::State::not_json) {
    Value(faults, Loc{"body"}, std::string_view())
        .concealed()
        .refuse("model_attributes_type", "Input should be a valid dictionary or object to extract fields from");
    return std::nullopt;
  }
  bool const is_there = body.state() == JsonBody::State::read && !body.root().is_null();
  if (is_there) return Value(faults, Loc{"body"}, body.root());
  faults.add({"missing", Loc{"body"}, "Field required", "null", {}});
  return std::nullopt;
}

Query::Query(Faults& faults, std::string_view query) : faults_(&faults) {
  while (!query.empty()) {
    auto const end = std::min(query.find('&'), query.size());
    auto const parameter = query.substr(0, end);
    auto const name = parameter.substr(0, parameter.find('='));
    if (!name.empty()) parameters_.emplace_back(name, text_in(parameter, name));
    query.remove_prefix(std::min(end + 1, query.size()));
  }
}

std::optional<std::string_view> Query::find(std::string_view name) const {
  auto const at = std::find_if(parameters_.rbegin(), parameters_.rend(), [&](auto const& one) { return one.first == name; });
  return at == parameters_.rend() ? std::nullopt : std::optional<std::string_view>(at->second);
}

bool Query::missing(std::string_view name) const {
  faults_->add({"missing", Loc{"query", std::string(name)}, "Field required", "null", {}});
  return false;
}

store::PageOf page_of(Query const& query) {
  std::int64_t limit = 50, offset = 0;
  query.may("limit", limit, whole(1, 100));
  query.may("offset", offset, whole(0));
  return {static_cast<std::uint64_t>(limit), static_cast<std::uint64_t>(offset)};
}

std::string path_uuid(Faults& faults, std::string_view name, std::string_view given) {
  std::string const decoded = percent_decoded(given).value_or(std::string(given));
  std::string out;
  read_uuid(Value(faults, Loc{"path", std::string(name)}, decoded), out);
  return out;
}

}  // namespace nestgate::api
