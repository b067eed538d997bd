// Any bytes as a TZif file. What is accepted has no holes, and schedules in it end.
#include <cstdint>
#include <string_view>

#include "nestgate/base/invariant.hpp"
#include "nestgate/schedule/rule.hpp"

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  using namespace nestgate::schedule;
  std::string_view reason;
  auto const zone = Zone::read("X", {reinterpret_cast<char const*>(data), size}, reason);
  if (!zone) {
    NESTGATE_INVARIANT(!reason.empty(), "a refusal says why");
    return 0;
  }
  auto const& segments = zone->segments();
  NESTGATE_INVARIANT(segments.front().begin <= earliest_moment && segments.back().end == latest_moment, "all time is in it");
  for (std::size_t i = 1; i < segments.size(); ++i) {
    NESTGATE_INVARIANT(segments[i].begin == segments[i - 1].end && segments[i].begin < segments[i].end, "without holes");
    NESTGATE_INVARIANT(segments[i].shown_until >= segments[i - 1].local_end(), "what was shown stays shown");
  }
  static auto const cron = Cron::parse("30 2 * * *").value();
  Rule const rule{cron, zone};
  auto last = earliest_moment;
  for (int i = 0; i < 100; ++i) {
    auto const next = rule.next(last);
    if (!next) break;
    NESTGATE_INVARIANT(*next > last && rule.previous(*next + std::chrono::seconds(1)) == next, "moments go on");
    last = *next;
  }
  return 0;
}
