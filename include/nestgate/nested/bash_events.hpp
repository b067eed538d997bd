#pragma once

#include <functional>
#include <string_view>

#include "nestgate/base/secret.hpp"
#include "nestgate/net/net.hpp"
#include "nestgate/upstream/failure.hpp"
#include "nestgate/upstream/place.hpp"

namespace nestgate::nested {

// Follows a server's bash events (agent_server.md 2.4) over a websocket until that ends: `open` is called once it stands,
// `ended` with the id of each command that has ended. What was before it is not told. A server over TLS is not followed.
// Lives on the control core; a cancel of the caller ends it. Always returns a fault: upstream (why it ended, or did not
// begin), timed_out, cancelled.
struct BashEventListeners {
  std::function<void()> open;
  std::function<void(std::string_view command_id)> ended;
};
Task<upstream::Failure> follow_bash_events(upstream::Place place, Secret session_key, BashEventListeners listeners);

}  // namespace nestgate::nested
