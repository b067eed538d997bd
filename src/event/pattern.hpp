#pragma once

#include <memory>
#include <string_view>

#include "event/python_pattern.hpp"

namespace re2 {
class RE2;
}

namespace nestgate::event {

// A regular expression as Python's `re` reads it, searched for in linear time by RE2. What RE2 cannot do in linear time
// (references back, looking around) is no pattern here.
class Pattern {
 public:
  explicit Pattern(TranslatedPattern const& translated);
  Pattern(Pattern&&) noexcept;
  Pattern& operator=(Pattern&&) noexcept;
  ~Pattern();

  // What is no pattern is found nowhere.
  bool is_found_in(std::string_view text) const;
  PatternSize size() const noexcept { return size_; }

 private:
  std::unique_ptr<re2::RE2> compiled_;
  PatternSize size_;
};

}  // namespace nestgate::event
