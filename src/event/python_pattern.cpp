#include "event/python_pattern.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "event/text.hpp"
#include "nestgate/base/text.hpp"

namespace nestgate::event {
namespace {

// What stands for a class inside brackets. Python's white space is str.isspace().
constexpr std::string_view digits = "\\p{Nd}", no_digits = "\\P{Nd}";
constexpr std::string_view word = "\\p{L}\\p{N}_";
constexpr std::string_view space =
    "\\x{9}-\\x{d}\\x{1c}-\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}";
constexpr std::string_view no_space =
    "\\x{0}-\\x{8}\\x{e}-\\x{1b}\\x{21}-\\x{84}\\x{86}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}"
    "\\x{202a}-\\x{202e}\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{10ffff}";
constexpr std::string_view ascii_digits = "0-9", ascii_word = "0-9A-Za-z_";
constexpr std::string_view ascii_space = "\\x{9}-\\x{d}\\x{20}",
                           no_ascii_space = "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{10ffff}";

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }
constexpr bool is_octal(char c) noexcept { return c >= '0' && c <= '7'; }
constexpr bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

std::string code_point(char32_t c) {
  std::array<char, 8> hex;
  auto const end = std::to_chars(hex.data(), hex.data() + hex.size(), static_cast<std::uint32_t>(c), 16).ptr;
  return "\\x{" + std::string(hex.data(), end) + "}";
}

// Instructions that a code point and each class take at most, measured.
constexpr std::uint64_t literal_instructions = 4, any_instructions = 20, digit_instructions = 200, space_instructions = 60,
                        word_instructions = 1'400;
// Beyond this all sizes are the same.
constexpr std::uint64_t size_max = 1'000'000'000;

// What the translation stands behind: says what a `*` would repeat.
enum class Before : std::uint8_t { nothing, item, assertion, repeat };

class Translator {
 public:
  explicit Translator(std::string_view pattern) : rest_(pattern) {}

  std::optional<TranslatedPattern> run() {
    if (!global_flags()) return std::nullopt;
    while (!rest_.empty())
      if (!take()) return std::nullopt;
    if (open_.size() != 1) return std::nullopt;
    return TranslatedPattern{std::move(out_), open_.front()};
  }

 private:
  bool next_is(char c) const { return !rest_.empty() && rest_.front() == c; }
  bool take_if(std::string_view text) {
    if (!rest_.starts_with(text)) return false;
    rest_.remove_prefix(text.size());
    return true;
  }
  // `times` the item that was added last, one of which is counted already.
  void count(std::uint64_t times) {
    auto& sum = open_.back();
    sum.positions = std::min(size_max, sum.positions + times * last_.positions);
    sum.instructions = std::min(size_max, sum.instructions + times * last_.instructions);
  }
  bool item(std::string_view text, std::uint64_t instructions) {
    out_.append(text);
    before_ = Before::item;
    last_ = {1, instructions};
    count(1);
    return true;
  }
  bool assertion(std::string_view text) {
    item(text, literal_instructions);
    before_ = Before::assertion;
    return true;
  }
  bool literal(char32_t c) { return item(code_point(c), literal_instructions); }

  bool take() {
    switch (rest_.front()) {
      case '\\': return escape();
      case '[': return set();
      case '(': return open();
      case '*':
      case '+':
      case '?': return repeat(take_front(), 1);
      case '{': return braces();
      case '^': take_front(); return assertion("^");
      case '$': take_front(); return assertion("(?:$|\\n\\z)");
      case '.': take_front(); return item(".", any_instructions);
      case '|':
        out_ += take_front();
        before_ = Before::nothing;
        return true;
      case ')': return close();
      default: return literal(take_code_point(rest_));
    }
  }

  std::string_view take_front() {
    auto const front = rest_.substr(0, 1);
    rest_.remove_prefix(1);
    return front;
  }

  // RE2 has no possessive repeats.
  bool repeat(std::string_view operation, std::uint64_t times) {
    if (before_ != Before::item || next_is('+')) return false;
    out_.append(operation);
    count(times - 1);
    if (take_if("?")) out_ += '?';
    before_ = Before::repeat;
    return true;
  }

  std::string_view take_digits() {
    std::size_t n = 0;
    while (n < rest_.size() && is_digit(rest_[n])) ++n;
    auto const taken = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return taken;
  }

