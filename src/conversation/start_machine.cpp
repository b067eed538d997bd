#include "nestgate/conversation/start_machine.hpp"

#include <utility>

#include "nestgate/base/invariant.hpp"

namespace nestgate::conversation {

std::string_view to_string(StartStep step) noexcept {
  switch (step) {
    case StartStep::create: return "create";
    case StartStep::ready: return "ready";
    case StartStep::configure: return "configure";
    case StartStep::publish: return "publish";
  }
  return "";
}

StartMachine::Action StartMachine::on(Event event) {
  NESTGATE_INVARIANT(phase_ != Phase::settled, "a settled start takes no events");
  if (std::holds_alternative<Begun>(event)) {
    NESTGATE_INVARIANT(phase_ == Phase::idle, "a start begins once");
    phase_ = Phase::stepping;
    return Perform{step_};
  }
  if (std::holds_alternative<Released>(event)) {
    NESTGATE_INVARIANT(phase_ == Phase::releasing, "only a release is followed by Released");
    phase_ = Phase::settled;
    return std::move(outcome_);
  }
  NESTGATE_INVARIANT(phase_ == Phase::stepping, "only a step ends, fails or is interrupted");
  if (auto* failed = std::get_if<StepFailed>(&event)) return end(Settle{Settle::As::error, std::move(failed->reason)});
  if (auto* died = std::get_if<Died>(&event)) return end(Settle{Settle::As::error, std::move(died->reason)});
  if (std::holds_alternative<StopAsked>(event)) return end(Settle{Settle::As::stopped, {}});
  if (step_ == StartStep::publish) {
    phase_ = Phase::settled;
    return Settle{Settle::As::running, {}};
  }
  step_ = static_cast<StartStep>(static_cast<std::uint8_t>(step_) + 1);
  return Perform{step_};
}

StartMachine::Action StartMachine::end(Settle outcome) {
  outcome_ = std::move(outcome);
  // A provider leaves nothing behind when a create fails, but a stop or a death can come when it is already done.
  phase_ = Phase::releasing;
  return Release{};
}

}  // namespace nestgate::conversation
