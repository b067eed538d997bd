#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "nestgate/net/task_group.hpp"
#include "nestgate/runtime/provider.hpp"
#include "nestgate/runtime/remote_settings.hpp"
#include "service.hpp"

namespace nestgate::runtime::remote {

// A failure (bad_input) says which setting is wrong. That the API is there is asked of it at each call.
Outcome<std::unique_ptr<RuntimeProvider>> make_remote_provider(RemoteSettings settings, Executor control);

// Runtimes that a remote runtime API makes (README.md). What is known of them is the API's; here are only those that this
// gateway started or attached to, so that their ends can be told.
class RemoteProvider final : public RuntimeProvider {
 public:
  // `settings` have no problem; all that is waited for without an event is waited for by `pause`.
  RemoteProvider(RemoteSettings settings, Executor control, Pause pause);

  std::string_view name() const noexcept override { return "remote"; }
  Traits traits() const noexcept override { return {.outlives_gateway = true, .pauses = true, .stops_as_paused = true}; }
  Task<Outcome<Instance>> create(Spec spec, Deadline by) override;
  // Faults besides those of the interface: unavailable, timed_out, upstream (the API was away, or refused).
  Task<Outcome<>> destroy(ConversationId id, Leftovers leftovers) override;
  Task<Outcome<>> wait_ready(ConversationId id, Deadline by) override;
  Task<Outcome<std::optional<Found>>> inspect(ConversationId id) override;
  // Without addresses and keys: each would be a look-up of a name.
  Task<Outcome<std::vector<Found>>> list() override;
  Task<Outcome<>> pause(ConversationId id) override;
  Task<Outcome<Instance>> resume(Spec spec, Deadline by) override;
  Task<Outcome<std::string>> log(ConversationId id, std::size_t bytes_max) override;
  Task<Outcome<std::optional<bool>>> has_image(std::string image, Deadline by) override;
  void cut_short() override { service_.cut_short(); }
  Task<> close() override;

 private:
  struct Runtime;
  using RuntimePtr = std::shared_ptr<Runtime>;
  // What a start that fails takes back.
  enum class Undo : std::uint8_t { nothing, pause, stop };

  Deadline soon() const { return Deadline::in(settings_.call_time_max); }
  Task<Outcome<Session>> need(std::string_view step, ConversationId id, Deadline by);

  Task<Outcome<Instance>> start_or_attach(Spec const& spec, Undo& undo, Deadline by);
  Task<Outcome<Instance>> start(Spec const& spec, Undo& undo, bool existed, Deadline by);
  Task<Outcome<Instance>> wake(Spec const& spec, Session paused, Undo& undo, Deadline by);
  Task<Outcome<std::string>> image_for(Spec const& spec, Deadline by);
  Task<Outcome<std::string>> with_prefix(std::string image, Deadline by);
  Task<Outcome<Instance>> instance_of(Session const& session, Wish const& wish);
  Task<Outcome<Instance>> settled(Spec const& spec, Outcome<Instance> made, Undo undo);
  Task<Outcome<>> take_back(ConversationId id, Undo undo);
  Task<> take_back_until_done(ConversationId id);
  Task<Outcome<>> end(ConversationId id, Leftovers leftovers);

  void remember(Spec const& spec);
  RuntimePtr known(ConversationId const& id) const;
  // Not what a start has put in its place.
  void forget(RuntimePtr const& runtime);
  void watch();
  Task<> follow_list();
  Task<> look_at_all();
  Task<> look_at(RuntimePtr runtime);

  RemoteSettings settings_;
  Service service_;
  Pause pause_;
  std::map<std::string, RuntimePtr> runtimes_;  // by canonical id
  std::set<std::string> in_turn_;               // canonical ids that are being started
  std::map<std::string, Undo> to_take_back_;    // by canonical id: failed starts whose remains could not be ended yet
  std::optional<std::string> registry_prefix_;
  bool is_watching_ = false;
  TaskGroup tasks_;
};

}  // namespace nestgate::runtime::remote
