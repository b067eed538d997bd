// A conversation in a real nestlet, and a real run in it, from start to the posted completion.

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "nestgate/automation/service.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/runtime/factory.hpp"
#include "nestgate/upstream/random.hpp"
#include "support/backing.hpp"
#include "support/control.hpp"
#include "support/fake_runtimes.hpp"

namespace nestgate::automation {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using test::Control;
using test::RecordingPublisher;
using test::ScriptedServer;

ConversationId id_of(std::string_view text) { return ConversationId::parse(text).value(); }
identity::Principal const alice{"alice", identity::Role::user, "alice"};

bool of_anybody(store::AutomationRow const&) { return true; }

std::string read_file(fs::path const& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream out;
  out << file.rdbuf();
  return out.str();
}

class InARealNestlet : public testing::Test {
 protected:
  InARealNestlet() {
    std::string name = (fs::temp_directory_path() / "nestgate-real-XXXXXX").string();
    folder = ::mkdtemp(name.data());
    runtime::ProviderSettings settings;
    settings.process.command = {NESTLET_PROGRAM, "--listen", "127.0.0.1:{port}"};
    settings.process.workspace_dir = folder / "runtimes";
    auto provider = runtime::make_provider("process", std::move(settings), control.executor());
    std::vector<Secret> secrets;
    secrets.emplace_back("0123456789abcdef0123456789abcdef");
    ring = std::make_shared<identity::KeyRing const>(identity::Derivation::sha256, std::move(secrets));
    manager = std::make_unique<conversation::Manager>(control.executor(), std::move(*provider), publisher, ring,
                                                      *backing.store, *backing.credentials, conversation::ManagerSettings{});
  }
  ~InARealNestlet() override {
    if (service) control.run(service->stop(Deadline::in(0s)));
    control.run(manager->stop_all());
    std::error_code ignored;
    fs::remove_all(folder, ignored);
  }

  Outcome<conversation::Started> start(nested::Configuration configuration = {}) {
    conversation::StartRequest request;
    request.id = id_of("c1");
    request.by = alice;
    request.configuration = std::move(configuration);
    return control.run(manager->start(std::move(request)));
  }
  std::string tarball(std::string const& script) const {
    std::ofstream(folder / "main.sh") << script;
    std::string const line = "tar -czf " + (folder / "t.tar.gz").string() + " -C " + folder.string() + " main.sh";
    EXPECT_EQ(std::system(line.c_str()), 0);
    return read_file(folder / "t.tar.gz");
  }

  void open_service() {
    Settings settings;
    settings.private_callbacks = PrivateCallbacks::allow;
    settings.watch_interval = 20ms;
    settings.base_url = "http://127.0.0.1:1/api/automation";
    service = std::make_unique<Service>(control.executor(), *manager, *backing.store, manager->gateway(), ring,
                                        std::move(settings));
    service->start();
  }
  store::AutomationRow make_automation(std::string const& bytes, std::string const& target) {
    store::UploadRow upload;
    upload.id = dashed_uuid(upstream::random_uuid_hex());
    upload.tenant = caller.tenant;
    upload.status = "COMPLETED";
    auto const upload_id = upload.id;
    EXPECT_TRUE(control.run(backing.store->automations().add_upload(std::move(upload), bytes)));
    store::AutomationRow row;
    row.id = dashed_uuid(upstream::random_uuid_hex());
    row.tenant = caller.tenant;
    row.owner = caller.owner;
    row.name = "test";
    row.trigger_json = R"({"type":"event","source":"x","on":[]})";
    row.trigger_kind = "event";
    row.tarball_path = "oh-internal://uploads/" + upload_id;
    row.entrypoint = "sh main.sh";
    Policy policy;
    policy.target = parse_target(target);
    row.policy_json = to_json(policy);
    return control.run(service->create(std::move(row))).value().row;
  }
  store::RunRow find(std::string id) {
    return control.run(backing.store->automations().find_run(std::move(id))).value().value();
  }

