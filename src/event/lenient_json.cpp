#include "event/lenient_json.hpp"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "nestgate/base/text.hpp"

namespace nestgate::event {
namespace {

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

bool fits_64_bits(std::string_view digits, bool negative) {
  auto const* const end = digits.data() + digits.size();
  std::uint64_t magnitude = 0;
  if (std::from_chars(digits.data(), end, magnitude).ec != std::errc{}) return false;
  return !negative || magnitude <= std::uint64_t{1} << 63;
}

class Mender {
 public:
  explicit Mender(std::string_view rest) : rest_(rest) {}

  std::optional<std::string> run() {
    while (!rest_.empty()) {
      if (rest_.front() == '"')
        string();
      else if (is_digit(rest_.front()) || rest_.front() == '-')
        number();
      else
        copy(1);
    }
    return changed_ ? std::optional(std::move(out_)) : std::nullopt;
  }

 private:
  void copy(std::size_t n) {
    n = std::min(n, rest_.size());
    out_.append(rest_.substr(0, n));
    rest_.remove_prefix(n);
  }

  void number() {
    bool const negative = rest_.front() == '-';
    if (negative) copy(1);
    auto const digits = rest_.substr(0, rest_.find_first_not_of("0123456789"));
    copy(digits.size());
    bool const whole = rest_.empty() || (rest_.front() != '.' && rest_.front() != 'e' && rest_.front() != 'E');
    if (!whole) {
      copy(rest_.find_first_not_of("0123456789.eE+-"));
    } else if (!digits.empty() && !fits_64_bits(digits, negative)) {
      out_.append(".0");
      changed_ = true;
    }
  }

  void string() {
    copy(1);
    while (!rest_.empty() && rest_.front() != '"') {
      if (rest_.front() != '\\')
        copy(1);
      else if (auto const unit = escaped_unit(0))
        surrogate(*unit);
      else
        copy(2);
    }
    copy(1);
  }

  // The code unit of the \uXXXX that stands `at` characters ahead.
  std::optional<unsigned> escaped_unit(std::size_t at) const {
    if (rest_.size() < at + 6 || rest_[at] != '\\' || rest_[at + 1] != 'u') return std::nullopt;
    unsigned unit = 0;
    for (std::size_t i = at + 2; i < at + 6; ++i) {
      int const digit = hex_value(rest_[i]);
      if (digit < 0) return std::nullopt;
      unit = unit << 4 | static_cast<unsigned>(digit);
    }
    return unit;
  }

  void surrogate(unsigned unit) {
    bool const first = unit >= 0xD800 && unit < 0xDC00, second = unit >= 0xDC00 && unit < 0xE000;
    if (!first && !second) return copy(6);
    auto const next = first ? escaped_unit(6) : std::nullopt;
    if (next && *next >= 0xDC00 && *next < 0xE000) return copy(12);
    out_.append("\\ufffd");
    rest_.remove_prefix(6);
    changed_ = true;
  }

  std::string_view rest_;
  std::string out_;
  bool changed_ = false;
};

}  // namespace

std::optional<std::string> mended_json(std::string_view json) { return Mender(json).run(); }

}  // namespace nestgate::event
