#include "nestgate/net/core.hpp"

#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/use_future.hpp>
#include <thread>

namespace nestgate {
namespace {

using namespace std::chrono_literals;

// A core with its thread.
class Running {
 public:
  explicit Running(std::uint16_t index) : core(CoreIndex(index)), working_(core.loop.get_executor()) {
    thread_ = std::jthread([this] { core.loop.run(); });
  }
  ~Running() { working_.reset(); }
  std::thread::id id() const { return thread_.get_id(); }
  Core core;

 private:
  asio::executor_work_guard<Executor> working_;
  std::jthread thread_;
};

Task<std::thread::id> where() { co_return std::this_thread::get_id(); }

struct Seen {
  std::thread::id before, there, after;
};
Task<Seen> call(Core& other) {
  Seen seen;
  seen.before = std::this_thread::get_id();
  seen.there = co_await call_on(other, where());
  seen.after = std::this_thread::get_id();
  co_return seen;
}

TEST(CallOn, RunsOnTheOtherCoreAndResumesOnItsOwn) {
  Running here(0), there(1);
  for (int i = 0; i < 200; ++i) {
    auto const seen = asio::co_spawn(here.core.loop.get_executor(), call(there.core), asio::use_future).get();
    ASSERT_EQ(seen.before, here.id());
    ASSERT_EQ(seen.there, there.id());
    ASSERT_EQ(seen.after, here.id());
  }
}

TEST(CallOn, ToTheOwnCoreIsAllowed) {
  Running here(0);
  auto const seen = asio::co_spawn(here.core.loop.get_executor(), call(here.core), asio::use_future).get();
  EXPECT_EQ(seen.there, here.id());
}

Task<int> broken() {
  co_await pause_for(1ms);
  throw std::runtime_error("broken");
}
Task<int> call_broken(Core& other) { co_return co_await call_on(other, broken()); }

TEST(CallOn, AnExceptionComesBackToTheCaller) {
  Running here(0), there(1);
  auto result = asio::co_spawn(here.core.loop.get_executor(), call_broken(there.core), asio::use_future);
  EXPECT_THROW(result.get(), std::runtime_error);
}

Task<int> slow_seven(std::promise<void>& began, std::shared_future<void> go_on) {
  began.set_value();
  go_on.wait();
  co_return 7;
}
Task<> call_and_note(Core& other, std::promise<void>& began, std::shared_future<void> go_on, int& got) {
  got = co_await call_on(other, slow_seven(began, std::move(go_on)));
}
Task<> join(Core& core) {
  auto joined = co_await core.tasks.join();
  EXPECT_TRUE(joined);
}

TEST(CallOn, ACancelOfTheCallerDoesNotReachTheWorkWhoseValueStillArrives) {
  Running here(0), there(1);
  std::promise<void> began, go_on;
  int got = 0;
  send_to(here.core, [&, going = go_on.get_future().share()] {
    here.core.tasks.spawn("caller", call_and_note(there.core, began, going, got));
  });
  began.get_future().wait();
  std::promise<void> stopped;
  send_to(here.core, [&] {
    here.core.tasks.stop();
    stopped.set_value();
  });
  stopped.get_future().wait();
  go_on.set_value();
  asio::co_spawn(here.core.loop.get_executor(), join(here.core), asio::use_future).get();
  EXPECT_EQ(got, 7);
}

TEST(SendTo, RunsMessagesInTheirOrderOnTheOtherThread) {
  Running there(0);
  std::vector<int> order;
  std::promise<std::thread::id> done;
  for (int i = 0; i < 100; ++i) send_to(there.core, [&order, i] { order.push_back(i); });
  send_to(there.core, [&done] { done.set_value(std::this_thread::get_id()); });
  EXPECT_EQ(done.get_future().get(), there.id());
  ASSERT_EQ(order.size(), 100u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

}  // namespace
}  // namespace nestgate
