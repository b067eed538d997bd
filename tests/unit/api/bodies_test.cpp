#include <gtest/gtest.h>

#include "api/automation/run_body.hpp"
#include "api/body_values.hpp"
#include "api/multipart.hpp"
#include "api/shapes.hpp"
#include "api/start_body.hpp"

namespace nestgate::api {
namespace {

std::string why_start(std::string_view body) {
  auto const parsed = parse_start_body(body);
  return parsed ? "" : parsed.error().field + ": " + parsed.error().message;
}

TEST(StartBody, IsAnObjectOfKnownKeysOrNothing) {
  EXPECT_TRUE(parse_start_body(""));
  EXPECT_TRUE(parse_start_body(" \r\n"));
  EXPECT_TRUE(parse_start_body("{}"));
  EXPECT_TRUE(parse_start_body(R"({"conversation_id":null,"settings":null,"image":null,"command":null})"));
  EXPECT_EQ(why_start("[]"), ": must be an object");
  EXPECT_TRUE(why_start("{").starts_with(": is not JSON"));
  EXPECT_TRUE(why_start(R"({"conversation_di":"x"})").starts_with("conversation_di: is no member of this body"));
}

TEST(StartBody, OfTooManyValuesIsNotParsed) {
  std::string many = R"({"settings":{"a":[1)";
  for (std::size_t i = 0; i < values_max; ++i) many += ",1";
  EXPECT_EQ(why_start(many), ": must not have more than 1048576 values") << "nor is it found out that it is cut";
  std::string const commas(2 * values_max, ',');
  EXPECT_TRUE(parse_start_body(R"({"replay_json":"\"\\)" + commas + R"(\\"})")) << "those in texts are none";
  EXPECT_EQ(why_start(R"({"replay_json":"\"\\)" + commas).find("more than"), std::string::npos);
}

TEST(StartBody, KeepsSettingsAsTheyAreWritten) {
  auto const body = parse_start_body(R"({"settings": {"llm_model": "m", "n": [1, 2.5, null], "deep": {"a": "ü\n"}}})");
  ASSERT_TRUE(body);
  EXPECT_TRUE(body->configuration.settings_json.equals(R"({"llm_model":"m","n":[1,2.5,null],"deep":{"a":"ü\n"}})"));
}

TEST(StartBody, TakesTokensAndSecretsInEitherForm) {
  auto const body = parse_start_body(
      R"({"conversation_id":"c1","provider_tokens":{"github":"t1","gitlab":{"token":"t2","user_id":"u","host":null},"bitbucket":{"token":null}},
          "custom_secrets":{"A":"v1","B":{"secret":"v2","description":"d"},"C":{"value":"v3"}}})");
  ASSERT_TRUE(body);
  EXPECT_EQ(body->id->text(), "c1");
  auto const& tokens = body->configuration.git_tokens;
  ASSERT_EQ(tokens.size(), 2U) << "entries without a token are left out";
  EXPECT_TRUE(tokens[0].token.equals("t1"));
  EXPECT_EQ(tokens[1].user_id, "u");
  auto const& secrets = body->configuration.secrets;
  ASSERT_EQ(secrets.size(), 3U);
  EXPECT_TRUE(secrets[1].value.equals("v2"));
  EXPECT_EQ(secrets[1].description, "d");
  EXPECT_TRUE(secrets[2].value.equals("v3"));
}

TEST(StartBody, NamesTheFieldAndTheLimitOfWhatDoesNotFit) {
  EXPECT_EQ(why_start(R"({"conversation_id":7})"), "conversation_id: must be a string");
  EXPECT_EQ(why_start(R"({"conversation_id":"a/b"})"), "conversation_id: must be 1 to 128 of A-Za-z0-9._-");
  EXPECT_EQ(why_start(R"({"conversation_id":".."})"), "conversation_id: must not be . or ..: a path cannot name them");
  for (std::string const word : {"search", "count", "prepare-for-sandbox-pause"})
    EXPECT_EQ(why_start(R"({"conversation_id":")" + word + "\"}"),
              "conversation_id: must not be search, count or prepare-for-sandbox-pause: in a path these are routes");
  EXPECT_EQ(why_start(R"({"settings":[]})"), "settings: must be an object");
  EXPECT_EQ(why_start(R"({"secrets":{"A":7}})"), "secrets.A: must be an object");
  EXPECT_EQ(why_start(R"({"secrets":{"A":{"vale":"x"}}})"), "secrets.A.vale: is none of value, secret, description");
  EXPECT_EQ(why_start(R"({"secrets":{"A":""}})"), "secrets.A: must have a value that is not empty");
  EXPECT_EQ(why_start(R"({"secrets":{"A B":"x"}})"),
            "secrets: a name must be 1 to 128 bytes without spaces, slashes and control bytes, and not . or ..");
  EXPECT_EQ(why_start(R"({"git_provider_tokens":{"github":{"tokn":"x"}}})"),
            "git_provider_tokens.github.tokn: is none of token, user_id, host");
  EXPECT_EQ(why_start(R"({"secrets":{"A":")" + std::string(65537, 'x') + "\"}}"), "secrets.A: must not exceed 65536 bytes");
  EXPECT_EQ(why_start(R"({"settings":{"a":")" + std::string(1024 * 1024, 'x') + "\"}}"),
            "settings: must not exceed 1048576 bytes");
}

