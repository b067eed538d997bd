#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "nestgate/conversation/manager.hpp"

namespace nestgate::conversation {

// Everything that the control core knows of one conversation.
struct Conversation {
  Conversation(Executor executor, ConversationId i);

  // Why a start is to end early; looked at when `trip` goes.
  struct Interrupt {
    enum class Why : std::uint8_t { died, stop_asked, closing } why;
    std::string reason;  // of a death
  };
  // The first reason counts: a runtime that is told to stop dies, and one that died needs no telling.
  void interrupt_start(Interrupt why);
  // A task starts it, or has just done so.
  bool starts() const noexcept { return is_busy && (state == RuntimeState::starting || state == RuntimeState::running); }
  // What was noted as a death is a restart from now on.
  void note_restart();
  // A user's act may start or resume it.
  bool wakes() const noexcept;
  bool is_idle_in(RuntimeState wanted) const noexcept { return !is_busy && state == wanted; }

  ConversationId id;
  Origin origin = Origin::managed;
  Purpose purpose = Purpose::conversation;
  std::string owner;
  std::string organisation;
  RuntimeState state = RuntimeState::stopped;
  std::string reason;
  std::string progress;
  Closed closed = Closed::no;
  Epoch epoch{0};
  std::uint64_t key_generation = 0;
  std::uint64_t version = 0;
  std::chrono::system_clock::time_point created_at = std::chrono::system_clock::now();
  std::chrono::system_clock::time_point changed_at = created_at;
  std::chrono::system_clock::time_point last_act_at = created_at;
  upstream::Place endpoint;
  std::vector<DeclaredPort> ports;
  Secret session_key;        // what its server is sent
  bool has_own_key = false;  // given by settings or the provider: no secret derives it
  std::string spec_id;
  std::string image;
  About about;
  std::uint32_t units = 1;  // of resources
  std::string handle;
  // Why its runtime ended by itself; until it is started again.
  std::optional<std::string> death;
  Restarts restarts;
  nested::Dialect dialect = nested::Dialect::unknown;
  nested::Status nested_status;
  Clock::time_point status_at{};                                    // of the last look; the epoch: never
  mutable bool status_is_wanted = false;                            // somebody was shown it since
  std::optional<std::chrono::system_clock::time_point> refresh_at;  // of its git tokens
  std::optional<Interrupt> interrupt;
  FaultKind failure_kind = FaultKind::upstream;  // of state error: what a starter is told
  std::optional<Failure> refusal;                // of the last start, when it left no trace
  std::optional<Failure> removal_failure;        // of the last removal, until the next start
  std::string asked = {};      // of one elsewhere: what its gateway was asked to do, and did not take up yet
  unsigned puts = 0;           // of a static runtime: only the latest counts
  std::string url = {};        // of a static runtime, as it was put
  bool is_routed = false;      // a static runtime that was put through the API, not by the settings
  bool is_busy = false;        // a task works on it; the only one
  bool is_being_told = false;  // its running server gets a new configuration
  bool is_admitted = false;    // its start has passed the quota and is remembered
  bool is_remembered = false;  // the store has a row of it
  bool is_held = false;        // this gateway holds that row
  bool is_elsewhere = false;   // another gateway on the store works on it or serves it
  bool is_unknown = false;     // what runs of it cannot be looked at yet, so nothing is done with it
  bool was_made = false;       // the provider made a runtime for it at least once
  bool has_run = false;        // and it ran: it may hold somebody's work
  bool left_behind = false;    // something of it may still be there, for the reconciler to release
  bool is_announced = false;   // somebody was shown its start before it succeeded or failed
  bool is_forgotten = false;
  Timer idle;     // cancelled when the task is done and what it published is known to every core, or the server is told
  Timer trip;     // cancelled to end a start
  Timer changed;  // cancelled at each change of `version`
};
using ConversationPtr = std::shared_ptr<Conversation>;

// Why a client's runtime cannot be changed: it comes from the settings or the routes API.
Failure static_runtime_failure();
Failure unknown_conversation();
Failure closing_failure();
Failure unknown_runtime_failure();

// The table of conversations, and the one place that tells others of a change: the cores, the store, the log, who waits.
// On the control core.
class Registry {
 public:
  Registry(Executor control, DirectoryPublisher& publisher, store::Store& store,
           std::shared_ptr<identity::KeyRing const> keys, std::string gateway, std::shared_ptr<ClientTls const> nested_tls);

