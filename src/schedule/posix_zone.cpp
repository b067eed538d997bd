#include "schedule/posix_zone.hpp"

#include <algorithm>

namespace nestgate::schedule {
namespace {

using namespace std::chrono;

constexpr bool is_digit(char c) { return c >= '0' && c <= '9'; }
constexpr bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

constexpr std::size_t name_letters_min = 3;
constexpr int offset_hours_max = 24;
constexpr int time_hours_max = 167;

}  // namespace

// Takes what it reads off the front of its text.
class PosixZoneParser {
 public:
  explicit PosixZoneParser(std::string_view text) : text_(text) {}

  std::optional<PosixZone> parse() {
    PosixZone zone;
    auto const offset = name() ? signed_time(offset_hours_max) : std::nullopt;
    if (!offset) return std::nullopt;
    zone.offset_ = -*offset;  // POSIX counts to the west
    if (text_.empty()) return zone;
    zone.summer_ = summer(zone.offset_);
    if (!zone.summer_ || !text_.empty()) return std::nullopt;
    return zone;
  }

 private:
  using Change = PosixZone::Change;

  std::optional<PosixZone::Summer> summer(seconds winter_offset) {
    if (!name()) return std::nullopt;
    auto offset = std::optional(winter_offset + hours(1));
    if (!text_.starts_with(',')) {
      auto const west = signed_time(offset_hours_max);
      if (!west) return std::nullopt;
      offset = -*west;
    }
    auto const begin = change();
    auto const end = begin ? change() : std::nullopt;
    if (!end) return std::nullopt;
    return PosixZone::Summer{*offset, *begin, *end};
  }

  bool take(char c) {
    if (!text_.starts_with(c)) return false;
    text_.remove_prefix(1);
    return true;
  }

  bool name() {
    bool const is_quoted = take('<');
    auto const belongs = [is_quoted](char c) {
      return is_letter(c) || (is_quoted && (is_digit(c) || c == '+' || c == '-'));
    };
    auto const end = std::find_if_not(text_.begin(), text_.end(), belongs);
    auto const length = static_cast<std::size_t>(end - text_.begin());
    text_.remove_prefix(length);
    return length >= name_letters_min && (!is_quoted || take('>'));
  }

  std::optional<int> number(int min, int max) {
    int value = 0;
    std::size_t digits = 0;
    while (digits < text_.size() && digits < 4 && is_digit(text_[digits])) value = value * 10 + (text_[digits++] - '0');
    if (digits == 0 || value < min || value > max) return std::nullopt;
    text_.remove_prefix(digits);
    return value;
  }

  // [+-]h[:m[:s]]
  std::optional<seconds> signed_time(int hours_max) {
    bool const is_negative = take('-');
    if (!is_negative) take('+');
    auto const whole_hours = number(0, hours_max);
    if (!whole_hours) return std::nullopt;
    seconds time = hours(*whole_hours);
    for (auto const unit : {seconds(60), seconds(1)}) {
      if (!take(':')) break;
      auto const part = number(0, 59);
      if (!part) return std::nullopt;
      time += *part * unit;
    }
    return is_negative ? -time : time;
  }

  // ",M3.2.0/2"
  std::optional<Change> change() {
    if (!take(',')) return std::nullopt;
    auto change = date();
    if (!change || !take('/')) return change;
    auto const time = signed_time(time_hours_max);
    if (!time) return std::nullopt;
    change->time = *time;
    return change;
  }

  std::optional<Change> date() {
    Change change;
    std::optional<int> day;
    if (take('M')) {
      auto const month = number(1, 12);
      auto const week = month && take('.') ? number(1, 5) : std::nullopt;
      if (!week || !take('.')) return std::nullopt;
      change.month = static_cast<unsigned>(*month);
      change.week = static_cast<unsigned>(*week);
      day = number(0, 6);
    } else if (take('J')) {
      change.form = Change::Form::julian;
      day = number(1, 365);
    } else {
      change.form = Change::Form::day_of_year;
      day = number(0, 365);
    }
    if (!day) return std::nullopt;
    change.day = *day;
    return change;
  }

  std::string_view text_;
};

std::optional<PosixZone> PosixZone::parse(std::string_view text) {
  if (text.size() > posix_zone_bytes_max) return std::nullopt;
  return PosixZoneParser(text).parse();
}

local_seconds PosixZone::Change::in(std::chrono::year year) const {
  auto const new_year = local_days(year / January / 1);
  switch (form) {
    case Form::day_of_year: return new_year + days(day) + time;
    case Form::julian: {  // the 29th of February is not counted
      int const leap = year.is_leap() && day > 31 + 28 ? 1 : 0;
      return new_year + days(day - 1 + leap) + time;
    }
    case Form::week: break;
  }
  auto const wanted = weekday(static_cast<unsigned>(day));
  auto const the_month = year / std::chrono::month(month);
  if (week == 5) return local_days(the_month / wanted[last]) + time;
  return local_days(the_month / wanted[week]) + time;
}

std::vector<Transition> PosixZone::transitions(Moment from, Moment until) const {
  std::vector<Transition> found{{from, offset_}};
  if (!summer_) return found;
  auto const year_of = [](Moment moment) { return year_month_day(floor<days>(moment)).year(); };
  auto const begin_in = [this](year y) { return Moment{(summer_->begin.in(y)).time_since_epoch() - offset_}; };
  auto const end_in = [this](year y) { return Moment{(summer_->end.in(y)).time_since_epoch() - summer_->offset}; };
  auto const add = [&found, until](Moment at, seconds offset) {
    if (at >= until) return;
    if (at <= found.back().at) {  // before `from`, or at once again: a summer that touches the next one never ends
      found.back().offset = offset;
    } else {
      found.push_back({at, offset});
    }
  };
  for (auto y = year_of(from) - years(2); y <= year_of(until); ++y) {
    auto const begin = begin_in(y);
    auto const end = end_in(y) >= begin ? end_in(y) : end_in(y + years(1));  // a southern summer has New Year in it
    add(begin, summer_->offset);
    add(end, offset_);
  }
  return found;
}

}  // namespace nestgate::schedule
