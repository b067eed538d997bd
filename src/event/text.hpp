#pragma once

#include <cstddef>
#include <string>
#include <string_view>

// Text by code points. Each byte that is part of no UTF-8 counts as one, between U+DC80 and U+DCFF as with Python's
// surrogateescape, so that every text can be walked and written again.
namespace nestgate::event {

// Takes the first code point off `text`, which is not empty.
char32_t take_code_point(std::string_view& text) noexcept;
void append_code_point(std::string& out, char32_t c);
std::size_t count_code_points(std::string_view text) noexcept;

}  // namespace nestgate::event
