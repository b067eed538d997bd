#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/base/conversation_id.hpp"
#include "nestgate/base/deadline.hpp"
#include "nestgate/base/secret.hpp"
#include "nestgate/base/strong.hpp"
#include "nestgate/net/net.hpp"
#include "nestgate/upstream/failure.hpp"
#include "nestgate/upstream/place.hpp"

namespace nestgate::runtime {

using upstream::Failure;
using upstream::Outcome;

// What a client may ask of a runtime. What is empty is as the provider's settings say.
struct Wish {
  std::string image;
  std::vector<std::string> command;
  std::string working_dir;
  std::vector<std::pair<std::string, Secret>> environment;  // readable by the agent's commands
  std::uint32_t resource_factor = 1;                        // 1, 2, 4 or 8 times the settings' memory and CPU

  Wish clone() const;
};

// What a provider is asked for.
struct Spec {
  ConversationId id;
  Epoch epoch;
  Secret session_key;  // what the nested server shall demand
  std::string owner;   // whose files they are: another's are not given to it
  Wish wish = {};
  // dormant: the server waits for its configuration by `/api/init` (agent_server.md 3.4) and `session_key` is only the
  // boot key, which ends with that call.
  enum class Wakefulness : bool { ready, dormant } wakefulness = Wakefulness::ready;
};

// A further port that the runtime offers (editor, app previews).
struct Port {
  std::string name;
  std::uint16_t number;  // as clients name it
  upstream::Place endpoint;
};

// What a provider made, or found. The server in it need not listen yet.
struct Instance {
  upstream::Place endpoint;
  std::vector<Port> ports;
  std::optional<Secret> session_key;  // where the provider gives a key of its own
  // Of a dormant server that was given away before: started anew it is dormant again, and waits to be told its key with
  // this one. One that still runs may have been told already.
  std::optional<Secret> boot_key;
  std::string handle;     // the provider's own name of it: a container's id, a runtime_id
  std::string workspace;  // the server's working directory as the server sees it; "": not known
  bool existed = false;   // it was there before, with what is in it
};

// What becomes of a runtime's files when it is destroyed.
enum class Leftovers : bool { keep, remove };

enum class Presence : std::uint8_t { starting, running, paused, stopped, failed };
std::string_view to_string(Presence presence) noexcept;

// A runtime that exists, as the provider sees it now.
struct Found {
  ConversationId id;
  Presence presence = Presence::stopped;
  Instance instance;
  std::string owner;
  std::string reason;  // of `failed`: one sentence without secrets
};

// What a provider can do beyond creating and destroying.
struct Traits {
  bool outlives_gateway = false;  // its runtimes go on when the gateway ends; `list` finds them again
  bool pauses = false;            // `pause` and `resume`
  bool assigns = false;           // `assign`, and dormant servers
  bool stops_as_paused = false;   // a destroy that keeps files leaves it paused: it has no other way to keep them
  // An empty sandbox: the server is started in it by `execute` (nested_server.md 5.1).
  bool needs_server_start = false;
};

struct CommandResult {
  int exit_code = 0;
  std::string output;  // both streams, the last 64 KiB
};

// What a runtime uses, by those that the provider can tell.
struct Usage {
  std::optional<std::uint64_t> memory_bytes;          // without what the kernel keeps of files that are not in use
  std::optional<std::chrono::microseconds> cpu_time;  // since its start, of all its cores
};

// Makes and ends the runtimes of conversations, at most one for an id at a time. Lives on the control core, with every
// call and callback on its thread. src/runtime/README.md says how each kind of provider maps onto this.
class RuntimeProvider {
 public:
  // `reason` is one sentence without secrets: "exited with status 3". Called once for a runtime that ended although
  // nobody destroyed it, never from inside a call of the provider.
  using OnEnd = std::function<void(ConversationId id, Epoch epoch, std::string reason)>;

