#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace nestgate::runtime {

// At most `bytes_max` bytes of `text` in printable ASCII.
inline std::string excerpt(std::string_view text, std::size_t bytes_max = 200) {
  std::string out(text.substr(0, bytes_max));
  std::replace_if(out.begin(), out.end(), [](char c) { return c < ' ' || c > '~'; }, ' ');
  return out;
}

}  // namespace nestgate::runtime