TEST(StartBody, TellsTheNestedServerWhatItsOwnRouteHas) {
  auto const some = parse_start_body(
      R"({"mcp_config":{"stdio_servers":[{"name":"x"}]},"initial_user_msg":"hello\n","image_urls":["https://a/b.png"],"repository":null})");
  ASSERT_TRUE(some) << some.error().message;
  EXPECT_TRUE(some->configuration.conversation_json.equals(
      R"({"image_urls":["https://a/b.png"],"initial_user_msg":"hello\n","mcp_config":{"stdio_servers":[{"name":"x"}]}})"));
  auto const others = parse_start_body(
      R"({"replay_json":"[]","repository":"a/b","selected_branch":"main","git_provider":"github",
          "conversation_instructions":"be kind","suggested_task":{"a":1},"create_microagent":{"repo":"a/b"}})");
  ASSERT_TRUE(others) << others.error().message;
  EXPECT_TRUE(others->configuration.conversation_json.equals(
      R"({"conversation_instructions":"be kind","create_microagent":{"repo":"a/b"},"git_provider":"github","replay_json":"[]",)"
      R"("repository":"a/b","selected_branch":"main","suggested_task":{"a":1}})"));
  EXPECT_TRUE(parse_start_body("{}")->configuration.conversation_json.empty());
}

TEST(StartBody, KeepsWhatTheConversationIsAbout) {
  auto const body = parse_start_body(
      R"({"title":"T","repository":"a/b","selected_branch":"main","git_provider":"github","initial_user_msg":"repository"})");
  ASSERT_TRUE(body);
  EXPECT_EQ(body->about, (conversation::About{"T", "a/b", "main", "github", ""}));
  EXPECT_EQ(body->configuration.conversation_json.reveal().find("title"), std::string_view::npos)
      << "an older server would refuse it";
  EXPECT_EQ(why_start(R"({"title":")" + std::string(801, 'x') + "\"}"), "title: must not exceed 800 bytes");
  EXPECT_EQ(why_start(R"({"title":"a\u0000b"})"), "title: must not have control characters");
}

TEST(StartBody, TakesNoTokenOfACloneUrlIntoWhatListsShow) {
  for (auto const& [said, shown] : {std::pair("https://oauth2:TOKEN@git.example/a/b.git", "https://git.example/a/b.git"),
                                    std::pair("https://git.example/a@b", "https://git.example/a@b"),
                                    std::pair("git@git.example:a/b", "git@git.example:a/b"), std::pair("a/b@c", "a/b@c")}) {
    auto const body = parse_start_body(R"({"repository":")" + std::string(said) + "\"}");
    ASSERT_TRUE(body) << said;
    EXPECT_EQ(body->about.repository, shown);
    EXPECT_NE(body->configuration.conversation_json.reveal().find(said), std::string_view::npos) << "its server needs it";
  }
}

