#pragma once

#include <map>
#include <memory>
#include <string>

#include "nestgate/net/task_group.hpp"
#include "nestgate/runtime/process_settings.hpp"
#include "nestgate/runtime/provider.hpp"

namespace nestgate::runtime {

// Runtimes as children of the gateway, one process group each (README.md).
class ProcessProvider final : public RuntimeProvider {
 public:
  // A failure (bad_input) when the command is empty or has an unknown placeholder.
  static Outcome<std::unique_ptr<RuntimeProvider>> make(ProcessSettings settings, Executor control);
  ~ProcessProvider() override;

  std::string_view name() const noexcept override { return "process"; }
  Task<Outcome<Instance>> create(Spec spec, Deadline by) override;
  Task<> destroy(ConversationId id, Leftovers leftovers) override;
  Task<> close() override;

 private:
  struct Runtime;
  using RuntimePtr = std::shared_ptr<Runtime>;

  ProcessProvider(ProcessSettings settings, Executor control);
  Outcome<RuntimePtr> launch(Spec spec);
  Task<> pump(RuntimePtr runtime);
  Task<> watch(RuntimePtr runtime);
  Task<Result<>> reaped(RuntimePtr runtime);
  Task<> end(RuntimePtr runtime);
  Task<> remove_files(std::filesystem::path folder);
  std::filesystem::path folder_of(ConversationId const& id) const { return settings_.workspace_dir / id.canonical(); }

  ProcessSettings settings_;
  std::string own_directory_;
  std::string search_path_;
  std::map<std::string, RuntimePtr> runtimes_;  // by canonical id
  TaskGroup tasks_;
};

}  // namespace nestgate::runtime
