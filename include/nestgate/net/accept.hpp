#pragma once

#include "nestgate/net/task_group.hpp"

namespace nestgate {

// Gives each connection to `serve`, until the acceptor is closed or the caller cancelled; one that was accepted just before
// is still served. Whatever else fails is likely to fail again at once (out of descriptors, in the process or the system):
// it is tried again after a pause, in which some may close.
template <class Acceptor, class Serve>
Task<> accept_forever(Acceptor& acceptor, Serve serve) {
  constexpr std::chrono::milliseconds pause_after_failure{50};
  for (;;) {
    auto [ec, client] = co_await acceptor.async_accept(no_throw);
    if (!ec) serve(std::move(client));
    if (!acceptor.is_open() || ec == asio::error::operation_aborted) co_return;
    if (!ec) continue;
    auto paused = co_await pause_for(pause_after_failure);
    if (!paused) co_return;
  }
}

}  // namespace nestgate
