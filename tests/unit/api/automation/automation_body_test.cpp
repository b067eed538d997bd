#include "api/automation/automation_body.hpp"

#include <gtest/gtest.h>

#include "api/automation/automation_shapes.hpp"
#include "nestgate/automation/completion.hpp"

namespace nestgate::api {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view json_type = "application/json";

class Bodies : public testing::Test {
 protected:
  BodyRules rules() {
    auto const day = std::chrono::sys_days(std::chrono::year(2026) / 11 / 22);
    return {zones_, 1800s, automation::PrivateCallbacks::refuse, day};
  }
  // The faults as "type loc: msg" lines.
  static std::string told(Faults const& faults) {
    std::string out;
    for (auto const& fault : faults.all()) {
      out += fault.type + " ";
      for (auto const& step : fault.loc) {
        auto const* const name = std::get_if<std::string>(&step);
        out += (name != nullptr ? *name : std::to_string(std::get<std::size_t>(step))) + ".";
      }
      out += ": " + fault.message + "\n";
    }
    return out;
  }
  std::string why_not_created(std::string body) {
    Faults faults;
    JsonBody const json(json_type, body);
    auto const with = rules();
    read_create(Model(body_value(faults, json)), with);
    return told(faults);
  }
  static std::string body(std::string_view more) {
    return R"({"name":"n","trigger":{"type":"cron","schedule":"0 9 * * *"},"tarball_path":"https://x/y","entrypoint":"sh main.sh")" +
           std::string(more) + "}";
  }
  static std::string with_trigger(std::string_view trigger) {
    return R"({"name":"n","tarball_path":"https://x/y","entrypoint":"sh main.sh","trigger":)" + std::string(trigger) + "}";
  }
  CreateBody created(std::string text) {
    Faults faults;
    JsonBody const json(json_type, text);
    auto const with = rules();
    auto out = read_create(Model(body_value(faults, json)), with);
    EXPECT_TRUE(faults.empty()) << told(faults);
    return out;
  }
  ChangeBody changed(std::string text) {
    Faults faults;
    JsonBody const json(json_type, text);
    auto const with = rules();
    auto out = read_change(Model(body_value(faults, json)), with);
    EXPECT_TRUE(faults.empty()) << told(faults);
    return out;
  }

  schedule::Zones zones_;
};

TEST_F(Bodies, ACreationSaysAllThatItLacks) {
  EXPECT_EQ(why_not_created("{}"),
            "missing body.name.: Field required\nmissing body.trigger.: Field required\n"
            "missing body.tarball_path.: Field required\nmissing body.entrypoint.: Field required\n");
  EXPECT_EQ(why_not_created(body(R"(,"prompt":"x","repos":[])")),
            "extra_forbidden body.prompt.: Extra inputs are not permitted\n"
            "extra_forbidden body.repos.: Extra inputs are not permitted\n");
}

TEST_F(Bodies, ATriggerOfNoKnownTypeIsRefused) {
  for (auto const trigger : {"{}", R"({"type":"other"})", R"({"type":7})", R"({"type":null})"}) {
    EXPECT_TRUE(why_not_created(with_trigger(trigger)).starts_with("union_tag_invalid body.trigger.: ")) << trigger;
  }
  EXPECT_TRUE(why_not_created(with_trigger("\"cron\"")).starts_with("model_attributes_type body.trigger.: "));
  EXPECT_TRUE(why_not_created(with_trigger("null")).starts_with("model_attributes_type body.trigger.: "));
}

TEST_F(Bodies, ACronTriggersFaultsAreBelowItsTag) {
  EXPECT_EQ(why_not_created(with_trigger(R"({"type":"cron","timezone":3,"on":"x"})")),
            "missing body.trigger.cron.schedule.: Field required\n"
            "string_type body.trigger.cron.timezone.: Input should be a valid string\n"
            "extra_forbidden body.trigger.cron.on.: Extra inputs are not permitted\n");
  EXPECT_EQ(why_not_created(with_trigger(R"({"type":"cron","schedule":"60 * * * *"})")),
            "value_error body.trigger.cron.schedule.: Value error, Invalid cron expression: 60 * * * *\n");
  for (std::string const never : {"0 0 31 2 *", "0 0 1 1 * 0 2026"}) {
    EXPECT_EQ(
        why_not_created(with_trigger(R"({"type":"cron","schedule":")" + never + "\"}")),
        "value_error body.trigger.cron.schedule.: Value error, Cron expression cannot produce any future fire times: " +
            never + "\n");
  }
  // The clocks of New York leave it out, and it has no other year.
  std::string const left_out = R"({"type":"cron","timezone":"America/New_York","schedule":"30 2 14 3 * 0 2027")";
  EXPECT_EQ(why_not_created(with_trigger(left_out + "}")), "");
  EXPECT_EQ(why_not_created(with_trigger(left_out + R"(,"dst_gap":"skip"})")),
            "value_error body.trigger.cron.schedule.: Value error, Cron expression cannot produce any future fire times: "
            "30 2 14 3 * 0 2027\n");
  EXPECT_EQ(why_not_created(with_trigger(R"({"type":"cron","schedule":"@daily","timezone":"Mars/Olympus"})")),
            "value_error body.trigger.cron.timezone.: Value error, Invalid timezone: Mars/Olympus\n");
}