TEST(StartBody, NamesWhatOfTheConversationDoesNotFit) {
  EXPECT_EQ(why_start(R"({"initial_user_msg":7})"), "initial_user_msg: must be a string");
  EXPECT_EQ(why_start(R"({"initial_user_msg":")" + std::string(1024 * 1024 + 1, 'x') + "\"}"),
            "initial_user_msg: must not exceed 1048576 bytes");
  EXPECT_EQ(why_start(R"({"image_urls":"x"})"), "image_urls: must be a list");
  EXPECT_EQ(why_start(R"({"image_urls":[7]})"), "image_urls: must be a string");
  EXPECT_EQ(why_start(R"({"image_urls":[""]})"), "image_urls: must be URLs");
  std::string many = R"({"image_urls":["x")";
  for (int i = 0; i < 32; ++i) many += R"(,"x")";
  EXPECT_EQ(why_start(many + "]}"), "image_urls: must not have more than 32 entries");
  EXPECT_EQ(why_start(R"({"repository":"a\u0000b"})"), "repository: must not have control characters");
  EXPECT_EQ(why_start(R"({"selected_branch":")" + std::string(513, 'x') + "\"}"),
            "selected_branch: must not exceed 512 bytes");
  EXPECT_EQ(why_start(R"({"mcp_config":[]})"), "mcp_config: must be an object");
  EXPECT_EQ(why_start(R"({"suggested_task":"x"})"), "suggested_task: must be an object");
}

TEST(StartBody, SaysWhatTheRuntimeShallBe) {
  auto const body = parse_start_body(
      R"({"image":"ghcr.io/a/b:1","command":["server","--port","{port}"],"working_dir":"/workspace","environment":{"A_1":"b"},
          "resource_factor":4,"again":"replace"})");
  ASSERT_TRUE(body) << body.error().message;
  EXPECT_EQ(body->wish.image, "ghcr.io/a/b:1");
  EXPECT_EQ(body->wish.command, (std::vector<std::string>{"server", "--port", "{port}"}));
  EXPECT_EQ(body->wish.working_dir, "/workspace");
  ASSERT_EQ(body->wish.environment.size(), 1U);
  EXPECT_TRUE(body->wish.environment[0].second.equals("b"));
  EXPECT_EQ(body->wish.resource_factor, 4U);
  EXPECT_EQ(body->again, conversation::StartRequest::Again::replace);
  EXPECT_EQ(parse_start_body("{}")->again, conversation::StartRequest::Again::join);
}

TEST(StartBody, NamesWhatOfTheRuntimeDoesNotFit) {
  EXPECT_EQ(why_start(R"({"image":"a\nb"})"), "image: must not have control characters");
  EXPECT_EQ(why_start(R"({"command":[]})"), "command: must begin with a program");
  EXPECT_EQ(why_start(R"({"command":["a\u0000"]})"), "command: must not have NUL bytes");
  EXPECT_EQ(why_start(R"({"working_dir":"a"})"), "working_dir: must be an absolute path");
  EXPECT_EQ(why_start(R"({"environment":{"A":"\u0000"}})"), "environment.A: must not have NUL bytes");
  EXPECT_EQ(why_start(R"({"environment":{"1A":"x"}})"),
            "environment: a name must be 1 to 128 of A-Za-z0-9_ and not begin with a digit");
  for (auto const* factor : {"0", "3", "16", "\"1\"", "1.5"})
    EXPECT_EQ(why_start(std::string(R"({"resource_factor":)") + factor + "}"), "resource_factor: must be 1, 2, 4 or 8");
  EXPECT_EQ(why_start(R"({"again":"Join"})"), "again: must be join or replace");
  EXPECT_EQ(why_start(R"({"again":1})"), "again: must be join or replace");
}