  // What a start waits for: "pulling image: layer 3 of 7". Any number of times, from inside `create` only.
  using OnProgress = std::function<void(ConversationId const& id, std::string_view progress)>;

  virtual ~RuntimeProvider() = default;
  virtual std::string_view name() const noexcept = 0;
  virtual Traits traits() const noexcept { return {}; }
  // Makes the runtime; one that the id has already and that is not up (stopped, paused, of an earlier gateway) is started
  // or adopted instead, with what is in it. Faults: overloaded (at its limit), conflict (the id has a runtime, or files that
  // are another's or of a removed conversation), unavailable and internal (cannot be started). Cancelled or failed: nothing
  // is left of it.
  virtual Task<Outcome<Instance>> create(Spec spec, Deadline by) = 0;
  // Asks the runtime to end, waits the configured grace, kills; returns when nothing of it runs. Idempotent; never fails
  // for a runtime that is gone already. A cancel skips the waiting, not the kill. Faults, with Leftovers::remove only:
  // internal (files remain; the same call tries again).
  virtual Task<Outcome<>> destroy(ConversationId id, Leftovers leftovers) = 0;
  // Returns once the provider sees the runtime as up; that its server answers is asked of the server. Faults: upstream
  // (it failed; with the reason), timed_out.
  virtual Task<Outcome<>> wait_ready(ConversationId id, Deadline by);
  // Nothing: there is no such runtime. Faults: upstream, timed_out (the provider's own server).
  virtual Task<Outcome<std::optional<Found>>> inspect(ConversationId id);
  // All of this installation's, of earlier gateways too; never another's.
  virtual Task<Outcome<std::vector<Found>>> list();
  // Freezes the runtime with its memory; idempotent. Faults: not_found, conflict (it cannot).
  virtual Task<Outcome<>> pause(ConversationId id);
  // Thaws it. Its address and its key may be new ones. Faults: not_found, conflict, upstream.
  virtual Task<Outcome<Instance>> resume(Spec spec, Deadline by);
  // Gives a dormant runtime another id and owner. Faults: not_found, conflict (that id has a runtime or files already; the
  // dormant one stays as it was).
  virtual Task<Outcome<Instance>> assign(ConversationId dormant, Spec spec);
  // Runs a command in the runtime to its end. Faults: not_found, conflict (it cannot), timed_out.
  virtual Task<Outcome<CommandResult>> execute(ConversationId id, std::vector<std::string> command, Deadline by);
  // The newest `bytes_max` of what its server has said. Faults: not_found.
  virtual Task<Outcome<std::string>> log(ConversationId id, std::size_t bytes_max);
  // Faults: not_found, and those of the provider's own server.
  virtual Task<Outcome<Usage>> usage(ConversationId id, Deadline by);
  // Whether a start that names `image` would find it; nothing: the provider cannot tell. Faults: unavailable, upstream,
  // timed_out (who would know does not answer).
  virtual Task<Outcome<std::optional<bool>>> has_image(std::string image, Deadline by);
  // The gateway ends, and waits no longer for the provider's own server: calls of it, also those under way, fail from now
  // on. What they leave undone is the next gateway's.
  virtual void cut_short() {}
  // Destroys what cannot outlive the gateway, leaves the rest as it is, and joins the provider's tasks. Nothing may be
  // called afterwards.
  virtual Task<> close() = 0;

  void on_end(OnEnd listener) { on_end_ = std::move(listener); }
  void on_progress(OnProgress listener) { on_progress_ = std::move(listener); }

 protected:
  void tell_end(ConversationId const& id, Epoch epoch, std::string reason) const {
    if (on_end_) on_end_(id, epoch, std::move(reason));
  }
  void tell_progress(ConversationId const& id, std::string_view progress) const {
    if (on_progress_) on_progress_(id, progress);
  }

 private:
  OnEnd on_end_;
  OnProgress on_progress_;
};

}  // namespace nestgate::runtime