  // `{` that begins no repeat stands for itself; `{,n}` is from none on.
  bool braces() {
    auto const start = rest_;
    take_front();
    if (next_is('}')) return literal(U'{');
    auto const low = take_digits();
    bool const open = take_if(",");
    auto const high = open ? take_digits() : low;
    if (!take_if("}")) {
      rest_ = start.substr(1);
      return literal(U'{');
    }
    std::string operation = "{" + std::string(low.empty() ? "0" : low);
    if (open) operation.append(",").append(high);
    return repeat(operation + "}", std::max<std::uint64_t>({1, number(low), number(high)}));
  }

  static std::uint64_t number(std::string_view text) {
    std::uint64_t n = 0;
    auto const read = std::from_chars(text.data(), text.data() + text.size(), n);
    return read.ec == std::errc::result_out_of_range ? 1'000 : std::min<std::uint64_t>(n, 1'000);
  }

  bool open() {
    take_front();
    if (!next_is('?')) return opened("(?:");
    if (take_if("?:")) return opened("(?:");
    if (take_if("?#")) {
      auto const end = rest_.find(')');
      if (end == std::string_view::npos) return false;
      rest_.remove_prefix(end + 1);
      return true;
    }
    if (rest_.starts_with("?P<")) {
      auto const end = rest_.find('>');
      if (end == std::string_view::npos || !is_variable_name(rest_.substr(3, end - 3))) return false;
      auto const name = rest_.substr(0, end + 1);
      rest_.remove_prefix(name.size());
      return opened("(" + std::string(name));
    }
    take_front();
    return scoped_flags();
  }

  bool opened(std::string_view text) {
    out_.append(text);
    before_ = Before::nothing;
    open_.push_back({0, 2});
    return true;
  }

  bool close() {
    if (open_.size() == 1) return false;
    out_ += take_front();
    before_ = Before::item;
    last_ = open_.back();
    open_.pop_back();
    count(1);
    return true;
  }

  // `(?i)` at the very front; `u` is what Python does anyway.
  bool global_flags() {
    if (!rest_.starts_with("(?")) return true;
    std::string flags;
    std::size_t at = 2;
    for (; at < rest_.size() && is_letter(rest_[at]) && rest_[at] != 'P'; ++at) {
      if (rest_[at] == 'a')
        ascii_ = true;
      else if (std::string_view("ims").find(rest_[at]) != std::string_view::npos)
        flags += rest_[at];
      else if (rest_[at] != 'u')
        return false;
    }
    if (at == 2 || at == rest_.size() || rest_[at] != ')') {
      ascii_ = false;
      return true;
    }
    rest_.remove_prefix(at + 1);
    if (!flags.empty()) out_.append("(?").append(flags).append(")");
    return true;
  }

  // `(?i:`, `(?-i:` and `(?i-s:`.
  bool scoped_flags() {
    std::string flags;
    while (!rest_.empty() && !next_is(':')) {
      char const c = take_front().front();
      if (std::string_view("ims-").find(c) == std::string_view::npos) return false;
      flags += c;
    }
    if (!take_if(":") || flags.ends_with('-')) return false;
    return opened("(?" + flags + ":");
  }

  // The members of \d, \s, \w and their opposites, as they stand inside brackets. There is none for \W.
  std::optional<std::string_view> members_of(char c) const {
    switch (c) {
      case 'd': return ascii_ ? ascii_digits : digits;
      case 'D': return ascii_ ? std::string_view("\\D") : no_digits;
      case 's': return ascii_ ? ascii_space : space;
      case 'S': return ascii_ ? no_ascii_space : no_space;
      case 'w': return ascii_ ? ascii_word : word;
      default: return std::nullopt;
    }
  }
  static std::uint64_t instructions_of(char c) {
    if (c == 'd' || c == 'D') return digit_instructions;
    return c == 's' || c == 'S' ? space_instructions : word_instructions;
  }
  std::string no_word() const { return "[^" + std::string(ascii_ ? ascii_word : word) + "]"; }

  bool escape() {
    take_front();
    if (rest_.empty()) return false;
    char const c = rest_.front();
    if (auto const members = members_of(c)) {
      take_front();
      return item("[" + std::string(*members) + "]", instructions_of(c));
    }
    switch (c) {
      case 'W': take_front(); return item(no_word(), word_instructions);
      case 'A': take_front(); return assertion("\\A");
      case 'Z': take_front(); return assertion("\\z");
      case 'b': take_front(); return assertion("\\b");
      case 'B': take_front(); return assertion("\\B");
      default: break;
    }
    auto const escaped = escaped_code_point();
    return escaped && literal(*escaped);
  }

