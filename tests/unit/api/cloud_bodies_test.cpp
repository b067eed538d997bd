#include <gtest/gtest.h>

#include "api/body_values.hpp"
#include "api/detail_answers.hpp"
#include "api/runtime_body.hpp"
#include "api/user_settings.hpp"
#include "api/webhook_body.hpp"

namespace nestgate::api {
namespace {

using Words = std::vector<std::string>;

template <class T>
std::string why(Checked<T> const& parsed) {
  return parsed ? "" : parsed.error().field + ": " + parsed.error().message;
}

std::string merged(std::string settings, std::string_view patch) {
  auto const out = merge_settings(Secret(std::move(settings)), patch);
  return out ? std::string(out->reveal()) : why(out);
}

TEST(UserSettings, AreMergedAsTheMergePatchSays) {
  EXPECT_EQ(merged("", R"({"llm_model":"m"})"), R"({"llm_model":"m"})");
  EXPECT_EQ(merged(R"({"a":1,"b":2})", R"({"a":3})"), R"({"a":3,"b":2})");
  EXPECT_EQ(merged(R"({"a":1,"b":2})", R"({"a":null})"), R"({"b":2})");
  EXPECT_EQ(merged(R"({"a":{"x":1,"y":2}})", R"({"a":{"x":null,"z":[1]}})"), R"({"a":{"y":2,"z":[1]}})");
  EXPECT_EQ(merged(R"({"a":[1,2]})", R"({"a":[3]})"), R"({"a":[3]})");
  EXPECT_EQ(merged(R"({"a":"text"})", R"({"a":{"b":{"c":null,"d":1}}})"), R"({"a":{"b":{"d":1}}})");
  EXPECT_EQ(merged(R"({"a":{"b":1}})", R"({"a":"text"})"), R"({"a":"text"})");
  EXPECT_EQ(merged("{}", R"({"a":1,"a":2})"), R"({"a":1})") << "of two of a name the first counts";
}

TEST(UserSettings, AreRefusedWhenTheyAreNoObjectOrTooMuch) {
  EXPECT_EQ(merged("{}", "[]"), ": must be an object");
  EXPECT_TRUE(merged("{}", "{").starts_with(": is not JSON"));
  EXPECT_EQ(merged("{}", R"({"id":"bob"})"), "id: is the gateway's");
  auto const nested = [](std::size_t depth) {
    return R"({"a":)" + std::string(depth - 1, '[') + std::string(depth - 1, ']') + "}";
  };
  EXPECT_TRUE(merged("{}", nested(33)).starts_with(": is not JSON"));
  EXPECT_EQ(merged("{}", nested(30)), nested(30));
  std::string const big(1024 * 1024, 'x');
  EXPECT_EQ(merged("{}", R"({"a":")" + big + "\"}"), ": the settings must not exceed 1048576 bytes");
}

std::string shown(std::string settings, Shown how) {
  return user_json("alice", Secret(std::move(settings)), how).value_or("(nothing)");
}

TEST(UserInfo, MasksWhatLooksLikeASecret) {
  EXPECT_EQ(shown("", Shown::no_secrets), R"({"id":"alice"})");
  EXPECT_EQ(shown(R"({"llm_model":"m","llm_api_key":"sk","llm_base_url":"http://llm/v1"})", Shown::no_secrets),
            R"({"id":"alice","llm_model":"m","llm_api_key":"**********","llm_base_url":"http://llm/v1"})");
  EXPECT_EQ(shown(R"({"llm_api_key":null,"search_api_key":""})", Shown::no_secrets),
            R"({"id":"alice","llm_api_key":null,"search_api_key":""})");
  for (std::string const name : {"api_key", "OPENAI_API_KEY", "aws_secret_access_key", "aws_session_token", "password",
                                 "provider_tokens", "Authorization", "credentials"})
    EXPECT_EQ(shown(R"({")" + name + R"(":{"deep":["planted"]}})", Shown::no_secrets).find("planted"), std::string::npos)
        << name;
  for (std::string const plain : {R"({"max_input_tokens":100})", R"({"llm_api_key_set":true})", R"({"a":{"b":[1,"x"]}})"})
    EXPECT_EQ(shown(plain, Shown::no_secrets), R"({"id":"alice",)" + plain.substr(1));
}

TEST(UserInfo, MasksKeysInUrlsArgumentsAndEnvironments) {
  std::string const tools =
      R"({"mcp_config":{"sse_servers":[{"url":"https://tools/sse?key=planted","api_key":"planted"}],)"
      R"("shttp_servers":[{"url":"https://user:planted@tools"}],)"
      R"("stdio_servers":[{"name":"t","command":"npx","args":["--key=planted"],"env":{"X":"planted"}}]}})";
  auto const masked = shown(tools, Shown::no_secrets);
  EXPECT_EQ(masked.find("planted"), masked.npos) << masked;
  EXPECT_NE(masked.find(R"("name":"t","command":"npx")"), masked.npos);
  EXPECT_EQ(shown(tools, Shown::tool_servers), R"({"id":"alice",)" + tools.substr(1));
}

TEST(UserInfo, ShowsKeysOfModelsOnlyWhenAllIsShown) {
  std::string const settings =
      R"({"llm_api_key":"planted","llm_profiles":{"profiles":{"fast":{"model":"m","api_key":"planted"}}}})";
  EXPECT_EQ(shown(settings, Shown::tool_servers).find("planted"), std::string::npos);
  EXPECT_EQ(shown(settings, Shown::all_secrets), R"({"id":"alice",)" + settings.substr(1));
}

TEST(UserInfo, OfNobodyOrOfBrokenSettingsSaysSo) {
  EXPECT_EQ(user_json("", Secret(), Shown::no_secrets), R"({"id":null})");
  EXPECT_EQ(user_json("alice", Secret("[1]"), Shown::all_secrets), std::nullopt);
}

TEST(SecretBody, HasAValueAndADescription) {
  auto const body = parse_secret_body(R"({"value":"v","description":"d"})");
  ASSERT_TRUE(body);
  EXPECT_TRUE(body->value.equals("v"));
  EXPECT_EQ(body->description, "d");
  EXPECT_TRUE(parse_secret_body(R"({"value":"v","description":null})"));
  EXPECT_EQ(why(parse_secret_body("{}")), "value: must be a text that is not empty");
  EXPECT_EQ(why(parse_secret_body(R"({"value":""})")), "value: must be a text that is not empty");
  EXPECT_EQ(why(parse_secret_body(R"({"value":7})")), "value: must be a string");
  EXPECT_EQ(why(parse_secret_body(R"({"value":"v","nmae":"x"})")), "nmae: is none of value, description");
  EXPECT_EQ(why(parse_secret_body(R"({"value":")" + std::string(65537, 'x') + "\"}")), "value: must not exceed 65536 bytes");
  EXPECT_EQ(why(parse_secret_body(R"({"value":"v","description":")" + std::string(1025, 'x') + "\"}")),
            "description: must not exceed 1024 bytes");
}

TEST(CommandLine, IsSplitAsAShellSplitsIt) {
  EXPECT_EQ(split_command("/usr/local/bin/openhands-agent-server --port 60000"),
            (Words{"/usr/local/bin/openhands-agent-server", "--port", "60000"}));
  EXPECT_EQ(split_command("  a \t b\n"), (Words{"a", "b"}));
  EXPECT_EQ(split_command(R"(a 'b c' "d e" f\ g '' "x"'y'z)"), (Words{"a", "b c", "d e", "f g", "", "xyz"}));
  EXPECT_EQ(split_command(R"("a\"b\\c\d" '\n')"), (Words{R"(a"b\c\d)", R"(\n)"}));
  EXPECT_EQ(split_command(""), Words{});
  EXPECT_EQ(split_command("a 'b"), std::nullopt);
  EXPECT_EQ(split_command("a \"b"), std::nullopt);
  EXPECT_EQ(split_command("a \\"), std::nullopt);
}

