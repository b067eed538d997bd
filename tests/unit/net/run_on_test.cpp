#include "nestgate/net/run_on.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

#include "nestgate/net/task_group.hpp"

namespace nestgate {
namespace {

void run(asio::io_context& loop, Task<> work) {
  asio::co_spawn(loop.get_executor(), quiet(std::move(work)), [](std::exception_ptr bug) {
    if (bug) std::rethrow_exception(bug);
  });
  loop.run();
}

struct Seen {
  std::thread::id worker, caller;
  std::unique_ptr<int> value;
};

Task<> ask(asio::thread_pool& pool, Seen& seen) {
  auto work = [&seen, value = std::make_unique<int>(7)]() mutable {
    seen.worker = std::this_thread::get_id();
    return std::move(value);
  };
  seen.value = co_await run_on(pool, std::move(work));
  seen.caller = std::this_thread::get_id();
}

TEST(RunOn, WorksOnThePoolAndResumesOnTheCallersLoop) {
  asio::io_context loop(1);
  asio::thread_pool pool(1);
  Seen seen;
  run(loop, ask(pool, seen));
  EXPECT_NE(seen.worker, std::this_thread::get_id());
  EXPECT_EQ(seen.caller, std::this_thread::get_id());
  ASSERT_TRUE(seen.value);
  EXPECT_EQ(*seen.value, 7);
}

Task<> note(asio::thread_pool& pool, std::vector<int>& order, int number) {
  auto work = [&order, number] {
    order.push_back(number);
    return number;
  };
  co_await run_on(pool, std::move(work));
}

TEST(RunOn, OneThreadKeepsTheOrderOfTheCalls) {
  asio::io_context loop(1);
  asio::thread_pool pool(1);
  TaskGroup group(loop.get_executor());
  std::vector<int> order;
  for (int i = 0; i < 100; ++i) group.spawn("note", note(pool, order, i));
  loop.run();
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(RunOn, ACancelDoesNotReachTheWork) {
  asio::io_context loop(1);
  asio::thread_pool pool(1);
  TaskGroup group(loop.get_executor());
  std::vector<int> order;
  group.spawn("note", note(pool, order, 1));
  group.stop();
  loop.run();
  EXPECT_EQ(order.size(), 1u);
  EXPECT_EQ(group.size(), 0u);
}

}  // namespace
}  // namespace nestgate
