// What goes into columns and variables comes out again as it was.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "automation/own_run.hpp"
#include "automation/run_environment.hpp"
#include "automation/user_configuration.hpp"
#include "nestgate/automation/caller.hpp"
#include "nestgate/automation/trigger.hpp"

namespace nestgate::automation {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(AModel, IsAmongAUsersSettingsInTheirWords) {
  auto const told = [](std::string_view settings) {
    return std::string(agent_settings_of(Secret(std::string(settings))).reveal());
  };
  EXPECT_EQ(told(R"({"llm_model":"m","llm_api_key":"a\"b","llm_base_url":"","language":"en"})"),
            R"({"agent_settings_diff":{"llm":{"model":"m","api_key":"a\"b"}}})");
  for (std::string_view const none : {"", "{}", "[]", "{", R"({"language":"en"})", R"({"llm_model":null})"})
    EXPECT_EQ(told(none), "") << none;
}

TEST(ASecretsName, IsOneThatAnAgentServerTakes) {
  for (std::string_view const good : {"A", "github_token", "a1_B"}) EXPECT_TRUE(is_agent_secret_name(good)) << good;
  for (std::string_view const bad : {"", "1A", "_A", "A-B", "\xc3\xa4"}) EXPECT_FALSE(is_agent_secret_name(bad)) << bad;
  EXPECT_TRUE(is_agent_secret_name(std::string(64, 'a')));
  EXPECT_FALSE(is_agent_secret_name(std::string(65, 'a')));
}

std::string again(std::string_view json) {
  auto const trigger = parse_trigger(json);
  return trigger ? to_json(*trigger) : "nothing";
}

TEST(Triggers, OfSchedulesKeepWhatIsNotAsByDefault) {
  for (std::string_view const json :
       {R"({"type":"cron","schedule":"0 9 * * *","timezone":"UTC"})",
        R"({"type":"cron","schedule":"@daily","timezone":"Europe/Berlin","dst_gap":"skip","dst_overlap":"both",)"
        R"("misfire":"all","catch_up_seconds":3600,"overlap":"queue_one","jitter_seconds":30})"})
    EXPECT_EQ(again(json), json);
  auto const trigger = parse_trigger(R"({"type":"cron","schedule":"0 9 * * *"})");
  ASSERT_TRUE(trigger);
  auto const& cron = std::get<CronTrigger>(*trigger);
  EXPECT_EQ(cron.timezone, "UTC");
  EXPECT_EQ(cron.misfire, schedule::Misfire::once);
  EXPECT_EQ(cron.overlap, Overlap::allow);
  EXPECT_EQ(kind_of(*trigger), "cron");
}

TEST(Triggers, OfEventsKeepTheirPatternsAsTheyWereGiven) {
  std::string_view const many =
      R"({"type":"event","source":"github","on":["push","pull_request.*"],"filter":"a == 'x\"y'",)"
      R"("destination":"dispatch_run","subject_key_expr":"id","turn_text_expr":null,"wake_agent":false})";
  std::string_view const one = R"({"type":"event","source":"github","on":"push","filter":null,"destination":"dispatch_run",)"
                               R"("subject_key_expr":null,"turn_text_expr":null,"wake_agent":true})";
  EXPECT_EQ(again(many), many);
  EXPECT_EQ(again(one), one);
  EXPECT_EQ(again(R"({"type":"event","source":"github","on":"push"})"), one);
}

TEST(Triggers, ThatAreNoneAreNothing) {
  for (auto const* const json : {"", "{", "[]", "{}", R"({"type":"other"})", R"({"type":"cron"})",
                                 R"({"type":"event","source":"x"})", R"({"type":"event","source":"x","on":[1]})"})
    EXPECT_FALSE(parse_trigger(json)) << json;
}

TEST(Callers, AreWhoTheyAreWhateverOthersAreNamed) {
  using identity::Role;
  auto const member = caller_of({"k1", Role::user, "bob", "acme"});
  auto const namesake = caller_of({"k2", Role::user, "acme"});
  EXPECT_NE(namesake.tenant.org_id, member.tenant.org_id) << "a user has no part in an organisation of the same name";
  auto const key = caller_of({"acme", Role::admin, ""});
  EXPECT_NE(key.tenant.user_id, namesake.tenant.user_id) << "nor a user in what a key of the same name made";
  EXPECT_NE(key.tenant.org_id, namesake.tenant.org_id);
  EXPECT_NE(key.tenant.org_id, member.tenant.org_id);
  EXPECT_EQ(caller_of({"another key", Role::user, "bob", "acme"}).tenant, member.tenant);
}

TEST(Targets, AreOneWord) {
  for (auto const* const text : {"fresh", "warm", "conversation:c1", "label:nightly:build"}) {
    auto const target = parse_target(text);
    ASSERT_TRUE(target) << text;
    EXPECT_EQ(to_string(*target), text);
  }
  for (auto const* const text : {"", "Fresh", "conversation:", "label:", "other:x"})
    EXPECT_FALSE(parse_target(text)) << text;
}

TEST(Policies, WriteWhatIsNotAsByDefault) {
  EXPECT_EQ(to_json(Policy()), "");
  Policy policy;
  policy.target = parse_target("label:x");
  policy.priority = -5;
  policy.concurrent_max = 3;
  policy.attempts_max = 4;
  policy.retry_pause = 60s;
  auto const json = to_json(policy);
  EXPECT_EQ(json, R"({"target":"label:x","priority":-5,"max_concurrent_runs":3,"max_attempts":4,"retry_pause_seconds":60})");
  EXPECT_EQ(to_json(parse_policy(json)), json);
  EXPECT_EQ(to_json(parse_policy("nonsense")), "");
}

