#pragma once

// Runtimes that are small shell scripts, for tests of the process provider.

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/types.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/runtime/factory.hpp"
#include "runtime/cgroup.hpp"
#include "runtime/process_provider.hpp"
#include "support/control.hpp"
#include "support/temp_folder.hpp"

namespace nestgate::runtime {

inline ConversationId id_of(std::string_view text) { return ConversationId::parse(text).value(); }

inline bool is_gone(pid_t pid) { return ::kill(pid, 0) != 0; }

// Whether this process may make control groups that hold what a runtime may use.
inline bool has_groups() {
  static bool const answer = [] {
    auto parent = CgroupParent::make();
    bool const all = parent && parent->has(Controller::memory) && parent->has(Controller::pids) &&
                     parent->has(Controller::cpu) && parent->has(Controller::freezer);
    if (parent) parent->remove();
    return all;
  }();
  return answer;
}

// Each test holds with control groups and without.
class ProcessRuntimes : public testing::TestWithParam<Grouping> {
 protected:
  void SetUp() override {
    settings.cgroup = GetParam();
    if (settings.cgroup == Grouping::automatic && !has_groups()) GTEST_SKIP() << "no control groups can be made here";
  }
  ~ProcessRuntimes() override {
    if (provider_) control.run(provider_->close());
  }

  RuntimeProvider& provider() {
    if (!provider_) {
      if (settings.workspace_dir == ProcessSettings{}.workspace_dir) settings.workspace_dir = folder.path();
      provider_ = std::make_unique<ProcessProvider>(settings, control.executor());
      provider_->on_end([this](ConversationId const& id, Epoch epoch, std::string reason) {
        ends.push_back(id.text() + " " + std::to_string(epoch.get()) + " " + reason);
      });
    }
    return *provider_;
  }
  void script(std::string text) {
    settings.command = {"/bin/sh", "-c", std::move(text), "sh", "{port}", "{id}", "{workspace}"};
  }
  static Spec spec_of(std::string_view id, std::string owner = "alice") {
    return Spec{id_of(id), Epoch{7}, Secret("the-key"), std::move(owner)};
  }
  Outcome<Instance> create(Spec spec) { return control.run(provider().create(std::move(spec), in_time())); }
  Outcome<Instance> create(std::string_view id, std::string owner = "alice") {
    return create(spec_of(id, std::move(owner)));
  }
  Outcome<> destroy(std::string_view id, Leftovers leftovers = Leftovers::keep) {
    return control.run(provider().destroy(id_of(id), leftovers));
  }
  static Deadline in_time() { return Deadline::in(std::chrono::seconds(20)); }
  // As when the gateway is started anew.
  void restart() {
    control.run(provider().close());
    provider_.reset();
  }
  std::filesystem::path folder_of(std::string_view id) const { return folder.path() / id; }
  // Waits until the runtime has written a whole line to a file in its workspace.
  std::string line_in(std::string_view id, std::string_view name) {
    auto const path = folder_of(id) / "workspace" / name;
    control.run_until([&path] { return test::read_file(path).ends_with('\n'); });
    auto text = test::read_file(path);
    text.pop_back();
    return text;
  }
  pid_t pid_in(std::string_view id, std::string_view name) { return static_cast<pid_t>(std::stol(line_in(id, name))); }
  void wait_for_end() {
    control.run_until([this] { return !ends.empty(); });
  }

  test::TempFolder folder;
  test::Control control;
  ProcessSettings settings;
  std::vector<std::string> ends;

 private:
  std::unique_ptr<RuntimeProvider> provider_;
};

// What a runtime does that only waits.
inline constexpr auto stay = "echo $$ > pid; while :; do /bin/sleep 60 & wait $!; done";
// What leaves the server's process group and session: by itself, deaf to hangups, and by a parent that is gone.
inline constexpr auto run_away =
    "/usr/bin/setsid /bin/sh -c 'echo $$ > far; exec /bin/sleep 600' & "
    "/usr/bin/nohup /usr/bin/setsid /bin/bash -c 'echo $$ > deaf; sleep 600' >/dev/null 2>&1 & "
    "(/usr/bin/setsid /bin/sh -c 'trap \"\" TERM HUP; echo $$ > orphan; /bin/sleep 600; :' & ) & "
    "while ! [ -s far ] || ! [ -s deaf ] || ! [ -s orphan ]; do /bin/sleep 0.01; done; ";

}  // namespace nestgate::runtime
