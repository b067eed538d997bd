#pragma once

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <utility>
#include <vector>

#include "nestgate/base/strong.hpp"
#include "nestgate/net/net.hpp"
#include "nestgate/net/task_group.hpp"

namespace nestgate {

// One thread's event loop and its background tasks. Everything that a core touches while serving is used by its thread
// only; what crosses between cores goes through send_to and is moved, never shared.
struct Core {
  explicit Core(CoreIndex i) : index(i), loop(1), tasks(loop.get_executor()) {}
  CoreIndex index;
  asio::io_context loop;  // hint 1: the single-threaded fast path, still safe to post() to
  TaskGroup tasks;
};

// The only door between cores.
template <class Message>
void send_to(Core& other, Message message) {
  asio::post(other.loop, std::move(message));
}

// Runs `work` on `other` and resumes the caller on its own core with the value. `other` must keep running until then.
// A cancel of the caller does not reach `work`, which must therefore be bounded; `T` must be default-constructible.
template <class T>
Task<T> call_on(Core& other, Task<T> work) {
  auto uncancelled = asio::bind_cancellation_slot(asio::cancellation_slot{}, asio::use_awaitable_t<Executor>{});
  co_return co_await asio::co_spawn(other.loop.get_executor(), std::move(work), uncancelled);
}

// As call_on for several cores at once; returns when all have ended.
Task<> call_on_each(std::vector<std::pair<Core*, Task<>>> work);

}  // namespace nestgate
