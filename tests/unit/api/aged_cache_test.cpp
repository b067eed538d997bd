#include "api/aged_cache.hpp"

#include <gtest/gtest.h>

#include "support/control.hpp"

namespace nestgate::api {
namespace {

using namespace std::chrono_literals;
using upstream::Outcome;
using Cache = AgedCache<int>;

// Loads that are counted, each of which waits until it is let go.
struct Loads {
  explicit Loads(Executor executor) : gate(executor, Clock::time_point::max()) {}
  Task<Outcome<int>> load() {
    ++begun;
    if (is_held) {
      [[maybe_unused]] auto [ec] = co_await gate.async_wait(no_throw);
    }
    if (failure) co_return *failure;
    co_return value;
  }
  Timer gate;
  bool is_held = false;
  int begun = 0;
  int value = 7;
  std::optional<upstream::Failure> failure;
};

class AgedCacheTest : public testing::Test {
 protected:
  int get(Cache& cache, std::string key = "k", std::uint64_t version = 0) {
    auto const found = control.run(cache.get(std::move(key), version, loads.load()));
    return found ? **found : -1;
  }
  test::Control control;
  Loads loads{control.executor()};
};

TEST_F(AgedCacheTest, LoadsOnceForAKeyAndItsVersion) {
  Cache cache(1h, 10);
  EXPECT_EQ(get(cache), 7);
  loads.value = 8;
  EXPECT_EQ(get(cache), 7);
  EXPECT_EQ(get(cache, "other"), 8);
  EXPECT_EQ(get(cache, "k", 1), 8) << "another version is another value";
  EXPECT_EQ(loads.begun, 3);
}

TEST_F(AgedCacheTest, LoadsEachTimeWithoutAnAge) {
  Cache cache(0ms, 10);
  get(cache);
  get(cache);
  EXPECT_EQ(loads.begun, 2);
  EXPECT_EQ(cache.size(), 0U);
}

TEST_F(AgedCacheTest, LoadsOnceHoweverManyAskMeanwhile) {
  Cache cache(1h, 10);
  loads.is_held = true;
  TaskGroup asking(control.executor());
  int answered = 0;
  auto const ask = [](Cache& from, Loads& with, int& count) -> Task<> {
    auto const found = co_await from.get("k", 0, with.load());
    if (found && **found == 7) ++count;
  };
  for (int i = 0; i < 50; ++i) asking.spawn("ask", ask(cache, loads, answered));
  control.run_until([&] { return loads.begun == 1; });
  loads.is_held = false;
  loads.gate.cancel();
  control.run_until([&] { return asking.size() == 0; });
  EXPECT_EQ(answered, 50);
  EXPECT_EQ(loads.begun, 1);
}

TEST_F(AgedCacheTest, KeepsNoFailure) {
  Cache cache(1h, 10);
  loads.failure = upstream::Failure{Fault{FaultKind::unavailable}, "the store is away"};
  EXPECT_EQ(get(cache), -1);
  loads.failure.reset();
  EXPECT_EQ(get(cache), 7);
}

TEST_F(AgedCacheTest, ForgetsWhatWasDroppedAlsoWhileItIsLoaded) {
  Cache cache(1h, 10);
  get(cache);
  cache.drop("k");
  EXPECT_EQ(get(cache), 7);
  EXPECT_EQ(loads.begun, 2);
  cache.drop("k");
  loads.is_held = true;
  TaskGroup asking(control.executor());
  auto const ask = [](Cache& from, Loads& with) -> Task<> {
    [[maybe_unused]] auto const found = co_await from.get("k", 0, with.load());
  };
  asking.spawn("ask", ask(cache, loads));
  control.run_until([&] { return loads.begun == 3; });
  cache.drop("k");
  loads.gate.cancel();
  control.run_until([&] { return asking.size() == 0; });
  loads.is_held = false;
  EXPECT_EQ(cache.size(), 0U) << "what was read before the drop may be old";
  get(cache);
  EXPECT_EQ(loads.begun, 4);
}

TEST_F(AgedCacheTest, HoldsNoMoreThanItsLimitAndLetsTheOldestGo) {
  Cache cache(1h, 2);
  get(cache, "a");
  get(cache, "b");
  get(cache, "c");
  EXPECT_EQ(cache.size(), 2U);
  get(cache, "c");
  EXPECT_EQ(loads.begun, 3);
  get(cache, "a");
  EXPECT_EQ(loads.begun, 4) << "it was the oldest";
}

}  // namespace
}  // namespace nestgate::api
