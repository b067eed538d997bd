#include "api/automation/preset_body.hpp"

#include <gtest/gtest.h>

#include "api/automation/capabilities.hpp"
#include "api/automation/draft_body.hpp"
#include "api/automation/preset_files.hpp"
#include "api/automation/tarball.hpp"
#include "support/temp_folder.hpp"

namespace nestgate::api {
namespace {

store::Time const now{std::chrono::seconds(1'780'000'000)};

struct Judge {
  schedule::Zones zones;
  BodyRules rules() { return {zones, std::chrono::seconds(1800), automation::PrivateCallbacks::refuse, now}; }
  Faults faults;

  PresetBody prompt(std::string_view more) { return read(&read_prompt_preset, more); }
  PresetBody plugin(std::string_view more) { return read(&read_plugin_preset, more); }
  PresetBody read(PresetBody (*how)(Model, BodyRules const&), std::string_view more) {
    faults = {};
    std::string json = R"({"name":"n","prompt":"p","trigger":{"type":"cron","schedule":"0 9 * * *"})";
    json.append(more.empty() ? "" : ",").append(more).append("}");
    JsonBody const body("application/json", json);
    return how(Model(Value(faults, Loc{}, body.root())), rules());
  }
  // Code and place of the first fault.
  std::string first() const {
    if (faults.empty()) return {};
    auto const errors = draft_errors(faults);
    return errors.front().code + " " + errors.front().field;
  }
};

TEST(Preset, TakesRepositoriesInEveryForm) {
  Judge judge;
  auto const config = [&](std::string_view repos) {
    auto const body = judge.prompt("\"repos\":" + std::string(repos));
    EXPECT_EQ(judge.first(), "") << repos;
    return repos_config_json(body);
  };
  EXPECT_EQ(config(R"("https://x.org/o/r")"), R"([{"url":"https://x.org/o/r"}])");
  EXPECT_EQ(config(R"({"url":"http://x.org/o/r","ref":"v1","provider":"gitlab"})"),
            R"([{"url":"https://x.org/o/r","ref":"v1","provider":"gitlab"}])");
  EXPECT_EQ(config(R"(["git@x.org:o/r",{"url":"owner/repo","provider":"github"},"file:///srv/r.git"])"),
            R"([{"url":"git@x.org:o/r"},{"url":"owner/repo","provider":"github"},{"url":"file:///srv/r.git"}])");
  EXPECT_EQ(config("[]"), "");
  EXPECT_EQ(config("null"), "");
}

TEST(Preset, RefusesRepositoriesByTheirPlace) {
  Judge judge;
  auto const told = [&](std::string_view repos) {
    judge.prompt("\"repos\":" + std::string(repos));
    return judge.first();
  };
  EXPECT_EQ(told(R"("owner/repo")"), "value_error repos[0]");
  EXPECT_NE(judge.faults.all().front().message.find("provider"), std::string::npos);
  EXPECT_EQ(told(R"({"ref":"main"})"), "missing repos[0].url");
  EXPECT_EQ(told(R"({"url":"https://x/y","extra":1})"), "extra_forbidden repos[0].extra");
  EXPECT_EQ(told(R"([{"url":"https://x/y","provider":"svn"}])"), "literal_error repos[0].provider");
  EXPECT_EQ(told(R"(["https://x/y","nonsense"])"), "value_error repos[1]");
  for (auto const* url :
       {R"("ssh://git@x/y")", R"("ftp://x/y")", R"("https://")", R"("https://x/ y")", R"("--upload-pack=x")"})
    EXPECT_EQ(told(url), "value_error repos[0]") << url;
  EXPECT_TRUE(told("7").ends_with(" repos"));
}

TEST(Preset, HasPluginsOrAnExperiment) {
  Judge judge;
  auto const told = [&](std::string_view more) {
    judge.plugin(more);
    return judge.first();
  };
  std::string const two = R"("variants":[{"name":"a","weight":1,"plugins":[{"source":"s"}]},)"
                          R"({"name":"b","weight":3,"model":"m","plugins":[{"source":"t"}]}])";
  EXPECT_EQ(told(R"("plugins":{"source":"github:o/r","unknown":1})"), "");
  EXPECT_EQ(told(two + R"(,"experiment_id":"e")"), "");
  EXPECT_EQ(told(""), "value_error ");
  EXPECT_EQ(told(two), "value_error ");
  EXPECT_EQ(told(R"("plugins":{"source":"s"},"experiment_id":"e")"), "value_error ");
  EXPECT_EQ(told(R"("plugins":{"source":"s"},)" + two + R"(,"experiment_id":"e")"), "value_error ");
  EXPECT_EQ(told(R"("plugins":[])"), "too_short plugins");
  EXPECT_EQ(told(R"("plugins":[{"ref":"main"}])"), "missing plugins[0].source");
  EXPECT_EQ(told(R"("variants":[{"name":"a","weight":1,"plugins":[{"source":"s"}]}],"experiment_id":"e")"),
            "too_short variants");
  EXPECT_EQ(told(R"("variants":[{"name":"a","weight":1,"plugins":[{"source":"s"}]},)"
                 R"({"name":"a","weight":1,"plugins":[{"source":"s"}]}],"experiment_id":"e")"),
            "value_error variants");
  for (auto const* weight : {"0", "-1", "2.5"})
    EXPECT_TRUE(
        told(std::string(R"("variants":[{"name":"a","weight":)") + weight +
             R"(,"plugins":[{"source":"s"}]},{"name":"b","weight":1,"plugins":[{"source":"s"}]}],"experiment_id":"e")")
            .ends_with("variants[0].weight"))
        << weight;
}

TEST(Preset, PacksWhatRunsIt) {
  Judge judge;
  auto const body = judge.plugin(R"("plugins":{"source":"github:o/r","ref":"main"},"repos":"https://x/y")");
  auto const files = read_tar_gz(preset_tarball(body, std::chrono::floor<std::chrono::seconds>(now)), {});
  ASSERT_TRUE(files);
  std::vector<std::string> names;
  for (auto const& file : *files) names.push_back(file.name);
  EXPECT_EQ(names,
            (std::vector<std::string>{"main.py", "prompt.txt", "setup.sh", "repos_config.json", "plugins_config.json"}));
  EXPECT_EQ((*files)[0].bytes, preset_main());
  EXPECT_EQ((*files)[1].bytes, "p");
  EXPECT_EQ((*files)[2].mode, 0755U);
  EXPECT_EQ((*files)[4].bytes, R"([{"source":"github:o/r","ref":"main"}])");
}

TEST(Preset, OfAnExperimentPacksItsVariants) {
  Judge judge;
  auto const body = judge.plugin(R"("experiment_id":"e","variants":[{"name":"a","weight":1,"plugins":[{"source":"s"}]},)"
                                 R"({"name":"b","weight":3,"model":"m","plugins":[{"source":"t","repo_path":"p"}]}])");
  EXPECT_EQ(experiment_config_json(body),
            R"({"experiment_id":"e","variants":[{"model":null,"name":"a","weight":1,"plugins":[{"source":"s"}]},)"
            R"({"model":"m","name":"b","weight":3,"plugins":[{"source":"t","repo_path":"p"}]}]})");
  EXPECT_EQ(plugins_config_json(body), "");
  EXPECT_EQ(preset_metadata_json(body), R"({"preset_type":"plugin","prompt":"p"})");
}

TEST(Preset, ShowsNoCredentials) {
  Judge judge;
  auto const body = judge.plugin(R"("plugins":{"source":"https://user:s3cret@x.org/o/r"},"repos":"https://t0ken@x.org/o/r",)"
                                 R"("template":{"id":"t","version":"1"})");
  EXPECT_EQ(preset_metadata_json(body),
            R"({"preset_type":"plugin","prompt":"p","plugins":[{"source":"https://****@x.org/o/r"}],)"
            R"("repos":[{"url":"https://****@x.org/o/r"}],"template":{"id":"t","version":"1"}})");
  EXPECT_NE(plugins_config_json(body).find("s3cret"), std::string::npos) << "the run needs them";
  EXPECT_EQ(without_user_information("https://a@b@c/d@e?f@g"), "https://****@c/d@e?f@g");
  EXPECT_EQ(without_user_information("https://c/d@e"), "https://c/d@e");
  EXPECT_EQ(without_user_information("git@x.org:o/r"), "git@x.org:o/r");
}

TEST(Preset, NamesItsUploadByWholeCharacters) {
  PresetBody body;
  for (int i = 0; i < 40; ++i) body.name += "ä";
  body.prompt = std::string(300, 'p');
  std::string name = "prompt-automation-";
  for (int i = 0; i < 25; ++i) name += "ä";
  EXPECT_EQ(preset_upload_name(body), name);
  EXPECT_EQ(preset_upload_description(body), "Auto-generated from prompt: " + std::string(100, 'p') + "...");
}

TEST(PresetFiles, AreReadByTheirInterpreters) {
  test::TempFolder const folder;
  folder.write("main.py", preset_main());
  folder.write("setup.sh", preset_setup());
  std::string const there = "cd '" + folder.path().string() + "' && ";
  EXPECT_EQ(std::system((there + "python3 -m py_compile main.py").c_str()), 0);
  EXPECT_EQ(std::system((there + "bash -n setup.sh").c_str()), 0);
}

// A command that writes down how it was called.
void write_command(test::TempFolder const& folder, std::string const& name, std::string const& body) {
  auto const path = folder.write(name, "#!/bin/sh\n" + body);
  std::filesystem::permissions(path, std::filesystem::perms::owner_all);
}

TEST(PresetFiles, InstallTheVersionThatTheServiceNames) {
  test::TempFolder const folder;
  folder.write("setup.sh", preset_setup());
  write_command(folder, "uv", "echo \"uv $*, in ${VIRTUAL_ENV:-none}\" >> calls\n");
  write_command(folder, "curl", "echo \"curl $*\" >> calls; printf '{\"version\": \"1.43.1\"}'\n");
  std::string const run =
      "cd '" + folder.path().string() +
      "' && PATH=\"$PWD:$PATH\" VIRTUAL_ENV=/elsewhere AUTOMATION_API_URL=http://x/api/automation bash setup.sh";
  ASSERT_EQ(std::system(run.c_str()), 0);
  auto const calls = test::read_file(folder.path() / "calls");
  EXPECT_NE(calls.find("http://x/api/automation/sdk-version"), std::string::npos) << calls;
  EXPECT_NE(calls.find("--python >=3.12,<3.14 .venv"), std::string::npos) << calls;
  EXPECT_NE(calls.find("openhands-sdk==1.43.1 openhands-tools==1.43.1 openhands-workspace==1.43.1, in none"),
            std::string::npos)
      << calls;
}

TEST(PresetFiles, InstallNothingWhereNoVersionIsNamed) {
  test::TempFolder const folder;
  folder.write("setup.sh", preset_setup());
  write_command(folder, "uv", "echo called > calls\n");
  write_command(folder, "curl", "printf '{\"error\":\"not found\"}'\n");
  std::string const run =
      "cd '" + folder.path().string() + "' && PATH=\"$PWD:$PATH\" AUTOMATION_API_URL=http://x bash setup.sh 2> told";
  EXPECT_NE(std::system(run.c_str()), 0);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "calls"));
}

TEST(Draft, IsJudgedByItsFields) {
  Judge judge;
  auto const told = [&](std::string endpoint, std::string draft) {
    DraftRequest request;
    request.endpoint = std::move(endpoint);
    request.draft_json = std::move(draft);
    std::string out;
    for (auto const& error : read_draft(request, judge.rules()).errors)
      out += (out.empty() ? "" : ", ") + error.field + " " + error.code;
    return out;
  };
  std::string const cron = R"("trigger":{"type":"cron","schedule":"0 9 * * *"})";
  EXPECT_EQ(told("/v1/preset/prompt", R"({"name":"n","prompt":"p",)" + cron + "}"), "");
  EXPECT_EQ(told("/v1", R"({"name":"n","tarball_path":"https://x/y","entrypoint":"run",)" + cron + "}"), "");
  EXPECT_EQ(told("/v1/preset/prompt", R"({"name":"","prompt":"p","trigger":{"type":"cron","schedule":"x"}})"),
            "name string_too_short, trigger.schedule value_error");
  EXPECT_EQ(told("/v1/preset/plugin", R"({"name":"n","prompt":"p",)" + cron + "}"), " value_error");
}

TEST(Draft, SaysHowCloseItsMomentsAre) {
  schedule::Zones zones;
  auto const gap = [&](std::string_view schedule) {
    return smallest_gap(schedule, zones).value_or(std::chrono::seconds(-1)).count();
  };
  EXPECT_EQ(gap("* * * * *"), 60);
  EXPECT_EQ(gap("* * * * * */10"), 10);
  EXPECT_EQ(gap("0 0 * * * 0,1"), 1);
  EXPECT_EQ(gap("0 9 * * *"), 86'400);
  EXPECT_EQ(gap("0 0 1 1 * 0 2027"), -1) << "one moment has no gap";
  EXPECT_EQ(gap("nonsense"), -1);
}

TEST(Draft, IsAskedAboutInBothSpellings) {
  auto const read = [](std::string_view json) {
    Faults faults;
    JsonBody const body("application/json", json);
    auto out = read_draft_request(Model(body_value(faults, body)));
    EXPECT_TRUE(faults.empty()) << faults_json(faults);
    return out;
  };
  EXPECT_EQ(read(R"({"endpoint":"/v1","draft":{},"sampleEvent":{"a":1}})").sample_event_json, R"({"a":1})");
  EXPECT_EQ(read(R"({"endpoint":"/v1","draft":{},"sample_event":{"a":1},"automation_id":"x"})").sample_event_json,
            R"({"a":1})");
  EXPECT_EQ(verdict_json({}, std::nullopt), R"({"valid":true,"errors":[],"sampleEventMatched":null})");
  EXPECT_EQ(verdict_json({{"", "c", "m"}}, false),
            R"({"valid":false,"errors":[{"field":null,"code":"c","message":"m"}],"sampleEventMatched":false})");
}

TEST(Capabilities, TellOfEventsOnlyWhereThereAreSources) {
  Capabilities of{.run_time_max = std::chrono::seconds(1800),
                  .cron_interval_min = std::chrono::seconds(60),
                  .has_builtin_sources = false,
                  .has_kv = true,
                  .custom_sources = {},
                  .zones = {"Europe/Berlin", "UTC"}};
  EXPECT_EQ(capabilities_json(of),
            R"({"ready":true,"maxAutomationTimeoutSeconds":1800,"triggerKinds":["cron"],"eventSources":[],"eventTypes":[],)"
            R"("triggers":{"cron":{"minIntervalSeconds":60,"timezones":["Europe/Berlin","UTC"]}},)"
            R"("features":["automationDescription","conversationDispatch","customTarball","kvStore","mcpTools",)"
            R"("presetPlugin","presetPrompt","repoClone"],"repoProviders":["bitbucket","github","gitlab"]})");
  of.custom_sources = {"zebra", "ant"};
  auto const own = capabilities_json(of);
  EXPECT_NE(own.find(R"("triggerKinds":["cron","event"],"eventSources":["ant","zebra"],"eventTypes":[])"),
            std::string::npos);
  EXPECT_NE(own.find(R"("event":{"filterLanguage":"jmespath","filterFunctions":["abs","avg",)"), std::string::npos);
  EXPECT_NE(own.find(R"("repoClone","webhookDelivery"])"), std::string::npos);
  of.has_builtin_sources = true;
  auto const all = capabilities_json(of);
  EXPECT_NE(all.find(R"("eventSources":["ant","azure_devops","bitbucket_data_center","github","jira_dc","zebra"])"),
            std::string::npos);
  EXPECT_NE(
      all.find(R"("eventTypes":["issue_comment.*","issues.*","pull_request.*","pull_request_review.*","push","release.*"])"),
      std::string::npos)
      << all;
}

}  // namespace
}  // namespace nestgate::api
