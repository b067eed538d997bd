#include "api/automation/model.hpp"

#include <gtest/gtest.h>

namespace nestgate::api {
namespace {

constexpr std::string_view json_type = "application/json";

std::string listed(Faults const& faults) {
  constexpr std::string_view before = R"({"detail":[)", behind = "]}";
  auto const all = faults_json(faults);
  return all.substr(before.size(), all.size() - before.size() - behind.size());
}

// The one fault of `{"m": VALUE}`, without what every fault of it has.
template <class T>
std::string why_not(std::string_view value, Rule<T> const& rule) {
  Faults faults;
  JsonBody const body(json_type, std::string(R"({"m":)").append(value).append("}"));
  Model in(body_value(faults, body));
  T out{};
  in.need("m", out, rule);
  in.done();
  return listed(faults);
}

template <class T>
T taken(std::string_view value, Rule<T> const& rule) {
  Faults faults;
  JsonBody const body(json_type, std::string(R"({"m":)").append(value).append("}"));
  Model in(body_value(faults, body));
  T out{};
  EXPECT_TRUE(in.need("m", out, rule)) << value << ' ' << listed(faults);
  return out;
}

std::string fault(std::string_view type, std::string_view message, std::string_view input, std::string_view context = {},
                  std::string_view loc = R"(["body","m"])") {
  std::string out = R"({"type":")";
  out.append(type)
      .append(R"(","loc":)")
      .append(loc)
      .append(R"(,"msg":")")
      .append(message)
      .append(R"(","input":)")
      .append(input);
  if (!context.empty()) out.append(R"(,"ctx":)").append(context);
  return out + "}";
}

bool is_lower(std::string_view text) { return text.find_first_not_of("abcdefghijklmnopqrstuvwxyz") == text.npos; }

// What these say was printed by Pydantic 2.12.5.
TEST(Model, SaysWhatIsWrongWithATextAsPydanticDoes) {
  auto const rule = text(1, 3);
  EXPECT_EQ(why_not("1", rule), fault("string_type", "Input should be a valid string", "1"));
  EXPECT_EQ(why_not("null", rule), fault("string_type", "Input should be a valid string", "null"));
  EXPECT_EQ(why_not("\"\"", rule),
            fault("string_too_short", "String should have at least 1 character", "\"\"", R"({"min_length":1})"));
  EXPECT_EQ(why_not("\"abcd\"", rule),
            fault("string_too_long", "String should have at most 3 characters", "\"abcd\"", R"({"max_length":3})"));
  EXPECT_EQ(taken("\"€€€\"", rule), "€€€");
  EXPECT_NE(why_not("\"€€€€\"", rule), "");
  EXPECT_EQ(
      why_not("\"aB\"", text(0, 9, Pattern{"^[a-z]+$", is_lower})),
      fault("string_pattern_mismatch", "String should match pattern '^[a-z]+$'", "\"aB\"", R"({"pattern":"^[a-z]+$"})"));
}

TEST(Model, RefusesATextWithNullCharactersWhichNoDatabaseKeeps) {
  EXPECT_NE(why_not(R"("a\u0000b")", text()).find("Value error, must not contain null characters"), std::string::npos);
}

TEST(Model, TakesForAWholeNumberWhatPydanticTakes) {
  auto const rule = whole();
  for (auto const value : {"60", "\"60\"", "60.0", "\"60.0\"", "\" 6_0 \"", "\"+60\"", "\"0060\""})
    EXPECT_EQ(taken(value, rule), 60) << value;
  EXPECT_EQ(taken("true", rule), 1);
  EXPECT_EQ(taken("\"-7\"", rule), -7);
  for (auto const value : {"\"x\"", "\"\"", "\"60.5\"", "\"1e2\"", "\"0x1\"", "\"_1\"", "\"1__0\""}) {
    EXPECT_EQ(why_not(value, rule),
              fault("int_parsing", "Input should be a valid integer, unable to parse string as an integer", value));
  }
  EXPECT_EQ(why_not("60.5", rule),
            fault("int_from_float", "Input should be a valid integer, got a number with a fractional part", "60.5"));
  EXPECT_EQ(why_not("[]", rule), fault("int_type", "Input should be a valid integer", "[]"));
  EXPECT_EQ(why_not("null", rule), fault("int_type", "Input should be a valid integer", "null"));
}

TEST(Model, HoldsAWholeNumberToItsBoundsHoweverLargeItIs) {
  auto const rule = whole(1, 100);
  EXPECT_EQ(why_not("0", rule),
            fault("greater_than_equal", "Input should be greater than or equal to 1", "0", R"({"ge":1})"));
  EXPECT_EQ(why_not("101", rule),
            fault("less_than_equal", "Input should be less than or equal to 100", "101", R"({"le":100})"));
  EXPECT_NE(why_not("18446744073709551615", rule).find("less_than_equal"), std::string::npos);
  EXPECT_NE(why_not("\"99999999999999999999999999\"", rule).find("less_than_equal"), std::string::npos);
  EXPECT_NE(why_not("1e300", rule).find("int_parsing_size"), std::string::npos);
}

TEST(Model, TakesForATruthWhatPydanticTakes) {
  for (auto const value : {"true", "\"yes\"", "\"ON\"", "1", "\"1\"", "\"t\"", "1.0"})
    EXPECT_TRUE(taken(value, flag())) << value;
  for (auto const value : {"false", "\"no\"", "\"off\"", "0", "\"0\"", "\"F\"", "0.0"})
    EXPECT_FALSE(taken(value, flag())) << value;
  for (auto const value : {"\"maybe\"", "2", "\" true\""}) {
    EXPECT_EQ(why_not(value, flag()),
              fault("bool_parsing", "Input should be a valid boolean, unable to interpret input", value));
  }
  for (auto const value : {"0.5", "null", "[]"})
    EXPECT_EQ(why_not(value, flag()), fault("bool_type", "Input should be a valid boolean", value));
}

TEST(Model, TakesANumberThatIsOneOrReadsAsOne) {
  EXPECT_EQ(taken("\"1.5\"", number()), 1.5);
  EXPECT_EQ(taken("true", number()), 1.0);
  EXPECT_EQ(why_not("\"x\"", number()),
            fault("float_parsing", "Input should be a valid number, unable to parse string as a number", "\"x\""));
  EXPECT_EQ(why_not("[]", number()), fault("float_type", "Input should be a valid number", "[]"));
}

TEST(Model, SaysWhichWordsThereAre) {
  EXPECT_EQ(why_not("\"C\"", one_of({"A", "B"})),
            fault("literal_error", "Input should be 'A' or 'B'", "\"C\"", R"({"expected":"'A' or 'B'"})"));
  EXPECT_EQ(why_not("1", one_of({"A"})), fault("literal_error", "Input should be 'A'", "1", R"({"expected":"'A'"})"));
  EXPECT_NE(why_not("1", one_of({"A", "B", "C"})).find("'A', 'B' or 'C'"), std::string::npos);
}

TEST(Model, ReadsUuidsInEveryFormAndSaysWhatOneLacks) {
  for (auto const value :
       {"\"12345678123456781234567812345678\"", "\"{12345678-1234-5678-1234-567812345678}\"",
        "\"urn:uuid:12345678-1234-5678-1234-567812345678\"", "\"12345678-1234-5678-1234-567812345678\""}) {
    EXPECT_EQ(taken(value, uuid()), "12345678-1234-5678-1234-567812345678") << value;
  }
  EXPECT_EQ(taken("\"ABCDEF78-1234-5678-1234-567812345678\"", uuid()), "abcdef78-1234-5678-1234-567812345678");
  auto const why = [](std::string_view value) {
    auto const told = why_not(value, uuid());
    return told.substr(0, told.find("\",\"input"));
  };
  auto const told = [](std::string_view what) {
    return R"({"type":"uuid_parsing","loc":["body","m"],"msg":"Input should be a valid UUID, )" + std::string(what);
  };
  EXPECT_EQ(why("\"not-a-uuid\""),
            told("invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], found `n` at 1"));
  EXPECT_EQ(why("\"12345678-1234-5678-1234-56781234567g\""),
            told("invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], found `g` at 36"));
  EXPECT_EQ(why("\"\""), told("invalid length: expected length 32 for simple format, found 0"));
  EXPECT_EQ(why("\"12345678-1234-5678-1234-56781234567\""), told("invalid group length in group 4: expected 12, found 11"));
  EXPECT_EQ(why("\"123456781234-5678-1234-567812345678\""), told("invalid group count: expected 5, found 4"));
  EXPECT_EQ(why_not("1", uuid()), fault("uuid_type", "UUID input should be a string, bytes or UUID object", "1"));
}