TEST(RuntimeStart, TakesTheCommandAsTextOrAsWords) {
  auto const text = parse_runtime_start_body(R"({"session_id":"s1","command":"server --port 60000"})");
  auto const words = parse_runtime_start_body(R"({"session_id":"s1","command":["server","--port","60000"]})");
  ASSERT_TRUE(text && words);
  EXPECT_EQ(text->wish.command, (Words{"server", "--port", "60000"}));
  EXPECT_EQ(words->wish.command, text->wish.command);
}

TEST(RuntimeStart, TakesWhatTheKnownClientsSend) {
  auto const body = parse_runtime_start_body(
      R"({"image":"ghcr.io/x:1","command":"srv","working_dir":"/","environment":{"DEBUG":"1"},"session_id":"agent-server-1",
          "run_as_user":10001,"fs_group":10001,"image_pull_policy":"IfNotPresent","runtime_class":"sysbox-runc",
          "resource_factor":4,"run_as_group":null})");
  ASSERT_TRUE(body) << why(body);
  EXPECT_EQ(body->session.text(), "agent-server-1");
  EXPECT_EQ(body->wish.image, "ghcr.io/x:1");
  EXPECT_EQ(body->wish.working_dir, "/");
  EXPECT_EQ(body->wish.resource_factor, 4U);
  ASSERT_EQ(body->wish.environment.size(), 1U);
  EXPECT_TRUE(body->wish.environment[0].second.equals("1"));
}

