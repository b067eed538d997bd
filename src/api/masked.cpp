#include "masked.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace nestgate::api {

namespace dom = simdjson::dom;
using codec::JsonWriter;

namespace {

// A query and user information may hold keys.
bool is_url_with_more(std::string_view text) {
  bool const is_url = text.find("://") != text.npos;
  return is_url && text.find_first_of("?@") != text.npos;
}

}  // namespace

bool names_secrets(std::string_view name) {
  std::string lower(name);
  std::transform(lower.begin(), lower.end(), lower.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; });
  constexpr std::array<std::string_view, 5> whole = {"env", "environment", "headers", "extra_headers", "args"};
  constexpr std::array<std::string_view, 7> within = {"api_key",    "apikey",     "secret",     "passw",
                                                      "credential", "access_key", "private_key"};
  constexpr std::array<std::string_view, 6> ends = {"token", "tokens", "auth", "authorization", "key", "bearer"};
  auto const is_lower = [&lower](std::string_view word) { return lower == word; };
  auto const is_within = [&lower](std::string_view word) { return lower.find(word) != lower.npos; };
  auto const is_end = [&lower](std::string_view word) { return lower.ends_with(word); };
  return std::any_of(whole.begin(), whole.end(), is_lower) || std::any_of(within.begin(), within.end(), is_within) ||
         std::any_of(ends.begin(), ends.end(), is_end);
}

void write_masked(JsonWriter& w, dom::element value, Here here) {
  std::string_view text;
  dom::object members;
  dom::array items;
  if (!value.get_string().get(text)) {
    bool const is_masked = !text.empty() && (here == Here::secret || is_url_with_more(text));
    w.value(is_masked ? mask : text);
  } else if (!value.get_object().get(members)) {
    w.begin_object();
    for (auto const [name, member] : members) {
      w.key(name);
      write_masked(w, member, here == Here::secret || names_secrets(name) ? Here::secret : Here::plain);
    }
    w.end_object();
  } else if (!value.get_array().get(items)) {
    w.begin_array();
    for (auto const item : items) write_masked(w, item, here);
    w.end_array();
  } else {
    w.raw(simdjson::minify(value));
  }
}

}  // namespace nestgate::api