  fs::path folder;
  Control control;
  std::shared_ptr<identity::KeyRing const> ring;
  Caller const caller = caller_of(alice);
  test::Backing backing{control};
  RecordingPublisher publisher;
  std::unique_ptr<conversation::Manager> manager;
  std::unique_ptr<Service> service;
};

TEST_F(InARealNestlet, AConversationIsConfiguredPublishedAndStopped) {
  nested::Configuration configuration;
  configuration.settings_json = Secret(R"({"language":"en"})");
  nested::CustomSecret secret;
  secret.name = "NAME";
  secret.value = Secret("value");
  configuration.secrets.push_back(std::move(secret));
  auto const started = start(std::move(configuration));
  ASSERT_TRUE(started) << started.error().reason;
  EXPECT_EQ(publisher.events.back(), "c1 running");

  upstream::Call call;
  call.url = upstream::url_of(started->view.endpoint).at("/api/secrets");
  auto const refused = control.run(upstream::call(std::move(call), Deadline::in(20s)));
  EXPECT_EQ(refused->status, 401U) << "without its key";
  upstream::Call with_key;
  with_key.url = upstream::url_of(started->view.endpoint).at("/api/secrets");
  with_key.secret_headers.emplace_back("X-Session-API-Key", started->view.session_key.clone());
  auto const listed = control.run(upstream::call(std::move(with_key), Deadline::in(20s)));
  EXPECT_EQ(listed->status, 200U);
  EXPECT_NE(listed->body.find("\"NAME\""), std::string::npos) << listed->body;

  auto const stopped = control.run(manager->stop(id_of("c1")));
  ASSERT_TRUE(stopped);
  EXPECT_EQ(stopped->state, conversation::RuntimeState::stopped);
}

TEST_F(InARealNestlet, AScriptRunsWithItsEnvironmentAndItsEndIsTold) {
  auto const started = start();
  ASSERT_TRUE(started) << started.error().reason;
  ScriptedServer sink;
  open_service();
  RunRequest request;
  request.by = caller;
  request.conversation = id_of("c1");
  request.tarball = tarball("echo \"hello from $AUTOMATION_RUN_ID in $PWD\"\nenv > seen\nexit 4\n");
  request.entrypoint = "sh main.sh";
  request.environment.emplace_back("OWN", Secret("it's mine"));
  request.callback_url = "http://127.0.0.1:" + std::to_string(sink.port()) + "/done";
  auto const run = control.run(service->submit(std::move(request)));
  ASSERT_TRUE(run) << run.error().reason;
  control.run_until([&sink] { return !sink.requests().empty(); });

  auto const ended = find(run->id);
  auto const work = folder / "runtimes" / "c1" / "workspace" / "automation-runs" / run->id;
  EXPECT_EQ(ended.status, RunStatus::failed);
  EXPECT_EQ(ended.exit_code, 4);
  EXPECT_EQ(ended.output_tail, "hello from " + run->id + " in " + work.string() + "\n");
  auto const environment = "\n" + read_file(work / "seen");
  EXPECT_NE(environment.find("\nSESSION_API_KEY=" + std::string(started->view.session_key.reveal()) + "\n"),
            std::string::npos);
  EXPECT_NE(environment.find("\nOWN=it's mine\n"), std::string::npos);
  EXPECT_NE(environment.find("\nWORKSPACE_BASE=" + work.string() + "\n"), std::string::npos);
  auto const folder = "/tmp/nestgate-private-" + std::to_string(::geteuid());
  EXPECT_FALSE(fs::exists(folder + "/automation-" + run->id + ".env"));
  EXPECT_EQ(fs::status(folder).permissions(), fs::perms::owner_all);
  EXPECT_FALSE(fs::exists("/tmp/automation-" + run->id + ".tar.gz"));
  EXPECT_TRUE(sink.requests().at(0).body.starts_with(R"({"status":"FAILED","run_id":")" + run->id + "\""));
}

