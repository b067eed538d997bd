#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

namespace nestgate::conversation {

// The steps of a start, in their order. What a step allocates is there from `create` on.
enum class StartStep : std::uint8_t { quota, credentials, create, ready, configure, conversation, publish };
std::string_view to_string(StartStep step) noexcept;

// Decides what a start does next; does nothing itself. A step that fails, a runtime that dies and a stop that is asked
// for all end the same way: what was allocated is released, as often as it takes, then the start is settled, once.
class StartMachine {
 public:
  // `releases_max`: tries of a release, before the start is settled as `left_behind`.
  explicit StartMachine(std::uint32_t releases_max) : releases_max_(releases_max) {}

  struct Begun {};
  struct StepDone {};
  struct StepFailed {
    std::string reason;
    bool left_nothing = false;  // of the step create: the provider took back what there was of it
  };
  struct HeldElsewhere {};  // of the step quota: another gateway works on it
  struct Died {
    std::string reason;
  };  // the runtime ended by itself
  struct StopAsked {};
  struct Released {};
  struct ReleaseFailed {
    std::string reason;
  };
  using Event = std::variant<Begun, StepDone, StepFailed, HeldElsewhere, Died, StopAsked, Released, ReleaseFailed>;

  struct Perform {
    StartStep step;
  };
  struct Release {
    std::uint32_t try_number;  // from 1
  };
  struct Settle {
    enum class As : std::uint8_t {
      running,
      refused,  // nothing was allocated: the conversation is what it was before
      error,
      stopped,
      elsewhere,
    } as;
    std::string reason;        // of refused and error
    bool left_behind = false;  // something may still be there: the reconciler's to release
  };
  using Action = std::variant<Perform, Release, Settle>;

  Action on(Event event);
  bool is_settled() const noexcept { return phase_ == Phase::settled; }

 private:
  enum class Phase : std::uint8_t { idle, stepping, releasing, settled };
  Action end(Settle outcome);
  Action settle(Settle outcome);
  Action on_release(Event const& event);

  std::uint32_t releases_max_;
  std::uint32_t releases_ = 0;
  Phase phase_ = Phase::idle;
  StartStep step_ = StartStep::quota;
  Settle outcome_{Settle::As::running, {}};
};

}  // namespace nestgate::conversation
