#pragma once

#include <optional>

#include "nestgate/runtime/provider.hpp"
#include "nestgate/store/store.hpp"

namespace nestgate::conversation {

// What becomes of a conversation that a gateway held which is no more.
enum class Recovery : std::uint8_t {
  adopt,  // its runtime goes on: it is published again
  mark_paused,
  mark_stopped,
  start,   // its start was cut short, and somebody waits for it
  end,     // its runtime is to be ended; then it is stopped
  remove,  // its removal was cut short
};

// `found`: what the provider has of it; nothing: no runtime. Pure.
Recovery recovery_of(store::Phase phase, std::optional<runtime::Presence> found, runtime::Traits const& traits) noexcept;

}  // namespace nestgate::conversation
