// The first line as a glob, the rest as text: the answer is that of a plain recursive matcher.
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/base/invariant.hpp"
#include "nestgate/event/glob.hpp"

namespace {

using nestgate::event::glob_matches;

// Globs without sets, over ASCII, by the table of all prefixes.
bool plain_matches(std::string_view pattern, std::string_view text) {
  std::vector<bool> row(text.size() + 1);
  row[0] = true;
  for (char const p : pattern) {
    std::vector<bool> next(text.size() + 1);
    next[0] = p == '*' && row[0];
    for (std::size_t i = 0; i < text.size(); ++i)
      next[i + 1] = p == '*' ? row[i + 1] || next[i] : row[i] && (p == '?' || p == text[i]);
    row = std::move(next);
  }
  return row.back();
}

bool is_plain(std::string_view text) {
  for (char const c : text)
    if (static_cast<unsigned char>(c) >= 0x80 || c == '[') return false;
  return true;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string_view const input(reinterpret_cast<char const*>(data), size);
  if (size > 2'000) return 0;
  auto const end = input.find('\n');
  auto const pattern = input.substr(0, end);
  auto const text = end == std::string_view::npos ? std::string_view() : input.substr(end + 1);
  bool const said = glob_matches(pattern, text);
  if (is_plain(pattern) && is_plain(text)) NESTGATE_INVARIANT(said == plain_matches(pattern, text), "there is one answer");
  NESTGATE_INVARIANT(glob_matches("*" + std::string(pattern) + "*", text) || !said, "a star may stand for nothing");
  if (pattern.find_first_of("*?[") == std::string_view::npos) NESTGATE_INVARIANT(said == (pattern == text), "no wildcard");
  return 0;
}
