#pragma once

#include <array>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nestgate/base/counter.hpp"
#include "nestgate/conversation/directory.hpp"
#include "nestgate/conversation/start_machine.hpp"
#include "nestgate/identity/api_key.hpp"
#include "nestgate/identity/session_key.hpp"
#include "nestgate/nested/client.hpp"
#include "nestgate/net/task_group.hpp"
#include "nestgate/runtime/provider.hpp"
#include "nestgate/upstream/resolve.hpp"

namespace nestgate::conversation {

using upstream::Failure;
using upstream::Outcome;

struct ManagerSettings {
  std::chrono::milliseconds ready_time_max{120'000};          // from the process's start until /alive
  std::chrono::milliseconds configure_step_time_max{30'000};  // providers validate tokens online
  std::chrono::milliseconds stop_call_time_max{5'000};        // the graceful stop, before the runtime is ended
  std::chrono::milliseconds resolve_time_max{5'000};          // a static runtime's name, each try
  std::chrono::milliseconds resolve_pause{5'000};             // between two tries
  std::uint32_t conversations_max = 10'000;                   // known ones, stopped included; failed starts make room
};

struct StartRequest {
  std::optional<ConversationId> id;  // nothing: one is made
  identity::Principal by;
  nested::Configuration configuration;
};

// `[[runtime.static]]`: a nested server that someone else runs.
struct StaticRuntime {
  ConversationId id;
  std::string url;                                           // http, without path
  std::optional<Secret> session_key;                         // nothing: the derived key
  std::vector<std::pair<std::string, std::uint16_t>> ports;  // name and number, on the same host
};

enum class Origin : std::uint8_t { managed, fixed };

// What is known of a conversation at one moment.
struct View {
  ConversationId id;
  Origin origin = Origin::managed;
  RuntimeState state = RuntimeState::starting;
  std::string reason;  // of state error; one sentence without secrets
  std::string owner;
  Epoch epoch{0};
  std::chrono::system_clock::time_point created_at;
  std::chrono::system_clock::time_point changed_at;
  asio::ip::tcp::endpoint endpoint;  // while running
  Secret session_key;                // while running
};

// A conversation's place in the list; it stays where it is when the conversation is gone.
struct Position {
  std::chrono::system_clock::time_point created_at;
  std::string canonical_id;
};

struct Page {
  std::vector<View> views;
  bool has_more = false;
};

struct Started {
  enum class What : std::uint8_t { made, joined } what;  // joined: the conversation was known already
  View view;
};

struct ManagerStats {
  Counter starts, start_failures, deaths;
  std::array<Gauge, 6> runtimes;  // by RuntimeState
};

// The conversations and their runtimes: one runtime for an id, started once however many ask. Lives on the control core;
// its calls may be awaited by anyone there. What it does for a conversation goes on when the caller is cancelled.
class Manager {
 public:
  // Told of every change of state; for the log.
  using OnChange = std::function<void(ConversationId const& id, RuntimeState state, std::string_view reason)>;

  // `publisher` outlives the manager.
  Manager(Executor control, std::unique_ptr<runtime::RuntimeProvider> provider, DirectoryPublisher& publisher,
          std::shared_ptr<identity::KeyRing const> keys, ManagerSettings settings);
  ~Manager();

  void on_change(OnChange listener) { on_change_ = std::move(listener); }

  // Returns when the conversation runs, or with why it does not. A start of one that starts joins it; of one that is
  // stopped or in error starts it anew. Faults: conflict (another's id), overloaded (a limit), unavailable (it closes),
  // and those of the steps.
  Task<Outcome<Started>> start(StartRequest request);
  // Resolves the host and publishes it as running, in place of an earlier one of that id, whose streams end. Faults:
  // bad_input (URL), conflict (a started conversation's id), cancelled (put anew or removed meanwhile), and upstream or
  // timed_out (the name): then the earlier one stays, or it is published as starting, and the name is tried until found.
  Task<Outcome<>> put_static(StaticRuntime fixed);
  // Forgets a static runtime; its streams end. Nothing for any other id.
  Task<> remove_static(ConversationId id);
  // Returns when it is stopped; at once when it is already. Faults: not_found, conflict (a static runtime).
  Task<Outcome<View>> stop(ConversationId id);
  // Stops, removes its files and forgets it. Faults as stop, and internal: files remain, and the conversation with them.
  Task<Outcome<>> remove(ConversationId id);
  // New secrets: what clients may present changes at once, runtimes keep the key that they were started with.
  Task<> replace_keys(std::shared_ptr<identity::KeyRing const> keys);
  // No new starts from now on. Whoever waits for a start, stop or removal is told so at once (unavailable); starts under
  // way are cut short, and what they made is ended behind them.
  void begin_closing();
  // begin_closing, then ends every managed runtime, all at once, and joins the manager's tasks.
  Task<> stop_all();

  std::optional<View> find(ConversationId const& id) const;
  // The state of that life of a conversation; nothing when there is none such, or another one began.
  std::optional<RuntimeState> state_of(ConversationId const& id, Epoch epoch) const;
  // Whether there is such a conversation, and `by` may use it.
  bool knows(ConversationId const& id, identity::Principal const& by) const;
  // Those that `by` may use, newest first, at most `limit` behind `after`.
  Page list(identity::Principal const& by, std::size_t limit, std::optional<Position> const& after) const;
  ManagerStats const& stats() const noexcept { return stats_; }

 private:
  struct Conversation;
  using ConversationPtr = std::shared_ptr<Conversation>;

  Outcome<ConversationPtr> admit(StartRequest& request);
  void begin(ConversationPtr c, nested::Configuration configuration);
  Task<> drive(ConversationPtr c, nested::Configuration configuration);
  Task<StartMachine::Event> perform(StartStep step, ConversationPtr c, nested::Configuration const& configuration);
  Task<Outcome<>> create(ConversationPtr c);
  Task<Outcome<>> wait_ready(ConversationPtr c);
  Task<Outcome<>> configure(ConversationPtr c, nested::Configuration const& configuration);
  Task<Result<upstream::Endpoints>> look_up(upstream::Url const& url);
  Task<> place_once_found(ConversationPtr c, StaticRuntime fixed, upstream::Url url, unsigned turn);
  Task<> place(ConversationPtr c, StaticRuntime fixed, upstream::Endpoints found);
  void take_key(Conversation& c, StaticRuntime const& fixed) const;
  bool is_latest(Conversation const& c, unsigned turn) const;
  Task<> end_running(ConversationPtr c);
  Task<> bury(ConversationPtr c);
  Task<> publish(ConversationPtr c);
  Task<Outcome<>> until_idle(ConversationPtr c);
  bool make_room();
  void forget(Conversation& c);
  void begin_end(ConversationPtr c);
  void done(Conversation& c);
  void runtime_ended(ConversationId const& id, Epoch epoch, std::string reason);
  void change(Conversation& c, RuntimeState state, std::string reason = {});
  View view_of(Conversation const& c) const;
  ConversationPtr lookup(ConversationId const& id) const;

  std::unique_ptr<runtime::RuntimeProvider> provider_;
  DirectoryPublisher& publisher_;
  std::shared_ptr<identity::KeyRing const> keys_;
  ManagerSettings settings_;
  OnChange on_change_;
  ManagerStats stats_;
  std::uint64_t epochs_ = 0;
  bool is_closing_ = false;
  std::map<std::string, ConversationPtr> conversations_;  // by canonical id
  TaskGroup tasks_;
  TaskGroup look_ups_;  // of static runtimes whose names are not found yet
};

}  // namespace nestgate::conversation
