#include "json_fault.hpp"

#include <algorithm>
#include <optional>

#include "nestgate/base/text.hpp"

namespace nestgate::api {
namespace {

constexpr std::size_t depth_max = 1'000;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// Reads JSON and keeps nothing; stops at the first fault.
class Reader {
 public:
  explicit Reader(std::string_view json) : json_(json) {}

  std::optional<JsonFault> whole() {
    skip_space();
    if (!value(0)) return fault_;
    skip_space();
    if (at_ != json_.size()) fail("Extra data", at_);
    return fault_;
  }

 private:
  char here() const { return at_ < json_.size() ? json_[at_] : '\0'; }
  void skip_space() { at_ = std::min(json_.find_first_not_of(" \t\n\r", at_), json_.size()); }
  bool fail(std::string_view text, std::size_t at) {
    fault_ = JsonFault{text, at};
    return false;
  }
  bool take(std::string_view word) {
    if (!json_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  bool value(std::size_t depth) {
    if (depth > depth_max) return fail("Expecting value", at_);
    switch (here()) {
      case '"': return string();
      case '{': return object(depth);
      case '[': return array(depth);
      default: break;
    }
    for (std::string_view const word : {"null", "true", "false", "NaN", "Infinity", "-Infinity"}) {
      if (take(word)) return true;
    }
    return number() || fail("Expecting value", at_);
  }

  void digits() {
    while (is_digit(here())) ++at_;
  }
  bool number() {
    std::size_t const start = at_;
    if (here() == '-') ++at_;
    if (!is_digit(here())) {
      at_ = start;
      return false;
    }
    if (here() == '0') {
      ++at_;
    } else {
      digits();
    }
    fraction();
    exponent();
    return true;
  }
  void fraction() {
    if (here() != '.' || at_ + 1 >= json_.size() || !is_digit(json_[at_ + 1])) return;
    ++at_;
    digits();
  }
  void exponent() {
    if (here() != 'e' && here() != 'E') return;
    std::size_t const start = at_++;
    if (here() == '+' || here() == '-') ++at_;
    if (is_digit(here())) {
      digits();
    } else {
      at_ = start;
    }
  }

  bool string() {
    std::size_t const start = at_++;
    while (at_ < json_.size()) {
      auto const c = static_cast<unsigned char>(json_[at_]);
      if (c == '"') {
        ++at_;
        return true;
      }
      if (c < ' ') return fail("Invalid control character at", at_);
      if (c == '\\' && !escape()) return fault_ ? false : fail("Unterminated string starting at", start);
      if (c != '\\') ++at_;
    }
    return fail("Unterminated string starting at", start);
  }
  bool escape() {
    std::size_t const start = at_++;
    if (at_ == json_.size()) return false;
    char const c = json_[at_++];
    if (c != 'u')
      return std::string_view("\"\\/bfnrt").find(c) != std::string_view::npos || fail("Invalid \\escape: ", start);
    auto const code = json_.substr(at_, 4);
    bool const is_code = code.size() == 4 && std::all_of(code.begin(), code.end(), [](char x) { return hex_value(x) >= 0; });
    if (!is_code) return fail("Invalid \\uXXXX escape", start + 1);
    at_ += 4;
    return true;
  }

  bool array(std::size_t depth) {
    ++at_;
    skip_space();
    if (take("]")) return true;
    for (;;) {
      if (!value(depth + 1)) return false;
      skip_space();
      if (take("]")) return true;
      if (!take(",")) return fail("Expecting ',' delimiter", at_);
      skip_space();
    }
  }

  bool object(std::size_t depth) {
    ++at_;
    skip_space();
    if (take("}")) return true;
    for (;;) {
      if (here() != '"') return fail("Expecting property name enclosed in double quotes", at_);
      if (!string()) return false;
      skip_space();
      if (!take(":")) return fail("Expecting ':' delimiter", at_);
      skip_space();
      if (!value(depth + 1)) return false;
      skip_space();
      if (take("}")) return true;
      if (!take(",")) return fail("Expecting ',' delimiter", at_);
      skip_space();
    }
  }

  std::string_view json_;
  std::size_t at_ = 0;
  std::optional<JsonFault> fault_;
};

}  // namespace

JsonFault find_json_fault(std::string_view json) {
  auto fault = Reader(json).whole();
  if (!fault) return {"Expecting value", 0};
  fault->at = characters_in(json.substr(0, fault->at));
  return *fault;
}

}  // namespace nestgate::api