TEST_F(InARealNestlet, AScriptIsHeardWhileItRunsAndItsWholeTailIsKept) {
  ASSERT_TRUE(start());
  open_service();
  auto const wait = [](std::string const& file) { return "until test -e " + file + "; do sleep 0.01; done\n"; };
  RunRequest request;
  request.by = caller;
  request.conversation = id_of("c1");
  request.tarball =
      tarball("echo one\necho uno >&2\n" + wait("heard-one") + "echo two\n" + wait("heard-two") + "echo three\n");
  request.entrypoint = "sh main.sh";
  auto const run = control.run(service->submit(std::move(request)));
  ASSERT_TRUE(run) << run.error().reason;
  auto const work = folder / "runtimes" / "c1" / "workspace" / "automation-runs" / run->id;
  auto const feed = control.run(service->output(run->id));
  ASSERT_TRUE(feed);
  std::string said, complained;
  for (;;) {
    auto const piece = control.run((*feed)->next());
    ASSERT_TRUE(piece) << piece.error().reason;
    if (!*piece) break;
    ((*piece)->is_error_stream ? complained : said) += (*piece)->text;
    if (said == "one\n") std::ofstream(work / "heard-one");
    if (said == "one\ntwo\n") std::ofstream(work / "heard-two");
  }
  EXPECT_EQ(said, "one\ntwo\nthree\n");
  EXPECT_EQ(complained, "uno\n");
  auto const ended = find(run->id);
  EXPECT_EQ(ended.status, RunStatus::completed) << ended.error_detail;
  EXPECT_EQ(ended.output_tail, said);
  EXPECT_EQ(ended.error_tail, complained);
}

TEST_F(InARealNestlet, AnAutomationDispatchedByHandRunsInAFreshRuntimeThatGoesWithIt) {
  open_service();
  auto const automation = make_automation(tarball("echo fresh > \"$HOME/seen\"; exit 0\n"), "fresh");
  auto const run = control.run(service->dispatch(automation.id, of_anybody, ""));
  ASSERT_TRUE(run) << run.error().reason;
  EXPECT_EQ(run->status, RunStatus::pending);
  control.run_until([this] { return service->stats().completed.read() == 1; });
  control.run_until([&] { return !manager->find(id_of("run-" + run->id)); });
  auto const ended = find(run->id);
  EXPECT_EQ(ended.status, RunStatus::completed) << ended.error_detail;
  EXPECT_EQ(ended.exit_code, 0);
}

TEST_F(InARealNestlet, ACancelledRunsProcessesEnd) {
  ASSERT_TRUE(start());
  open_service();
  auto const automation =
      make_automation(tarball("sleep 600 & echo $! > child; echo $$ > parent; wait\n"), "conversation:c1");
  auto const run = control.run(service->dispatch(automation.id, of_anybody, ""));
  ASSERT_TRUE(run) << run.error().reason;
  auto const work = folder / "runtimes" / "c1" / "workspace" / "automation-runs" / run->id;
  control.run_until([&work] { return read_file(work / "parent").ends_with('\n'); });
  auto const cancelled = control.run(service->cancel(run->id));
  ASSERT_TRUE(cancelled) << cancelled.error().reason;
  EXPECT_EQ(cancelled->status, RunStatus::cancelled);
  auto const child = static_cast<pid_t>(std::stol(read_file(work / "child")));
  control.run_until([child] { return ::kill(child, 0) != 0; });
  control.run_until([this] { return service->stats().in_flight.read() == 0; });
  EXPECT_EQ(find(run->id).clean_up, store::CleanUp::nothing);
}

TEST_F(InARealNestlet, ARunIsGivenUpWhenTheServerIsKilled) {
  ASSERT_TRUE(start());
  open_service();
  auto const automation = make_automation(tarball("echo $PPID > parent\nsleep 600\n"), "conversation:c1");
  auto const run = control.run(service->dispatch(automation.id, of_anybody, ""));
  ASSERT_TRUE(run) << run.error().reason;
  // The command's parent's parent is the server: kill it as the kernel's memory killer would.
  auto const work = folder / "runtimes" / "c1" / "workspace" / "automation-runs" / run->id;
  control.run_until([&work] { return read_file(work / "parent").ends_with('\n'); });
  auto pid = static_cast<pid_t>(std::stol(read_file(work / "parent")));
  while (read_file("/proc/" + std::to_string(pid) + "/comm") != "nestlet\n") {
    auto const status = read_file("/proc/" + std::to_string(pid) + "/stat");
    pid = static_cast<pid_t>(std::stol(status.substr(status.rfind(')') + 4)));
    ASSERT_GT(pid, 1);
  }
  ::kill(pid, SIGKILL);
  control.run_until([this] { return service->stats().failed.read() == 1; });
  EXPECT_EQ(find(run->id).error_detail, "Timed out: the runtime ended while the run was in it");
  EXPECT_EQ(manager->find(id_of("c1"))->state, conversation::RuntimeState::error);
}

}  // namespace
}  // namespace nestgate::automation
