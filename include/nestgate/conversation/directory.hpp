#pragma once

#include <boost/smart_ptr/intrusive_ptr.hpp>
#include <boost/smart_ptr/intrusive_ref_counter.hpp>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "nestgate/base/conversation_id.hpp"
#include "nestgate/base/secret.hpp"
#include "nestgate/base/strong.hpp"
#include "nestgate/upstream/target.hpp"

namespace nestgate::conversation {

enum class RuntimeState : std::uint8_t { starting, running, paused, stopping, stopped, error };
std::string_view to_string(RuntimeState state) noexcept;

// A further port that the runtime declared (editor, app previews).
struct DeclaredPort {
  std::string name;
  std::uint16_t number;      // as clients name it
  upstream::Place endpoint;  // where it listens
};

// Why a conversation that does not run was closed, where its clients are told.
enum class Closed : std::uint8_t {
  no,          // it is not, or for no reason that concerns clients
  for_room,    // to make room for another: websockets 1013, HTTP 410, Socket.IO its status message (nested_server.md 1.6)
  when_idle,   // nobody used it
  by_request,  // stopped or paused through the API
};

// What the control side says of one runtime; immutable, shared by the cores.
struct RuntimeRecord {
  ConversationId id;  // with the text that the runtime was created with
  Epoch epoch;
  RuntimeState state = RuntimeState::running;
  std::string owner;                  // whose it is; empty: the installation's (static runtimes)
  upstream::Place endpoint;           // of the nested server; unset unless it is up
  Secret session_key;                 // what the nested server is sent; empty: it is open
  std::vector<Secret> accepted_keys;  // what clients may present, `session_key` included
  std::vector<DeclaredPort> ports;
  Closed closed = Closed::no;
  bool wakes = false;         // not up, but a user's act starts or resumes it, or waits for its start (see Waker)
  std::string progress = {};  // of a start: its step, or why the last one was refused, in a few words, for the answer 503

  // Its server is there: running, or stopping and at the end of what it was asked before.
  bool is_up() const noexcept { return state == RuntimeState::running || state == RuntimeState::stopping; }
  // Closed to make room, and not started again since.
  bool closed_for_room() const noexcept {
    return closed == Closed::for_room && state != RuntimeState::running && state != RuntimeState::starting;
  }
  // The accepted key that `key` is, or nullptr; every one is compared, in constant time.
  Secret const* accepted(std::string_view key) const noexcept;
};
using RuntimeRecordPtr = std::shared_ptr<RuntimeRecord const>;

// What one core keeps of a conversation from record to record: how it was used there, and what is said of it by now.
// Shared with what was opened by an older record.
class Standing : public boost::intrusive_ref_counter<Standing, boost::thread_unsafe_counter> {
 public:
  // The newest record; nullptr once it was withdrawn.
  RuntimeRecord const* record() const noexcept { return record_.get(); }
  // Another number with each record.
  std::uint32_t version() const noexcept { return version_; }

  void note_act(Clock::time_point now) noexcept { last_act = last_traffic = now; }
  void note_traffic(Clock::time_point now) noexcept { last_traffic = now; }
  bool used() const noexcept { return last_traffic != Clock::time_point{} || streams != 0; }
  Clock::time_point last_act{}, last_traffic{};
  std::uint32_t streams = 0;

 private:
  friend class Directory;
  RuntimeRecordPtr record_;
  std::uint32_t version_ = 0;
};
using StandingPtr = boost::intrusive_ptr<Standing>;

// One core's entry for a runtime: a record and this core's connections to it.
class Entry : public boost::intrusive_ref_counter<Entry, boost::thread_unsafe_counter> {
 public:
  explicit Entry(RuntimeRecordPtr r, StandingPtr standing);

  RuntimeRecord const& record() const noexcept { return *record_; }
  Standing& standing() const noexcept { return *standing_; }
  upstream::TargetPtr const& target() const noexcept { return target_; }
  // The declared port of that number, or nullptr.
  upstream::TargetPtr port_target(std::uint16_t number) const noexcept;
  // The nested server's and those of the declared ports.
  template <class Visit>
  void for_each_target(Visit&& visit) const {
    visit(*target_);
    for (auto const& [number, target] : ports_) visit(*target);
  }
  Secret const* accepted(std::string_view key) const noexcept { return record_->accepted(key); }
  bool accepts(std::string_view key) const noexcept { return accepted(key) != nullptr; }
  bool running() const noexcept { return record_->state == RuntimeState::running; }

