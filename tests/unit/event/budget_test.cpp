// Expressions and documents that would take for ever, or all memory, or the stack. What bounds them is counted.
#include "nestgate/event/glob.hpp"
#include "unit/event/event_texts.hpp"

namespace nestgate::event {
namespace {

std::string repeated(std::string_view text, std::size_t times) {
  std::string out;
  for (std::size_t i = 0; i < times; ++i) out += text;
  return out;
}

std::string piped(std::string_view text, std::size_t times) {
  std::string out = "@";
  for (std::size_t i = 0; i < times; ++i) out.append(" | ").append(text);
  return out;
}

std::string quoted(std::string const& text) { return '"' + text + '"'; }

TEST(Budget, APatternThatBacktracksElsewhereTakesStepsByItsSizeAndTheTexts) {
  auto const document = quoted(std::string(26, 'a') + "!");
  EXPECT_EQ(found("regex(@, '^(a+)+$')", document, {.steps_max = 3'000}), "false");
  auto const longer = quoted(std::string(400'000, 'a') + "!");
  EXPECT_EQ(found("regex(@, '^(a+)+$')", longer), "false");
  EXPECT_EQ(found("regex(@, '^(a+)+$')", longer, {.steps_max = 100'000}), "over budget: steps");
}

TEST(Budget, APatternPaysForItsRepeatsBeforeItIsCompiled) {
  EXPECT_EQ(found(R"(regex(@, '(\w{1,100}){1,100}'))", "\"a\""), "over budget: size of a pattern");
  EXPECT_EQ(found(R"(regex(@, '((((a{99}){99}){99}){99}){99}'))", "\"a\""), "over budget: size of a pattern");
  EXPECT_EQ(found(R"(regex(@, '\w{9}'))", "\"a\"", {.steps_max = 10'000}), "over budget: steps");
  EXPECT_EQ(found("regex('a', @)", quoted(std::string(8193, 'a'))), "over budget: length of a pattern");
  EXPECT_EQ(found("glob('a', @)", quoted(std::string(8193, 'a'))), "over budget: length of a pattern");
}

TEST(Budget, ASearchPaysForEachPositionOfItsPattern) {
  auto const document = quoted(std::string(30'000, 'a'));
  EXPECT_EQ(found("regex(@, '((a{0,50}){0,9})b')", document), "over budget: steps");
  EXPECT_EQ(found("regex(@, 'a+b')", document), "false");
}

TEST(Budget, ManyPatternsPayEachTime) {
  std::string patterns = "[";
  for (int i = 0; i < 500; ++i) patterns += (i ? ",\"" : "\"") + std::string("\\\\w") + std::to_string(i) + "\"";
  EXPECT_EQ(found("[?regex('a', @)]", patterns + "]"), "over budget: steps");
}

TEST(Budget, AGlobPaysForItsPatternAndText) {
  auto const document = quoted(std::string(20'000, 'a'));
  EXPECT_EQ(found("glob(@, '" + repeated("*a", 20) + "b')", document), "false");
  EXPECT_EQ(found("glob(@, '" + repeated("*a", 1'000) + "b')", document), "over budget: steps");
}

TEST(Budget, DoublingPipesShareWhatTheyDouble) {
  auto const doubled = piped("[@,@]", 30);
  EXPECT_EQ(found(doubled + " | length(@)", "{}", {.steps_max = 1'000, .values_max = 200}), "2");
  EXPECT_EQ(found(doubled + " | to_string(@)", "{}", {.values_max = 1'000}), "over budget: values");
  EXPECT_EQ(found("[" + doubled + "," + doubled + "] | @[0] == @[1]", "{}"), "over budget: steps");
  EXPECT_EQ(found("[" + doubled + "," + doubled + "] | contains([@[0]], @[1])", "{}"), "over budget: steps");
}

TEST(Budget, FlatteningWhatWasMultipliedIsPaidFor) {
  auto const bomb = piped("[" + repeated("@,", 9) + "@]", 8) + repeated(" | []", 7) + " | length(@)";
  EXPECT_EQ(found(bomb, "{}", {.steps_max = 1'000'000'000}), "over budget: values");
  EXPECT_EQ(found(bomb, "{}", {.steps_max = 1'000, .values_max = 1'000'000'000}), "over budget: steps");
}

TEST(Budget, NestedMapsAndProjectionsArePaidFor) {
  std::string numbers = "[0";
  for (int i = 1; i < 300; ++i) numbers += "," + std::to_string(i);
  numbers += "]";
  EXPECT_EQ(found("[@, @] | map(&map(&length(to_string(@)), @), @) | length(@)", numbers), "2");
  auto const nested = piped("[" + repeated("@,", 99) + "@]", 3) + " | [*][*][*].length(to_string(@))";
  EXPECT_EQ(found(nested, "{}", {.steps_max = 100'000}), "over budget: steps");
  EXPECT_EQ(found(nested, "{}", {.steps_max = 1'000'000'000, .values_max = 100'000}), "over budget: values");
}

TEST(Budget, AnExpressionThatCallsItselfEnds) {
  EXPECT_EQ(found("[&map(@[0], [@]), `1`] | map(@[0], [@])", "{}"), "over budget: depth");
  EXPECT_EQ(found("[&[map(@[0], [@]), map(@[0], [@])], `1`] | map(@[0], [@])", "{}"), "over budget: depth");
}

TEST(Budget, WhatIsMadeGetsOnlySoDeep) {
  EXPECT_EQ(found(piped("[@]", 1'000) + " | length(@)", "{}"), "1");
  EXPECT_EQ(found(piped("[@]", 5'000), "{}"), "over budget: depth of values");
  EXPECT_EQ(found(piped("{a:@}", 5'000), "{}"), "over budget: depth of values");
}

TEST(Budget, TextThatGrowsIsPaidFor) {
  EXPECT_EQ(found(piped("join(@, ['" + std::string(50, 'x') + "', @, @, @, @, @])", 12) + " | length(@)", "\"x\""),
            "over budget: values");
  EXPECT_EQ(found("map(&upper('" + std::string(6'000, 'x') + "'), @) | length(@)", "[" + repeated("1,", 4'000) + "1]"),
            "over budget: values");
}

TEST(Budget, ComparingLongTextsIsPaidFor) {
  auto const text = std::string(200'000, 'a');
  auto const document =
      "{\"a\":\"" + text + "\",\"b\":\"" + text + "b\",\"c\":\"" + text + "\",\"l\":[" + repeated("1,", 2'000) + "1]}";
  for (auto const* each :
       {"x.a == x.c", "x.a < x.b", "starts_with(x.b, x.a)", "contains(x.a, x.b)", "ends_with(x.a, x.b)", "x.a != x.c",
        "sort([x.a, x.b])", "max([x.a, x.b])", "icontains(x.a, x.b)", "length(x.a)", "sort_by([x], &a)"}) {
    // Every element of the list carries the texts along.
    auto const projected = "[{x: @, l: l}] | [" + repeated("@[0],", 999) + "@[0]] | map(&" + each + ", @) | length(@)";
    EXPECT_EQ(found(projected, document, {.values_max = 100'000'000}), "over budget: steps") << each;
  }
}

TEST(Parsing, RefusesWhatIsNestedTooDeeply) {
  for (auto const& text :
       {repeated("(", 60'000), repeated("[", 60'000), repeated("!", 60'000), repeated("& ", 30'000), repeated("a.[", 20'000),
        repeated("f(", 30'000), repeated("{a:", 20'000), repeated("[?", 30'000), "a" + repeated("[]", 30'000),
        "a" + repeated("[*]", 20'000), "a" + repeated("==a", 20'000), "a" + repeated(".*", 30'000)}) {
    auto const parsed = Expression::parse(text);
    ASSERT_FALSE(parsed) << text.substr(0, 10);
    EXPECT_TRUE(parsed.error().text.find("nested too deeply") != std::string::npos) << parsed.error().text;
  }
  EXPECT_FALSE(Expression::parse('`' + repeated("[", 30'000) + repeated("]", 30'000) + '`'));
}

TEST(Parsing, ChainsOfAnyLengthStayFlat) {
  for (auto const& [first, more] : {std::pair("a", ".a"), {"a", "[0]"}, {"a", "||a"}, {"a", "&&a"}, {"a", "|a"}}) {
    auto const parsed = Expression::parse(first + repeated(more, 10'000));
    ASSERT_TRUE(parsed) << more;
    EXPECT_TRUE(parsed->evaluate(Value(), {.depth_max = 3})) << more;
  }
}

TEST(Parsing, RefusesWhatIsTooLong) {
  EXPECT_TRUE(Expression::parse(std::string(Expression::text_bytes_max, 'a')));
  EXPECT_FALSE(Expression::parse(std::string(Expression::text_bytes_max + 1, 'a')));
}

TEST(LargeBody, OfTwentyMegabytesIsReadAndFiltered) {
  std::string body = R"({"ref":"refs/heads/main","commits":[)";
  std::string const commit =
      R"({"id":"0123456789","message":")" + std::string(10'000, 'm') + R"(","added":["a","b"],"n":1.5},)";
  while (body.size() < 20'000'000) body += commit;
  body.back() = ']';
  body += "}";
  auto const parsed = Value::parse(body);
  ASSERT_TRUE(parsed);
  auto const expression =
      Expression::parse("ref == 'refs/heads/main' && length(commits) > `1900` && commits[-1].n == `1.5`");
  auto const said = expression->matches(*parsed, {.steps_max = 1'000, .values_max = 100});
  EXPECT_TRUE(said && *said);
}

TEST(LargeBody, OfTooManyValuesIsRefused) {
  auto const parsed = Value::parse("[" + repeated("[],", 7'000'000) + "[]]");
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().kind, FaultKind::too_large);
}

TEST(LargeBody, ThatOnlyOpensIsRefused) {
  EXPECT_FALSE(Value::parse(std::string(20'000'000, '[')));
  EXPECT_FALSE(Value::parse(repeated("{\"a\":", 4'000'000)));
  EXPECT_EQ(Value::parse(repeated("[", 1'000) + repeated("]", 1'000)).error().kind, FaultKind::too_large);
}

}  // namespace
}  // namespace nestgate::event
