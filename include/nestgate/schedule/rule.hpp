#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "nestgate/schedule/cron.hpp"
#include "nestgate/schedule/zone.hpp"

namespace nestgate::schedule {

// A reading of the clock that does not come, because the clocks are put forward over it.
enum class DstGap : std::uint8_t {
  run_after,  // once, right after the gap
  skip,
};
// A reading of the clock that comes twice, because the clocks are put back.
enum class DstOverlap : std::uint8_t {
  first,
  both,
};

std::string_view to_string(DstGap gap) noexcept;
std::string_view to_string(DstOverlap overlap) noexcept;
std::optional<DstGap> parse_dst_gap(std::string_view text) noexcept;
std::optional<DstOverlap> parse_dst_overlap(std::string_view text) noexcept;

// A schedule in a zone. A value; any thread. A fixed schedule (Cron::is_fixed) keeps to what the clocks show and settles
// gaps and overlaps as it is told; any other one follows the time that passes: it fires at every moment whose reading
// matches.
struct Rule {
  Cron cron;
  std::shared_ptr<Zone const> zone;  // never null
  DstGap gap = DstGap::run_after;
  DstOverlap overlap = DstOverlap::first;

  // The first moment after `after`; nothing where there is none before latest_moment. The search is bounded by the segments
  // and months until then, some thousands.
  std::optional<Moment> next(Now after, Work* work = nullptr) const;
  // The last moment before `before` and not before earliest_moment.
  std::optional<Moment> previous(Now before, Work* work = nullptr) const;
};

}  // namespace nestgate::schedule
