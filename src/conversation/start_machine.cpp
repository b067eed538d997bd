#include "nestgate/conversation/start_machine.hpp"

#include <utility>

#include "nestgate/base/invariant.hpp"

namespace nestgate::conversation {

std::string_view to_string(StartStep step) noexcept {
  switch (step) {
    case StartStep::quota: return "quota";
    case StartStep::credentials: return "credentials";
    case StartStep::create: return "create";
    case StartStep::ready: return "ready";
    case StartStep::configure: return "configure";
    case StartStep::conversation: return "conversation";
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
  if (phase_ == Phase::releasing) return on_release(event);
  NESTGATE_INVARIANT(phase_ == Phase::stepping, "only a step ends, fails or is interrupted");
  if (auto* failed = std::get_if<StepFailed>(&event)) {
    Settle error{Settle::As::error, std::move(failed->reason)};
    // A release would only wait for a provider that is away.
    if (failed->left_nothing && step_ == StartStep::create) return settle(std::move(error));
    return end(std::move(error));
  }
  if (auto* died = std::get_if<Died>(&event)) return end(Settle{Settle::As::error, std::move(died->reason)});
  if (std::holds_alternative<StopAsked>(event)) return end(Settle{Settle::As::stopped, {}});
  if (std::holds_alternative<HeldElsewhere>(event)) {
    NESTGATE_INVARIANT(step_ == StartStep::quota, "a start that took the conversation keeps it");
    return settle(Settle{Settle::As::elsewhere, {}});
  }
  if (step_ == StartStep::publish) return settle(Settle{Settle::As::running, {}});
  step_ = static_cast<StartStep>(static_cast<std::uint8_t>(step_) + 1);
  return Perform{step_};
}

StartMachine::Action StartMachine::on_release(Event const& event) {
  if (auto const* failed = std::get_if<ReleaseFailed>(&event)) {
    if (releases_ < releases_max_) return Release{++releases_};
    outcome_.as = Settle::As::error;
    outcome_.left_behind = true;
    if (!outcome_.reason.empty()) outcome_.reason += "; ";
    outcome_.reason += "and it could not be released: " + failed->reason;
  } else {
    NESTGATE_INVARIANT(std::holds_alternative<Released>(event), "a release ends or fails");
  }
  return settle(std::move(outcome_));
}

// A stop or a death can come when a create is already done.
StartMachine::Action StartMachine::end(Settle outcome) {
  if (step_ < StartStep::create) {
    if (outcome.as == Settle::As::error) outcome.as = Settle::As::refused;
    return settle(std::move(outcome));
  }
  outcome_ = std::move(outcome);
  phase_ = Phase::releasing;
  return Release{++releases_};
}

StartMachine::Action StartMachine::settle(Settle outcome) {
  phase_ = Phase::settled;
  return outcome;
}

}  // namespace nestgate::conversation
