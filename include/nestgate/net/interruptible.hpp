#pragma once

#include <optional>

#include "nestgate/net/task_group.hpp"

namespace nestgate {

template <class T>
Task<std::optional<T>> kept(Task<T> work) {
  co_await asio::this_coro::throw_if_cancelled(false);  // cancellation is a fault here, not an exception
  std::optional<T> out;
  out.emplace(co_await std::move(work));
  co_return out;
}

// Runs `work` until it ends, or until `trip` is cancelled: then cancels it, waits until it has really ended, and returns
// nothing. `trip` never expires by itself. A cancelled caller cancels `work`; where that was before, `work` never begins.
template <class T>
Task<std::optional<T>> unless_tripped(Timer& trip, Task<T> work) {
  bool const was_cut = co_await is_cancelled();
  if (was_cut) co_return std::nullopt;
  auto child = asio::co_spawn(co_await asio::this_coro::executor, kept(std::move(work)), asio::deferred);
  auto tripped = trip.async_wait(asio::deferred);
  auto both = asio::experimental::make_parallel_group(std::move(child), std::move(tripped));
  auto first = asio::experimental::wait_for_one();
  auto [order, bug, value, trip_ec] = co_await std::move(both).async_wait(first, asio::deferred);
  if (bug) std::rethrow_exception(bug);
  if (order[0] == 1) co_return std::nullopt;
  co_return std::move(value);
}

}  // namespace nestgate
