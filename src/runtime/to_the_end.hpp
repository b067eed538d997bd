#pragma once

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "nestgate/net/task_group.hpp"

namespace nestgate::runtime {

// Runs `work` to its end also when the caller is cancelled: who was told to do something goes on with it, too. `work` must
// be bounded.
template <class T>
Task<T> to_the_end(Task<T> work) {
  auto const executor = co_await asio::this_coro::executor;
  auto uncancelled = asio::bind_cancellation_slot(asio::cancellation_slot{}, asio::use_awaitable_t<Executor>{});
  co_return co_await asio::co_spawn(executor, std::move(work), uncancelled);
}

}  // namespace nestgate::runtime
