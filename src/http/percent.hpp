#pragma once

#include <string_view>

#include "http/scan.hpp"

namespace nestgate::http {

// Reads a path or a query name the way a nested server does, percent-decoded once, without copying it: what it takes is
// known by its place in the raw text. A `%` without two hex digits stands for itself.
class DecodedCursor {
 public:
  explicit constexpr DecodedCursor(std::string_view raw) noexcept : raw_(raw), plain_(raw.find('%') == raw.npos) {}

  constexpr bool at_end() const noexcept { return at_ == raw_.size(); }
  constexpr std::size_t at() const noexcept { return at_; }
  constexpr std::string_view rest() const noexcept { return raw_.substr(at_); }

  // The next decoded byte; not at the end.
  constexpr char next() noexcept {
    char const c = raw_[at_++];
    if (c != '%' || raw_.size() - at_ < 2) return c;
    int const high = scan::hex_value(raw_[at_]);
    int const low = scan::hex_value(raw_[at_ + 1]);
    if (high < 0 || low < 0) return c;
    at_ += 2;
    return static_cast<char>(high * 16 + low);
  }

  // Steps over `literal` (which has no `%`), or stays and returns false.
  constexpr bool take(std::string_view literal) noexcept {
    if (plain_) {
      if (!rest().starts_with(literal)) return false;
      at_ += literal.size();
      return true;
    }
    DecodedCursor ahead = *this;
    for (char c : literal) {
      if (ahead.at_end() || ahead.next() != c) return false;
    }
    *this = ahead;
    return true;
  }

  // The raw text up to the next decoded '/', which stays ahead, or up to the end.
  constexpr std::string_view take_segment() noexcept {
    std::size_t const start = at_;
    if (plain_) {
      at_ = raw_.find('/', start);
      if (at_ == raw_.npos) at_ = raw_.size();
    }
    while (!plain_ && !at_end()) {
      DecodedCursor ahead = *this;
      if (ahead.next() == '/') break;
      *this = ahead;
    }
    return raw_.substr(start, at_ - start);
  }

 private:
  std::string_view raw_;
  std::size_t at_ = 0;
  bool plain_;
};

constexpr bool equals_decoded(std::string_view raw, std::string_view literal) noexcept {
  DecodedCursor cursor(raw);
  return cursor.take(literal) && cursor.at_end();
}

}  // namespace nestgate::http