TEST(ChangeBody, HasSomethingOfTheConfigurationAndNothingElse) {
  auto const why = [](std::string_view body) {
    auto const parsed = parse_change_body(body);
    return parsed ? "" : parsed.error().field + ": " + parsed.error().message;
  };
  auto const change = parse_change_body(R"({"settings":{"llm_model":"m"},"secrets":{"A":"v"},"provider_tokens":null})");
  ASSERT_TRUE(change) << change.error().message;
  EXPECT_TRUE(change->settings_json.equals(R"({"llm_model":"m"})"));
  EXPECT_EQ(change->secrets.size(), 1U);
  EXPECT_EQ(why("{}"), ": must have settings, tokens or secrets");
  EXPECT_EQ(why(R"({"provider_tokens":{}})"), ": must have settings, tokens or secrets");
  EXPECT_TRUE(why("").starts_with(": is not JSON"));
  EXPECT_TRUE(why(R"({"initial_user_msg":"x"})").starts_with("initial_user_msg: is none of settings"));
}

TEST(MultipartBoundary, IsTakenFromItsParameterOnly) {
  EXPECT_EQ(multipart_boundary("multipart/form-data; boundary=abc"), "abc");
  EXPECT_EQ(multipart_boundary("Multipart/Form-Data; charset=utf-8; Boundary=\"a b;c\""), "a b;c");
  EXPECT_EQ(multipart_boundary("multipart/form-data; xboundary=abc"), std::nullopt);
  EXPECT_EQ(multipart_boundary("multipart/form-data; boundary="), std::nullopt);
  EXPECT_EQ(multipart_boundary("multipart/mixed; boundary=abc"), std::nullopt);
  EXPECT_EQ(multipart_boundary("multipart/form-data; boundary=" + std::string(71, 'x')), std::nullopt);
  EXPECT_EQ(multipart_boundary("multipart/form-data; boundary=\"abc"), std::nullopt);
}

std::string part(std::string const& name, std::string const& body) {
  return "--B\r\nContent-Type: text/plain\r\ncontent-disposition: form-data; filename=\"name=x\"; name=\"" + name +
         "\"\r\n\r\n" + body + "\r\n";
}

TEST(Multipart, GivesTheNamedPartsByteForByte) {
  std::string const tricky("\r\n--C\r\n\0--B", 12);
  auto const body = "preamble\r\n" + part("one", tricky) + part("two", "") + "--B--\r\nepilogue";
  auto const parts = parse_multipart(body, "B", 9);
  ASSERT_TRUE(parts);
  ASSERT_EQ(parts->size(), 2U);
  EXPECT_EQ((*parts)[0].name, "one");
  EXPECT_EQ((*parts)[0].body, tricky);
  EXPECT_EQ((*parts)[1].body, "");
}

TEST(Multipart, RefusesWhatIsCutShortOrNotAForm) {
  auto const whole = part("one", "body") + "--B--";
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_FALSE(parse_multipart(whole.substr(0, size), "B", 9)) << size;
  EXPECT_TRUE(parse_multipart(whole, "B", 9));
  EXPECT_FALSE(parse_multipart(part("one", "") + part("two", "") + "--B--", "B", 1)) << "more parts than allowed";
  EXPECT_FALSE(parse_multipart("--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--", "B", 9));
  EXPECT_FALSE(parse_multipart("--B\r\nContent-Disposition: attachment; name=\"a\"\r\n\r\nx\r\n--B--", "B", 9));
  EXPECT_FALSE(parse_multipart("--Bx\r\n\r\n--B--", "B", 9));
}

std::string why_run(std::string_view type, std::string_view body) {
  auto const parsed = parse_run_body(type, body);
  return parsed ? "" : parsed.error().type + " " + parsed.error().field + ": " + parsed.error().message;
}

