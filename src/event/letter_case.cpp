#include "event/letter_case.hpp"

#include <algorithm>
#include <iterator>
#include <span>

#include "event/letter_case_table.hpp"
#include "event/text.hpp"

namespace nestgate::event {
namespace {

void append_mapped(std::string& out, char32_t c, std::span<CaseRange const> ranges,
                   std::span<CaseExpansion const> expansions) {
  auto const expansion = std::ranges::lower_bound(expansions, c, {}, &CaseExpansion::from);
  if (expansion != expansions.end() && expansion->from == c) {
    out.append(expansion->to);
    return;
  }
  auto const range = std::ranges::lower_bound(ranges, c, {}, &CaseRange::last);
  bool const mapped = range != ranges.end() && c >= range->first && (c - range->first) % range->step == 0;
  append_code_point(out, mapped ? static_cast<char32_t>(static_cast<std::int32_t>(c) + range->offset) : c);
}

std::string mapped(std::string_view text, char first, char last, int offset, std::span<CaseRange const> ranges,
                   std::span<CaseExpansion const> expansions) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    char const c = text.front();
    if (static_cast<unsigned char>(c) < 0x80) {
      out.push_back(c >= first && c <= last ? static_cast<char>(c + offset) : c);
      text.remove_prefix(1);
    } else {
      append_mapped(out, take_code_point(text), ranges, expansions);
    }
  }
  return out;
}

}  // namespace

std::string lower(std::string_view text) { return mapped(text, 'A', 'Z', 'a' - 'A', lower_ranges, lower_expansions); }
std::string upper(std::string_view text) { return mapped(text, 'a', 'z', 'A' - 'a', upper_ranges, upper_expansions); }

}  // namespace nestgate::event
