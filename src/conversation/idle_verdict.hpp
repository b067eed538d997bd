#pragma once

#include <chrono>

#include "nestgate/nested/client.hpp"

namespace nestgate::conversation {

// What becomes of a conversation that nobody has used for `unused_for`, once its server was asked.
enum class IdleVerdict : std::uint8_t {
  close,
  works,   // an agent that works is not idle, though nobody talks to it
  unsure,  // a busy machine's server may answer late: it is asked again, until twice the time is over
};

// `status`: nothing, when its server did not answer. Pure.
inline IdleVerdict idle_verdict(std::chrono::milliseconds unused_for, std::chrono::milliseconds idle_time_max,
                                nested::Status const* status) noexcept {
  if (!status) return unused_for < 2 * idle_time_max ? IdleVerdict::unsure : IdleVerdict::close;
  bool const works = status->conversation == "running" || (status->idle_for && *status->idle_for < idle_time_max);
  return works ? IdleVerdict::works : IdleVerdict::close;
}

}  // namespace nestgate::conversation
