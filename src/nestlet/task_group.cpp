#include "nestlet/task_group.hpp"

#include <algorithm>

#include "nestgate/base/invariant.hpp"

namespace nestgate::nestlet {
namespace {

// Without this, Asio 1.81 throws out of run() when a cancelled coroutine ends without suspending again.
Task<> quiet(Task<> body) {
  co_await asio::this_coro::throw_if_cancelled(false);
  co_await std::move(body);
}

}  // namespace

TaskGroup::~TaskGroup() { NESTGATE_INVARIANT(children_.empty(), "a task group is joined before it dies"); }

void TaskGroup::spawn(Task<> body) {
  auto const child = children_.emplace(children_.end());
  auto ended = [this, child](std::exception_ptr bug) {
    if (bug) std::rethrow_exception(bug);
    children_.erase(child);
    if (!children_.empty()) return;
    for (Timer* waiter : waiters_) waiter->cancel();
  };
  asio::co_spawn(executor_, quiet(std::move(body)), asio::bind_cancellation_slot(child->slot(), std::move(ended)));
}

void TaskGroup::stop() {
  // A child may end, and take itself off the list, while it is told.
  for (auto at = children_.begin(); at != children_.end();) (at++)->emit(asio::cancellation_type::terminal);
}

Task<> TaskGroup::join_by(Deadline deadline) {
  Timer alarm(executor_, deadline.at());
  waiters_.push_back(&alarm);
  while (!children_.empty() && !deadline.passed()) {
    co_await alarm.async_wait(no_throw);
    // A cancelled caller still has to wait for its children; all it can do is to cancel them, too.
    if (told_to_stop(co_await asio::this_coro::cancellation_state)) stop();
  }
  std::erase(waiters_, &alarm);
}

}  // namespace nestgate::nestlet
