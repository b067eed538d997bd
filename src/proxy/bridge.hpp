#pragma once

#include <functional>
#include <string_view>

#include "nestgate/net/buffer.hpp"
#include "nestgate/net/task_group.hpp"
#include "nestgate/upstream/target.hpp"

namespace nestgate::proxy {

// Why a nested server's TLS was not accepted, which is not for its being away.
using OnRefused = std::function<void(std::string_view why)>;

// Puts TLS between a connection that was just made to `place` and its nested server: `connection.socket` becomes one end of
// a socket pair, in plain text, and a task in `tasks` carries what goes over the other end to and from the server.
//
// The new socket says one byte once the server has proved who it is; before that nothing is sent to the server. It ends
// without that byte when the handshake fails. After that it ends when the server ends its side; what is written to it once
// the server takes no more fails. Closing it ends the task, the handshake too: what was written before still goes to the
// server for as long as it takes it, at most a second.
//
// Each way holds at most one block of `blocks` beside the kernel's and the TLS buffers. `blocks` outlives the task. A fault
// (unavailable) where the system has no more descriptors.
Result<> put_tls_on(upstream::Connection& connection, upstream::Place const& place, TaskGroup& tasks, BlockPool& blocks,
                    OnRefused on_refused);

}  // namespace nestgate::proxy
