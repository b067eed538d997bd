// What the compliance suite leaves open: the dialect of jmespath.py and the functions of the filter language. What is
// expected was asked of jmespath.py 1.1.0 under Python 3.11.
#include "nestgate/event/expression.hpp"

#include <algorithm>

#include "unit/event/event_texts.hpp"

namespace nestgate::event {
namespace {

TEST(Filter, ItsLastWordIsPythonsTruth) {
  for (auto const* value : {"null", "false", "0", "0.0", "\"\"", "[]", "{}"})
    EXPECT_FALSE(matches("a", std::string("{\"a\":") + value + "}")) << value;
  for (auto const* value : {"true", "1", "\"0\"", "[null]", "{\"b\":null}"})
    EXPECT_TRUE(matches("a", std::string("{\"a\":") + value + "}")) << value;
}

TEST(Filter, InsideAndAndOrZeroIsTrue) {
  EXPECT_EQ(found("a && 'yes'", R"({"a":0})"), "\"yes\"");
  EXPECT_EQ(found("a || 'no'", R"({"a":0})"), "0");
  EXPECT_EQ(found("!a", R"({"a":0})"), "false");
  EXPECT_FALSE(matches("a || 'no'", R"({"a":0})"));
}

TEST(Filter, ThatCannotBeEvaluatedMatchesNothing) {
  for (auto const* expression :
       {"lower(missing)", "glob(missing, '*')", "icontains(a, `1`)", "nosuch(a)", "regex(a)", "a < `1`"})
    EXPECT_FALSE(matches(expression, R"({"a":"x"})")) << expression;
}

TEST(Comparison, ZeroAndOneAreNoBooleansExceptInsideOfArrays) {
  EXPECT_EQ(found("`0` == `false`", "{}"), "false");
  EXPECT_EQ(found("`1` == `true`", "{}"), "false");
  EXPECT_EQ(found("`1.0` != `true`", "{}"), "true");
  EXPECT_EQ(found("`1` == `1.0`", "{}"), "true");
  EXPECT_EQ(found("`[1]` == `[true]`", "{}"), "true");
  EXPECT_EQ(found("contains(`[1]`, `true`)", "{}"), "true");
  EXPECT_EQ(found("`9007199254740993` == `9007199254740992.0`", "{}"), "false");
  EXPECT_EQ(found(R"(`{"a":1,"b":2}` == `{"b":2,"a":1}`)", "{}"), "true");
}

TEST(Comparison, OfOrderIsForNumbersAndForStrings) {
  EXPECT_EQ(found("`1` < `1.5`", "{}"), "true");
  EXPECT_EQ(found("'a' < 'b'", "{}"), "true");
  EXPECT_EQ(found("`true` < `2`", "{}"), "null");
  EXPECT_EQ(found("`[1]` < `[2]`", "{}"), "null");
  EXPECT_EQ(found("to_number('nan') <= to_number('nan')", "{}"), "false");
}

TEST(Grammar, IsAsForgivingAsThatOfThePythonLibrary) {
  EXPECT_EQ(found("not_null(a b)", R"({"b":2})"), "2");
  EXPECT_EQ(found("not_null(b,)", R"({"b":2})"), "2");
  EXPECT_EQ(found("{x: b y: b}", R"({"b":2})"), R"({"x":2,"y":2})");
  EXPECT_EQ(found("(length)(b)", R"({"b":"ab"})"), "2");
  EXPECT_EQ(found("b[0][0:1].c", R"({"b":[[{"c":1}]]})"), "null");
  EXPECT_EQ(found("`foo`", "{}"), "\"foo\"");
}

TEST(Grammar, SaysWhereAFaultIs) {
  EXPECT_EQ(found("a..b", "{}"), "syntax: Unexpected token '.' at column 2");
  EXPECT_EQ(found("a.", "{}"), "syntax: Incomplete expression at column 2");
  EXPECT_EQ(found("a = b", "{}"), "syntax: Unknown token '=' at column 2");
  EXPECT_EQ(found("'a", "{}"), "syntax: Unclosed \"'\" delimiter at column 0");
  EXPECT_EQ(found("\"f\"(a)", "{}"), "syntax: Quoted identifier not allowed for function names: '(' at column 3");
  EXPECT_EQ(found("a[0](b)", "{}"), "syntax: Invalid function name before '(' at column 4");
  EXPECT_EQ(found("", "{}"), "syntax: Expression is empty");
  EXPECT_EQ(found("a # b", "{}"), "syntax: Unknown token at column 2");
}

TEST(Number, BeyondAnIndexIsNoItem) {
  EXPECT_EQ(found("@[99999999999999999999]", "[1]"), "null");
  EXPECT_EQ(found("@[-99999999999999999999]", "[1]"), "null");
  EXPECT_EQ(found("@[:99999999999999999999]", "[1,2]"), "[1,2]");
  EXPECT_EQ(found("@[::9223372036854775807]", "[1,2]"), "[1]");
  EXPECT_EQ(found("@[::-9223372036854775808]", "[1,2]"), "[2]");
}

TEST(ToNumber, ReadsWhatPythonReads) {
  struct {
    char const *text, *number;
  } const cases[] = {{" 12\\n", "12"}, {"+4", "4"},       {"-3", "-3"},      {"1_000", "1000"}, {"1__0", "null"},
                     {"_1", "null"},   {"1e3", "1000.0"}, {".5", "0.5"},     {"5.", "5.0"},     {"0x10", "null"},
                     {"", "null"},     {"+-1", "null"},   {"1e400", "null"}, {"nan(1)", "null"}};
  for (auto const& [text, number] : cases)
    EXPECT_EQ(found("to_number(@)", '"' + std::string(text) + '"'), number) << text;  // infinity is written as null
  EXPECT_EQ(found("to_string(to_number('-inf'))", "{}"), "\"-Infinity\"");
  EXPECT_EQ(found("to_string(to_number('1e400'))", "{}"), "\"Infinity\"");
}

TEST(ToString, IsCompactJsonInAscii) {
  EXPECT_EQ(found("to_string(@)", "{\"a\":[1,2.0,\"\xc3\xa9\"]}"), R"("{\"a\":[1,2.0,\"\\u00e9\"]}")");
  EXPECT_EQ(found("to_string(@)", "\"\xc3\xa9\""), "\"\xc3\xa9\"");
}

TEST(Arithmetic, KeepsIntegersExact) {
  EXPECT_EQ(found("sum(@)", "[9223372036854775807,1]"), "9223372036854775808");
  EXPECT_EQ(found("sum(@)", "[1,2.5]"), "3.5");
  EXPECT_EQ(found("sum(@)", "[]"), "0");
  EXPECT_EQ(found("avg(@)", "[1,2]"), "1.5");
  EXPECT_EQ(found("abs(@)", "-9223372036854775808"), "9223372036854775808");
  EXPECT_EQ(found("ceil(@)", "1.2"), "2");
  EXPECT_EQ(found("floor(to_number('inf'))", "{}"), "floor() has no result for this value");
}

TEST(Sort, KeepsTheOrderOfEquals) {
  EXPECT_EQ(found("sort_by(@, &a)[].b", R"([{"a":2,"b":1},{"a":1,"b":2},{"a":2.0,"b":3},{"a":1,"b":4}])"), "[2,4,1,3]");
  EXPECT_EQ(found("max_by(@, &a).b", R"([{"a":2,"b":1},{"a":2,"b":2}])"), "1");
  EXPECT_EQ(found("sort(@)", R"(["b","a","\u00e9","z"])"), "[\"a\",\"b\",\"z\",\"\xc3\xa9\"]");
  EXPECT_EQ(found("sort_by(@, &a)", R"([{"a":2},{"a":"x"}])"), "sort_by() does not take a value of type string");
}

TEST(Text, IsCountedAndTurnedByCodePoints) {
  EXPECT_EQ(found("length(@)", "\"a\xc3\xa9\xf0\x9f\x98\x80\""), "3");
  EXPECT_EQ(found("reverse(@)", "\"a\xc3\xa9\xf0\x9f\x98\x80\""),
            "\"\xf0\x9f\x98\x80\xc3\xa9"
            "a\"");
}

TEST(FilterFunctions, AreThoseThatTheServiceNames) {
  std::vector<std::string_view> const expected{
      "abs",  "avg",      "ceil",      "contains",  "ends_with", "floor", "glob",    "icontains",
      "join", "keys",     "length",    "lower",     "map",       "max",   "max_by",  "merge",
      "min",  "min_by",   "not_null",  "regex",     "reverse",   "sort",  "sort_by", "starts_with",
      "sum",  "to_array", "to_number", "to_string", "type",      "upper", "values"};
  EXPECT_TRUE(std::ranges::equal(function_names(), expected));
}

TEST(FilterFunctions, OfTextLookAtIt) {
  EXPECT_TRUE(matches("glob(ref, 'refs/heads/release-*')", R"({"ref":"refs/heads/release-1"})"));
  EXPECT_FALSE(matches("glob(ref, 'refs/heads/Release-*')", R"({"ref":"refs/heads/release-1"})"));
  EXPECT_TRUE(matches("icontains(t, 'URGENT')", R"({"t":"very Urgent"})"));
  EXPECT_TRUE(matches("icontains(t, '')", R"({"t":""})"));
  EXPECT_FALSE(matches("icontains(t, 'xx')", R"({"t":"x"})"));
  EXPECT_TRUE(matches("icontains(t, '\xc3\x89T\xc3\x89')", "{\"t\":\"l'\xc3\xa9t\xc3\xa9\"}"));
  EXPECT_EQ(found("upper(@)",
                  "\"stra\xc3\x9f"
                  "e\""),
            "\"STRASSE\"");
  EXPECT_EQ(found("lower(@)",
                  "\"\xc3\x89"
                  "A\xce\xa9\""),
            "\"\xc3\xa9"
            "a\xcf\x89\"");
  EXPECT_TRUE(matches("contains(labels[].name, 'bug') && starts_with(t, 'a')", R"({"labels":[{"name":"bug"}],"t":"ab"})"));
  EXPECT_TRUE(matches("contains(@, '')", "\"\""));
}

TEST(Regex, SearchesAsPythonDoes) {
  struct {
    char const *pattern, *text;
    bool is_found;
  } const cases[] = {{"b", "abc", true},
                     {"^b", "abc", false},
                     {"c$", "abc\\n", true},
                     {"c\\\\Z", "abc\\n", false},
                     {"c\\\\Z", "abc", true},
                     {"^\\\\d+$", "\u0663\u0664", true},
                     {"^\\\\w+$", "\u00e9t\u00e9_1", true},
                     {"[\\\\W_]", "\u00e9", false},
                     {"a\\\\sb", "a\u00a0b", true},
                     {"(?i)FIX(es)?", "this fixes it", true},
                     {"(?a)^\\\\w$", "\u00e9", false},
                     {"a{,2}b", "aab", true},
                     {"a{,", "xa{,", true},
                     {"[[:alpha:]]", ":]", true},
                     {"\\\\u00e9", "\u00e9", true},
                     {"(?P<n>a)b", "ab", true},
                     {"a.b", "a\\nb", false},
                     {"(?s)a.b", "a\\nb", true}};
  for (auto const& [pattern, text, is_found] : cases) {
    auto const document = "{\"p\":\"" + std::string(pattern) + "\",\"t\":\"" + text + "\"}";
    EXPECT_EQ(found("regex(t, p)", document), is_found ? "true" : "false") << pattern;
  }
}

TEST(Regex, WithABadPatternOrOneThatIsNotLinearFindsNothing) {
  for (auto const* pattern : {"(",       ")",      "[",     "a**",   "*a",      "^*",       "(?P<1>a)", "\\\\",
                              "\\\\q",   "a{2,1}", "[z-a]", "(?x)a", "a{1001}", "\\\\1(a)", "(a)\\\\1", "(?=a)a",
                              "(?<!b)a", "a++",    "(?>a)", "(?i",   "x(?i)a",  "\\\\x4",   "[\\\\d-a]"})
    EXPECT_EQ(found("regex('a', @)", '"' + std::string(pattern) + '"'), "false") << pattern;
}

TEST(Expression, MayBeUsedAfterWhatItFoundAndTheOtherWayRound) {
  Value reference;
  {
    auto const expression = Expression::parse("[&a, @]");
    reference = *expression->evaluate(value_of(R"({"a":1})"));
  }
  auto const apply = Expression::parse("map(@[0], [@[1]])");
  EXPECT_EQ(json_of(*apply->evaluate(reference)), "[1]");
}

}  // namespace
}  // namespace nestgate::event
