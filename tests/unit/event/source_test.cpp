#include "nestgate/event/source.hpp"

#include <algorithm>

#include "unit/event/event_texts.hpp"

namespace nestgate::event {
namespace {

constexpr std::string_view some_repository =
    R"("repository":{"id":7,"name":"n","full_name":"o/n","private":false,"url":"u"},"sender":{"id":1,"login":"l","type":"User","url":"u"})";
constexpr std::string_view some_pull_request =
    R"({"number":5,"title":"t","state":"open","body":"long","draft":false,"base":{"ref":"main","sha":"b","repo":{}},)"
    R"("head":{"ref":"f","sha":"h"},"labels":[{"name":"bug","color":"f00","id":3}],"user":{"id":2,"login":"u"},"html_url":"x"})";

std::string with_repository(std::string_view members) {
  return "{" + std::string(members) + "," + std::string(some_repository) + "}";
}

std::string key_of(Recognition const& recognition) {
  if (auto const* event = std::get_if<Event>(&recognition)) return event->key;
  if (auto const* other = std::get_if<Unrecognised>(&recognition)) return "unrecognised: " + other->why;
  return "unreadable: " + std::get<Unreadable>(recognition).why;
}

std::string github_key(std::string_view json) { return key_of(recognise(BuiltinSource::github, value_of(json))); }

std::string payload_of(Recognition const& recognition) {
  auto const* event = std::get_if<Event>(&recognition);
  return event ? json_of(event->payload) : "";
}

Recognition custom(std::string_view key, std::string_view body) {
  return recognise_custom("mine", *Expression::parse(key), value_of(body));
}

TEST(BuiltinSource, GoesByItsName) {
  for (auto const name : builtin_source_names()) EXPECT_EQ(to_string(*parse_builtin_source(name)), name);
  EXPECT_EQ(builtin_source_names().size(), 4U);
  EXPECT_EQ(parse_builtin_source("GitHub"), std::nullopt);
  EXPECT_EQ(to_string(BuiltinSource::github), "github");
}

TEST(Github, TellsItsEventsApartByTheirMembers) {
  EXPECT_EQ(github_key(with_repository(R"("action":"opened","number":5,"pull_request":)" + std::string(some_pull_request))),
            "pull_request.opened");
  EXPECT_EQ(github_key(with_repository(R"("action":"submitted","review":{"id":1},"pull_request":)" +
                                       std::string(some_pull_request))),
            "pull_request_review.submitted");
  std::string const issue = R"("issue":{"number":1,"title":"t","state":"open","user":{"id":1,"login":"l"}})";
  EXPECT_EQ(github_key(with_repository(R"("action":"labeled",)" + issue)), "issues.labeled");
  EXPECT_EQ(github_key(
                with_repository(R"("action":"created","comment":{"id":1,"body":"b","user":{"id":1,"login":"l"}},)" + issue)),
            "issue_comment.created");
  EXPECT_EQ(github_key(with_repository(R"("ref":"r","before":"b","after":"a","commits":[],"action":"x")")), "push");
  EXPECT_EQ(github_key(with_repository(R"("action":"published","release":{"tag_name":"v1"})")), "release.published");
}

TEST(Github, KnowsEventsThatItDoesNotTakeIn) {
  EXPECT_EQ(github_key(with_repository(R"("action":"completed","workflow_run":{})")),
            "unrecognised: events of the type workflow_run are not taken in");
  EXPECT_EQ(github_key(with_repository(R"("action":"completed","check_run":{})")),
            "unrecognised: events of the type check_run are not taken in");
  EXPECT_EQ(github_key(with_repository(R"("action":"started")")), "unrecognised: no rule fits the payload");
  for (auto const* json : {"[]", "\"x\"", "null", "{}"})
    EXPECT_EQ(github_key(json), "unrecognised: no rule fits the payload");
}

TEST(Github, WantsTheFieldsThatItsEventsHave) {
  EXPECT_EQ(github_key(R"({"action":"a","release":{"tag_name":"v"},"sender":{"id":1,"login":"l"}})"),
            "unrecognised: release: repository is missing or of another kind");
  EXPECT_EQ(github_key(with_repository(R"("action":"a","release":{"tag_name":1})")),
            "unrecognised: release: release.tag_name is missing or of another kind");
  EXPECT_EQ(github_key(with_repository(R"("release":{"tag_name":"v"})")),
            "unrecognised: release: action is missing or of another kind");
  EXPECT_EQ(github_key(with_repository(R"("action":"a","pull_request":)" + std::string(some_pull_request))),
            "unrecognised: pull_request: number is missing or of another kind");
  EXPECT_EQ(github_key(with_repository(R"("ref":"r","before":"b","after":"a","commits":[{"id":"1"}])")),
            "unrecognised: push: commits.message is missing or of another kind");
  EXPECT_EQ(github_key(with_repository(R"("action":")" + std::string(event_key_bytes_max, 'x') +
                                       R"(","release":{"tag_name":"v"})")),
            "unrecognised: the event's key is too long");
}

TEST(Github, StoresTheFieldsThatAreModelledAndNoOthers) {
  auto const pull_request =
      recognise(BuiltinSource::github,
                value_of(with_repository(R"("action":"opened","installation":{"id":1},"number":5,"pull_request":)" +
                                         std::string(some_pull_request))));
  EXPECT_EQ(
      payload_of(pull_request),
      R"({"action":"opened","number":5,"pull_request":{"number":5,"title":"t","state":"open","draft":false,"merged":null,)"
      R"("base":{"ref":"main","sha":"b"},"head":{"ref":"f","sha":"h"},"labels":[{"name":"bug","color":"f00"}],)"
      R"("user":{"id":2,"login":"u","type":null}},"repository":{"id":7,"name":"n","full_name":"o/n","private":false,"default_branch":"main"},)"
      R"("sender":{"id":1,"login":"l","type":"User"},"event_key":"pull_request.opened"})");
  auto const push = recognise(
      BuiltinSource::github,
      value_of(with_repository(
          R"("ref":"r","before":"b","after":"a","compare":"u","commits":[{"id":"1","message":"m","author":{"name":"x","email":"y"},"url":"z"}])")));
  EXPECT_EQ(
      payload_of(push),
      R"({"ref":"r","before":"b","after":"a","commits":[{"id":"1","message":"m","author":{"name":"x","email":"y"}}],)"
      R"("repository":{"id":7,"name":"n","full_name":"o/n","private":false,"default_branch":"main"},"sender":{"id":1,"login":"l","type":"User"},"event_key":"push"})");
}

TEST(Github, StoresAReviewAsItCame) {
  auto const review =
      recognise(BuiltinSource::github,
                value_of(with_repository(R"("action":"submitted","review":{"id":1,"body":"b","x":[1]},"pull_request":)" +
                                         std::string(some_pull_request))));
  EXPECT_EQ(json_of(*std::get<Event>(review).payload.find("review")), R"({"id":1,"body":"b","x":[1]})");
}

TEST(Bitbucket, NamesItsEventsItself) {
  auto const event = recognise(BuiltinSource::bitbucket_data_center, value_of(R"({"eventKey":"pr:opened","a":1})"));
  EXPECT_EQ(key_of(event), "pr:opened");
  EXPECT_EQ(payload_of(event),
            R"({"event_key_value":"pr:opened","payload":{"eventKey":"pr:opened","a":1},"event_key":"pr:opened"})");
  for (auto const* json : {"{}", R"({"eventKey":""})", R"({"eventKey":1})", "[]", "null"})
    EXPECT_EQ(key_of(recognise(BuiltinSource::bitbucket_data_center, value_of(json))),
              "unrecognised: eventKey names no event");
}

TEST(Jira, NamesItsEventsItself) {
  auto const event = recognise(BuiltinSource::jira_dc, value_of(R"({"webhookEvent":"jira:issue_created"})"));
  EXPECT_EQ(key_of(event), "jira:issue_created");
  EXPECT_EQ(
      payload_of(event),
      R"({"webhook_event":"jira:issue_created","payload":{"webhookEvent":"jira:issue_created"},"event_key":"jira:issue_created"})");
}

TEST(AzureDevops, NamesItsEventsItself) {
  auto const event = recognise(BuiltinSource::azure_devops, value_of(R"({"eventType":"git.push"})"));
  EXPECT_EQ(key_of(event), "git.push");
  EXPECT_EQ(payload_of(event), R"({"event_type":"git.push","payload":{"eventType":"git.push"},"event_key":"git.push"})");
}

TEST(CustomSource, FindsItsKeyByAnExpression) {
  EXPECT_EQ(key_of(custom("type", R"({"type":"a.b"})")), "a.b");
  EXPECT_EQ(key_of(custom("join('.', [a, b])", R"({"a":"x","b":"y"})")), "x.y");
  EXPECT_EQ(payload_of(custom("type", R"({"type":"a"})")),
            R"({"payload":{"type":"a"},"source_override":"mine","event_key":"a"})");
}

TEST(CustomSource, WritesNumbersAndBooleansAsPythonDoes) {
  EXPECT_EQ(key_of(custom("type", R"({"type":true})")), "True");
  EXPECT_EQ(key_of(custom("type", R"({"type":1})")), "1");
  EXPECT_EQ(key_of(custom("type", R"({"type":1.0})")), "1.0");
  EXPECT_EQ(key_of(custom("type", R"({"type":1e20})")), "1e+20");
}

TEST(CustomSource, WithoutAScalarKeyHasNoEvent) {
  for (auto const* json : {"{}", R"({"type":null})", R"({"type":[1]})", R"({"type":{}})"})
    EXPECT_EQ(key_of(custom("type", json)), "unrecognised: the key's expression finds no text, number or boolean") << json;
  EXPECT_EQ(key_of(custom("lower(type)", R"({"type":1})")),
            "unrecognised: the key's expression: lower() does not take a value of type number");
  EXPECT_EQ(key_of(custom("type", R"({"type":")" + std::string(event_key_bytes_max + 1, 'x') + "\"}")),
            "unrecognised: the event's key is too long");
  for (auto const* json : {"[]", "1", "null", "\"type\""})
    EXPECT_EQ(key_of(custom("type", json)), "unreadable: the body is no object");
}

TEST(Patterns, MatchByTextOrAsAGlob) {
  std::vector<std::string> const patterns{"push", "pull_request.*", "[odd"};
  EXPECT_TRUE(*any_matches(patterns, "push"));
  EXPECT_TRUE(*any_matches(patterns, "pull_request.opened.again"));
  EXPECT_TRUE(*any_matches(patterns, "[odd"));
  EXPECT_FALSE(*any_matches(patterns, "Push"));
  EXPECT_FALSE(*any_matches({}, "push"));
}

TEST(Patterns, CostNoMoreThanTheirBudget) {
  std::string const key(event_key_bytes_max, 'b');
  std::vector<std::string> const one_too_long{"*[" + std::string(1'000'000, 'a') + "]"};
  EXPECT_EQ(any_matches(one_too_long, key).error().kind, EvaluationFault::Kind::over_budget);
  std::vector<std::string> const many(1'000, "*[" + std::string(1'000, 'a') + "]");
  EXPECT_EQ(any_matches(many, key).error().kind, EvaluationFault::Kind::over_budget);
  EXPECT_TRUE(*any_matches({&key, 1}, key)) << "the key itself costs nothing";
  std::vector<std::string> const plain(1'000, "pull_request.*.of.a.long.name.that.fits");
  EXPECT_FALSE(*any_matches(plain, "pull_request_review_comment.created"));
  EXPECT_FALSE(is_delivered(BuiltinSource::github, std::string(event_key_bytes_max + 1, '*'))) << "longer than any type";
}

TEST(DetectionRules, AreTheExpressionsThatASenderMayUse) {
  auto const rules = detection_rules(BuiltinSource::github);
  ASSERT_EQ(rules.size(), 8U);
  EXPECT_EQ(rules[0].event_type, "pull_request_review");
  EXPECT_EQ(rules[0].jmespath(), "contains(keys(@), 'pull_request') && contains(keys(@), 'review')");
  EXPECT_EQ(rules[7].jmespath(), "contains(keys(@), 'check_run')");
  for (auto const& rule : rules) {
    std::string json = "{";
    for (auto const member : rule.members) json.append(json.size() > 1 ? ",\"" : "\"").append(member).append("\":1");
    EXPECT_TRUE(matches(rule.jmespath(), json + "}")) << rule.event_type;
    EXPECT_FALSE(matches(rule.jmespath(), "{}")) << rule.event_type;
  }
  EXPECT_TRUE(detection_rules(BuiltinSource::jira_dc).empty());
}

TEST(EventTypes, OfGithubAreSix) {
  std::vector<std::string_view> const types{"pull_request", "pull_request_review", "issues", "issue_comment", "push",
                                            "release"};
  EXPECT_TRUE(std::ranges::equal(event_types(BuiltinSource::github), types));
  std::vector<std::string_view> const patterns{"issue_comment.*",       "issues.*", "pull_request.*",
                                               "pull_request_review.*", "push",     "release.*"};
  EXPECT_TRUE(std::ranges::equal(event_key_patterns(BuiltinSource::github), patterns));
  EXPECT_TRUE(event_types(BuiltinSource::bitbucket_data_center).empty());
  EXPECT_TRUE(event_key_patterns(BuiltinSource::azure_devops).empty());
}

TEST(EventTypes, SayWhetherAPatternCanMatch) {
  for (auto const* pattern : {"push", "push.x", "pull_request.*", "pull_*.opened", "*", "*.opened", "[pr]*", "issues"})
    EXPECT_TRUE(is_delivered(BuiltinSource::github, pattern)) << pattern;
  for (auto const* pattern : {"pushed", "workflow_run.completed", "Push", "", ".opened", "issue.*"})
    EXPECT_FALSE(is_delivered(BuiltinSource::github, pattern)) << pattern;
  EXPECT_TRUE(is_delivered(BuiltinSource::jira_dc, "anything"));
  EXPECT_EQ(type_of_pattern("a.b.c"), "a");
  EXPECT_EQ(type_of_pattern("a"), "a");
}

}  // namespace
}  // namespace nestgate::event
