#include "nestgate/net/task_group.hpp"

#include <cstdio>
#include <cstdlib>

namespace nestgate {
namespace {

void abort_on_bug(std::string_view task, std::exception_ptr bug) {
  try {
    std::rethrow_exception(bug);
  } catch (std::exception const& e) {
    std::fprintf(stderr, "task %.*s: %s\n", static_cast<int>(task.size()), task.data(), e.what());
  } catch (...) {
    std::fprintf(stderr, "task %.*s: unknown exception\n", static_cast<int>(task.size()), task.data());
  }
  std::abort();
}

}  // namespace

void (*TaskGroup::report_bug)(std::string_view, std::exception_ptr) = abort_on_bug;

Task<> quiet(Task<> body) {
  co_await asio::this_coro::throw_if_cancelled(false);
  co_await std::move(body);
}

void TaskGroup::spawn(std::string_view name, Task<> body) {
  auto child = children_.emplace(children_.end());
  auto done = [this, child, name](std::exception_ptr bug) {
    if (bug) report_bug(name, bug);
    children_.erase(child);
    if (children_.empty()) idle_.cancel();
  };
  asio::co_spawn(executor_, quiet(std::move(body)), asio::bind_cancellation_slot(child->slot(), std::move(done)));
}

void TaskGroup::stop() {
  // A child may end inside emit() and take its node with it.
  for (auto child = children_.begin(); child != children_.end();) {
    auto next = std::next(child);
    child->emit(asio::cancellation_type::terminal);
    child = next;
  }
}

Task<Result<>> TaskGroup::join() {
  while (!children_.empty()) {
    auto [ec] = co_await idle_.async_wait(no_throw);
    auto state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return Fault{FaultKind::cancelled, ec, "join"};
  }
  co_return Result<>{};
}

Task<bool> is_cancelled() {
  auto const state = co_await asio::this_coro::cancellation_state;
  co_return state.cancelled() != asio::cancellation_type::none;
}

Task<Result<>> until_woken(Timer& timer) {
  // A cancel that came between two awaits is told by nothing else: a loop that only waits would never end.
  bool is_cut = co_await is_cancelled();
  if (!is_cut) {
    [[maybe_unused]] auto [woken] = co_await timer.async_wait(no_throw);  // a wake-up has the code of a cancel
    is_cut = co_await is_cancelled();
  }
  if (is_cut) co_return Fault{FaultKind::cancelled, asio::error::operation_aborted, "wait"};
  co_return Result<>{};
}

Task<Result<>> pause_for(Clock::duration time) {
  Timer timer(co_await asio::this_coro::executor, time);
  co_return co_await until_woken(timer);
}

}  // namespace nestgate
