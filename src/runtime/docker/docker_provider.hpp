#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "engine.hpp"
#include "nestgate/net/task_group.hpp"
#include "nestgate/runtime/docker_settings.hpp"
#include "nestgate/runtime/provider.hpp"
#include "plan.hpp"

namespace nestgate::runtime::docker {

// A failure (bad_input) says which setting is wrong. That the engine is there is asked of it at each call.
Outcome<std::unique_ptr<RuntimeProvider>> make_docker_provider(DockerSettings settings, Executor control);

// Runtimes as containers of a Docker engine (README.md). What is known of them is the engine's; here are only those that
// this gateway started or adopted, so that their ends can be told.
class DockerProvider final : public RuntimeProvider {
 public:
  DockerProvider(DockerSettings settings, Engine engine, Executor control);

  std::string_view name() const noexcept override { return "docker"; }
  Traits traits() const noexcept override { return {.outlives_gateway = true, .pauses = true, .assigns = true}; }
  Task<Outcome<Instance>> create(Spec spec, Deadline by) override;
  // Faults besides those of the interface: unavailable, timed_out (the engine was away for all of its tries).
  Task<Outcome<>> destroy(ConversationId id, Leftovers leftovers) override;
  Task<Outcome<>> wait_ready(ConversationId id, Deadline by) override;
  Task<Outcome<std::optional<Found>>> inspect(ConversationId id) override;
  Task<Outcome<std::vector<Found>>> list() override;
  Task<Outcome<>> pause(ConversationId id) override;
  Task<Outcome<Instance>> resume(Spec spec, Deadline by) override;
  Task<Outcome<Instance>> assign(ConversationId dormant, Spec spec) override;
  Task<Outcome<CommandResult>> execute(ConversationId id, std::vector<std::string> command, Deadline by) override;
  Task<Outcome<std::string>> log(ConversationId id, std::size_t bytes_max) override;
  Task<Outcome<Usage>> usage(ConversationId id, Deadline by) override;
  // Asks the engine, and where a start would pull, the registry by the engine.
  Task<Outcome<std::optional<bool>>> has_image(std::string image, Deadline by) override;
  void cut_short() override { engine_.cut_short(); }
  Task<> close() override;

 private:
  struct Runtime;
  using RuntimePtr = std::shared_ptr<Runtime>;

  Deadline soon() const { return Deadline::in(settings_.call_time_max); }
  std::chrono::seconds stop_grace() const { return std::chrono::ceil<std::chrono::seconds>(settings_.stop_grace); }
  Task<Outcome<std::optional<Container>>> find_ours(ConversationId id);
  Task<Outcome<Container>> need_ours(std::string_view step, ConversationId id);

  Task<Outcome<Instance>> make_or_adopt(Spec const& spec, std::string const& start, Deadline by);
  Task<Outcome<std::string>> make(Spec const& spec, std::string const& start, Deadline by);
  Task<Outcome<>> make_volumes(Spec const& spec, std::string const& start, Deadline by);
  Task<Outcome<>> pull(ConversationId id, std::string image, Deadline by);
  Task<Outcome<std::optional<Instance>>> adopt(Spec const& spec, Container found, Deadline by);
  Task<Outcome<Instance>> bring_up(Container const& found, Deadline by);
  Task<Outcome<>> start_or_thaw(Container const& found, Deadline by);
  Task<Outcome<>> put_back(Container const& found);
  Task<Outcome<Instance>> started(std::string handle, Deadline by);
  Task<Found> found_of(ConversationId id, Container const& container);
  Task<Outcome<Instance>> instance_of(Container const& container);
  Task<Result<asio::ip::address>> engine_host();
  Task<Failure> ended_failure(std::string_view step, Container const& container);

  Task<Outcome<>> discard(ConversationId id, std::string start);
  Task<> discard_until_done(ConversationId id);
  Task<Outcome<>> end(ConversationId id, Leftovers leftovers);
  Task<Outcome<>> stop(Container const& container);
  Task<Outcome<>> remove(ConversationId id, Container const& container);
  Task<Outcome<>> remove_volumes(std::vector<std::string> names);

  void remember(Spec const& spec, std::string const& handle);
  // Fault: conflict (it was ended meanwhile).
  Outcome<> settle(ConversationId const& id);
  RuntimePtr known(ConversationId const& id) const;
  void forget(ConversationId const& id) { runtimes_.erase(id.canonical()); }
  // Not what a start has put in its place.
  void forget(RuntimePtr const& runtime);
  bool is_known(Runtime const& runtime) const;
  bool is_in_use(ConversationId const& id, Container const& container) const;

  void watch();
  Task<> follow_events();
  void on_event(Event const& event);
  Task<> look_at_all();
  void begin_look(RuntimePtr const& runtime);
  Task<> look_at(RuntimePtr runtime);
  Task<std::optional<std::string>> end_of(RuntimePtr runtime);

  DockerSettings settings_;
  Engine engine_;
  std::optional<asio::ip::address> engine_host_;
  std::map<std::string, RuntimePtr> runtimes_;     // by canonical id
  std::set<std::string> in_turn_;                  // canonical ids that are being started or given away
  std::map<std::string, std::string> to_discard_;  // by canonical id: starts whose remains could not be taken away yet
  std::chrono::nanoseconds events_since_{};        // by the engine's clock
  bool is_watching_ = false;
  TaskGroup tasks_;
};

}  // namespace nestgate::runtime::docker
