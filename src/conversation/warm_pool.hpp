#pragma once

#include <deque>
#include <map>
#include <optional>

#include "registry.hpp"

namespace nestgate::conversation {

// Dormant runtimes that wait to become somebody's. Each has a random boot key, a name of its own and a row in the store,
// so that whoever comes after this gateway knows them for what they are. On the control core.
class WarmPool {
 public:
  // All outlive it.
  WarmPool(Executor control, Registry& registry, runtime::RuntimeProvider& provider, ManagerSettings const& settings);

  // Whether an id is one of the pool's, of any gateway. Nobody else may have such an id.
  static bool is_warm_id(ConversationId const& id) noexcept;

  // Makes what is missing, in the background; a failure is tried again by the next call.
  void refill();
  // A runtime that listens and is now `spec`'s; its server waits for its real key. Nothing: none was ready, or none could
  // be assigned.
  struct Warm {
    runtime::Instance instance;
    Secret boot_key;
  };
  Task<std::optional<Warm>> take(runtime::Spec spec);
  // A dormant runtime ended by itself. False: it is none of the pool's.
  bool ended(ConversationId const& id);
  // Whether this pool still works on that id: makes it, offers it or ends it.
  bool is_busy_with(ConversationId const& id) const { return epochs_.contains(id.canonical()); }
  // Ends the ones that wait and joins.
  Task<> close();

 private:
  struct Ready {
    ConversationId id;
    Secret boot_key;
  };
  Task<> make();
  Task<Outcome<>> start(ConversationId const& id, Secret const& boot_key);
  Task<> discard(ConversationId id);
  Task<> forget(ConversationId id);
  void note_size();

  Registry& registry_;
  runtime::RuntimeProvider& provider_;
  ManagerSettings const& settings_;
  std::deque<Ready> ready_;
  std::map<std::string, Epoch> epochs_;  // of all that it works on, by canonical id
  std::uint32_t in_making_ = 0;
  bool is_closing_ = false;
  TaskGroup tasks_;
};

}  // namespace nestgate::conversation
