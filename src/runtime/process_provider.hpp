#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "nestgate/net/task_group.hpp"
#include "nestgate/runtime/process_settings.hpp"
#include "nestgate/runtime/provider.hpp"

namespace nestgate::runtime {

// Runtimes as processes of this machine, each under a keeper (README.md).
class ProcessProvider final : public RuntimeProvider {
 public:
  ProcessProvider(ProcessSettings settings, Executor control);
  ~ProcessProvider() override;

  std::string_view name() const noexcept override { return "process"; }
  Task<Outcome<Instance>> create(Spec spec, Deadline by) override;
  Task<Outcome<>> destroy(ConversationId id, Leftovers leftovers) override;
  Task<> close() override;

 private:
  struct Runtime;
  using RuntimePtr = std::shared_ptr<Runtime>;

  Outcome<RuntimePtr> launch(Spec spec);
  Outcome<> claim(std::filesystem::path const& folder, Spec const& spec);
  Task<> pump(RuntimePtr runtime);
  Task<> watch(RuntimePtr runtime);
  Task<Result<>> reaped(RuntimePtr runtime);
  Task<> end(RuntimePtr runtime);
  Task<Outcome<>> remove_files(ConversationId id);
  void remove_old_trash();
  std::filesystem::path folder_of(ConversationId const& id) const { return settings_.workspace_dir / id.canonical(); }
  std::filesystem::path trash_of(ConversationId const& id) const;

  ProcessSettings settings_;
  std::map<std::string, RuntimePtr> runtimes_;  // by canonical id
  std::set<std::string> claimed_;               // canonical ids whose files are a conversation's of now, to remove
  TaskGroup tasks_;
  std::atomic<bool> stop_removing_ = false;
  asio::thread_pool remover_{1};  // a workspace may hold a million files, and the control core serves others meanwhile
};

}  // namespace nestgate::runtime
