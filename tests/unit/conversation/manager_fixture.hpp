#pragma once

// What the tests of the conversation manager share: ids, users, configurations, and gateways on one store and one engine.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "conversation/gateway_name.hpp"
#include "nestgate/conversation/manager.hpp"
#include "support/backing.hpp"
#include "support/control.hpp"
#include "support/fake_engine.hpp"
#include "support/fake_runtimes.hpp"
#include "support/temp_folder.hpp"

namespace nestgate::conversation {

inline ConversationId id_of(std::string_view text) { return ConversationId::parse(text).value(); }

inline std::shared_ptr<identity::KeyRing const> ring_of(std::string_view text = "0123456789abcdef0123456789abcdef") {
  std::vector<Secret> secrets;
  secrets.emplace_back(std::string(text));
  return std::make_shared<identity::KeyRing const>(identity::Derivation::sha256, std::move(secrets));
}

inline identity::Principal const ops{"ops", identity::Role::admin, ""};
inline identity::Principal user(std::string name) { return {name, identity::Role::user, name}; }

inline nested::Configuration with_token(std::string token) {
  nested::Configuration out;
  out.git_tokens.push_back({"github", Secret(std::move(token)), "", ""});
  return out;
}

inline nested::Configuration full_configuration() {
  auto out = with_token("ghp_x");
  out.settings_json = Secret(R"({"llm_model":"m"})");
  out.secrets.push_back({"NAME", Secret("value"), ""});
  return out;
}

inline StartRequest request_of(std::string_view id, std::string owner = "alice", nested::Configuration configuration = {}) {
  StartRequest request;
  if (!id.empty()) request.id = id_of(id);
  request.by = user(std::move(owner));
  request.configuration = std::move(configuration);
  return request;
}

// A gateway of this machine that ended without a word: its pid is another process's by now.
inline std::string dead_gateway_name() {
  auto name = make_gateway_name();
  name.erase(name.rfind('-'));
  return name.substr(0, name.rfind('-')) + "-1-1";
}

// Gateways on one store file and one engine. None sweeps unless it recovered, which `gateway` does at its first call.
class ManagerOnEngine : public testing::Test {
 protected:
  using Control = test::Control;

  struct Gateway {
    Gateway(Control& control, std::string const& url, test::Engine& engine, CredentialSettings credentials,
            ManagerSettings const& settings)
        : backing(control, url, std::move(credentials)),
          manager(control.executor(), std::make_unique<test::EngineProvider>(engine), publisher, ring_of(), *backing.store,
                  *backing.credentials, settings) {
      publisher.takes_its_time = true;
    }

    RuntimeRecordPtr record(std::string_view id) const {
      auto const found = publisher.records.find(id_of(id).canonical());
      return found == publisher.records.end() ? nullptr : found->second;
    }
    std::optional<RuntimeState> state(std::string_view id) const {
      auto const view = manager.find(id_of(id));
      return view ? std::optional(view->state) : std::nullopt;
    }
    bool is(std::string_view id, RuntimeState wanted) const {
      auto const known = record(id);
      return state(id) == wanted && known && known->state == wanted;
    }

    test::RecordingPublisher publisher;
    test::Backing backing;
    Manager manager;
  };
  ManagerOnEngine() {
    using namespace std::chrono_literals;
    settings.stop_poll_pause = 1ms;
    settings.follow_pause = 1ms;
    settings.reconcile_pause = 1h;
    settings.idle_sweep = 1h;
    settings.status_age_max = 1h;
  }
  ~ManagerOnEngine() override { close(); }

  void close() {
    engine.let_creates_go();
    for (auto& one : gateways_)
      if (one) control.run(one->manager.stop_all());
    control.run(joined(group_));
    gateways_.clear();
  }
  // The first one.
  Gateway& gateway() {
    if (gateways_.empty()) open();
    return *gateways_.front();
  }
  Manager& manager() { return gateway().manager; }
  Gateway& open() {
    gateways_.push_back(std::make_unique<Gateway>(control, url(), engine, credentials, settings));
    auto const recovered = control.run(gateways_.back()->manager.recover());
    EXPECT_TRUE(recovered) << recovered.error().reason;
    return *gateways_.back();
  }
  std::string url() const { return "sqlite:" + (folder.path() / "nestgate.db").string(); }

  Outcome<Started> start(std::string_view id, std::string owner = "alice", nested::Configuration configuration = {}) {
    return control.run(manager().start(request_of(id, std::move(owner), std::move(configuration))));
  }
  Outcome<View> stop(std::string_view id) { return control.run(manager().stop(id_of(id))); }
  Outcome<View> pause(std::string_view id) { return control.run(manager().pause(id_of(id))); }
  Outcome<View> resume(std::string_view id) { return control.run(manager().resume(id_of(id))); }
  bool wake(std::string_view id) { return control.run(manager().wake(id_of(id), Deadline::in(std::chrono::seconds(20)))); }
  void wait_for(std::string_view id, RuntimeState wanted) {
    control.run_until([&] { return gateway().is(id, wanted); });
  }
  // A row as the store has it.
  std::optional<store::ConversationRow> row(std::string_view id) {
    auto found = control.run(gateway().backing.store->find(id_of(id)));
    EXPECT_TRUE(found);
    return std::move(*found);
  }
  // Runs `task` while the test goes on; its value comes in what is returned.
  template <class T>
  std::shared_ptr<std::optional<T>> in_background(Task<T> task) {
    auto out = std::make_shared<std::optional<T>>();
    group_.spawn("background", keep(std::move(task), out));
    return out;
  }
  template <class T>
  T& value_of(std::shared_ptr<std::optional<T>> const& later) {
    control.run_until([&later] { return later->has_value(); });
    return **later;
  }
  std::size_t requests(std::string_view line) const {
    auto const lines = server.lines();
    return static_cast<std::size_t>(std::count(lines.begin(), lines.end(), line));
  }

  test::ScriptedServer server;
  Control control;
  test::TempFolder folder;
  test::Engine engine{control.executor(), server.endpoint()};
  CredentialSettings credentials;
  ManagerSettings settings;

 private:
  template <class T>
  static Task<> keep(Task<T> task, std::shared_ptr<std::optional<T>> out) {
    out->emplace(co_await std::move(task));
  }
  static Task<> joined(TaskGroup& group) { [[maybe_unused]] auto done = co_await group.join(); }

  TaskGroup group_{control.executor()};
  std::vector<std::unique_ptr<Gateway>> gateways_;
};

}  // namespace nestgate::conversation
