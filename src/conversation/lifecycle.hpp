#pragma once

#include "nestgate/conversation/start_machine.hpp"
#include "registry.hpp"
#include "warm_pool.hpp"

namespace nestgate::conversation {

// What happens to one conversation: start, stop, pause, removal, a new configuration. At most one task works on a
// conversation at a time; whoever comes meanwhile waits for it. On the control core.
class Lifecycle {
 public:
  // All outlive it.
  Lifecycle(Executor control, Registry& registry, runtime::RuntimeProvider& provider, Credentials& credentials,
            WarmPool& warm, ManagerSettings const& settings);

  // What Manager says of the calls of the same name.
  Task<Outcome<Started>> start(StartRequest request);
  Task<Outcome<Started>> begin_start(StartRequest request);
  Task<Outcome<View>> resume(ConversationId id);
  Task<Outcome<View>> begin_resume(ConversationId id);
  Task<Outcome<View>> stop(ConversationId id);
  Task<Outcome<View>> pause(ConversationId id);
  Task<Outcome<>> remove(ConversationId id);
  Task<Outcome<View>> reconfigure(ConversationId id, nested::Configuration change);
  Task<Outcome<View>> withdraw_key(ConversationId id);

  // Begin a task for a conversation that nothing works on.
  void begin_end(ConversationPtr c, Closed why);
  void begin_pause(ConversationPtr c, Closed why);
  void begin_removal(ConversationPtr c);
  void begin_restart(ConversationPtr c);
  // New git tokens for a running one.
  void begin_refresh(ConversationPtr c);
  // Of one that runs already: its git tokens are due at once, since nobody knows how old they are.
  void refresh_soon(Conversation& c, Secret const& configuration_json);
  void take_title(ConversationPtr c, std::string title);
  // The runtime of a conversation ended by itself.
  void runtime_ended(ConversationPtr c, std::string reason);
  // Asks the gateway that holds a paused one to resume it; returns once it begins to, or does something else with it.
  // Faults: cancelled, timed_out, unavailable.
  Task<Outcome<>> until_roused_elsewhere(ConversationPtr c, Deadline by);
  // Tells a dormant server its key, as soon as it answers; one that was told it before is taken as it is.
  Task<Outcome<>> awaken(ConversationPtr c, Secret boot_key, Deadline by);
  // Destroys as often as it takes, or as `releases_max` allows.
  Task<Outcome<>> release(ConversationId id, runtime::Leftovers leftovers);

  TaskGroup& tasks() noexcept { return tasks_; }

 private:
  // What one start is made of.
  struct Work;
  using WorkPtr = std::shared_ptr<Work>;
  struct Admitted {
    ConversationPtr conversation;
    Started::What what;
  };
  enum class Until : std::uint8_t { admitted, settled };

  Task<Outcome<View>> stop_now(ConversationId id);
  Task<Outcome<View>> pause_now(ConversationId id);
  Task<Outcome<>> remove_now(ConversationId id);

  Task<Outcome<Started>> start_until(StartRequest request, Until until);
  Outcome<Admitted> admit(StartRequest& request);
  bool make_room();
  void begin(ConversationPtr c, StartRequest request);
  Task<Outcome<>> until_admitted(ConversationPtr c);
  Task<Outcome<View>> resume_until(ConversationId id, Until until);
  Task<Outcome<>> until_down_elsewhere(ConversationPtr c, std::string wish);
  Task<Outcome<>> take_over(ConversationPtr c);

  Task<> drive(ConversationPtr c, WorkPtr work);
  Task<StartMachine::Event> perform(StartStep step, ConversationPtr c, WorkPtr work);
  Task<Outcome<>> run_step(StartStep step, ConversationPtr c, WorkPtr work);
  Task<StartMachine::Event> claim(ConversationPtr c, WorkPtr work);
  void take_claim(Conversation& c, Work& work, store::ConversationRow& row);
  Task<bool> close_for_room(ConversationPtr c, store::QuotaKind kind);
  Task<Outcome<>> create(ConversationPtr c, WorkPtr work);
  Task<Outcome<runtime::Instance>> make_instance(ConversationPtr c, WorkPtr work);
  Task<Outcome<>> wait_ready(ConversationPtr c, WorkPtr work);
  Task<Outcome<>> start_server(ConversationPtr c, WorkPtr work, Deadline by);
  Task<Outcome<>> configure(ConversationPtr c, WorkPtr work);
  Task<Outcome<>> begin_conversation(ConversationPtr c, WorkPtr work);
  Task<Outcome<>> go_up(ConversationPtr c, WorkPtr work);
  Task<> settle(ConversationPtr c, WorkPtr work, StartMachine::Settle outcome);
  Task<> freeze_again(ConversationPtr c, WorkPtr work);
  Task<> settle_refused(ConversationPtr c, WorkPtr work, std::string reason);
  Task<> settle_elsewhere(ConversationPtr c, WorkPtr work);
  void take_back(Conversation& c, Work& work);
  Task<> abandon(ConversationPtr c);

  Task<> end(ConversationPtr c, Closed why, bool is_running);
  Task<> freeze(ConversationPtr c, Closed why);
  Task<> bury(ConversationPtr c, bool is_running);
  Task<> tell_server_to_stop(ConversationPtr c);
  Task<> die(ConversationPtr c, std::string reason);
  Task<> refresh_tokens(ConversationPtr c);
  Task<Outcome<>> tell(ConversationPtr c, nested::Configuration change);
  Task<Outcome<>> tell_and_keep(ConversationPtr c, nested::Configuration change);
  Task<> save(ConversationPtr c);
  Task<> save_and_publish(ConversationPtr c);

  Registry& registry_;
  runtime::RuntimeProvider& provider_;
  Credentials& credentials_;
  WarmPool& warm_;
  ManagerSettings const& settings_;
  TaskGroup tasks_;
};

// The members that `change` has replace those of `configuration`; secrets and tokens by name.
void merge(nested::Configuration& configuration, nested::Configuration change);

}  // namespace nestgate::conversation
