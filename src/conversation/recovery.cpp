#include "recovery.hpp"

namespace nestgate::conversation {

using runtime::Presence;
using store::Phase;

Recovery recovery_of(Phase phase, std::optional<Presence> found, runtime::Traits const& traits) noexcept {
  bool const is_up = found && (*found == Presence::running || *found == Presence::starting);
  bool const is_paused = found && *found == Presence::paused;
  switch (phase) {
    case Phase::removing: return Recovery::remove;
    case Phase::starting:
      // Where runtimes end with their gateway nobody can still be waiting for this one; its client starts it again.
      return traits.outlives_gateway ? Recovery::start : Recovery::end;
    case Phase::running:
    case Phase::paused:
      if (is_up) return Recovery::adopt;
      return is_paused ? Recovery::mark_paused : Recovery::mark_stopped;
    case Phase::stopping:
    case Phase::stopped:
    case Phase::error: break;
  }
  bool const is_as_it_was_left = is_paused && traits.stops_as_paused;
  return is_up || (is_paused && !is_as_it_was_left) ? Recovery::end : Recovery::mark_stopped;
}

}  // namespace nestgate::conversation
