#include <simdjson.h>

#include <array>
#include <charconv>
#include <cmath>

#include "event/lenient_json.hpp"
#include "event/text.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestgate/event/value.hpp"

namespace nestgate::event {
namespace {

// simdjson's document becomes ours; recursion is bounded by the depth that its parser let through.
class Reader {
 public:
  explicit Reader(DocumentLimits const& limits) : values_left_(limits.values_max), depth_left_(limits.depth_max) {}

  Result<Value> read(simdjson::dom::element element) {
    if (values_left_ == 0) return Fault{FaultKind::too_large, {}, "event.json_values"};
    --values_left_;
    switch (element.type()) {
      case simdjson::dom::element_type::ARRAY: return nested(simdjson::dom::array(element));
      case simdjson::dom::element_type::OBJECT: return nested(simdjson::dom::object(element));
      case simdjson::dom::element_type::INT64: return Value::integer(element.get_int64().value_unsafe());
      case simdjson::dom::element_type::UINT64: return Value::integer(element.get_uint64().value_unsafe());
      case simdjson::dom::element_type::DOUBLE: return Value::real(element.get_double().value_unsafe());
      case simdjson::dom::element_type::STRING: return Value::string(std::string(element.get_string().value_unsafe()));
      case simdjson::dom::element_type::BOOL: return Value::boolean(element.get_bool().value_unsafe());
      case simdjson::dom::element_type::NULL_VALUE: return Value();
    }
    return Fault{FaultKind::internal, {}, "event.json"};
  }

 private:
  Result<Value> nested(auto inner) {
    if (depth_left_ == 0) return Fault{FaultKind::too_large, {}, "event.json_depth"};
    --depth_left_;
    auto value = read(inner);
    ++depth_left_;
    return value;
  }

  Result<Value> read(simdjson::dom::array array) {
    Value::Array items;
    items.reserve(std::min(array.size(), values_left_));
    for (auto const element : array) {
      NESTGATE_TRY(item, read(element));
      items.push_back(std::move(item));
    }
    return Value::array(std::move(items));
  }

  Result<Value> read(simdjson::dom::object object) {
    std::vector<Member> members;
    members.reserve(std::min(object.size(), values_left_));
    for (auto const [name, element] : object) {
      NESTGATE_TRY(value, read(element));
      members.push_back({std::string(name), std::move(value)});
    }
    return Value::object(std::move(members));
  }

  std::size_t values_left_, depth_left_;
};

void append_escaped_unit(std::string& out, unsigned unit) {
  constexpr std::string_view digits = "0123456789abcdef";
  out.append("\\u");
  for (int shift = 12; shift >= 0; shift -= 4) out.push_back(digits[unit >> shift & 15U]);
}

// As json.dumps spells a string: ASCII that can be printed, all else escaped.
void append_ascii_string(std::string& out, std::string_view text) {
  constexpr std::string_view escaped = "\"\\\b\f\n\r\t", letters = "\"\\bfnrt";
  out.push_back('"');
  while (!text.empty()) {
    char32_t const c = take_code_point(text);
    auto const letter = c < 0x80 ? escaped.find(static_cast<char>(c)) : std::string_view::npos;
    if (letter != std::string_view::npos) {
      out.push_back('\\');
      out.push_back(letters[letter]);
    } else if (c >= 0x20 && c < 0x7F) {
      out.push_back(static_cast<char>(c));
    } else if (c < 0x10000) {
      append_escaped_unit(out, static_cast<unsigned>(c));
    } else {
      append_escaped_unit(out, static_cast<unsigned>(0xD800 + ((c - 0x10000) >> 10)));
      append_escaped_unit(out, static_cast<unsigned>(0xDC00 + ((c - 0x10000) & 0x3FF)));
    }
  }
  out.push_back('"');
}

class Writer {
 public:
  Writer(std::string& out, JsonForm form, std::size_t bytes_max) : out_(out), form_(form), bytes_max_(bytes_max) {}

  bool write(Value const& value) {
    switch (value.kind()) {
      case Value::Kind::null:
      case Value::Kind::expression: out_.append("null"); break;
      case Value::Kind::boolean: out_.append(value.as_boolean() ? "true" : "false"); break;
      case Value::Kind::integer: out_.append(*python_text(value)); break;
      case Value::Kind::real: write_real(value.as_real()); break;
      case Value::Kind::string: write_string(value.as_string()); break;
      case Value::Kind::array: return write_items(value.as_array());
      case Value::Kind::object: return write_members(value.as_object());
    }
    return fits();
  }

 private:
  bool fits() const { return out_.size() <= bytes_max_; }

