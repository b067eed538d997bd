#include "automation/fair_queue.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace nestgate::automation {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

store::Time at(std::int64_t seconds) { return store::Time(std::chrono::seconds(seconds)); }

store::WaitingRun run(std::string id, std::string user, std::int64_t created, std::int32_t priority = 0) {
  store::WaitingRun one;
  one.id = std::move(id);
  one.user_id = std::move(user);
  one.created_at = at(created);
  one.priority = priority;
  return one;
}

std::vector<std::string> taken(FairQueue& queue, std::size_t count, store::Time now = at(1'000)) {
  std::vector<std::string> ids;
  for (auto const& one : queue.take(count, now)) ids.push_back(one.id);
  return ids;
}

TEST(FairQueue, GivesUsersTheirTurnsHoweverManyOneHas) {
  FairQueue queue;
  for (auto const* const id : {"a1", "a2", "a3"}) queue.put(run(id, "a", 1));
  queue.put(run("b1", "b", 9));
  EXPECT_THAT(taken(queue, 3), ElementsAre("a1", "b1", "a2"));
}

TEST(FairQueue, GoesOnWithTheNextUserWhereItStopped) {
  FairQueue queue;
  for (auto const* const user : {"a", "b", "c"}) {
    queue.put(run(std::string(user) + "1", user, 1));
    queue.put(run(std::string(user) + "2", user, 2));
  }
  EXPECT_THAT(taken(queue, 2), ElementsAre("a1", "b1"));
  EXPECT_THAT(taken(queue, 2), ElementsAre("c1", "a2"));
}

TEST(FairQueue, OfOneUserTakesTheHigherPriorityThenTheOlder) {
  FairQueue queue;
  queue.put(run("old", "a", 1));
  queue.put(run("new", "a", 2));
  queue.put(run("urgent", "a", 3, 5));
  EXPECT_THAT(taken(queue, 9), ElementsAre("urgent", "old", "new"));
}

TEST(FairQueue, KeepsARunUntilItsTime) {
  FairQueue queue;
  auto later = run("later", "a", 1);
  later.not_before = at(50);
  queue.put(std::move(later));
  EXPECT_THAT(taken(queue, 9, at(49)), IsEmpty());
  EXPECT_EQ(queue.next_not_before(), at(50));
  EXPECT_TRUE(queue.has_ready(at(50)));
  EXPECT_THAT(taken(queue, 9, at(50)), ElementsAre("later"));
  EXPECT_EQ(queue.size(), 0U);
}

TEST(FairQueue, AParkedRunWaitsForItsUserAlone) {
  FairQueue queue;
  queue.put(run("a1", "a", 1));
  queue.put(run("b1", "b", 1));
  for (auto& one : queue.take(9, at(9))) queue.park(std::move(one));
  EXPECT_THAT(taken(queue, 9), IsEmpty());
  queue.unpark("a", 9);
  EXPECT_THAT(taken(queue, 9), ElementsAre("a1"));
  queue.unpark_of_each(9);
  EXPECT_THAT(taken(queue, 9), ElementsAre("b1"));
}

TEST(FairQueue, UnparksTheBestOfAUserFirst) {
  FairQueue queue;
  queue.put(run("old", "a", 1));
  queue.put(run("urgent", "a", 2, 1));
  for (auto& one : queue.take(9, at(9))) queue.park(std::move(one));
  queue.unpark("a", 1);
  EXPECT_THAT(taken(queue, 9), ElementsAre("urgent"));
}

TEST(FairQueue, AnAutomationThatIsFullHoldsUpNoOtherOfItsUser) {
  FairQueue queue;
  constexpr int of_full = 100, at_once = 8;
  auto const of = [](std::string automation, std::string id, std::int64_t created) {
    auto one = run(std::move(id), "a", created);
    one.automation_id = std::move(automation);
    return one;
  };
  for (int i = 0; i < of_full; ++i) queue.park(of("full", "full" + std::to_string(i), i));
  queue.park(of("free", "free", of_full));
  queue.unpark("a", at_once);
  auto const tried = taken(queue, at_once);
  EXPECT_THAT(tried, testing::Contains("free"));
  EXPECT_EQ(tried.size(), static_cast<std::size_t>(at_once));
  EXPECT_EQ(tried.front(), "full0") << "the best of each first";
}

TEST(FairQueue, HasATurnForEachAutomationHoweverManyAreFull) {
  FairQueue queue;
  std::set<std::string> left;
  auto const of = [](std::string id) {
    auto one = run(id, "a", 1);
    one.automation_id = std::move(id);
    return one;
  };
  for (char const id : std::string_view("abcdefg")) left.insert(std::string(1, id));
  for (auto const& id : left) queue.park(of(id));
  for (int round = 0; round < 4; ++round) {
    queue.unpark("a", 2);
    for (auto const& id : taken(queue, 9)) {
      left.erase(id);
      queue.park(of(id));
    }
  }
  EXPECT_THAT(left, IsEmpty());
}

TEST(FairQueue, KnowsARunAsItIsNow) {
  FairQueue queue;
  auto one = run("a1", "a", 1);
  one.version = 5;
  queue.park(one);
  EXPECT_TRUE(queue.knows(one));
  one.version = 6;
  one.not_before = at(50);
  EXPECT_FALSE(queue.knows(one)) << "it waits for another attempt";
  queue.put(one);
  EXPECT_THAT(taken(queue, 9, at(49)), IsEmpty());
}

TEST(FairQueue, ARunThatIsPutAgainIsThereOnce) {
  FairQueue queue;
  queue.put(run("a1", "a", 1));
  queue.park(run("a1", "a", 1));
  queue.put(run("a1", "a", 1));
  EXPECT_EQ(queue.size(), 1U);
  EXPECT_THAT(taken(queue, 9), ElementsAre("a1"));
}

TEST(FairQueue, WhatIsRemovedIsGoneFromWhereverItWaits) {
  FairQueue queue;
  auto later = run("later", "a", 1);
  later.not_before = at(50);
  queue.put(std::move(later));
  queue.put(run("ready", "a", 1));
  queue.park(run("parked", "a", 1));
  for (auto const* const id : {"later", "ready", "parked", "unknown"}) queue.remove(id);
  queue.unpark_of_each(9);
  EXPECT_THAT(taken(queue, 9, at(99)), IsEmpty());
  EXPECT_EQ(queue.next_not_before(), std::nullopt);
}

}  // namespace
}  // namespace nestgate::automation
