#include "nestgate/event/glob.hpp"

#include "event/text.hpp"

namespace nestgate::event {
namespace {

// What stands between the brackets of a set that opens `pattern`, the leading `!` included; nothing when it stays open.
// Behind the last `]` of all nothing is looked for.
std::string_view set_of(std::string_view pattern, std::size_t behind_last) noexcept {
  std::size_t at = 1;
  if (at < pattern.size() && pattern[at] == '!') ++at;
  if (at < pattern.size() && pattern[at] == ']') ++at;
  if (at + behind_last >= pattern.size()) return {};
  auto const end = pattern.find(']', at);
  return end == std::string_view::npos ? std::string_view() : pattern.substr(1, end - 1);
}

struct Range {
  char32_t low, high;
};

Range take_range(std::string_view& set) noexcept {
  char32_t const low = take_code_point(set);
  if (set.size() < 2 || set.front() != '-') return {low, low};
  set.remove_prefix(1);
  return {low, take_code_point(set)};
}

// Python drops ranges whose ends are the wrong way round, and only then looks whether what is left begins with a `!`.
void drop_empty_ranges(std::string_view& set) noexcept {
  while (!set.empty() && !set.starts_with('!')) {
    auto rest = set;
    auto const range = take_range(rest);
    if (range.low <= range.high) return;
    set = rest;
  }
}

bool set_has(std::string_view set, char32_t c) noexcept {
  drop_empty_ranges(set);
  bool const negated = set.starts_with('!');
  if (negated) set.remove_prefix(1);
  bool found = false;
  while (!set.empty() && !found) {
    auto const range = take_range(set);
    found = range.low <= c && c <= range.high;
  }
  return found != negated;
}

// Takes what stands for one code point off the pattern, which is not empty and no `*`; says whether it stands for `c`.
bool take_one(std::string_view& pattern, std::size_t behind_last, char32_t c) noexcept {
  if (pattern.front() == '[') {
    if (auto const set = set_of(pattern, behind_last); !set.empty()) {
      pattern.remove_prefix(set.size() + 2);
      return set_has(set, c);
    }
  }
  char32_t const wanted = take_code_point(pattern);
  return wanted == U'?' || wanted == c;
}

}  // namespace

bool glob_matches(std::string_view pattern, std::string_view text) noexcept {
  auto const last = pattern.rfind(']');
  auto const behind_last = last == std::string_view::npos ? pattern.size() : pattern.size() - last - 1;
  // Where the last `*` may begin to take one code point more: an earlier one never has to.
  std::string_view after_star, text_at_star;
  bool starred = false;
  while (!text.empty()) {
    if (!pattern.empty() && pattern.front() == '*') {
      pattern.remove_prefix(1);
      after_star = pattern;
      text_at_star = text;
      starred = true;
      continue;
    }
    auto rest = text;
    char32_t const c = take_code_point(rest);
    if (!pattern.empty() && take_one(pattern, behind_last, c)) {
      text = rest;
    } else if (starred) {
      take_code_point(text_at_star);
      text = text_at_star;
      pattern = after_star;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*') == std::string_view::npos;
}

}  // namespace nestgate::event
