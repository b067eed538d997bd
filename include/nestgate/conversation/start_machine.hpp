#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace nestgate::conversation {

// The steps of a start, in their order.
enum class StartStep : std::uint8_t { create, ready, configure, publish };
std::string_view to_string(StartStep step) noexcept;

// Decides what a start does next; does nothing itself. A step that fails, a runtime that dies and a stop that is asked
// for all end the same way: what was allocated is released, then the start is settled, once.
class StartMachine {
 public:
  struct Begun {};
  struct StepDone {};
  struct StepFailed {
    std::string reason;
  };
  struct Died {
    std::string reason;
  };  // the runtime ended by itself
  struct StopAsked {};
  struct Released {};
  using Event = std::variant<Begun, StepDone, StepFailed, Died, StopAsked, Released>;

  struct Perform {
    StartStep step;
  };
  struct Release {};
  struct Settle {
    enum class As : std::uint8_t { running, error, stopped } as;
    std::string reason;  // of an error
  };
  using Action = std::variant<Perform, Release, Settle>;

  Action on(Event event);
  bool is_settled() const noexcept { return phase_ == Phase::settled; }

 private:
  enum class Phase : std::uint8_t { idle, stepping, releasing, settled };
  Action end(Settle outcome);

  Phase phase_ = Phase::idle;
  StartStep step_ = StartStep::create;
  Settle outcome_{Settle::As::running, {}};
};

}  // namespace nestgate::conversation