TEST(RuntimeStart, KeepsTheSessionKeyTheGateways) {
  auto const body = parse_runtime_start_body(
      R"({"session_id":"s","environment":{"SESSION_API_KEY":"x","OH_SESSION_API_KEYS_0":"x","OH_SESSION_API_KEYS":"[]",
          "OH_SECRET_KEY":"x","OH_WEBHOOKS_0_BASE_URL":"http://app"}})");
  ASSERT_TRUE(body) << why(body);
  ASSERT_EQ(body->wish.environment.size(), 1U);
  EXPECT_EQ(body->wish.environment[0].first, "OH_WEBHOOKS_0_BASE_URL");
}

TEST(RuntimeStart, NamesWhatDoesNotFit) {
  auto const why_start = [](std::string_view body) { return why(parse_runtime_start_body(body)); };
  EXPECT_EQ(why_start("{}"), "session_id: Field required");
  EXPECT_EQ(why_start("[]"), ": must be an object");
  EXPECT_EQ(why_start(R"({"session_id":"a/b"})"), "session_id: must be 1 to 128 of A-Za-z0-9._-");
  EXPECT_EQ(why_start(R"({"session_id":"search"})"),
            "session_id: must not be search, count or prepare-for-sandbox-pause: in a path these are routes");
  EXPECT_EQ(why_start(R"({"session_id":")" + std::string(129, 'a') + "\"}"), "session_id: must not exceed 128 bytes");
  EXPECT_EQ(why_start(R"({"session_id":"s","command":"a 'b"})"), "command: must not leave a quote open");
  EXPECT_EQ(why_start(R"({"session_id":"s","command":"a\u0000b"})"), "command: must not have NUL bytes");
  EXPECT_EQ(why_start(R"({"session_id":"s","command":7})"), "command: must be a list");
  EXPECT_EQ(why_start(R"({"session_id":"s","command":")" + std::string(65537, 'a') + "\"}"),
            "command: must not exceed 65536 bytes");
  EXPECT_EQ(why_start(R"({"session_id":"s","resource_factor":3})"), "resource_factor: must be 1, 2, 4 or 8");
  EXPECT_EQ(why_start(R"({"session_id":"s","working_dir":"x"})"), "working_dir: must be an absolute path");
  EXPECT_EQ(why_start(R"({"session_id":"s","environment":{"A=B":"x"}})"),
            "environment: a name must be 1 to 128 of A-Za-z0-9_ and not begin with a digit");
}

TEST(RuntimeIdBody, IsTheRuntimesId) {
  EXPECT_EQ(*parse_runtime_id_body(R"({"runtime_id":"r1"})"), "r1");
  EXPECT_EQ(why(parse_runtime_id_body("{}")), "runtime_id: Field required");
  EXPECT_EQ(why(parse_runtime_id_body(R"({"runtime_id":7})")), "runtime_id: must be a string");
  EXPECT_EQ(why(parse_runtime_id_body(R"({"runtime_id":")" + std::string(129, 'a') + "\"}")),
            "runtime_id: must not exceed 128 bytes");
}

TEST(PushedConversation, TellsItsExecutionStatus) {
  EXPECT_EQ(parse_pushed_conversation(R"({"id":"c","execution_status":"running"})")->execution_status, "running");
  EXPECT_EQ(parse_pushed_conversation(R"({"execution_status":"deleting"})")->execution_status, "deleting");
}

TEST(PushedEvents, TellTheNewestStatusWhateverTheOrderOfMembers) {
  auto const pushed = parse_pushed_events(
      R"([{"key":"execution_status","value":"running","kind":"ConversationStateUpdateEvent"},
          {"kind":"ConversationStateUpdateEvent","key":"stats","value":{}},
          {"key":"full_state","value":{"execution_status":"finished"},"kind":"ConversationStateUpdateEvent"}])");
  ASSERT_TRUE(pushed);
  EXPECT_EQ(pushed->execution_status, "finished");
  EXPECT_FALSE(pushed->is_act);
}