 private:
  friend class Directory;
  RuntimeRecordPtr record_;
  StandingPtr standing_;
  upstream::TargetPtr target_;
  std::vector<std::pair<std::uint16_t, upstream::TargetPtr>> ports_;
  std::vector<std::string> aliases_;  // canonical
};
using EntryPtr = boost::intrusive_ptr<Entry>;

// Which runtime serves an id, a session key, a port. One copy a core, changed by messages from the control side, so that
// a look-up takes no lock. Not thread-safe.
class Directory {
 public:
  // Adds a runtime or replaces its record. A new epoch or endpoint gets new connections and withdraws the old ones, and so
  // does a server that is not up any more; one that stops ends what it has begun. Aliases stay. An older epoch than the
  // known one is ignored: messages may be late.
  void publish(RuntimeRecordPtr record);
  // So many more are coming.
  void expect(std::size_t more);
  // Forgets it, unless a newer epoch was published since: false then. Its live streams end.
  bool withdraw(ConversationId const& id, Epoch epoch);
  // Another id that the runtime's server handed out. Ignored for an unknown runtime, one at `aliases_max`, or an id
  // that is a runtime's own.
  void add_alias(ConversationId const& alias, ConversationId const& runtime, std::size_t aliases_max);

  EntryPtr find(std::string_view canonical_id) const;
  // The runtime that owns a session key. The table is keyed by a keyed hash of the key, and what is found is compared in
  // constant time, so that time tells nothing of the keys that exist.
  EntryPtr find_by_key(std::string_view session_key) const;
  // The one runtime that has this host port; nothing when two say so.
  EntryPtr find_by_port(std::uint16_t port) const;

  std::size_t size() const noexcept { return by_id_.size(); }
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (auto const& [id, entry] : by_id_) visit(*entry);
  }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept;
  };
  void index(EntryPtr const& entry);
  void unindex(Entry& entry);
  static std::uint64_t keyed_hash(std::string_view key) noexcept;

  std::unordered_map<std::string, EntryPtr, Hash, std::equal_to<>> by_id_;  // canonical ids
  std::unordered_map<std::string, EntryPtr, Hash, std::equal_to<>> by_alias_;
  std::unordered_multimap<std::uint64_t, EntryPtr> by_key_;
  std::multiset<std::pair<std::uint16_t, Entry*>> by_port_;  // thousands may listen on one port, each at its own address
};

// How a runtime was used, over all cores. Seconds of the steady clock.
struct Activity {
  ConversationId id;
  Clock::time_point last_act;      // the last user's act (message, POST, upload, websocket by a person); never: the epoch
  Clock::time_point last_traffic;  // the last byte of a request or a frame, probes and polling excluded
  std::uint32_t streams = 0;       // websockets and event streams that are open
};

// The control side's hand on every core's directory. Each call returns once every core has taken it in, so that what is
// answered to a client afterwards holds on whichever core its next connection lands.
class DirectoryPublisher {
 public:
  virtual ~DirectoryPublisher() = default;
  virtual Task<> publish(RuntimeRecordPtr record) = 0;
  virtual Task<> withdraw(ConversationId id, Epoch epoch) = 0;
  virtual Task<> add_alias(ConversationId alias, ConversationId runtime) = 0;
  // Many at once: one message a core for the whole batch.
  virtual Task<> apply(std::vector<RuntimeRecordPtr> published, std::vector<std::pair<ConversationId, Epoch>> withdrawn);
  // Of every runtime that was used since the gateway began.
  virtual Task<std::vector<Activity>> activity();
};

// Starts or resumes what a user's act is for. On the control core.
class Waker {
 public:
  virtual ~Waker() = default;
  // Returns true once every core knows the runtime as running; false when it does not run by then (what the directory says
  // is then the answer). Any number may wait for one start.
  virtual Task<bool> wake(ConversationId id, Deadline by) = 0;
};

}  // namespace nestgate::conversation