TEST(Model, NamesTheElementOfAListAndItsLength) {
  auto const rule = list_of(text(), 1, 2);
  EXPECT_EQ(taken(R"(["a","b"])", rule), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(why_not(R"(["a",1])", rule),
            fault("string_type", "Input should be a valid string", "1", {}, R"(["body","m",1])"));
  EXPECT_EQ(why_not("\"x\"", rule), fault("list_type", "Input should be a valid list", "\"x\""));
  EXPECT_EQ(why_not("[]", rule), fault("too_short", "List should have at least 1 item after validation, not 0", "[]",
                                       R"({"field_type":"List","min_length":1,"actual_length":0})"));
  EXPECT_EQ(why_not(R"(["a","b","c"])", rule),
            fault("too_long", "List should have at most 2 items after validation, not 3", R"(["a","b","c"])",
                  R"({"field_type":"List","max_length":2,"actual_length":3})"));
}

TEST(Model, KeepsAnObjectAsItsJson) {
  EXPECT_EQ(taken(R"({ "a" : [1] })", any_object()), R"({"a":[1]})");
  EXPECT_EQ(why_not("[]", any_object()), fault("dict_type", "Input should be a valid dictionary", "[]"));
}

TEST(Model, CollectsAllFaultsOfABodyMissingFieldsFirstUnknownOnesLast) {
  Faults faults;
  JsonBody const body(json_type, R"({"zz":1,"count":"x","yy":2,"zz":3})");
  Model in(body_value(faults, body));
  std::string name;
  std::int64_t count = 0;
  EXPECT_FALSE(in.need("name", name, text()));
  EXPECT_FALSE(in.may("count", count, whole()));
  EXPECT_FALSE(in.done());
  ASSERT_EQ(faults.all().size(), 4u);
  EXPECT_EQ(faults.all()[0].type, "missing");
  EXPECT_EQ(faults.all()[0].input_json, R"({"zz":1,"count":"x","yy":2,"zz":3})");
  EXPECT_EQ(faults.all()[1].type, "int_parsing");
  EXPECT_EQ(faults.all()[2].message, "Extra inputs are not permitted");
  EXPECT_EQ(std::get<std::string>(faults.all()[3].loc.back()), "yy");
}

TEST(Model, TakesTheLastOfTwoMembersOfOneName) {
  Faults faults;
  JsonBody const body(json_type, R"({"a":1,"a":"last"})");
  Model in(body_value(faults, body));
  std::string out;
  EXPECT_TRUE(in.need("a", out, text()));
  EXPECT_EQ(out, "last");
}

TEST(Model, KeepsApartWhatAChangeLeavesWhatItSetsToNullAndWhatItSets) {
  Faults faults;
  JsonBody const body(json_type, R"({"a":null,"b":"x","d":null})");
  Model in(body_value(faults, body));
  Change<std::string> a, b, c;
  std::optional<std::string> d;
  EXPECT_TRUE(in.change("a", a, text()) && in.change("b", b, text()) && in.change("c", c, text()));
  EXPECT_TRUE(a.is_given && !a.value);
  EXPECT_TRUE(b.is_given && b.value == "x");
  EXPECT_FALSE(c.is_given);
  EXPECT_FALSE(in.change("d", d, text()));  // null is no value of it
  EXPECT_EQ(faults.all()[0].type, "string_type");
}

TEST(Model, SaysOfABodyThatIsNoObjectOnlyThat) {
  Faults faults;
  JsonBody const body(json_type, "[1]");
  Model in(body_value(faults, body));
  std::string name;
  in.need("name", name, text());
  in.done();
  EXPECT_EQ(
      listed(faults),
      R"({"type":"model_attributes_type","loc":["body"],"msg":"Input should be a valid dictionary or object to extract fields from","input":[1]})");
}

TEST(Model, AsksForABodyWhereThereIsNoneOrNull) {
  for (auto const given : {"", "null"}) {
    Faults faults;
    JsonBody const body(json_type, given);
    EXPECT_FALSE(body_value(faults, body));
    EXPECT_EQ(listed(faults), R"({"type":"missing","loc":["body"],"msg":"Field required","input":null})");
  }
}

TEST(Model, ParsesABodyOnlyWhereItsContentTypeSaysJson) {
  EXPECT_EQ(JsonBody("application/json; charset=utf-8", "{}").state(), JsonBody::State::read);
  EXPECT_EQ(JsonBody("application/vnd.x+json", "{}").state(), JsonBody::State::read);
  EXPECT_EQ(JsonBody("Application/JSON", "{}").state(), JsonBody::State::read);
  EXPECT_EQ(JsonBody("text/plain", "{}").state(), JsonBody::State::not_json);
  EXPECT_EQ(JsonBody("", "{}").state(), JsonBody::State::not_json);
  EXPECT_EQ(JsonBody(json_type, "\"\xff\"").state(), JsonBody::State::not_text);
}

TEST(Model, ShowsNoSecretAgain) {
  Faults faults;
  JsonBody const body(
      json_type, R"({"webhook_secret":"brief","callback_bearer":7,"nested":{"api_key":"k","plain":"p"},"code":"letmein"})");
  Model in(body_value(faults, body));
  std::string secret, bearer, absent;
  std::int64_t nested = 0;
  in.need("webhook_secret", secret, hidden_text(8, 255));
  in.need("nested", nested, whole());
  in.need("absent", absent, text());
  in.need("code", absent, hidden_text(99, 100));
  in.done();
  auto const all = faults_json(faults);
  EXPECT_EQ(all.find("brief"), std::string::npos) << all;
  EXPECT_EQ(all.find("\"k\""), std::string::npos) << all;
  EXPECT_NE(all.find(R"("plain":"p")"), std::string::npos) << all;
  EXPECT_NE(all.find(R"("input":"**********")"), std::string::npos) << all;
}

TEST(Model, ShowsAHugeInputNoMoreAndNotesSoManyFaultsAndNoMore) {
  std::string many = "{";
  for (int i = 0; i < 1'000; ++i) many += (i == 0 ? "" : ",") + ("\"key" + std::to_string(i)) + "x\":\"0123456789\"";
  Faults faults;
  JsonBody const body(json_type, many + "}");
  Model in(body_value(faults, body));
  std::string out;
  in.need("name", out, text());
  in.done();
  EXPECT_EQ(faults.all().size(), Faults::faults_max);
  EXPECT_EQ(faults.all()[0].input_json, "null");
}

TEST(Model, TakesNoTextThatDatabasesRefuse) {
  Faults faults;
  Query const query(faults, "name=%ff&other=%00&good=%c3%bc");
  std::string out;
  EXPECT_FALSE(query.may("name", out, text()));
  EXPECT_FALSE(query.may("other", out, text()));
  EXPECT_TRUE(query.may("good", out, text()));
  ASSERT_EQ(faults.all().size(), 2U);
  EXPECT_EQ(faults.all()[0].type, "string_unicode");
  EXPECT_EQ(faults.all()[1].type, "value_error");
}

TEST(Model, ReadsTheParametersOfAQuery) {
  Faults faults;
  Query const query(faults, "limit=20&limit=7&name=a%20b+c&flag=yes");
  std::string name;
  std::optional<bool> flagged;
  EXPECT_EQ(page_of(query).limit, 7U);
  EXPECT_EQ(page_of(query).offset, 0U);
  EXPECT_TRUE(query.need("name", name, text()));
  EXPECT_EQ(name, "a b c");
  EXPECT_TRUE(query.may("flag", flagged, flag()));
  EXPECT_EQ(flagged, true);
  EXPECT_TRUE(faults.empty());
}

TEST(Model, SaysWhichParameterIsWrong) {
  Faults faults;
  Query const query(faults, "limit=101&offset=-1");
  page_of(query);
  std::string name;
  query.need("name", name, text());
  EXPECT_EQ(
      listed(faults),
      R"({"type":"less_than_equal","loc":["query","limit"],"msg":"Input should be less than or equal to 100","input":"101","ctx":{"le":100}},)"
      R"({"type":"greater_than_equal","loc":["query","offset"],"msg":"Input should be greater than or equal to 0","input":"-1","ctx":{"ge":0}},)"
      R"({"type":"missing","loc":["query","name"],"msg":"Field required","input":null})");
}

TEST(Model, SaysOfAPathThatItsIdIsNone) {
  Faults faults;
  EXPECT_EQ(path_uuid(faults, "automation_id", "12345678123456781234567812345678"), "12345678-1234-5678-1234-567812345678");
  EXPECT_TRUE(faults.empty());
  path_uuid(faults, "automation_id", "x");
  EXPECT_NE(listed(faults).find(R"("type":"uuid_parsing","loc":["path","automation_id"])"), std::string::npos);
}

TEST(JsonBody, SaysWhereItStopsToBeJsonAsPythonDoes) {
  struct Case {
    std::string_view json, why;
    std::size_t at;
  };
  constexpr std::string_view name = "Expecting property name enclosed in double quotes";
  for (auto const& [json, why, at] :
       {Case{"{", name, 1}, Case{R"({"s":1,})", name, 7}, Case{"{a:1}", name, 1}, Case{R"({"s":"a"} x)", "Extra data", 10},
        Case{R"({"s":tru})", "Expecting value", 5}, Case{"nul", "Expecting value", 0}, Case{"   ", "Expecting value", 3},
        Case{R"({"a" 1})", "Expecting ':' delimiter", 5}, Case{R"({"a":1 "b"})", "Expecting ',' delimiter", 7},
        Case{"{\"a\":\"\n\"}", "Invalid control character at", 6}, Case{"[1 2]", "Expecting ',' delimiter", 3},
        Case{R"({"s":"abc)", "Unterminated string starting at", 5}, Case{R"(["€" 1])", "Expecting ',' delimiter", 5}}) {
    JsonBody const body(json_type, json);
    ASSERT_EQ(body.state(), JsonBody::State::malformed) << json;
    EXPECT_EQ(std::get<std::size_t>(body.fault().loc.back()), at) << json;
    EXPECT_NE(body.fault().context_json.find(why), std::string::npos) << json << body.fault().context_json;
  }
}

}  // namespace
}  // namespace nestgate::api
