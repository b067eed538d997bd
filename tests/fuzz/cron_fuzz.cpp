// Any text as a cron expression; the first byte picks a zone and the policies, the next two a moment. What is accepted is
// found the same both ways, and can be said in words.
#include <cstdint>
#include <string_view>

#include "nestgate/base/invariant.hpp"
#include "nestgate/schedule/describe.hpp"
#include "nestgate/schedule/zones.hpp"

namespace {

using namespace nestgate::schedule;
using std::chrono::seconds;

constexpr std::string_view names[] = {"UTC",          "Europe/Berlin",       "America/New_York",  "Pacific/Apia",
                                      "Asia/Kolkata", "Australia/Lord_Howe", "Africa/Casablanca", "Antarctica/Troll"};

std::shared_ptr<Zone const> zone_of(unsigned choice) {
  static Zones zones;
  auto const found = zones.find(names[choice % std::size(names)]);
  return found ? *found : Zone::utc();
}

// Whether anything matches on the day of a reading.
bool is_a_day(Cron const& cron, LocalTime at) {
  auto const day = std::chrono::floor<std::chrono::days>(at);
  return cron.next(day, day + std::chrono::days(1)).has_value();
}

void check(Rule const& rule, Moment from) {
  Work work;
  auto const next = rule.next(from, &work);
  NESTGATE_INVARIANT(work.segments <= rule.zone->segments().size(), "each segment is looked at once");
  NESTGATE_INVARIANT(work.months <= 12 * 300 + 3 * work.segments, "and each month");
  if (!next) return;
  NESTGATE_INVARIANT(rule.cron.ever_fires(), "what never fires has no moment");
  NESTGATE_INVARIANT(*next > from && *next < latest_moment, "a moment is after what it is asked to be after");
  NESTGATE_INVARIANT(rule.previous(*next + seconds(1)) == next, "and is found backwards");
  auto const before = rule.previous(*next);
  NESTGATE_INVARIANT(!before || *before <= from, "nothing is between");
  auto const& segment = rule.zone->segments()[rule.zone->segment_at(*next)];
  NESTGATE_INVARIANT(is_a_day(rule.cron, segment.to_local(*next)) || segment.begin == *next, "its day matches");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  if (size < 3) return 0;
  auto const parsed = Cron::parse({reinterpret_cast<char const*>(data) + 3, size - 3});
  if (!parsed) {
    NESTGATE_INVARIANT(!parsed.error().reason.empty() && parsed.error().reason.size() < 200, "a fault says why, shortly");
    return 0;
  }
  Rule const rule{*parsed, zone_of(data[0]), data[0] & 0x40 ? DstGap::skip : DstGap::run_after,
                  data[0] & 0x80 ? DstOverlap::both : DstOverlap::first};
  check(rule, earliest_moment + seconds(111'000) * (data[1] << 8 | data[2]));
  NESTGATE_INVARIANT(!describe(rule, earliest_moment).empty(), "a schedule can be said in words");
  return 0;
}
