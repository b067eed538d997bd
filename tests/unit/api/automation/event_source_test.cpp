#include "api/automation/event_source.hpp"

#include <gtest/gtest.h>

#include "api/automation/source_webhooks.hpp"
#include "nestgate/identity/base64.hpp"
#include "nestgate/identity/digest.hpp"
#include "nestgate/identity/webhook_signature.hpp"

namespace nestgate::api {
namespace {

store::Time const now{std::chrono::seconds(1'800'000'000)};
constexpr std::chrono::seconds tolerance{300};

std::string hex_signature(std::string_view secret, std::string_view body) {
  std::string out;
  identity::append_hex(out, identity::as_text(identity::hmac_sha256(secret, {body})));
  return out;
}

proxy::ApiRequest with(std::vector<std::pair<std::string, std::string>> fields) {
  proxy::ApiRequest out;
  out.fields = std::move(fields);
  return out;
}

store::WebhookRow hook(std::string scheme = {}) {
  store::WebhookRow row;
  row.source = "orders";
  row.secret = Secret("the secret of today");
  row.signature_scheme = std::move(scheme);
  return row;
}

bool opens(EventSource const& source, proxy::ApiRequest const& request, std::string_view body) {
  return is_signed_by(source, head_of(source, request), body, now, tolerance);
}

TEST(EventSource, OfItsOwnIsOpenedByItsSecretUnderItsHeader) {
  auto row = hook();
  row.signature_header = "X-Mine";
  auto const source = custom_source(std::move(row), now);
  auto const signature = hex_signature("the secret of today", "body");
  EXPECT_TRUE(opens(source, with({{"x-mine", signature}}), "body"));
  EXPECT_TRUE(opens(source, with({{"x-mine", "sha256=" + signature}}), "body"));
  EXPECT_FALSE(opens(source, with({{"x-mine", "sha256=sha256=" + signature}}), "body"));
  EXPECT_FALSE(opens(source, with({{"x-mine", signature}}), "body "));
  EXPECT_FALSE(opens(source, with({{"x-signature-256", signature}}), "body"));
}

TEST(EventSource, IsOpenedByItsOldSecretForAWhile) {
  auto const signature = hex_signature("the secret of yesterday", "body");
  auto const rotated = [](store::Time until) {
    auto row = hook();
    row.previous_secret = Secret("the secret of yesterday");
    row.previous_until = until;
    return custom_source(std::move(row), now);
  };
  EXPECT_TRUE(opens(rotated(now + std::chrono::seconds(1)), with({{"x-signature-256", signature}}), "body"));
  EXPECT_FALSE(opens(rotated(now), with({{"x-signature-256", signature}}), "body"));
}

TEST(EventSource, ThatIsBuiltInIsOpenedByAnySecretOfTheOperator) {
  std::vector<Secret> secrets;
  secrets.emplace_back("new");
  secrets.emplace_back("old");
  auto const source = builtin_source(event::BuiltinSource::github, secrets);
  EXPECT_EQ(source.reader.source, "github");
  for (auto const* secret : {"new", "old"})
    EXPECT_TRUE(opens(source, with({{"x-hub-signature-256", "sha256=" + hex_signature(secret, "body")}}), "body"));
  EXPECT_FALSE(opens(source, with({{"x-hub-signature-256", "sha256=" + hex_signature("none", "body")}}), "body"));
}

TEST(EventSource, OfStandardWebhooksHasATimeAndAnId) {
  auto row = hook("standard_webhooks");
  std::string const key(32, 'k');
  row.secret = Secret("whsec_" + identity::encode_base64(key));
  row.signature_header = "webhook-signature";
  auto const source = custom_source(std::move(row), now);
  std::vector<Secret> keys;
  keys.emplace_back(key);
  auto const at = [&](std::int64_t seconds) {
    return with({{"webhook-id", "msg_1"},
                 {"webhook-timestamp", std::to_string(seconds)},
                 {"webhook-signature", identity::webhook_signature(keys, "msg_1", seconds, "body")}});
  };
  EXPECT_TRUE(opens(source, at(1'800'000'000), "body"));
  EXPECT_TRUE(opens(source, at(1'800'000'300), "body"));
  EXPECT_FALSE(opens(source, at(1'799'999'699), "body"));
  EXPECT_FALSE(opens(source, at(1'800'000'000), "other"));
  EXPECT_EQ(head_of(source, at(1'800'000'000)).delivery_id, "msg_1");
}

TEST(EventSource, OfSlackHasATime) {
  auto row = hook("slack_v0");
  row.signature_header = "X-Slack-Signature";
  auto const source = custom_source(std::move(row), now);
  auto const request = with({{"x-slack-request-timestamp", "1800000000"},
                             {"x-slack-signature", "v0=" + hex_signature("the secret of today", "v0:1800000000:body")}});
  EXPECT_TRUE(opens(source, request, "body"));
  EXPECT_FALSE(opens(source, request, "other"));
  EXPECT_FALSE(is_signed_by(source, head_of(source, request), "body", now + std::chrono::seconds(301), tolerance));
}

TEST(EventSource, RefusesAStaleTimeWithItsBoundsWhateverTheSignatureIs) {
  auto row = hook("slack_v0");
  row.signature_header = "X-Slack-Signature";
  auto const source = custom_source(std::move(row), now);
  auto const why = [&source](std::string const& signature, std::string const& time) {
    auto const request = with({{"x-slack-request-timestamp", time}, {"x-slack-signature", signature}});
    return why_not_signed(source, head_of(source, request), now, tolerance);
  };
  auto const stale = "Timestamp out of tolerance: it must be within 300 seconds of now";
  EXPECT_EQ(why("v0=" + hex_signature("the secret of today", "v0:1799999699:body"), "1799999699"), stale);
  EXPECT_EQ(why("v0=wrong", "1799999699"), stale);
  EXPECT_EQ(why("v0=wrong", "1800000000"), "Invalid signature");
  EXPECT_EQ(why("", "1799999699"), "Missing signature header: X-Slack-Signature");
  auto const timeless = custom_source(hook(), now);
  EXPECT_EQ(why_not_signed(timeless, head_of(timeless, with({{"x-signature-256", "wrong"}})), now, tolerance),
            "Invalid signature");
}

TEST(EventSource, TellsItsDeliveriesApartByAHeader) {
  std::vector<Secret> secrets;
  auto const github = builtin_source(event::BuiltinSource::github, secrets);
  EXPECT_EQ(head_of(github, with({{"x-github-delivery", "one"}})).delivery_id, "one");
  EXPECT_EQ(head_of(github, with({})).delivery_id, "");
  auto row = hook();
  row.event_id_header = "X-Delivery";
  auto const own = custom_source(std::move(row), now);
  EXPECT_EQ(head_of(own, with({{"x-delivery", "two"}, {"x-github-delivery", "one"}})).delivery_id, "two");
  auto const long_id = head_of(own, with({{"x-delivery", std::string(5000, 'i')}})).delivery_id;
  EXPECT_EQ(long_id.size(), 71U);
  EXPECT_NE(long_id, head_of(own, with({{"x-delivery", std::string(5001, 'i')}})).delivery_id);
  EXPECT_TRUE(head_of(own, with({{"x-delivery", "\xff"}})).delivery_id.starts_with("sha256:")) << "no text of a column";
}

TEST(RequestedTypes, OfGithubAreThoseThatAreTakenIn) {
  auto const json = requested_types_json(event::BuiltinSource::github, {});
  EXPECT_TRUE(json.starts_with(
      R"j({"source":"github","event_types":["pull_request","pull_request_review","issues","issue_comment","push","release"],)j"
      R"j("event_detection_rules":[{"event_type":"pull_request_review",)j"
      R"j("jmespath":"contains(keys(@), 'pull_request') && contains(keys(@), 'review')"},)j"))
      << json;
}

TEST(RequestedTypes, OfOthersAreThoseThatAreWaitedFor) {
  auto const trigger = [](std::vector<std::string> on) {
    automation::EventTrigger out;
    out.source = "jira_dc";
    out.on = std::move(on);
    return automation::to_json(automation::Trigger(out));
  };
  auto const types = [](std::vector<std::string> const& triggers) {
    return requested_types_json(event::BuiltinSource::jira_dc, triggers);
  };
  EXPECT_EQ(types({}), R"({"source":"jira_dc","event_types":[],"event_detection_rules":[]})");
  EXPECT_EQ(types({trigger({"zebra.made", "ant"}), "{", trigger({"zebra.gone"}), trigger({".x"})}),
            R"({"source":"jira_dc","event_types":["ant","zebra"],"event_detection_rules":[]})");
  EXPECT_EQ(types({trigger({"zebra", "*.x"})}), R"({"source":"jira_dc","event_types":["*"],"event_detection_rules":[]})");
}

JsonBody body(std::string_view json) { return JsonBody("application/json", json); }

SourceBody made(std::string_view json) {
  Faults faults;
  auto const given = body(json);
  auto out = read_source(Model(body_value(faults, given)));
  EXPECT_TRUE(faults.empty()) << faults_json(faults);
  return out;
}

std::string refused(std::string_view json) {
  Faults faults;
  auto const given = body(json);
  read_source(Model(body_value(faults, given)));
  return faults_json(faults);
}

TEST(SourceBody, HasDefaultsByItsScheme) {
  auto const row_for = [](std::string_view json) { return row_of(made(json), "id", "org", Secret("s"), now); };
  auto const plain = row_for(R"({"name":"n","source":"MiXed-1"})");
  EXPECT_EQ(plain.source, "mixed-1");
  EXPECT_EQ(plain.event_key_expr, "type");
  EXPECT_EQ(plain.signature_header, "X-Signature-256");
  EXPECT_EQ(plain.signature_scheme, "");
  auto const standard = row_for(R"({"name":"n","source":"a","signature_scheme":"standard_webhooks"})");
  EXPECT_EQ(standard.signature_header, "webhook-signature");
  auto const slack = row_for(R"({"name":"n","source":"a","signature_scheme":"slack_v0","signature_header":"X-Y"})");
  EXPECT_EQ(slack.signature_header, "X-Y");
  EXPECT_EQ(row_for(R"({"name":"n","source":"a","signature_scheme":"hmac_sha256_hex"})").signature_scheme, "");
}

TEST(SourceBody, IsRefusedWithItsReason) {
  for (auto const* source : {"", "-a", "a-", "a_b", "a.b", "ü", "a b"})
    EXPECT_NE(refused(std::string(R"({"name":"n","source":")") + source + "\"}").find(R"("loc":["body","source"])"),
              std::string::npos)
        << source;
  EXPECT_NE(refused(R"({"name":"n","source":"GitHub"})").find("'github' is a reserved source name"), std::string::npos);
  EXPECT_NE(refused(R"({"name":"n","source":"jira_dc"})").find("'jira_dc' is a reserved source name"), std::string::npos);
  EXPECT_NE(refused(R"({"name":"n","source":"a","event_key_expr":"[[["})").find("Invalid JMESPath expression"),
            std::string::npos);
  EXPECT_NE(refused(R"({"name":"n","source":"a","signature_header":"9a"})").find("value_error"), std::string::npos);
  EXPECT_NE(refused(R"({"name":"n","source":"a","signature_scheme":"md5"})").find("literal_error"), std::string::npos);
  EXPECT_NE(refused(R"({"name":"n","source":"a","more":1})").find("extra_forbidden"), std::string::npos);
  auto const secret = refused(R"({"name":"n","source":"a","webhook_secret":"short-1"})");
  EXPECT_NE(secret.find("string_too_short"), std::string::npos);
  EXPECT_EQ(secret.find("short-1"), std::string::npos) << "what was given is not shown";
}

TEST(SourceJson, ShowsASecretOnlyWhereItWasMade) {
  auto const row = row_of(made(R"({"name":"n","source":"a"})"), "id", "org", Secret("kept-secret"), now);
  EXPECT_EQ(
      source_json(row, "https://x/api/automation"),
      R"({"id":"id","org_id":"org","name":"n","source":"a","webhook_url":"https://x/api/automation/v1/events/org/a",)"
      R"("event_key_expr":"type","signature_header":"X-Signature-256","signature_scheme":"hmac_sha256_hex",)"
      R"("event_id_header":null,"enabled":true,"created_at":"2027-01-15T08:00:00Z","updated_at":"2027-01-15T08:00:00Z"})");
  EXPECT_NE(made_source_json(row, "", nullptr).find(R"("webhook_secret":null)"), std::string::npos);
  Secret const shown("kept-secret");
  EXPECT_NE(made_source_json(row, "", &shown).find(R"("webhook_secret":"kept-secret")"), std::string::npos);
}

TEST(SourceChange, AppliesToWhatItNames) {
  auto row = row_of(made(R"({"name":"n","source":"a","event_id_header":"X-Id"})"), "id", "org", Secret("s"), now);
  Faults faults;
  auto const given = body(R"({"event_id_header":null,"enabled":false,"signature_scheme":"standard_webhooks"})");
  apply(read_source_change(Model(body_value(faults, given))), row, now + std::chrono::seconds(1));
  EXPECT_TRUE(faults.empty());
  EXPECT_EQ(row.name, "n");
  EXPECT_EQ(row.event_id_header, "");
  EXPECT_FALSE(row.enabled);
  EXPECT_EQ(row.signature_scheme, "standard_webhooks");
  EXPECT_EQ(row.updated_at, now + std::chrono::seconds(1));
}

}  // namespace
}  // namespace nestgate::api
