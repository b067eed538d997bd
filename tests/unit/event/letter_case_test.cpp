#include "event/letter_case.hpp"

#include <gtest/gtest.h>

namespace nestgate::event {
namespace {

TEST(LetterCase, IsThatOfUnicode) {
  struct {
    char const *text, *lower, *upper;
  } const cases[] = {{"", "", ""},
                     {"aZ09_-@[`{", "az09_-@[`{", "AZ09_-@[`{"},
                     {"\u00c9\u00e9", "\u00e9\u00e9", "\u00c9\u00c9"},
                     {"\u0100\u0101\u0102", "\u0101\u0101\u0103", "\u0100\u0100\u0102"},
                     {"\u0130", "i\u0307", "\u0130"},
                     {"\u00df", "\u00df", "SS"},
                     {"\ufb03", "\ufb03", "FFI"},
                     {"\u03a3\u03c2", "\u03c3\u03c2", "\u03a3\u03a3"},
                     {"\u0410\u044f", "\u0430\u044f", "\u0410\u042f"},
                     {"\U00010400\U00010428", "\U00010428\U00010428", "\U00010400\U00010400"},
                     {"\u65e5\u672c", "\u65e5\u672c", "\u65e5\u672c"}};
  for (auto const& [text, low, high] : cases) {
    EXPECT_EQ(lower(text), low) << text;
    EXPECT_EQ(upper(text), high) << text;
  }
}

}  // namespace
}  // namespace nestgate::event