TEST_F(Bodies, AnEventTriggersFaultsAreBelowItsTag) {
  EXPECT_EQ(why_not_created(with_trigger(R"({"type":"event"})")),
            "missing body.trigger.event.source.: Field required\nmissing body.trigger.event.on.: Field required\n");
  EXPECT_EQ(why_not_created(with_trigger(R"({"type":"event","source":"s","on":5})")),
            "string_type body.trigger.event.on.str.: Input should be a valid string\n"
            "list_type body.trigger.event.on.list[str].: Input should be a valid list\n");
  EXPECT_TRUE(why_not_created(with_trigger(R"({"type":"event","source":"s","on":"x","filter":"[[["})"))
                  .starts_with("value_error body.trigger.event.filter.: Value error, Invalid filter expression: "));
}

TEST_F(Bodies, ATriggerIsKeptWithItsDefaultsAndOurMembersOnlyWhereTheySaySomething) {
  auto const json = [this](std::string_view trigger) { return automation::to_json(created(with_trigger(trigger)).trigger); };
  EXPECT_EQ(json(R"({"type":"cron","schedule":"@daily"})"), R"({"type":"cron","schedule":"@daily","timezone":"UTC"})");
  EXPECT_EQ(
      json(
          R"({"type":"cron","schedule":"@daily","dst_gap":"skip","misfire":"once","overlap":"queue_one","jitter_seconds":30})"),
      R"({"type":"cron","schedule":"@daily","timezone":"UTC","dst_gap":"skip","overlap":"queue_one","jitter_seconds":30})");
  EXPECT_EQ(
      json(R"({"type":"event","source":"s","on":["a","b"]})"),
      R"({"type":"event","source":"s","on":["a","b"],"filter":null,"destination":"dispatch_run","subject_key_expr":null,"turn_text_expr":null,"wake_agent":true})");
  EXPECT_TRUE(json(R"({"type":"event","source":"s","on":"a"})").starts_with(R"({"type":"event","source":"s","on":"a",)"));
}

TEST_F(Bodies, AModelATimeOutAndACommandAreHeldToTheirRules) {
  EXPECT_TRUE(why_not_created(body(R"(,"model":"-x")")).starts_with("string_pattern_mismatch body.model."));
  EXPECT_EQ(why_not_created(body(R"(,"timeout":0)")),
            "value_error body.timeout.: Value error, timeout must be a positive number\n");
  EXPECT_EQ(why_not_created(body(R"(,"timeout":1801)")),
            "value_error body.timeout.: Value error, timeout must not exceed 1800 seconds (30 minutes)\n");
  EXPECT_EQ(created(body(R"(,"timeout":"1800")")).timeout, 1800);
  EXPECT_EQ(
      why_not_created(body(R"(,"setup_script_path":"/x")")),
      "value_error body.setup_script_path.: Value error, setup_script_path must be a relative path, not an absolute path\n");
}

TEST_F(Bodies, ATarballPathHasAKnownScheme) {
  std::string const start = R"({"name":"n","trigger":{"type":"cron","schedule":"@daily"},"entrypoint":"e","tarball_path":")";
  EXPECT_EQ(
      why_not_created(start + "ftp://x\"}"),
      "value_error body.tarball_path.: Value error, tarball_path must start with s3://, gs://, http://, or https://\n");
  for (auto const path : {"https://x", "http://x", "s3://x", "gs://x", "oh-internal://x", "OH-INTERNAL://x"}) {
    EXPECT_EQ(why_not_created(start + path + "\"}"), "") << path;
  }
}

TEST_F(Bodies, ATemplatesConfigIsMeasuredAsPythonWouldWriteIt) {
  auto const with_config = [](std::string_view config) {
    return body(R"(,"template":{"id":"t","version":"1","config":)" + std::string(config) + "}");
  };
  auto const of_size = [](std::size_t characters) { return R"({"t":")" + std::string(characters - 9, 'x') + "\"}"; };
  EXPECT_EQ(why_not_created(with_config(of_size(16'384))), "");
  EXPECT_TRUE(why_not_created(with_config(of_size(16'385))).starts_with("value_error body.template.config."));
  std::string accents;
  for (int i = 0; i < 3'000; ++i) accents += "é";
  EXPECT_TRUE(
      why_not_created(with_config(R"({"text":")" + accents + "\"}")).starts_with("value_error body.template.config."));
  EXPECT_EQ(why_not_created(with_config("[]")), "dict_type body.template.config.: Input should be a valid dictionary\n");
  auto const made = created(body(R"(,"template":{"id":"t","version":"1","config":{"a":[1,null]}})"));
  EXPECT_EQ(made.provenance->json(), R"({"id":"t","version":"1","config":{"a":[1,null]}})");
}

TEST_F(Bodies, AChangeOfNullIsRefusedWhereThereIsNoNull) {
  Faults faults;
  JsonBody const json(json_type, R"({"name":null,"trigger":null,"tarball_path":null,"entrypoint":null,"enabled":null})");
  auto const with = rules();
  read_change(Model(body_value(faults, json)), with);
  EXPECT_EQ(faults.all().size(), 5U) << told(faults);
  auto const body = changed(R"({"model":null,"prompt":null,"setup_script_path":null,"timeout":null,"keep_alive":null})");
  EXPECT_TRUE(body.model.is_given && !body.model.value && body.timeout.is_given && !body.timeout.value);
}

TEST_F(Bodies, AChangeAppliesToWhatItNamesAndNothingElse) {
  store::AutomationRow row;
  row.name = "before";
  row.timeout_s = 600;
  row.prompt = "p";
  row.trigger_json = "{}";
  EXPECT_EQ(apply(changed(R"({"name":"after","timeout":null})"), row), std::nullopt);
  EXPECT_EQ(row.name, "after");
  EXPECT_EQ(row.timeout_s, std::nullopt);
  EXPECT_EQ(row.prompt, "p");
  EXPECT_EQ(row.trigger_json, "{}");
}

TEST_F(Bodies, SwitchingOnForgetsWhyItWasSwitchedOff) {
  store::AutomationRow row;
  row.enabled = false;
  row.disabled_reason = "permanent_failure";
  row.disabled_at = store::Time{};
  row.failures_in_row = 3;
  apply(changed(R"({"enabled":true})"), row);
  EXPECT_EQ(row.disabled_reason, "");
  EXPECT_EQ(row.disabled_at, std::nullopt);
  EXPECT_EQ(row.failures_in_row, 0U);
}

TEST_F(Bodies, OurMembersAreKeptAndShownAndTheBearerNever) {
  store::AutomationRow row;
  row.trigger_json = "{}";
  auto made = created(body(
      R"(,"target":"label:ci","priority":5,"max_concurrent_runs":2,"retry":{"max_attempts":3},"callback_url":"https://example.org/done","callback_bearer":"letmein")"));
  EXPECT_EQ(apply(std::move(made.ours), row), std::nullopt);
  auto const shown = automation_json(row);
  for (auto const* const member :
       {R"("target":"label:ci")", R"("priority":5)", R"("max_concurrent_runs":2)", R"("max_attempts":3)",
        R"("callback_url":"https://example.org/done")", R"("callback_bearer":"**********")"}) {
    EXPECT_NE(shown.find(member), std::string::npos) << member << ' ' << shown;
  }
  EXPECT_EQ(shown.find("letmein"), std::string::npos);
  EXPECT_TRUE(automation::parse_plain_callback(row.callback_json).bearer.equals("letmein"));
  auto gone = changed(R"({"callback_url":null,"target":null,"retry":null})");
  EXPECT_EQ(apply(std::move(gone.ours), row), std::nullopt);
  EXPECT_TRUE(row.callback_json.empty());
  EXPECT_EQ(automation_json(row).find("max_attempts"), std::string::npos);
}

TEST_F(Bodies, ABearerWithoutAUrlIsRefused) {
  store::AutomationRow row;
  auto made = created(body(R"(,"callback_bearer":"b")"));
  EXPECT_EQ(apply(std::move(made.ours), row), "callback_bearer needs a callback_url");
  EXPECT_TRUE(
      why_not_created(body(R"(,"callback_url":"http://127.0.0.1/x")")).starts_with("value_error body.callback_url."));
  EXPECT_EQ(why_not_created(body(R"(,"callback_bearer":"two words")")),
            "value_error body.callback_bearer.: Value error, callback_bearer must be visible ASCII\n");
}

TEST_F(Bodies, MembersOfLaterReleasesAreKeptAndReturned) {
  store::AutomationRow row;
  row.trigger_json = "{}";
  auto made = created(body(R"(,"description":"d","observability_associations":{"a":"b"},"state":"INACTIVE")"));
  apply(std::move(made.later), row);
  auto const shown = automation_json(row);
  EXPECT_NE(
      shown.find(R"("agent_profile_id":null,"description":"d","observability_associations":{"a":"b"},"plugin_spec":null)"),
      std::string::npos)
      << shown;
  EXPECT_NE(shown.find(R"("state":"INACTIVE","next_fire_at":null)"), std::string::npos) << shown;
  EXPECT_FALSE(row.enabled);
}

TEST(TarballPath, IsInternalExternalOrNeither) {
  using Kind = TarballPath::Kind;
  auto const internal = parse_tarball_path("OH-internal://uploads/ABCDEF78-1234-5678-1234-567812345678");
  EXPECT_EQ(internal.kind, Kind::internal);
  EXPECT_EQ(internal.upload_id, "abcdef78-1234-5678-1234-567812345678");
  for (auto const path : {"oh-internal://uploads/x", "oh-internal://other/x", "oh-internal://uploads/",
                          "oh-internal://uploads/abcdef78-1234-5678-1234-567812345678/x"}) {
    EXPECT_EQ(parse_tarball_path(path).kind, Kind::bad_internal) << path;
  }
  EXPECT_EQ(parse_tarball_path("s3://b").kind, Kind::external);
  EXPECT_EQ(parse_tarball_path("http://b").kind, Kind::bad);
}

}  // namespace
}  // namespace nestgate::api
