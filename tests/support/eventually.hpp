#pragma once

#include <poll.h>

#include "support/loopback.hpp"

namespace nestgate::test {

// Waits for what another thread or process does, by looking: it tells us in no other way. False when patience ran out.
template <class Condition>
bool eventually(Condition condition) {
  for (int tries = 0; tries < patience_ms; ++tries) {
    if (condition()) return true;
    ::poll(nullptr, 0, 1);
  }
  return condition();
}

}  // namespace nestgate::test
