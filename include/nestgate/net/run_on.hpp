#pragma once

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/thread_pool.hpp>
#include <type_traits>
#include <utility>

#include "nestgate/net/net.hpp"

namespace nestgate {

// Runs what blocks on the pool and resumes the caller on its own loop with what it returned. The loop keeps running until
// then, and both outlive the call. A cancel of the caller does not reach `work`, which does not throw.
template <class Work>
Task<std::invoke_result_t<Work&>> run_on(asio::thread_pool& pool, Work work) {
  using T = std::invoke_result_t<Work&>;
  auto const initiate = [&pool](auto handler, Executor home, Work job) {
    auto busy = asio::make_work_guard(home);
    asio::post(pool, [busy = std::move(busy), job = std::move(job), handler = std::move(handler)]() mutable {
      Executor const back = busy.get_executor();
      // The guard goes home, too: once the caller runs on, this thread touches its loop no more.
      auto resume = [result = job(), handler = std::move(handler), busy = std::move(busy)]() mutable {
        std::move(handler)(std::move(result));
      };
      asio::post(back, std::move(resume));
    });
  };
  Executor const home = co_await asio::this_coro::executor;
  auto operation = asio::async_initiate<asio::deferred_t const, void(T)>(initiate, asio::deferred, home, std::move(work));
  co_return co_await std::move(operation);
}

}  // namespace nestgate
