#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "nestgate/base/conversation_id.hpp"

namespace nestgate::proxy {

// Which runtime handed out which Socket.IO session id. Bounded: the oldest is forgotten first, and its client reconnects
// with its conversation_id.
class SocketIoSessions {
 public:
  SocketIoSessions();
  ~SocketIoSessions();

  void learn(std::string sid, ConversationId const& runtime, std::size_t sessions_max);
  // The runtime's canonical id; empty for an unknown session. Holds until the next change.
  std::string_view find(std::string_view sid) const noexcept;
  // All sessions of a runtime that is gone.
  void forget(ConversationId const& runtime);
  std::size_t size() const noexcept;

 private:
  struct Table;
  std::unique_ptr<Table> table_;
};

}  // namespace nestgate::proxy