  // What a backslash makes of what follows it, in brackets and outside. No references to groups.
  std::optional<char32_t> escaped_code_point() {
    char const c = rest_.front();
    if (is_digit(c)) return octal();
    if (!is_letter(c)) return take_code_point(rest_);
    take_front();
    switch (c) {
      case 'a': return U'\a';
      case 'f': return U'\f';
      case 'n': return U'\n';
      case 'r': return U'\r';
      case 't': return U'\t';
      case 'v': return U'\v';
      case 'x': return hex(2);
      case 'u': return hex(4);
      case 'U': return hex(8);
      default: return std::nullopt;
    }
  }

  // `\0`, `\07`, `\012`, `\123`: what starts otherwise refers to a group.
  std::optional<char32_t> octal() {
    std::size_t n = 0;
    while (n < 3 && n < rest_.size() && is_octal(rest_[n])) ++n;
    if (rest_.front() != '0' && n < 3) return std::nullopt;
    char32_t value = 0;
    for (std::size_t i = 0; i < n; ++i) value = value * 8 + static_cast<char32_t>(rest_[i] - '0');
    rest_.remove_prefix(n);
    return value > 0377 ? std::nullopt : std::optional(value);
  }

  std::optional<char32_t> hex(std::size_t n) {
    if (rest_.size() < n) return std::nullopt;
    char32_t value = 0;
    for (std::size_t i = 0; i < n; ++i) {
      int const digit = hex_value(rest_[i]);
      if (digit < 0) return std::nullopt;
      value = value << 4 | static_cast<char32_t>(digit);
    }
    rest_.remove_prefix(n);
    return value > 0x10FFFF ? std::nullopt : std::optional(value);
  }

  bool set() {
    take_front();
    bool const negated = take_if("^");
    std::string members;
    bool no_words = false;
    set_instructions_ = any_instructions;
    for (bool first = true; first || !next_is(']'); first = false) {
      if (rest_.empty()) return false;
      if (next_is('\\') && rest_.size() > 1 && class_in_set(members, no_words)) continue;
      if (!range_in_set(members)) return false;
    }
    take_front();
    return item(set_of(members, negated, no_words), set_instructions_);
  }

  // RE2 has no set in a set. Where \W would have to be taken away, ASCII's has to do.
  std::string set_of(std::string const& members, bool negated, bool no_words) const {
    if (negated) return "[^" + members + (no_words ? "\\W" : "") + "]";
    if (!no_words) return "[" + members + "]";
    return members.empty() ? no_word() : "(?:[" + members + "]|" + no_word() + ")";
  }

  bool class_in_set(std::string& members, bool& no_words) {
    char const c = rest_[1];
    auto const named = members_of(c);
    if (!named && c != 'W') return false;
    rest_.remove_prefix(2);
    set_instructions_ += instructions_of(c);
    if (named)
      members.append(*named);
    else
      no_words = true;
    // Python refuses a range from a class on.
    if (rest_.size() > 1 && rest_[0] == '-' && rest_[1] != ']') rest_ = {};
    return true;
  }

  std::optional<char32_t> end_of_range() {
    if (rest_.empty()) return std::nullopt;
    if (!next_is('\\')) return take_code_point(rest_);
    take_front();
    if (rest_.empty()) return std::nullopt;
    if (take_if("b")) return U'\b';
    return escaped_code_point();
  }

  bool range_in_set(std::string& members) {
    auto const low = end_of_range();
    if (!low) return false;
    members.append(code_point(*low));
    set_instructions_ += literal_instructions;
    if (rest_.size() < 2 || rest_[0] != '-' || rest_[1] == ']') return true;
    take_front();
    set_instructions_ += any_instructions;
    auto const high = end_of_range();
    if (!high || *high < *low) return false;
    members.append("-").append(code_point(*high));
    return true;
  }

  std::string_view rest_;
  std::string out_;
  Before before_ = Before::nothing;
  bool ascii_ = false;
  std::vector<PatternSize> open_ = {{}};  // of the groups that are open, outermost first
  PatternSize last_;
  std::uint64_t set_instructions_ = 0;
};

}  // namespace

std::optional<TranslatedPattern> translate_pattern(std::string_view python_pattern) {
  return Translator(python_pattern).run();
}

}  // namespace nestgate::event
