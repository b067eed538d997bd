#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace nestgate::codec {

// Appends `text` as a JSON string, quotes included. Control characters, quotes and backslashes are escaped; bytes that
// are not UTF-8 become U+FFFD, so that whatever a peer sent, the output is JSON.
void append_json_string(std::string& out, std::string_view text);

// Writes JSON to a string that the caller owns. Commas are its business; nesting is the caller's.
//   JsonWriter w(out);
//   w.begin_object().key("id").value(id).key("ports").begin_array().value(8001).end_array().end_object();
class JsonWriter {
 public:
  explicit JsonWriter(std::string& out) : out_(out) {}

  JsonWriter& begin_object() { return open('{'); }
  JsonWriter& end_object() { return close('}'); }
  JsonWriter& begin_array() { return open('['); }
  JsonWriter& end_array() { return close(']'); }
  JsonWriter& key(std::string_view name);
  JsonWriter& value(std::string_view text);
  JsonWriter& value(char const* text) { return value(std::string_view(text)); }
  JsonWriter& value(std::same_as<bool> auto b) { return raw(b ? "true" : "false"); }
  template <std::integral I>
    requires(!std::same_as<I, bool>)
  JsonWriter& value(I number) {
    return raw(std::to_string(number));
  }
  JsonWriter& value(double number);  // not finite: null
  template <class T>
  JsonWriter& value(std::optional<T> const& v) {
    return v ? value(*v) : null();
  }
  JsonWriter& null() { return raw("null"); }
  JsonWriter& raw(std::string_view json);  // a value that is JSON already

  // `key` and value in one call, for flat objects.
  template <class T>
  JsonWriter& member(std::string_view name, T const& v) {
    return key(name).value(v);
  }
  // An empty text is null.
  JsonWriter& text_or_null(std::string_view name, std::string_view text) {
    return text.empty() ? key(name).null() : key(name).value(text);
  }

 private:
  JsonWriter& open(char bracket);
  JsonWriter& close(char bracket);
  void separate();

  std::string& out_;
  bool need_comma_ = false;
};

}  // namespace nestgate::codec
