#pragma once

#include <functional>
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

namespace nestgate::runtime {

using upstream::Failure;
using upstream::Outcome;

// What a provider is asked for.
struct Spec {
  ConversationId id;
  Epoch epoch;
  Secret session_key;  // what the nested server shall demand
  std::string owner;   // whose files they are: another's are not given to it
};

// A further port that the runtime offers (editor, app previews).
struct Port {
  std::string name;
  std::uint16_t number;  // as clients name it
  asio::ip::tcp::endpoint endpoint;
};

// What a provider made. The server in it need not listen yet.
struct Instance {
  asio::ip::tcp::endpoint endpoint;
  std::vector<Port> ports;
};

// What becomes of a runtime's files when it is destroyed.
enum class Leftovers : bool { keep, remove };

// Makes and ends the runtimes of conversations, at most one for an id at a time. Lives on the control core, with every
// call and callback on its thread. src/runtime/README.md says how each kind of provider maps onto this.
class RuntimeProvider {
 public:
  // `reason` is one sentence without secrets: "exited with status 3". Called once for a runtime that ended although
  // nobody destroyed it, never from inside a call of the provider.
  using OnEnd = std::function<void(ConversationId id, Epoch epoch, std::string reason)>;

  virtual ~RuntimeProvider() = default;
  virtual std::string_view name() const noexcept = 0;
  // Faults: overloaded (at its limit), conflict (the id has a runtime, or files that are another's or of a removed
  // conversation), unavailable and internal (cannot be started). Cancelled or failed: nothing is left of it.
  virtual Task<Outcome<Instance>> create(Spec spec, Deadline by) = 0;
  // Asks the runtime to end, waits the configured grace, kills; returns when nothing of it runs. Idempotent; never fails
  // for a runtime that is gone already. A cancel skips the waiting, not the kill. Faults, with Leftovers::remove only:
  // internal (files remain; the same call tries again).
  virtual Task<Outcome<>> destroy(ConversationId id, Leftovers leftovers) = 0;
  // Destroys all that is left and joins the provider's tasks. Nothing may be created afterwards.
  virtual Task<> close() = 0;

  void on_end(OnEnd listener) { on_end_ = std::move(listener); }

 protected:
  void tell_end(ConversationId const& id, Epoch epoch, std::string reason) const {
    if (on_end_) on_end_(id, epoch, std::move(reason));
  }

 private:
  OnEnd on_end_;
};

}  // namespace nestgate::runtime
