#include "nestgate/event/glob.hpp"

#include <gtest/gtest.h>

#include <string>

namespace nestgate::event {
namespace {

struct Case {
  char const *pattern, *text;
};

// Asked of Python's fnmatch.fnmatchcase.
TEST(Glob, MatchesWhatFnmatchMatches) {
  for (auto const& [pattern, text] : {Case{"", ""},
                                      {"*", ""},
                                      {"*", "a.b\nc"},
                                      {"?", "\xc3\xa9"},
                                      {"a?c", "abc"},
                                      {"pull_request.*", "pull_request.opened"},
                                      {"*.opened", "a.b.opened"},
                                      {"[abc]", "b"},
                                      {"[a-c]x", "bx"},
                                      {"[!a-c]", "d"},
                                      {"[!]]", "a"},
                                      {"[]]", "]"},
                                      {"[]a]", "a"},
                                      {"[", "["},
                                      {"[a", "[a"},
                                      {"[!", "[!"},
                                      {"a[", "a["},
                                      {"[a-]", "-"},
                                      {"[-a]", "-"},
                                      {"[--a]", "3"},
                                      {"[^a]", "^"},
                                      {"[^a]", "a"},
                                      {"\\*", "\\x"},
                                      {"[\\]", "\\"},
                                      {"[\xc3\xa0-\xc3\xbf]", "\xc3\xa9"},
                                      {"**a**", "bab"},
                                      {"*a*b*c", "xaxbxc"},
                                      {"[a-b-c]", "-"},
                                      {"[!b-a]", "x"},
                                      {"[b-a!x]", "y"},
                                      {"[[]", "["},
                                      {"[*]", "*"},
                                      {"[?]", "?"}})
    EXPECT_TRUE(glob_matches(pattern, text)) << pattern << " and " << text;
}

TEST(Glob, MatchesNothingElse) {
  for (auto const& [pattern, text] : {Case{"", "a"},
                                      {"a", ""},
                                      {"a", "A"},
                                      {"?", ""},
                                      {"?", "ab"},
                                      {"a*", "ba"},
                                      {"*a", "ab"},
                                      {"[abc]", "d"},
                                      {"[abc]", "ab"},
                                      {"[!a-c]", "b"},
                                      {"[!]]", "]"},
                                      {"[b-a]", "a"},
                                      {"[b-a]", "b"},
                                      {"[a", "a"},
                                      {"\\*", "*"},
                                      {"*a*b*c", "xcxbxa"},
                                      {"push", "push.x"},
                                      {"[*]", "a"},
                                      {"[a-c]", "-"}})
    EXPECT_FALSE(glob_matches(pattern, text)) << pattern << " and " << text;
}

TEST(Glob, AByteThatIsNoTextIsOnlyItself) {
  EXPECT_TRUE(glob_matches("\x9e", "\x9e"));
  EXPECT_TRUE(glob_matches("a?\xff", "a\xc3\xff"));
  EXPECT_FALSE(glob_matches("\x9e", "\xc2\x9e"));
  EXPECT_FALSE(glob_matches("\x9e", "\xed\xb2\x9e"));
  EXPECT_FALSE(glob_matches("\xc0\x80", std::string_view("\0", 1)));
}

TEST(Glob, OfManyStarsAndOpenBracketsTakesNoMoreThanTheProductOfTheLengths) {
  std::string stars, brackets = "*";
  for (int i = 0; i < 200; ++i) stars += "*a";
  for (int i = 0; i < 2'000; ++i) brackets += "[";
  EXPECT_FALSE(glob_matches(stars + "b", std::string(10'000, 'a')));
  EXPECT_TRUE(glob_matches(stars, std::string(10'000, 'a')));
  EXPECT_FALSE(glob_matches(brackets + "b", std::string(10'000, '[')));
}

}  // namespace
}  // namespace nestgate::event
