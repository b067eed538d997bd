#pragma once

#include "nestgate/base/counter.hpp"

namespace nestgate::automation {

struct Stats {
  Counter submitted, completed, failed, callbacks_delivered, callback_attempts_failed, callbacks_given_up;
  Gauge in_flight;
};

}  // namespace nestgate::automation
