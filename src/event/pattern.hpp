#pragma once

#include <memory>
#include <string_view>

namespace re2 {
class RE2;
}

namespace nestgate::event {

// A regular expression as Python's `re` reads it, searched for in linear time by RE2. What RE2 cannot do in linear time
// (references back, looking around) is no pattern here.
class Pattern {
 public:
  explicit Pattern(std::string_view python_pattern);
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  // Whether it is a pattern at all; what is none is found nowhere.
  bool is_valid() const noexcept { return compiled_ != nullptr; }
  bool is_found_in(std::string_view text) const;
  // In RE2's instructions: a search takes at most their number for each byte.
  std::size_t size() const noexcept;

 private:
  std::unique_ptr<re2::RE2> compiled_;
};

}  // namespace nestgate::event