TEST(OwnRuns, ComeBackAsTheyWere) {
  OwnRun run;
  run.entrypoint = "python \"main\".py";
  run.setup_script = "setup.sh";
  run.callback_url = "https://example.com/";
  run.base_url = "http://g/api/automation";
  run.upload_id = "u";
  run.time_max = 90s;
  run.environment.emplace_back("A", Secret("line\none"));
  run.environment.emplace_back("B", Secret(""));
  auto const back = parse_own_run(to_json(run));
  EXPECT_EQ(back.entrypoint, run.entrypoint);
  EXPECT_EQ(back.setup_script, run.setup_script);
  EXPECT_EQ(back.callback_url, run.callback_url);
  EXPECT_EQ(back.base_url, run.base_url);
  EXPECT_EQ(back.upload_id, run.upload_id);
  EXPECT_EQ(back.time_max, 90s);
  ASSERT_EQ(back.environment.size(), 2U);
  EXPECT_EQ(back.environment[0].first, "A");
  EXPECT_TRUE(back.environment[0].second.equals("line\none"));
  EXPECT_EQ(back.environment[1].first, "B");
  EXPECT_EQ(parse_own_run(Secret()).entrypoint, "");
}

class Environments : public testing::Test {
 protected:
  Environments() {
    run.id = "r1";
    run.tenant = {"u1", "o1"};
    run.trigger_source = "manual";
    automation.id = "a1";
    automation.name = "nightly";
    automation.trigger_kind = "cron";
    automation.trigger_json = R"({"type":"cron","schedule":"0 9 * * *","timezone":"UTC"})";
    place.at = {asio::ip::make_address("127.0.0.1"), 8000};
  }
  RunEnvironment of(store::AutomationRow const* its) {
    RunSurroundings const around{"http://g/api/automation", "c1", place, session_key, run_token, kv};
    return environment_of(run, its, settings, RunPaths(run.id, 1), around);
  }
  static std::string value(RunEnvironment const& environment, std::string_view name) {
    for (auto const& [known, value] : environment.variables)
      if (known == name) return std::string(value.reveal());
    return "(none)";
  }

  store::RunRow run;
  store::AutomationRow automation;
  Settings settings;
  upstream::Place place;
  Secret const session_key{"session"}, run_token{"token"};
  Secret kv;
};

TEST_F(Environments, OfARunByHandNameItsAutomationsOwnTrigger) {
  auto const environment = of(&automation);
  EXPECT_EQ(value(environment, "AUTOMATION_EVENT_PAYLOAD"),
            R"({"trigger": "cron", "trigger_payload": {"type": "cron", "schedule": "0 9 * * *", "timezone": "UTC"}, )"
            R"("automation_id": "a1", "automation_name": "nightly"})");
  EXPECT_EQ(value(environment, "AUTOMATION_TRIGGER_SOURCE"), "cron");
  EXPECT_EQ(value(environment, "AUTOMATION_MODEL"), "(none)");
  EXPECT_EQ(value(environment, "AUTOMATION_KV_TOKEN"), "(none)");
  EXPECT_EQ(value(environment, "AUTOMATION_CALLBACK_URL"), "http://g/api/automation/v1/runs/r1/complete");
  EXPECT_EQ(value(environment, "AUTOMATION_PHASE_URL"), "http://g/api/automation/v1/runs/r1/phase");
}

TEST_F(Environments, PutTheEventIntoThePayloadWithTheBlanksThatPythonWrites) {
  run.event_payload_json = R"({"text":"a,b:c\"d","n":[1,2]})";
  EXPECT_THAT(value(of(&automation), "AUTOMATION_EVENT_PAYLOAD"),
              HasSubstr(R"("event": {"text": "a,b:c\"d", "n": [1, 2]}})"));
}

TEST_F(Environments, NameTheServerAsTheSettingsSay) {
  EXPECT_EQ(value(of(nullptr), "AGENT_SERVER_URL"), "http://127.0.0.1:8000");
  settings.agent_server_url = "http://agent:8000";
  EXPECT_EQ(value(of(nullptr), "AGENT_SERVER_URL"), "http://agent:8000");
}

TEST_F(Environments, OfARunOfItsOwnEndWithItsOwnVariables) {
  OwnRun own;
  own.environment.emplace_back("OWN", Secret("x"));
  run.wish_json = to_json(own);
  auto const environment = of(nullptr);
  EXPECT_EQ(environment.variables.back().first, "OWN");
  EXPECT_EQ(value(environment, "AUTOMATION_EVENT_PAYLOAD"), R"({"trigger": "manual", "trigger_payload": {}})");
  EXPECT_EQ(value(environment, "AUTOMATION_ID"), "(none)");
}

TEST_F(Environments, PutALongEventIntoAFileAndKeepTheVariableSmall) {
  run.event_payload_json = "\"" + std::string(64 * 1024, 'x') + "\"";
  auto const environment = of(&automation);
  EXPECT_EQ(environment.event_file, event_payload(run, &automation));
  EXPECT_EQ(value(environment, "AUTOMATION_EVENT_PAYLOAD_FILE"), std::string(private_folder) + "/automation-r1.event.json");
  EXPECT_LT(value(environment, "AUTOMATION_EVENT_PAYLOAD").size(), 500U);
  std::size_t total = 0;
  for (auto const& [name, text] : environment.variables) total += name.size() + text.size();
  EXPECT_LT(total, 4'096U);
}

}  // namespace
}  // namespace nestgate::automation
