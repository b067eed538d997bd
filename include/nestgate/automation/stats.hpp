#pragma once

#include "nestgate/base/counter.hpp"

namespace nestgate::automation {

// Written on the control core.
struct Stats {
  Counter submitted, completed, failed, cancelled, skipped, attempts_again;
  Gauge in_flight, waiting;
  LatencyHistogram wait;      // from a run's creation, or its not_before, to its claim
  LatencyHistogram dispatch;  // from its claim to the start's answer
  LatencyHistogram lateness;  // of schedules: from the moment until the run, which is durable, waits to be claimed
  Counter firings, firings_skipped;
  Counter upload_retries, start_searches, starts_resent, taken_over;
  Counter callbacks_delivered, callback_attempts_failed, callbacks_given_up, endpoints_disabled;
  Gauge schedules;
};

}  // namespace nestgate::automation
