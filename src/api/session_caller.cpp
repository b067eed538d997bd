#include "session_caller.hpp"

namespace nestgate::api {

std::optional<conversation::View> running_by_key(conversation::Manager const& manager, Secret const& session_key) {
  if (session_key.empty()) return std::nullopt;
  auto found = manager.find_by_key(session_key.reveal());  // tidy-ok(reveal): looked up in constant time
  if (!found || found->state != conversation::RuntimeState::running) return std::nullopt;
  return found;
}

}  // namespace nestgate::api
