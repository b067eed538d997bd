#pragma once

// As much of JSON Schema as the document of our routes uses. A keyword that is not known here is a fault, so that nothing
// passes because it was not looked at.

#include <simdjson.h>

#include <algorithm>
#include <string>
#include <string_view>

namespace nestgate::test {

class JsonSchemas {
 public:
  using Element = simdjson::dom::element;

  // `document` has what "#/…" refers to, and outlives this.
  explicit JsonSchemas(Element document) : document_(document) {}

  // What a reference leads to, or the element itself.
  Element resolve(Element schema) const {
    std::string_view reference;
    while (schema.is_object() && !schema["$ref"].get(reference)) schema = document_.at_pointer(reference.substr(1)).value();
    return schema;
  }

  // Where and why `value` does not fit; "" when it fits.
  std::string why_not(Element schema, Element value, std::string const& at = "") const {
    schema = resolve(schema);
    for (auto const [keyword, rule] : simdjson::dom::object(schema)) {
      if (auto why = broken(keyword, rule, schema, value, at); !why.empty()) return why;
    }
    return "";
  }

 private:
  std::string broken(std::string_view keyword, Element rule, Element schema, Element value, std::string const& at) const {
    auto const fault = [&at](std::string const& what) { return (at.empty() ? "the whole" : at) + ": " + what; };
    if (keyword == "type") return has_type(rule, value) ? "" : fault("is no " + simdjson::minify(rule));
    if (keyword == "enum")
      return is_in(rule, value) ? "" : fault(simdjson::minify(value) + " is none of " + simdjson::minify(rule));
    if (keyword == "anyOf") {
      for (auto const one : simdjson::dom::array(rule))
        if (why_not(one, value, at).empty()) return "";
      return fault("fits none of anyOf");
    }
    if (keyword == "required") return value.is_object() ? missing(rule, value, at) : "";
    if (keyword == "properties" || keyword == "additionalProperties")
      return value.is_object() ? broken_member(keyword, rule, schema, value, at) : "";
    if (keyword == "items" && value.is_array()) {
      std::size_t place = 0;
      for (auto const item : simdjson::dom::array(value)) {
        if (auto why = why_not(rule, item, at + "/" + std::to_string(place++)); !why.empty()) return why;
      }
      return "";
    }
    static constexpr std::string_view not_of_answers[] = {"description", "format",        "items",         "pattern",
                                                          "minimum",     "maximum",       "default",       "minItems",
                                                          "maxItems",    "minProperties", "maxProperties", "x-event-data"};
    bool const is_known =
        std::find(std::begin(not_of_answers), std::end(not_of_answers), keyword) != std::end(not_of_answers);
    return is_known ? "" : fault("keyword " + std::string(keyword) + " is not known");
  }

  static bool has_type(Element rule, Element value) {
    if (rule.is_array()) {
      auto const all = simdjson::dom::array(rule);
      return std::any_of(all.begin(), all.end(), [&](Element one) { return has_type(one, value); });
    }
    auto const name = std::string_view(rule);
    if (name == "object") return value.is_object();
    if (name == "array") return value.is_array();
    if (name == "string") return value.is_string();
    if (name == "boolean") return value.is_bool();
    if (name == "integer") return value.is_int64() || value.is_uint64();
    if (name == "number") return value.is_number();
    return name == "null" && value.is_null();
  }

  static bool is_in(Element rule, Element value) {
    auto const all = simdjson::dom::array(rule);
    return std::any_of(all.begin(), all.end(),
                       [&](Element one) { return simdjson::minify(one) == simdjson::minify(value); });
  }

  static std::string missing(Element rule, Element value, std::string const& at) {
    for (auto const name : simdjson::dom::array(rule)) {
      if (value[std::string_view(name)].error() != simdjson::SUCCESS) return at + "/" + std::string(name) + ": is missing";
    }
    return "";
  }

  std::string broken_member(std::string_view keyword, Element rule, Element schema, Element value,
                            std::string const& at) const {
    for (auto const [name, member] : simdjson::dom::object(value)) {
      std::string const below = at + "/" + std::string(name);
      Element named;
      bool const is_named = !schema["properties"][name].get(named);
      bool is_allowed = true;
      if (keyword == "properties" && is_named) {
        if (auto why = why_not(named, member, below); !why.empty()) return why;
      } else if (keyword == "additionalProperties" && !is_named) {
        if (!rule.get(is_allowed) && !is_allowed) return below + ": is not documented";
        if (!rule.is_object()) continue;
        if (auto why = why_not(rule, member, below); !why.empty()) return why;
      }
    }
    return "";
  }

  Element document_;
};

}  // namespace nestgate::test
