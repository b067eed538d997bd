#pragma once

#include <string>
#include <string_view>

namespace nestgate::event {

// As Python's str.lower() and str.upper(), by Unicode's tables, one thing apart: U+03A3 becomes U+03C3 at the end of a
// word, too.
std::string lower(std::string_view text);
std::string upper(std::string_view text);

}  // namespace nestgate::event
