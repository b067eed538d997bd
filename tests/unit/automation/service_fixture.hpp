#pragma once

// What the tests of the automation service share: a conversation c1 of alice's in a fake agent server, and a service.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "fake_agent.hpp"
#include "nestgate/automation/completion.hpp"
#include "nestgate/automation/service.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/upstream/random.hpp"
#include "support/backing.hpp"
#include "support/control.hpp"
#include "support/fake_runtimes.hpp"
#include "support/gate.hpp"

namespace nestgate::automation {

using namespace std::chrono_literals;

constexpr std::string_view upload_line = "POST /api/file/upload";
constexpr std::string_view start_line = "POST /api/bash/start_bash_command";
constexpr std::string_view execute_line = "POST /api/bash/execute_bash_command";
constexpr std::string_view search_line = "GET /api/bash/bash_events/search";
inline std::string const tarball_bytes = "\x1f\x8b not much of a tarball";

inline ConversationId id_of(std::string_view text) { return ConversationId::parse(text).value(); }
inline std::string new_uuid() { return dashed_uuid(upstream::random_uuid_hex()); }

inline std::shared_ptr<identity::KeyRing const> ring_of() {
  std::vector<Secret> secrets;
  secrets.emplace_back("0123456789abcdef0123456789abcdef");
  return std::make_shared<identity::KeyRing const>(identity::Derivation::sha256, std::move(secrets));
}

// What a fake server's thread may still use when the test's body is over.
template <class T>
std::shared_ptr<std::atomic<T>> shared(T value) {
  return std::make_shared<std::atomic<T>>(value);
}

inline bool of_anybody(store::AutomationRow const&) { return true; }

inline Settings quick_settings() {
  Settings settings;
  settings.base_url = "http://gateway/api/automation";
  settings.watch_interval = 5ms;
  settings.scan_interval = 50ms;
  settings.delivery_pause_first = 0s;
  settings.private_callbacks = PrivateCallbacks::allow;
  return settings;
}

// Of the shape `export NAME='value'`, a line each.
inline std::map<std::string, std::string> variables_in(std::string const& text) {
  std::map<std::string, std::string> out;
  for (auto at = text.find("export "); at != text.npos; at = text.find("\nexport ", at + 1)) {
    auto const name = text.find("export ", at) + 7;
    auto const equals = text.find("='", name);
    auto const end = text.find("'\n", equals);
    out[text.substr(name, equals - name)] = text.substr(equals + 2, end - equals - 2);
  }
  return out;
}

class Automations : public testing::Test {
 protected:
  explicit Automations(std::string const& store_url = "sqlite::memory:") : backing(control, store_url) {
    auto owned = std::make_unique<test::FakeProvider>(agent.endpoint());
    provider = owned.get();
    conversation::ManagerSettings manager_settings;
    manager_settings.quota.in_all = 2;
    manager = std::make_unique<conversation::Manager>(control.executor(), std::move(owned), publisher, ring, *backing.store,
                                                      *backing.credentials, manager_settings);
    conversation::StartRequest request;
    request.id = id_of("c1");
    request.by = alice;
    EXPECT_TRUE(control.run(manager->start(std::move(request))));
  }
  ~Automations() override {
    if (service_) control.run(service_->stop(Deadline::in(0s)));
    control.run(manager->stop_all());
  }

