#pragma once

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "nestgate/base/text.hpp"
#include "nestgate/schedule/rule.hpp"
#include "nestgate/schedule/zones.hpp"

namespace nestgate::schedule {

// RFC 3339; the vectors leave out seconds.
inline Moment moment(std::string text) {
  if (text.size() == 17 && text.ends_with('Z')) text.insert(16, ":00");
  auto const time = parse_rfc3339(text);
  if (!time) throw std::invalid_argument(text);
  return std::chrono::floor<std::chrono::seconds>(*time);
}

inline std::string text_of(std::optional<Moment> at) { return at ? rfc3339(*at, 0) : "never"; }

inline std::string fault_of(std::string_view text) {
  auto const cron = Cron::parse(text);
  return cron ? "none" : std::string(cron.error().field) + ": " + cron.error().reason;
}

inline Cron cron(std::string_view text) {
  auto const parsed = Cron::parse(text);
  EXPECT_TRUE(parsed.has_value()) << text << ": " << fault_of(text);
  return parsed ? *parsed : *Cron::parse("0 0 1 1 * 0 1970");
}

inline std::shared_ptr<Zone const> zone(std::string_view name) {
  auto const found = Zones().find(name);
  EXPECT_TRUE(found.has_value()) << name;
  return found ? *found : Zone::utc();
}

inline Rule rule(std::string_view text, std::string_view in = "UTC", DstGap gap = DstGap::run_after,
                 DstOverlap overlap = DstOverlap::first) {
  return {cron(text), zone(in), gap, overlap};
}

// The moments in (after, until].
inline std::vector<std::string> moments(Rule const& rule, std::string const& after, std::string const& until) {
  std::vector<std::string> found;
  auto at = moment(after);
  while (auto const next = rule.next(at)) {
    if (*next > moment(until)) break;
    found.push_back(text_of(next));
    at = *next;
  }
  return found;
}

}  // namespace nestgate::schedule
