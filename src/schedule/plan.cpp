#include "nestgate/schedule/plan.hpp"

#include <algorithm>

#include "nestgate/base/text.hpp"
#include "schedule/spread.hpp"

namespace nestgate::schedule {
namespace {

using std::chrono::seconds;
using Why = Skipped::Why;

// Walks the moments of a rule that begin with `due` and are not after `now`.
class Passed {
 public:
  Passed(Rule const& rule, Moment due, Moment now) : rule_(rule), due_(due), now_(now) {}

  // The first one that is not before `moment`.
  std::optional<Moment> from(Moment moment) const {
    if (moment <= due_) return due_;
    return not_after(rule_.next(moment - seconds(1)));
  }
  std::optional<Moment> after(Moment moment) const { return not_after(rule_.next(moment)); }
  Moment newest() const { return std::max(due_, rule_.previous(now_ + seconds(1)).value_or(due_)); }
  Moment due() const { return due_; }

  // Those in [due, end), of which there is one at least.
  Skipped before(Moment end, Why why, std::uint32_t counted_max) const {
    Skipped skipped{why, due_, std::max(due_, rule_.previous(end).value_or(due_)), 1, false};
    for (auto at = after(due_); at && *at < end; at = after(*at)) {
      if (skipped.count >= counted_max) {
        skipped.is_at_least = true;
        break;
      }
      ++skipped.count;
    }
    return skipped;
  }

 private:
  std::optional<Moment> not_after(std::optional<Moment> moment) const {
    return moment && *moment <= now_ ? moment : std::nullopt;
  }

  Rule const& rule_;
  Moment due_, now_;
};

// From when on moments fire, and why those before do not.
struct Cut {
  Moment from;
  Why why;
};

Cut cut_of(Passed const& passed, Moment now, CatchUp const& catch_up) {
  auto const punctual = now - catch_up.lateness_max;
  auto const oldest = catch_up.window ? std::min(now - *catch_up.window, punctual) : passed.due();
  switch (catch_up.misfire) {
    case Misfire::skip: return {punctual, Why::not_wanted};
    case Misfire::all: return {oldest, Why::out_of_window};
    case Misfire::once: break;
  }
  if (passed.due() >= punctual) return {passed.due(), Why::superseded};  // nothing was missed
  auto const newest = passed.newest();
  return newest < oldest ? Cut{punctual, Why::out_of_window} : Cut{newest, Why::superseded};
}

std::string_view reason_of(Why why) {
  switch (why) {
    case Why::superseded: return "superseded by a newer one";
    case Why::not_wanted: return "missed moments are to be skipped";
    case Why::out_of_window: return "older than the catch-up window";
  }
  return "";
}

}  // namespace

std::string_view to_string(Misfire misfire) noexcept {
  switch (misfire) {
    case Misfire::once: return "once";
    case Misfire::all: return "all";
    case Misfire::skip: return "skip";
  }
  return "";
}

std::optional<Misfire> parse_misfire(std::string_view text) noexcept {
  for (auto const misfire : {Misfire::once, Misfire::all, Misfire::skip}) {
    if (text == to_string(misfire)) return misfire;
  }
  return std::nullopt;
}

std::string describe(Skipped const& skipped) {
  std::string text = skipped.is_at_least ? "missed at least " : "missed ";
  text += skipped.count == 1 ? "one moment, " : std::to_string(skipped.count) + " moments from ";
  text += rfc3339(skipped.first, 0);
  if (skipped.count > 1) text += " to " + rfc3339(skipped.last, 0);
  return text.append(": ").append(reason_of(skipped.why));
}

Plan plan(Rule const& rule, Moment due, Now now, CatchUp const& catch_up) {
  auto const moment = std::chrono::floor<seconds>(now);
  if (due > moment) return {{}, {}, due};
  Passed const passed(rule, due, moment);
  auto const cut = cut_of(passed, moment, catch_up);
  auto const first = passed.from(cut.from);
  Plan plan;
  if (!first || *first > due)
    plan.skipped.push_back(passed.before(first.value_or(moment + seconds(1)), cut.why, catch_up.counted_max));
  auto at = first;
  for (; at && plan.fire.size() < catch_up.fired_max; at = passed.after(*at)) plan.fire.push_back(*at);
  plan.next = at ? at : rule.next(moment);
  return plan;
}

std::chrono::milliseconds jitter_of(std::string_view automation_id, Moment moment,
                                    std::chrono::milliseconds spread) noexcept {
  if (spread.count() <= 0) return {};
  // FNV-1a over the id and the moment's bytes, then a finalizer that lets each bit depend on all: the spread looks at the
  // upper ones.
  std::uint64_t hash = 0xCBF29CE484222325;
  auto const take = [&hash](std::uint64_t byte) { hash = (hash ^ byte) * 0x100000001B3; };
  for (char const c : automation_id) take(static_cast<unsigned char>(c));
  auto const time = static_cast<std::uint64_t>(moment.time_since_epoch().count());
  for (unsigned shift = 0; shift < 64; shift += 8) take(time >> shift & 0xFF);
  hash = (hash ^ hash >> 33) * 0xFF51AFD7ED558CCD;
  hash = (hash ^ hash >> 33) * 0xC4CEB9FE1A85EC53;
  hash ^= hash >> 33;
  return std::chrono::milliseconds(spread_over(hash, static_cast<std::uint64_t>(spread.count())));
}

}  // namespace nestgate::schedule
