#pragma once

#include <string>

#include "nestgate/schedule/rule.hpp"

namespace nestgate::schedule {

// An expression in words: "at 02:30 on Monday and Friday", "every 5 minutes of hours 9 to 17 on day 13 of the month or on
// Friday". ASCII, bounded like the expression.
std::string describe(Cron const& cron);

// With the zone, and with what becomes of readings that changes of its clocks after `from` leave out or repeat, if there
// are such: "at 02:30 every day, Europe/Berlin time; where the clocks leave that out, right after; where they repeat it,
// the first time".
std::string describe(Rule const& rule, Now from);

}  // namespace nestgate::schedule
