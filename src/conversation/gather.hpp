#pragma once

#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "nestgate/net/interruptible.hpp"

namespace nestgate::conversation {

// Runs all of `works` at once and returns when the last has ended, their values in their order. A cancelled caller cancels
// them all.
template <class T>
Task<std::vector<T>> gather(std::vector<Task<T>> works) {
  std::vector<T> out;
  if (works.empty()) co_return out;
  auto const executor = co_await asio::this_coro::executor;
  auto const begin = [&executor](Task<T> work) { return asio::co_spawn(executor, kept(std::move(work)), asio::deferred); };
  std::vector<decltype(begin(std::move(works.front())))> begun;
  begun.reserve(works.size());
  for (auto& work : works) begun.push_back(begin(std::move(work)));
  auto all = asio::experimental::make_parallel_group(std::move(begun));
  auto every = asio::experimental::wait_for_all();
  auto [order, bugs, values] = co_await std::move(all).async_wait(every, asio::deferred);
  for (auto const& bug : bugs)
    if (bug) std::rethrow_exception(bug);
  out.reserve(values.size());
  for (auto& value : values) out.push_back(std::move(*value));
  co_return out;
}

}  // namespace nestgate::conversation
