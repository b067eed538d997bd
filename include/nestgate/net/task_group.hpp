#pragma once

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/this_coro.hpp>
#include <exception>
#include <list>
#include <optional>
#include <string_view>

#include "nestgate/base/invariant.hpp"
#include "nestgate/net/net.hpp"

namespace nestgate {

// Every background coroutine belongs to a group, and a group is joined before it dies. Lives on one core; not thread-safe.
class TaskGroup {
 public:
  explicit TaskGroup(Executor executor) : executor_(executor), idle_(executor, Clock::time_point::max()) {}
  TaskGroup(TaskGroup const&) = delete;
  TaskGroup& operator=(TaskGroup const&) = delete;
  ~TaskGroup() { NESTGATE_INVARIANT(children_.empty(), "a task group must be joined"); }

  // `name` is a literal. An exception that leaves `body` is our bug and is given to report_bug.
  void spawn(std::string_view name, Task<> body);
  // Cancels the children; each meets it as operation_aborted at the await it stands in, never as an exception. One that
  // is about to run on meets it at its next until_woken or pause_for, or asks is_cancelled.
  void stop();
  // Returns when no child is left; a fault only when the caller is cancelled.
  Task<Result<>> join();
  std::size_t size() const noexcept { return children_.size(); }
  Executor executor() const { return executor_; }

  static void (*report_bug)(std::string_view task, std::exception_ptr bug);

 private:
  Executor executor_;
  Timer idle_;
  std::list<asio::cancellation_signal> children_;
};

// Starts a chain in which cancellation is an error code. Boost 1.81 throws out of run() without it (fixed in 1.85).
Task<> quiet(Task<> body);

// co_spawn hands back T() when the coroutine threw, so what it carries has to be default-constructible.
template <class T>
Task<std::optional<Result<T>>> settled(Task<Result<T>> work) {
  co_await asio::this_coro::throw_if_cancelled(false);
  std::optional<Result<T>> out;
  out.emplace(co_await std::move(work));
  co_return out;
}

// Whether the caller was cancelled.
Task<bool> is_cancelled();

// Runs `work`; at the deadline cancels it, waits until it has really ended, and says timed_out. A fault in `work` returns
// at once. A cancelled caller cancels `work` and gets its fault, not timed_out; where that was before, `work` never begins.
template <class T>
Task<Result<T>> with_deadline(Deadline deadline, Task<Result<T>> work) {
  // What begins here has a cancellation state of its own, so it would never hear of it.
  bool const was_cut = co_await is_cancelled();
  if (was_cut) co_return Fault{FaultKind::cancelled, asio::error::operation_aborted, "deadline"};
  auto executor = co_await asio::this_coro::executor;
  Timer alarm(executor, deadline.at());
  auto child = asio::co_spawn(executor, settled(std::move(work)), asio::deferred);
  auto ring = alarm.async_wait(asio::deferred);
  auto both = asio::experimental::make_parallel_group(std::move(child), std::move(ring));
  auto first = asio::experimental::wait_for_one();
  auto [order, bug, value, ring_ec] = co_await std::move(both).async_wait(first, asio::deferred);
  if (bug) std::rethrow_exception(bug);
  if (order[0] == 1 && !ring_ec) co_return Fault{FaultKind::timed_out, {}, "deadline"};
  co_return std::move(*value);
}

// Waits until the timer is over, or cancelled by whoever wakes it; a fault only when the caller is cancelled, also when that
// was before.
Task<Result<>> until_woken(Timer& timer);
Task<Result<>> pause_for(Clock::duration time);

}  // namespace nestgate
