#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/schedule/rule.hpp"

// What becomes of moments that have passed. Pure: the caller stores what comes out, in the transaction that makes the runs.
namespace nestgate::schedule {

// What to do about moments at which nobody fired: the gateway was down, or the automation's turn came late.
enum class Misfire : std::uint8_t {
  once,  // one run for all that passed, at the newest
  all,   // a run for each
  skip,
};

std::string_view to_string(Misfire misfire) noexcept;
std::optional<Misfire> parse_misfire(std::string_view text) noexcept;

struct CatchUp {
  Misfire misfire = Misfire::once;
  // What is older is not caught up; nothing: however old.
  std::optional<std::chrono::seconds> window;
  // As late as this a moment is not missed, it just comes late: it fires whatever `misfire` says. Longer than what the
  // caller itself puts moments off by (jitter_of).
  std::chrono::seconds lateness_max{30};
  std::uint32_t fired_max = 100;       // in one plan; the rest is the next plan's
  std::uint32_t counted_max = 10'000;  // moments that are skipped, in one plan; beyond it says "at least"
};

// Moments that did not become runs, and why.
struct Skipped {
  enum class Why : std::uint8_t {
    superseded,  // a newer one runs in its place
    not_wanted,  // Misfire::skip
    out_of_window,
  };
  Why why = Why::superseded;
  Moment first, last;
  std::uint64_t count = 0;
  bool is_at_least = false;  // there are more than `count`
};

// "missed 3 moments from 2026-11-01T05:00:00Z to 2026-11-01T07:00:00Z: superseded by a newer one"
std::string describe(Skipped const& skipped);

struct Plan {
  std::vector<Moment> fire;      // oldest first
  std::vector<Skipped> skipped;  // oldest first
  // To be stored as the next moment. Not after `now` where fired_max was met: plan again. Nothing: it fires no more.
  std::optional<Moment> next;
};

// `due` is the stored next moment, which counts as one whatever the rule says by now. Before it nothing happens.
Plan plan(Rule const& rule, Moment due, Now now, CatchUp const& catch_up);

// How long after a moment an automation really fires, in [0, spread): the same at every gateway, another one for each
// moment, spread evenly over automations.
std::chrono::milliseconds jitter_of(std::string_view automation_id, Moment moment,
                                    std::chrono::milliseconds spread) noexcept;

}  // namespace nestgate::schedule