TEST(RunBody, IsAFormOrJson) {
  auto const form =
      parse_run_body("multipart/form-data; boundary=B", part("tarball", "\x1f\x8b") + part("entrypoint", "python a.py") +
                                                            part("conversation_id", "c1") +
                                                            part("callback_url", "http://x/") + part("env", R"({"A":"b"})") +
                                                            part("timeout", "60") + part("setup_script", "setup") + "--B--");
  ASSERT_TRUE(form) << form.error().message;
  EXPECT_EQ(form->tarball, "\x1f\x8b");
  EXPECT_EQ(form->conversation->text(), "c1");
  EXPECT_EQ(form->time_max_s, 60);
  EXPECT_EQ(form->setup_script, "setup");
  ASSERT_EQ(form->environment.size(), 1U);
  EXPECT_TRUE(form->environment[0].second.equals("b"));

  auto const json = parse_run_body(
      "application/json; charset=utf-8",
      R"({"tarball_base64":"H4s=","entrypoint":"x","conversation_id":"c1","callback_url":null,"timeout":5,"env":{"A":"b"}})");
  ASSERT_TRUE(json) << json.error().message;
  EXPECT_EQ(json->tarball, "\x1f\x8b");
  EXPECT_EQ(json->time_max_s, 5);
}

TEST(RunBody, NamesWhatDoesNotFit) {
  constexpr auto form = "multipart/form-data; boundary=B";
  EXPECT_EQ(why_run("text/plain", "x"),
            "value_error : Content-Type must be multipart/form-data with a boundary, or application/json");
  EXPECT_EQ(why_run(form, part("tarbal", "x") + "--B--"), "extra_forbidden tarbal: Extra inputs are not permitted");
  EXPECT_EQ(why_run(form, part("timeout", "6s") + "--B--"), "int_parsing timeout: Input should be a valid integer");
  EXPECT_EQ(why_run(form, part("timeout", "1") + part("timeout", "2") + "--B--"), "value_error timeout: is given twice");
  EXPECT_EQ(why_run(form, part("env", "[]") + "--B--"), "dict_type env: Input should be an object");
  EXPECT_EQ(why_run(form, part("env", R"({"A":1})") + "--B--"), "string_type env.A: Input should be a valid string");
  EXPECT_TRUE(why_run("application/json", "{").starts_with("json_invalid : is not JSON"));
  EXPECT_EQ(why_run("application/json", R"({"tarball_base64":"%%%%"})"),
            "value_error tarball_base64: must be padded base64");
  EXPECT_EQ(why_run("application/json", R"({"timeout":"60"})"), "int_type timeout: Input should be a valid integer");
}

TEST(FormatTime, ShowsMicrosecondsOnlyWhereThereAreSome) {
  using namespace std::chrono;
  system_clock::time_point const at{seconds(1'767'323'045)};
  EXPECT_EQ(format_time(at), "2026-01-02T03:04:05Z");
  EXPECT_EQ(format_time(at + microseconds(6)), "2026-01-02T03:04:05.000006Z");
}

TEST(ConversationUrl, IsHostOnlyWhereTheIdIsAHostLabel) {
  auto const url = [](std::string_view id, std::string_view origin, std::string_view domain) {
    return conversation_url(ConversationId::parse(id).value(), origin, domain);
  };
  EXPECT_EQ(url("c1", "http://h:8080", ""), "http://h:8080/runtime/c1");
  EXPECT_EQ(url("c1", "http://h:8080", "boxes.example.org"), "http://c1.boxes.example.org:8080");
  EXPECT_EQ(url("c1", "https://h", "boxes.example.org"), "https://c1.boxes.example.org");
  EXPECT_EQ(url("c1", "http://[::1]:80", "d.org"), "http://c1.d.org:80");
  EXPECT_EQ(url("9EBA03E6-8CC2-4C3D-AA8A-225F0E79E062", "http://h", "d.org"),
            "http://9eba03e68cc24c3daa8a225f0e79e062.d.org");
  for (auto const* id : {"C1", "a.b", "a_b", "-a", "8001-c1"})
    EXPECT_EQ(url(id, "http://h", "d.org"), std::string("http://h/runtime/") + id) << id;
}

TEST(InvalidJson, PutsTheFieldIntoItsLocation) {
  EXPECT_EQ(invalid_json(Invalid("string_type", "env.A", "x")),
            R"({"detail":[{"type":"string_type","loc":["body","env","A"],"msg":"x"}]})");
  EXPECT_EQ(invalid_json(Invalid("json_invalid", "", "x")),
            R"({"detail":[{"type":"json_invalid","loc":["body"],"msg":"x"}]})");
}

}  // namespace
}  // namespace nestgate::api