TEST(PushedEvents, AreAnActWhenAnythingElseHappened) {
  auto const pushed = parse_pushed_events(R"([{"source":"agent","kind":"MessageEvent"}])");
  ASSERT_TRUE(pushed);
  EXPECT_TRUE(pushed->is_act);
  EXPECT_EQ(pushed->execution_status, "");
}

TEST(Pushed, PassesOverWhatItDoesNotKnow) {
  for (std::string_view const body :
       {"[]", "[1,null,\"x\",[]]", R"([{"kind":"ConversationStateUpdateEvent"}])",
        R"([{"kind":"ConversationStateUpdateEvent","key":"full_state","value":7}])",
        R"([{"kind":"ConversationStateUpdateEvent","key":"execution_status","value":{}}])",
        R"([{"kind":"ConversationStateUpdateEvent","key":"execution_status","value":"<b>"}])"}) {
    auto const pushed = parse_pushed_events(body);
    ASSERT_TRUE(pushed) << body;
    EXPECT_EQ(pushed->execution_status, "") << body;
    EXPECT_FALSE(pushed->is_act) << body;
  }
  for (std::string const body : {R"({})", R"({"execution_status":7})", R"({"execution_status":"Not A Word"})"})
    EXPECT_EQ(parse_pushed_conversation(body)->execution_status, "") << body;
  std::string const long_word = R"({"execution_status":")" + std::string(65, 'a') + "\"}";
  EXPECT_EQ(parse_pushed_conversation(long_word)->execution_status, "");
}

TEST(Pushed, IsRefusedWhenItIsNoJsonOfItsKind) {
  EXPECT_EQ(why(parse_pushed_conversation("[]")), ": must be an object");
  EXPECT_TRUE(why(parse_pushed_conversation("")).starts_with(": is not JSON"));
  EXPECT_EQ(why(parse_pushed_events("{}")), ": must be a list");
  EXPECT_TRUE(why(parse_pushed_events("[")).starts_with(": is not JSON"));
}

TEST(QueryTexts, AreAllOfANameInTheirOrderAndDecoded) {
  EXPECT_EQ(texts_in("id=a&x=1&id=b%20c&%69d=d+e&id=", "id", 10), (Words{"a", "b c", "d e", ""}));
  EXPECT_EQ(texts_in("", "id", 10), Words{});
  EXPECT_EQ(texts_in("id=1&id=2&id=3&id=4", "id", 2).size(), 3U) << "one more than allowed shows that there are too many";
}

TEST(DetailAnswers, AreInTheFormOfTheServerWhosePlaceTheyTake) {
  EXPECT_EQ(refusal(404, "Not Found").body, R"({"detail":"Not Found"})");
  EXPECT_EQ(no_such_route("").status, 404U);
  auto const wrong = no_such_route("GET, POST");
  EXPECT_EQ(wrong.status, 405U);
  EXPECT_EQ(wrong.headers.at(0), std::make_pair(std::string("Allow"), std::string("GET, POST")));
  EXPECT_EQ(invalid_query("id", "missing", "Field required").body,
            R"({"detail":[{"type":"missing","loc":["query","id"],"msg":"Field required"}]})");
}

TEST(DetailAnswers, TellTheLimitThatWasMet) {
  proxy::ApiRequest request;
  upstream::Failure full{Fault{FaultKind::overloaded}, "alice may have 3 at once", 3, 3};
  auto const refused = refusal(request, full);
  EXPECT_EQ(refused.status, 429U);
  EXPECT_TRUE(refused.body.starts_with(
      R"({"detail":{"error":"CONCURRENCY_LIMIT_REACHED","message":"alice may have 3 at once","limit":3,"current":3})"))
      << refused.body;
  auto const closing = refusal(request, upstream::Failure{Fault{FaultKind::unavailable}, "it closes"});
  EXPECT_EQ(closing.status, 503U);
  EXPECT_EQ(closing.headers.at(0).first, "Retry-After");
}

TEST(DetailAnswers, TurnAwayWhoHasNoKeyForThisApi) {
  EXPECT_EQ(refuse_principal(std::nullopt)->status, 401U);
  EXPECT_EQ(refuse_principal(identity::Principal{"robot", identity::Role::automation, "alice"})->status, 403U);
  EXPECT_FALSE(refuse_principal(identity::Principal{"alice", identity::Role::user, "alice"}));
  EXPECT_FALSE(refuse_principal(identity::Principal{"ops", identity::Role::admin, ""}));
}

}  // namespace
}  // namespace nestgate::api
