#include "nestgate/conversation/start_machine.hpp"

#include <gtest/gtest.h>

namespace nestgate::conversation {
namespace {

using M = StartMachine;
constexpr StartStep steps[] = {StartStep::create, StartStep::ready, StartStep::configure, StartStep::publish};

// A machine that is to perform `step`.
M machine_at(StartStep step) {
  M machine;
  machine.on(M::Begun{});
  for (auto const passed : steps) {
    if (passed == step) break;
    machine.on(M::StepDone{});
  }
  return machine;
}

TEST(StartMachine, GoesThroughItsStepsInOrderAndSettlesAsRunning) {
  M machine;
  M::Event event = M::Begun{};
  for (auto const step : steps) {
    auto const action = machine.on(event);
    ASSERT_TRUE(std::holds_alternative<M::Perform>(action));
    EXPECT_EQ(std::get<M::Perform>(action).step, step);
    event = M::StepDone{};
  }
  auto const end = machine.on(event);
  EXPECT_EQ(std::get<M::Settle>(end).as, M::Settle::As::running);
  EXPECT_TRUE(machine.is_settled());
}

TEST(StartMachine, ReleasesAndThenSettlesAsErrorWhicheverStepFails) {
  for (auto const step : steps) {
    auto machine = machine_at(step);
    EXPECT_TRUE(std::holds_alternative<M::Release>(machine.on(M::StepFailed{"why"}))) << to_string(step);
    auto const end = machine.on(M::Released{});
    EXPECT_EQ(std::get<M::Settle>(end).as, M::Settle::As::error);
    EXPECT_EQ(std::get<M::Settle>(end).reason, "why");
  }
}

TEST(StartMachine, ReleasesAndThenSettlesWhenTheRuntimeDiesOrAStopIsAsked) {
  for (auto const step : steps) {
    auto dying = machine_at(step);
    EXPECT_TRUE(std::holds_alternative<M::Release>(dying.on(M::Died{"exited"})));
    auto const death = dying.on(M::Released{});
    EXPECT_EQ(std::get<M::Settle>(death).as, M::Settle::As::error);
    EXPECT_EQ(std::get<M::Settle>(death).reason, "exited");

    auto stopping = machine_at(step);
    EXPECT_TRUE(std::holds_alternative<M::Release>(stopping.on(M::StopAsked{})));
    EXPECT_EQ(std::get<M::Settle>(stopping.on(M::Released{})).as, M::Settle::As::stopped);
  }
}

TEST(StartMachineDeathTest, TakesNoEventOnceItIsSettled) {
  auto machine = machine_at(StartStep::publish);
  machine.on(M::StepDone{});
  EXPECT_DEATH(machine.on(M::StepDone{}), "settled");
}

}  // namespace
}  // namespace nestgate::conversation
