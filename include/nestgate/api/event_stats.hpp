#pragma once

#include "nestgate/base/counter.hpp"

namespace nestgate::api {

// What became of delivered events. Written on the control core.
struct EventStats {
  Counter received;             // signed ones, well-formed or not
  Counter refused;              // without a known source or a good signature
  Counter unrecognised;         // no event that anybody could want
  Counter redelivered;          // known by their delivery id
  Counter runs;                 // that were made
  Counter filters_over_budget;  // did not match for that
  Counter filters_failed;       // the same
};

}  // namespace nestgate::api