  void write_string(std::string_view text) {
    if (form_ == JsonForm::compact)
      codec::append_json_string(out_, text);
    else
      append_ascii_string(out_, text);
  }

  // Python writes NaN and Infinity, which are no JSON: they can only come from to_number().
  void write_real(double number) {
    if (std::isfinite(number))
      out_.append(python_text(number));
    else if (form_ == JsonForm::compact)
      out_.append("null");
    else
      out_.append(std::isnan(number) ? "NaN" : number > 0 ? "Infinity" : "-Infinity");
  }

  void separate(bool& first) {
    if (!first) out_.append(form_ == JsonForm::python ? ", " : ",");
    first = false;
  }

  bool write_items(Value::Array const& items) {
    out_.push_back('[');
    bool first = true;
    for (auto const& item : items) {
      separate(first);
      if (!write(item)) return false;
    }
    out_.push_back(']');
    return fits();
  }

  bool write_members(Object const& object) {
    out_.push_back('{');
    bool first = true;
    for (auto const& member : object.members()) {
      separate(first);
      write_string(member.name);
      out_.append(form_ == JsonForm::python ? ": " : ":");
      if (!write(member.value)) return false;
    }
    out_.push_back('}');
    return fits();
  }

  std::string& out_;
  JsonForm form_;
  std::size_t bytes_max_;
};

// Python writes a point between 0.0001 and 1e16, an exponent of at least two digits beyond.
std::string placed(std::string_view digits, int exponent) {
  std::string out;
  if (exponent < -4 || exponent >= 16) {
    out.append(digits.substr(0, 1));
    if (digits.size() > 1) out.append(".").append(digits.substr(1));
    auto const size = std::abs(exponent);
    return out.append(exponent < 0 ? "e-" : "e+").append(size < 10 ? "0" : "").append(std::to_string(size));
  }
  if (exponent < 0) return out.append("0.").append(static_cast<std::size_t>(-exponent - 1), '0').append(digits);
  auto const whole = static_cast<std::size_t>(exponent) + 1;
  if (digits.size() <= whole) return out.append(digits).append(whole - digits.size(), '0').append(".0");
  return out.append(digits.substr(0, whole)).append(".").append(digits.substr(whole));
}

}  // namespace

Result<Value> Value::parse(std::string_view json, DocumentLimits const& limits) {
  if (json.size() > limits.bytes_max) return Fault{FaultKind::too_large, {}, "event.json_bytes"};
  simdjson::dom::parser parser;
  if (parser.allocate(std::max<std::size_t>(json.size(), 1), limits.depth_max + 1) != simdjson::SUCCESS)
    return Fault{FaultKind::too_large, {}, "event.json_bytes"};
  simdjson::dom::element root;
  auto error = parser.parse(json.data(), json.size()).get(root);
  if (error == simdjson::NUMBER_ERROR || error == simdjson::STRING_ERROR)
    if (auto const mended = mended_json(json)) error = parser.parse(*mended).get(root);
  if (error == simdjson::DEPTH_ERROR) return Fault{FaultKind::too_large, {}, "event.json_depth"};
  if (error != simdjson::SUCCESS) return Fault{FaultKind::bad_input, {}, "event.json"};
  return Reader(limits).read(root);
}

bool append_json(std::string& out, Value const& value, JsonForm form, std::size_t bytes_max) {
  return Writer(out, form, bytes_max).write(value);
}

std::string python_text(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number > 0 ? "inf" : "-inf";
  std::array<char, 32> buffer;
  auto const end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), number, std::chars_format::scientific).ptr;
  std::string_view text(buffer.data(), static_cast<std::size_t>(end - buffer.data()));
  std::string out;
  if (text.starts_with('-')) {
    out = "-";
    text.remove_prefix(1);
  }
  auto const e = text.find('e');
  std::string digits(text.substr(0, 1));
  if (e > 2) digits.append(text.substr(2, e - 2));
  return out + placed(digits, std::stoi(std::string(text.substr(e + 1))));
}

std::optional<std::string> python_text(Value const& scalar) {
  switch (scalar.kind()) {
    case Value::Kind::boolean: return scalar.as_boolean() ? "True" : "False";
    case Value::Kind::integer: {
      auto const n = scalar.to_int64();
      return n ? std::to_string(*n) : std::to_string(static_cast<std::uint64_t>(scalar.as_number()));
    }
    case Value::Kind::real: return python_text(scalar.as_real());
    case Value::Kind::string: return std::string(scalar.as_string());
    case Value::Kind::null:
    case Value::Kind::array:
    case Value::Kind::object:
    case Value::Kind::expression: return std::nullopt;
  }
  return std::nullopt;
}

}  // namespace nestgate::event
