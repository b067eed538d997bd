#include "nestgate/schedule/backoff.hpp"

#include <algorithm>

#include "schedule/spread.hpp"

namespace nestgate::schedule {

std::chrono::milliseconds Backoff::pause(std::uint32_t failures, std::uint64_t random) const noexcept {
  auto whole = std::min(first, longest).count();
  for (std::uint32_t i = 1; i < failures && whole > 0 && whole < longest.count(); ++i)
    whole = whole > longest.count() / 2 ? longest.count() : whole * 2;
  if (whole <= 0) return {};
  auto const fixed = jitter == Jitter::none ? whole : jitter == Jitter::equal ? whole / 2 : 0;
  auto const uneven = spread_over(random, static_cast<std::uint64_t>(whole - fixed) + 1);
  return std::chrono::milliseconds(fixed + static_cast<std::int64_t>(uneven));
}

}  // namespace nestgate::schedule