  ConversationPtr find(ConversationId const& id) const;
  // One that is started and stopped here. Faults: not_found, conflict (a static runtime).
  Outcome<ConversationPtr> find_managed(ConversationId const& id) const;
  ConversationPtr find_by_key(std::string_view session_key) const;
  ConversationPtr add(ConversationId id, Origin origin);
  // The table's part of it; cores and store are the caller's business.
  void forget(Conversation& c);
  // Static runtimes aside.
  std::size_t managed() const noexcept { return managed_; }
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (auto const& [id, c] : by_id_) visit(c);
  }
  // A copy: who awaits something for each must not walk the table itself.
  std::vector<ConversationPtr> all() const;

  // Changes the state, counts it, tells the log and who waits. Neither published nor saved yet.
  void change(Conversation& c, RuntimeState state, std::string reason = {});
  void note_progress(Conversation& c, std::string_view progress);
  // What is kept of it besides its state is another one now.
  void note_changed(Conversation& c);
  // `own`: given by settings or the provider; nothing: the derived one. `generation`: of its clients' keys, where it is
  // another one than before.
  void take_key(Conversation& c, std::optional<Secret> own, std::optional<std::uint64_t> generation = {});
  // Clients get the next generation's key from now on.
  void withdraw_client_key(Conversation& c);

  RuntimeRecordPtr record_of(Conversation const& c) const;
  // The record is made anew for each call, so that the last one always says what is so now.
  Task<> publish(ConversationPtr c);
  // Every core forgets it.
  Task<> withdraw(ConversationPtr c);
  // What the store is told of it now. `phase`: where it is not what the state says.
  store::ConversationRow row_of(Conversation const& c, std::optional<store::Phase> phase = {}) const;
  // Faults: conflict (another gateway works on it), unavailable.
  Task<Outcome<>> save(ConversationPtr c, std::optional<store::Phase> phase = {});
  // Takes over what a row says of it, but for what is going on here.
  void load(Conversation& c, store::ConversationRow& row);

  // Waits until no task works on it. Faults: cancelled, unavailable (the gateway closes).
  Task<Outcome<>> until_idle(ConversationPtr c);
  // Waits until nobody tells its server a new configuration. Faults: as until_idle.
  Task<Outcome<>> until_told(ConversationPtr c);
  // Waits for a version other than `seen`. Faults: cancelled, unavailable, timed_out.
  Task<Outcome<>> until_changed(ConversationPtr c, std::uint64_t seen, Deadline by);
  // Waits for another version than it has now, or for the end of the task that works on it. Faults: the same.
  Task<Outcome<>> until_next(ConversationPtr c, Deadline by);
  void done(Conversation& c);

  View view_of(Conversation const& c) const;
  // What its clients show, whether it runs or not.
  Secret client_key_of(Conversation const& c) const;
  Page list(identity::Principal const& by, std::size_t limit, std::optional<Position> const& after,
            Filter const& filter) const;

  void close();
  bool is_closing() const noexcept { return is_closing_; }
  void use_keys(std::shared_ptr<identity::KeyRing const> keys);
  identity::KeyRing const& keys() const noexcept { return *keys_; }
  store::Store& store() noexcept { return store_; }
  DirectoryPublisher& publisher() noexcept { return publisher_; }
  std::string const& gateway() const noexcept { return gateway_; }
  Epoch next_static_epoch() noexcept { return Epoch{++static_epochs_}; }

  ManagerStats stats;
  Manager::OnChange on_change;

 private:
  template <class Visit>
  void for_each_key(Conversation const& c, Visit&& visit) const;
  template <class Holds>
  Task<Outcome<>> until_changed_from(ConversationPtr c, Holds holds, Deadline by);
  Task<Outcome<>> until_over(ConversationPtr c, bool Conversation::* goes_on);
  void index_keys(Conversation& c);
  void unindex_keys(Conversation const& c);

  Executor control_;
  DirectoryPublisher& publisher_;
  store::Store& store_;
  std::shared_ptr<identity::KeyRing const> keys_;
  std::string gateway_;
  std::shared_ptr<ClientTls const> nested_tls_;  // what places of the store are trusted by
  std::uint64_t static_epochs_ = 0;
  std::size_t managed_ = 0;
  bool is_closing_ = false;
  std::map<std::string, ConversationPtr> by_id_;                // canonical ids
  std::unordered_multimap<std::string, Conversation*> by_key_;  // SHA-256 of each accepted key
};

}  // namespace nestgate::conversation
