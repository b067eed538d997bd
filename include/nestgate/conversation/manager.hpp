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
#include "nestgate/conversation/credentials.hpp"
#include "nestgate/conversation/directory.hpp"
#include "nestgate/conversation/start_machine.hpp"
#include "nestgate/identity/api_key.hpp"
#include "nestgate/identity/session_key.hpp"
#include "nestgate/nested/client.hpp"
#include "nestgate/net/task_group.hpp"
#include "nestgate/runtime/provider.hpp"
#include "nestgate/store/store.hpp"
#include "nestgate/upstream/resolve.hpp"

namespace nestgate::conversation {

using upstream::Failure;
using upstream::Outcome;

// What happens to a start when a quota is full.
enum class AtLimit : std::uint8_t { refuse, close_least_recently_used };
enum class WhenIdle : std::uint8_t { nothing, pause, stop };

struct ManagerSettings {
  std::chrono::milliseconds ready_time_max{120'000};          // from the process's start until /alive
  std::chrono::milliseconds configure_step_time_max{30'000};  // providers validate tokens online
  std::chrono::milliseconds stop_call_time_max{5'000};        // the graceful stop, before the runtime is ended
  std::chrono::milliseconds stop_poll_pause{1'000};           // between the three polls behind it (nested_server.md 1.7)
  std::chrono::milliseconds resolve_time_max{5'000};          // a static runtime's name, each try
  std::chrono::milliseconds resolve_pause{5'000};             // between two tries
  std::uint32_t conversations_max = 10'000;                   // known ones, stopped included; failed starts make room
  store::Quota quota;                                         // what may be up at once
  AtLimit at_limit = AtLimit::refuse;
  WhenIdle when_idle = WhenIdle::nothing;
  std::chrono::milliseconds idle_time_max{900'000};
  std::chrono::milliseconds idle_sweep{5'000};        // how often activity is looked at
  std::chrono::milliseconds reconcile_pause{10'000};  // between two looks at what really runs
  std::chrono::milliseconds lease_time{15'000};       // of this gateway in the store; renewed at a third of it
  std::chrono::milliseconds follow_pause{250};        // between two looks at what other gateways on the store did
  std::chrono::milliseconds status_time_max{2'000};   // a nested server's own status
  std::chrono::milliseconds status_age_max{5'000};    // how long it is shown before it is asked again
  std::uint32_t releases_max = 10;                    // tries of a release before it is left to the reconciler
  std::uint32_t warm_runtimes = 0;                    // dormant ones kept ready
  bool remove_orphans = false;                        // runtimes of this installation that no conversation has
  // At the end of the gateway, where runtimes outlive it: how long the provider's own server is waited for.
  std::chrono::milliseconds close_time_max{10'000};
  std::shared_ptr<ClientTls const> nested_tls;  // trusted for nested servers; nullptr: the system's authorities
  std::string internal_url;  // where nested servers reach this gateway ("http://127.0.0.1:8080"); "": no webhooks
};

enum class Purpose : std::uint8_t { conversation, sandbox, runtime };
std::string_view to_string(Purpose purpose) noexcept;

// What a conversation is about, as its client or its server said; empty where nobody did.
struct About {
  static constexpr std::size_t title_bytes_max = 800;  // 200 characters
  std::string title, repository, branch, git_provider;
  std::string label = {};  // by which automations find it; its owner's own word
  friend bool operator==(About const&, About const&) = default;
};

struct StartRequest {
  std::optional<ConversationId> id;  // nothing: one is made
  identity::Principal by;
  nested::Configuration configuration;  // empty: a known conversation keeps its own
  runtime::Wish wish;                   // the same
  About about = {};                     // the same, member by member
  Purpose purpose = Purpose::conversation;
  std::string spec_id;  // of a sandbox, as the client named it
  // replace: one that runs or starts is stopped first.
  enum class Again : std::uint8_t { join, replace } again = Again::join;
};

// `[[runtime.static]]`: a nested server that someone else runs.
struct StaticRuntime {
  ConversationId id;
  std::string url;                                           // http or https, without path
  std::optional<Secret> session_key;                         // nothing: the derived key
  std::vector<std::pair<std::string, std::uint16_t>> ports;  // name and number, on the same host
};

// What became of each entry of a batch, in its order.
struct StaticsChanged {
  std::vector<Outcome<>> put, removed;
};

enum class Origin : std::uint8_t { managed, fixed };

// Ends of a conversation's runtime that nobody asked for, and behind which it was started again; as far as this gateway saw.
struct Restarts {
  static constexpr std::size_t reasons_max = 8;
  std::uint32_t count = 0;
  std::vector<std::string> reasons;  // of the newest, the last one last; one sentence each, without secrets
};

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
  upstream::Place endpoint;              // while running
  Secret session_key;                    // while running: what the nested server is sent
  Secret client_key = {};                // while running: what its clients show; the same unless one was withdrawn
  std::vector<DeclaredPort> ports = {};  // while running
  std::string organisation = {};
  Purpose purpose = Purpose::conversation;
  Closed closed = Closed::no;
  std::string progress = {};  // while starting: what it waits for
  std::string spec_id = {};
  std::string image = {};
  std::string handle = {};  // the provider's name of the runtime
  nested::Dialect dialect = nested::Dialect::unknown;
  nested::Status nested_status = {};  // while running, as of the last look
  std::chrono::system_clock::time_point last_act_at = {};
  std::uint64_t version = 0;  // counts the changes of this conversation
  Restarts restarts = {};
  About about = {};
};

struct Filter {
  std::optional<Purpose> purpose;
  std::optional<RuntimeState> state;
  std::string owner;  // "": any
  std::optional<Origin> origin;
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
  Counter refused_by_quota, closed_for_room, closed_when_idle, wakes, warm_starts, recovered, orphans_removed;
  Gauge orphans, warm_ready;
  std::array<Gauge, 6> runtimes;  // by RuntimeState
};

// How full a quota is that refused a start.
struct QuotaStanding {
  store::QuotaKind kind = store::QuotaKind::all;
  std::uint32_t limit = 0, current = 0;
};

// The conversations and their runtimes: one runtime for an id, started once however many ask. Lives on the control core;
// its calls may be awaited by anyone there. What it does for a conversation goes on when the caller is cancelled.
class Manager final : public Waker {
 public:
  // Told of every change of state; for the log.
  using OnChange = std::function<void(ConversationId const& id, RuntimeState state, std::string_view reason)>;

  // `publisher`, `store` and `credentials` outlive the manager.
  Manager(Executor control, std::unique_ptr<runtime::RuntimeProvider> provider, DirectoryPublisher& publisher,
          std::shared_ptr<identity::KeyRing const> keys, store::Store& store, Credentials& credentials,
          ManagerSettings settings);
  ~Manager() override;

  // Reads the store, adopts, finishes or cleans up what an earlier gateway left, and begins to sweep. Once, before any
  // other call. Faults: those of the store and of the provider's list.
  Task<Outcome<>> recover();

  void on_change(OnChange listener);

  // Returns when the conversation runs, or with why it does not. A start of one that starts joins it; of one that is
  // stopped or in error starts it anew. Faults: conflict (another's id), overloaded (a limit), unavailable (it closes),
  // and those of the steps.
  Task<Outcome<Started>> start(StartRequest request);
  // As start, but returns once the conversation is admitted and remembered, in state starting.
  Task<Outcome<Started>> begin_start(StartRequest request);
  // Faults: not_found, conflict (not running, a static runtime, the provider cannot).
  Task<Outcome<View>> pause(ConversationId id);
  // Of a paused one thaws it, of a stopped one or one in error starts it with what it was started with; returns at once.
  Task<Outcome<View>> begin_resume(ConversationId id);
  // The same, and waits.
  Task<Outcome<View>> resume(ConversationId id);
  // Tells the running server a new configuration (members that are empty stay) and keeps it for later starts. Faults:
  // not_found, conflict (not running), those of the steps: then the old one is kept.
  Task<Outcome<View>> reconfigure(ConversationId id, nested::Configuration change);
  // Withdraws the session key that clients have and makes another; live streams end. Faults: not_found, conflict.
  Task<Outcome<View>> withdraw_key(ConversationId id);
  // The newest of what its server has said. Faults: not_found, conflict.
  Task<Outcome<std::string>> log(ConversationId id, std::size_t bytes_max);
  // What its runtime uses. Faults: not_found, conflict, those of the provider.
  Task<Outcome<runtime::Usage>> usage(ConversationId id, Deadline by);
  // Whether a start that names that image would find it; nothing: the provider cannot tell. Faults: those of the provider.
  Task<Outcome<std::optional<bool>>> has_image(std::string image);
  // Returns when the conversation has another version than `seen`, or by then. Fault: not_found (also: removed meanwhile).
  Task<Outcome<View>> wait_change(ConversationId id, std::uint64_t seen, Deadline by);
  // What a nested server pushed of itself (its conversation's status; any act of it).
  void note_pushed_status(ConversationId const& id, nested::Status status);
  // The same of its title; the last one counts. At most About::title_bytes_max.
  void note_pushed_title(ConversationId const& id, std::string title);
  Task<bool> wake(ConversationId id, Deadline by) override;
  // After a `wake` in vain: what refused the start that it waited for, else unavailable with the state.
  Failure why_asleep(ConversationId const& id) const;

  // Resolves the host and publishes it as running, in place of an earlier one of that id, whose streams end. Faults:
  // bad_input (URL), conflict (a started conversation's id), cancelled (put anew or removed meanwhile), and upstream or
  // timed_out (the name): then the earlier one stays, or it is published as starting, and the name is tried until found.
  Task<Outcome<>> put_static(StaticRuntime fixed);
  // Many at once, remembered in the store; those whose address is a literal are published in one batch. The streams of
  // those that did not change stay. An entry's fault is that of put_static, or conflict: it comes from the settings, or is a
  // started conversation. An id that nobody has counts as removed. Faults: those of the store.
  Task<Outcome<StaticsChanged>> change_statics(std::vector<StaticRuntime> put, std::vector<ConversationId> removed);
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
  // begin_closing, then ends every managed runtime that does not outlive the gateway, all at once, and joins the manager's
  // tasks.
  Task<> stop_all();
  // What stop_all left to the next gateway, which finds it by its rows: runtimes that go on, and those that were to end but
  // whose provider did not answer.
  struct Left {
    std::size_t going_on = 0, unreleased = 0;
  };
  Left left() const;

  std::optional<View> find(ConversationId const& id) const;
  // The state of that life of a conversation; nothing when there is none such, or another one began.
  std::optional<RuntimeState> state_of(ConversationId const& id, Epoch epoch) const;
  // Whether there is such a conversation, and `by` may use it.
  bool knows(ConversationId const& id, identity::Principal const& by) const;
  // Those that `by` may use, newest first, at most `limit` behind `after`.
  Page list(identity::Principal const& by, std::size_t limit, std::optional<Position> const& after,
            Filter const& filter = {}) const;
  // The newest running conversation of that label that `by` may use.
  std::optional<ConversationId> find_labelled(identity::Principal const& by, std::string_view label) const;
  // The quota that is full for `by`, if one is: what a start that failed with `overloaded` was refused by.
  std::optional<QuotaStanding> full_quota(identity::Principal const& by) const;
  // What the clients of a conversation show once it runs; empty for an unknown one.
  Secret client_key(ConversationId const& id) const;
  // The conversation that a session key belongs to: what its clients show, or its server. Nothing: no such.
  std::optional<View> find_by_key(std::string_view session_key) const;
  ManagerStats const& stats() const noexcept;
  // Its name in the store, by which it holds rows while its lease lasts.
  std::string const& gateway() const noexcept;
  // Why the gateway's lease could not be written the last time; "": it could.
  std::string const& store_problem() const noexcept;

 private:
  struct Parts;
  std::unique_ptr<Parts> parts_;
};

}  // namespace nestgate::conversation