  Service& service() {
    if (!service_) {
      service_ = std::make_unique<Service>(control.executor(), *manager, *backing.store, manager->gateway(), ring,
                                           std::move(settings));
      service_->start();
    }
    return *service_;
  }
  std::string add_upload() {
    store::UploadRow upload;
    upload.id = new_uuid();
    upload.tenant = caller.tenant;
    upload.status = "COMPLETED";
    auto id = upload.id;
    EXPECT_TRUE(control.run(rows.add_upload(std::move(upload), tarball_bytes)));
    return id;
  }
  static Policy into(std::string_view target) {
    Policy policy;
    policy.target = parse_target(target);
    return policy;
  }
  store::AutomationRow automation_row(Policy const& policy = into("conversation:c1")) {
    store::AutomationRow row;
    row.id = new_uuid();
    row.tenant = caller.tenant;
    row.owner = caller.owner;
    row.name = "nightly";
    row.trigger_json = R"({"type":"event","source":"custom","on":["a"]})";
    row.trigger_kind = "event";
    row.event_source = "custom";
    row.tarball_path = "oh-internal://uploads/" + add_upload();
    row.entrypoint = "python main.py";
    row.policy_json = to_json(policy);
    return row;
  }
  store::AutomationRow create(store::AutomationRow row) {
    auto created = control.run(service().create(std::move(row)));
    EXPECT_TRUE(created) << created.error().reason;
    return std::move(created->row);
  }
  store::AutomationRow create(Policy const& policy = into("conversation:c1")) { return create(automation_row(policy)); }
  store::RunRow dispatch(store::AutomationRow const& automation, std::string key = "") {
    auto run = control.run(service().dispatch(automation.id, of_anybody, std::move(key)));
    EXPECT_TRUE(run) << run.error().reason;
    return std::move(*run);
  }
  store::RunRow dispatch() { return dispatch(create()); }
  store::RunRow find(std::string id) { return control.run(rows.find_run(std::move(id))).value().value(); }
  store::AutomationRow find_automation(std::string id) { return control.run(rows.find(std::move(id))).value().value(); }
  store::RunRow until(std::string const& id, std::function<bool(store::RunRow const&)> const& holds) {
    auto const end = Clock::now() + std::chrono::milliseconds(test::patience_ms);
    for (;;) {
      auto run = find(id);
      if (holds(run)) return run;
      if (Clock::now() > end) {
        ADD_FAILURE() << "run is " << to_string(run.status) << ": " << run.error_detail;
        return run;
      }
      control.run(one_turn());
    }
  }
  store::RunRow until_settled(std::string const& id) {
    return until(id, [](store::RunRow const& run) { return is_terminal(run.status); });
  }
  store::RunRow until_dispatched(std::string const& id) {
    return until(id, [](store::RunRow const& run) { return !run.bash_command_id.empty(); });
  }
  // Its task is over.
  void until_idle() {
    control.run_until([this] { return service().stats().in_flight.read() == 0; });
  }
  static Task<> one_turn() { [[maybe_unused]] auto waited = co_await pause_for(1ms); }
  static std::string tarball_of(std::string const& run_id) { return "/tmp/automation-" + run_id + ".tar.gz"; }
  static std::string environment_file_of(std::string const& run_id) {
    return std::string(test::FakeAgent::private_folder) + "/automation-" + run_id + ".env";
  }
  // What a script of the run reads from its environment.
  std::map<std::string, std::string> environment_of(std::string const& run_id) {
    return variables_in(agent.upload(environment_file_of(run_id)).value_or(""));
  }
  Secret token_of(std::string const& run_id) { return ring->run_token(run_id); }
  Outcome<store::RunRow> report(std::string const& id, Report report, Secret token) {
    Reporter by;
    by.token = std::move(token);
    return control.run(service().report(id, std::move(report), std::move(by)));
  }
  static Report failure() {
    Report report;
    report.status = RunStatus::failed;
    report.error_detail = "boom";
    return report;
  }

  identity::Principal const alice{"alice", identity::Role::user, "alice"};
  Caller const caller = caller_of(alice);
  test::Gate gate;  // the agent's threads may wait at it
  test::FakeAgent agent;
  test::ScriptedServer sink;
  test::Control control;
  test::Backing backing;
  store::AutomationStore& rows = backing.store->automations();
  test::RecordingPublisher publisher;
  std::shared_ptr<identity::KeyRing const> ring = ring_of();
  test::FakeProvider* provider = nullptr;
  std::unique_ptr<conversation::Manager> manager;
  Settings settings = quick_settings();

 private:
  std::unique_ptr<Service> service_;
};

}  // namespace nestgate::automation
