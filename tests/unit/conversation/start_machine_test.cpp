#include "nestgate/conversation/start_machine.hpp"

#include <gtest/gtest.h>

namespace nestgate::conversation {
namespace {

using M = StartMachine;
using As = M::Settle::As;
constexpr StartStep steps[] = {StartStep::quota,     StartStep::credentials,  StartStep::create, StartStep::ready,
                               StartStep::configure, StartStep::conversation, StartStep::publish};
constexpr std::uint32_t releases_max = 3;

bool allocates_nothing(StartStep step) { return step < StartStep::create; }

// A machine that is to perform `step`.
M machine_at(StartStep step) {
  M machine(releases_max);
  machine.on(M::Begun{});
  for (auto const passed : steps) {
    if (passed == step) break;
    machine.on(M::StepDone{});
  }
  return machine;
}

M::Settle settled(M::Action const& action) { return std::get<M::Settle>(action); }

TEST(StartMachine, GoesThroughItsStepsInOrderAndSettlesAsRunning) {
  M machine(releases_max);
  M::Event event = M::Begun{};
  for (auto const step : steps) {
    auto const action = machine.on(event);
    ASSERT_TRUE(std::holds_alternative<M::Perform>(action));
    EXPECT_EQ(std::get<M::Perform>(action).step, step);
    event = M::StepDone{};
  }
  EXPECT_EQ(settled(machine.on(event)).as, As::running);
  EXPECT_TRUE(machine.is_settled());
}

TEST(StartMachine, IsRefusedWhenAStepFailsThatAllocatedNothing) {
  for (auto const step : {StartStep::quota, StartStep::credentials}) {
    auto const end = settled(machine_at(step).on(M::StepFailed{"why"}));
    EXPECT_EQ(end.as, As::refused) << to_string(step);
    EXPECT_EQ(end.reason, "why");
  }
}

TEST(StartMachine, ReleasesAndThenSettlesAsErrorWhicheverLaterStepFails) {
  for (auto const step : steps) {
    if (allocates_nothing(step)) continue;
    auto machine = machine_at(step);
    EXPECT_TRUE(std::holds_alternative<M::Release>(machine.on(M::StepFailed{"why"}))) << to_string(step);
    auto const end = settled(machine.on(M::Released{}));
    EXPECT_EQ(end.as, As::error);
    EXPECT_EQ(end.reason, "why");
    EXPECT_FALSE(end.left_behind);
  }
}

TEST(StartMachine, ReleasesNothingWhereACreateLeftNothing) {
  auto const end = settled(machine_at(StartStep::create).on(M::StepFailed{"why", true}));
  EXPECT_EQ(end.as, As::error);
  EXPECT_EQ(end.reason, "why");
  EXPECT_FALSE(end.left_behind);
}

TEST(StartMachine, ReleasesAndThenSettlesWhenTheRuntimeDiesOrAStopIsAsked) {
  for (auto const step : steps) {
    if (allocates_nothing(step)) continue;
    auto dying = machine_at(step);
    EXPECT_TRUE(std::holds_alternative<M::Release>(dying.on(M::Died{"exited"})));
    auto const death = settled(dying.on(M::Released{}));
    EXPECT_EQ(death.as, As::error);
    EXPECT_EQ(death.reason, "exited");

    auto stopping = machine_at(step);
    EXPECT_TRUE(std::holds_alternative<M::Release>(stopping.on(M::StopAsked{})));
    EXPECT_EQ(settled(stopping.on(M::Released{})).as, As::stopped);
  }
}

TEST(StartMachine, SettlesAsStoppedAtOnceWhenAStopIsAskedBeforeAnythingIsThere) {
  EXPECT_EQ(settled(machine_at(StartStep::credentials).on(M::StopAsked{})).as, As::stopped);
}

TEST(StartMachine, ReleasesAgainUntilItWorks) {
  auto machine = machine_at(StartStep::ready);
  auto first = machine.on(M::StepFailed{"why"});
  EXPECT_EQ(std::get<M::Release>(first).try_number, 1U);
  auto second = machine.on(M::ReleaseFailed{"engine away"});
  EXPECT_EQ(std::get<M::Release>(second).try_number, 2U);
  auto const end = settled(machine.on(M::Released{}));
  EXPECT_EQ(end.reason, "why");
  EXPECT_FALSE(end.left_behind);
}

TEST(StartMachine, LeavesBehindWhatCannotBeReleasedAndSaysSo) {
  auto machine = machine_at(StartStep::ready);
  machine.on(M::StopAsked{});
  for (std::uint32_t i = 1; i < releases_max; ++i) machine.on(M::ReleaseFailed{"engine away"});
  auto const end = settled(machine.on(M::ReleaseFailed{"engine away"}));
  EXPECT_EQ(end.as, As::error);
  EXPECT_TRUE(end.left_behind);
  EXPECT_EQ(end.reason, "and it could not be released: engine away");
}

TEST(StartMachine, TouchesNothingOfWhatAnotherGatewayHolds) {
  EXPECT_EQ(settled(machine_at(StartStep::quota).on(M::HeldElsewhere{})).as, As::elsewhere);
}

TEST(StartMachineDeathTest, TakesNoEventOnceItIsSettled) {
  auto machine = machine_at(StartStep::publish);
  machine.on(M::StepDone{});
  EXPECT_DEATH(machine.on(M::StepDone{}), "settled");
}

}  // namespace
}  // namespace nestgate::conversation
