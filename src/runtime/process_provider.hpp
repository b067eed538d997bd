#pragma once

#include <atomic>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "keeper_pool.hpp"
#include "nestgate/net/task_group.hpp"
#include "nestgate/runtime/process_settings.hpp"
#include "nestgate/runtime/provider.hpp"
#include "runtime_files.hpp"

namespace nestgate::runtime {

struct Launch;

// Runtimes as processes of this machine, each under a keeper (README.md).
class ProcessProvider final : public RuntimeProvider {
 public:
  ProcessProvider(ProcessSettings settings, Executor control);
  ~ProcessProvider() override;

  std::string_view name() const noexcept override { return "process"; }
  Traits traits() const noexcept override;
  Task<Outcome<Instance>> create(Spec spec, Deadline by) override;
  Task<Outcome<>> destroy(ConversationId id, Leftovers leftovers) override;
  Task<Outcome<std::optional<Found>>> inspect(ConversationId id) override;
  Task<Outcome<std::vector<Found>>> list() override;
  Task<Outcome<>> pause(ConversationId id) override;
  Task<Outcome<Instance>> resume(Spec spec, Deadline by) override;
  Task<Outcome<Instance>> assign(ConversationId dormant, Spec spec) override;
  Task<Outcome<CommandResult>> execute(ConversationId id, std::vector<std::string> command, Deadline by) override;
  Task<Outcome<std::string>> log(ConversationId id, std::size_t bytes_max) override;
  Task<Outcome<Usage>> usage(ConversationId id, Deadline by) override;
  Task<> close() override;

 private:
  struct Runtime;
  struct Execution;
  struct Programs;
  using RuntimePtr = std::shared_ptr<Runtime>;
  using ExecutionPtr = std::shared_ptr<Execution>;
  enum class Wanted : bool { running, paused };

  RuntimePtr find(ConversationId const& id) const;
  Outcome<> admit(Spec const& spec) const;
  Outcome<Programs> programs(Spec const& spec) const;
  Outcome<RuntimePtr> launch(Spec& spec, Programs programs, Place& place);
  Outcome<RuntimePtr> launch_in_its_folder(Spec& spec, Programs programs, Place& place);
  Outcome<> limit(Place& place, Spec const& spec, Launch& launch) const;
  Task<> watch(RuntimePtr runtime);
  Task<Result<>> reaped(RuntimePtr runtime);
  Task<> end(RuntimePtr runtime);
  Task<Outcome<>> bring(RuntimePtr runtime, Wanted wanted, Deadline by);
  Task<Result<>> answered(RuntimePtr runtime, std::uint64_t order);
  Task<> attend(RuntimePtr runtime, ExecutionPtr execution, std::string keeper, Launch launch);
  Task<Result<>> finished(ExecutionPtr execution);
  Task<Outcome<>> remove_files(ConversationId id);
  Found found(Runtime const& runtime) const;
  Found found(RuntimeFiles::Kept const& kept) const;

  ProcessSettings settings_;
  RuntimeFiles files_;
  std::map<std::string, RuntimePtr> runtimes_;  // by canonical id
  std::set<std::string> refused_;               // canonical ids whose files were asked for by another than their owner
  TaskGroup tasks_;
  KeeperPool keepers_;
  std::atomic<bool> stop_removing_ = false;
  asio::thread_pool remover_{1};  // a workspace may hold a million files, and the control core serves others meanwhile
  asio::thread_pool reader_{1};   // what is read of the disk does not wait behind that
};

}  // namespace nestgate::runtime
