#include "nestgate/schedule/rule.hpp"

#include <algorithm>

namespace nestgate::schedule {
namespace {

using std::chrono::seconds;

// The readings of one segment that count, [from, until).
struct Readings {
  LocalTime from, until;
};

Readings readings_of(Rule const& rule, Segment const& segment, Moment begin, Moment end) {
  Readings readings{segment.to_local(std::max(begin, segment.begin)), segment.to_local(std::min(end, segment.end))};
  if (rule.cron.is_fixed() && rule.overlap == DstOverlap::first)
    readings.from = std::max(readings.from, segment.shown_until);
  return readings;
}

// Whether a reading that the clocks jumped over is made up for at the beginning of the segment.
bool fires_after_gap(Rule const& rule, Segment const& segment, Work* work) {
  if (!rule.cron.is_fixed() || rule.gap != DstGap::run_after || segment.shown_until >= segment.local_begin()) return false;
  return rule.cron.next(segment.shown_until, segment.local_begin(), work).has_value();
}

}  // namespace

std::string_view to_string(DstGap gap) noexcept { return gap == DstGap::skip ? "skip" : "run_after"; }
std::string_view to_string(DstOverlap overlap) noexcept { return overlap == DstOverlap::both ? "both" : "first"; }

std::optional<DstGap> parse_dst_gap(std::string_view text) noexcept {
  for (auto const gap : {DstGap::run_after, DstGap::skip}) {
    if (text == to_string(gap)) return gap;
  }
  return std::nullopt;
}

std::optional<DstOverlap> parse_dst_overlap(std::string_view text) noexcept {
  for (auto const overlap : {DstOverlap::first, DstOverlap::both}) {
    if (text == to_string(overlap)) return overlap;
  }
  return std::nullopt;
}

std::optional<Moment> Rule::next(Now after, Work* work) const {
  auto const begin = std::max(std::chrono::floor<seconds>(after) + seconds(1), earliest_moment);
  auto const& segments = zone->segments();
  for (auto i = zone->segment_at(begin); i < segments.size(); ++i) {
    auto const& segment = segments[i];
    if (work) ++work->segments;
    if (segment.begin >= begin && fires_after_gap(*this, segment, work)) return segment.begin;
    auto const readings = readings_of(*this, segment, begin, latest_moment);
    if (auto const found = cron.next(readings.from, readings.until, work)) return segment.to_utc(*found);
  }
  return std::nullopt;
}

std::optional<Moment> Rule::previous(Now before, Work* work) const {
  auto const end = std::min(std::chrono::ceil<seconds>(before), latest_moment);
  auto const& segments = zone->segments();
  for (auto i = zone->segment_at(end - seconds(1)) + 1; i-- > 0;) {
    auto const& segment = segments[i];
    if (segment.end <= earliest_moment) return std::nullopt;
    if (work) ++work->segments;
    auto const readings = readings_of(*this, segment, earliest_moment, end);
    if (auto const found = cron.previous(readings.from, readings.until, work)) return segment.to_utc(*found);
    bool const is_within = segment.begin >= earliest_moment && segment.begin < end;
    if (is_within && fires_after_gap(*this, segment, work)) return segment.begin;
  }
  return std::nullopt;
}

}  // namespace nestgate::schedule
