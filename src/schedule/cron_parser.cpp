#include <algorithm>
#include <vector>

#include "nestgate/base/result.hpp"
#include "nestgate/schedule/cron.hpp"

namespace nestgate::schedule {
namespace {

template <class T = void>
using Parsed = boost::system::result<T, CronFault>;

constexpr unsigned number_max = 1'000'000;  // more says no more: as a step it is beyond every field, as a value wrong
constexpr std::size_t quoted_bytes_max = 40;
constexpr std::size_t fields_min = 5, fields_max = 7;

struct Field {
  std::string_view name;
  unsigned min, max;
  std::string_view names;  // of three letters each, the first one for `first_name`
  unsigned first_name;
};
constexpr Field minute_field{"minute", 0, 59, "", 0};
constexpr Field hour_field{"hour", 0, 23, "", 0};
constexpr Field day_of_month_field{"day of month", 1, 31, "", 0};
constexpr Field month_field{"month", 1, 12, "janfebmaraprmayjunjulaugsepoctnovdec", 1};
constexpr Field day_of_week_field{"day of week", 0, 6, "sunmontuewedthufrisat", 0};
constexpr Field second_field{"second", 0, 59, "", 0};
constexpr Field year_field{"year", cron_year_min, cron_year_max, "", 0};

constexpr std::pair<std::string_view, std::string_view> aliases[] = {
    {"@hourly", "0 * * * *"},  {"@daily", "0 0 * * *"},  {"@midnight", "0 0 * * *"}, {"@weekly", "0 0 * * 0"},
    {"@monthly", "0 0 1 * *"}, {"@yearly", "0 0 1 1 *"}, {"@annually", "0 0 1 1 *"},
};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_number(std::string_view text) { return !text.empty() && std::all_of(text.begin(), text.end(), is_digit); }

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char const c : text.substr(0, quoted_bytes_max)) out += c > 0x1F && c < 0x7F ? c : '?';
  if (text.size() > quoted_bytes_max) out += "...";
  return out += '"';
}

unsigned to_number(std::string_view digits) {
  unsigned number = 0;
  for (char const c : digits) number = std::min(number * 10 + static_cast<unsigned>(c - '0'), number_max);
  return number;
}

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
  std::vector<std::string_view> parts;
  for (;;) {
    auto const end = text.find_first_of(separators);
    parts.push_back(text.substr(0, end));
    if (end == text.npos) return parts;
    text.remove_prefix(end + 1);
  }
}

CronFault fault(Field const& field, std::string reason) { return {field.name, std::move(reason)}; }

CronFault not_understood(Field const& field, std::string_view item) {
  return fault(field, quoted(item) + " is not understood");
}

CronFault out_of_range(Field const& field, std::string_view item) {
  auto const max = field.name == day_of_week_field.name ? 7 : field.max;
  return fault(field, quoted(item) + " is not in " + std::to_string(field.min) + " to " + std::to_string(max));
}

// A number or a name. Sunday is 0 here, however it was written.
Parsed<unsigned> value_of(Field const& field, std::string_view text) {
  bool const is_day_of_week = field.name == day_of_week_field.name;
  if (is_number(text)) {
    auto const number = to_number(text);
    if (is_day_of_week && number == 7) return 0u;
    if (number < field.min || number > field.max) return out_of_range(field, text);
    return number;
  }
  for (std::size_t at = 0; text.size() == 3 && at < field.names.size(); at += 3) {
    if (field.names.substr(at, 3) == text) return static_cast<unsigned>(at / 3) + field.first_name;
  }
  return not_understood(field, text);
}

struct Range {
  unsigned low, high, step;
};

// The values of a range, as croniter 6.2.2 reads it, so that a schedule means here what it meant there: one from a value to
// itself is the whole cycle, and one that wraps around with a step begins anew one later than counting on would.
std::vector<unsigned> values_of(Field const& field, Range range) {
  std::vector<unsigned> values;
  auto const add = [&values, &range](unsigned from, unsigned to) {
    for (auto value = from; value <= to; value += range.step) values.push_back(value);
  };
  if (range.low == range.high) {
    add(field.min, field.max);
  } else if (range.low < range.high) {
    add(range.low, range.high);
  } else {
    add(range.low, field.max);
    auto const left_out = field.max - values.back();
    bool const fits = left_out + 1 == range.step;
    auto const skipped = fits ? 0 : range.step - left_out;
    add(field.min + skipped, range.high);
  }
  return values;
}

// "*/5", "10/15", "1-5", "22-2/2", "1-L": whatever has a range in it.
Parsed<Range> parse_range(Field const& field, std::string_view item) {
  auto const slash = item.find('/');
  auto const bounds = item.substr(0, slash);
  Range range{field.min, field.max, 1};
  if (slash != item.npos) {
    auto const step = item.substr(slash + 1);
    if (!is_number(step)) return not_understood(field, item);
    range.step = to_number(step);
    if (range.step == 0) return fault(field, "the step of " + quoted(item) + " is 0");
  }
  if (bounds == "*") return range;
  auto const dash = bounds.find('-');
  if (dash == 0 || dash + 1 == bounds.size()) return not_understood(field, item);
  NESTGATE_TRY(low, value_of(field, bounds.substr(0, dash)));
  range.low = low;
  if (dash == bounds.npos) return range;
  auto const end = bounds.substr(dash + 1);
  if (field.name == day_of_month_field.name && end == "l") return range;
  NESTGATE_TRY(high, value_of(field, end));
  range.high = high;
  return range;
}

bool is_hashed(std::string_view item) {
  return (item.starts_with('h') || item.starts_with('r')) && (item.size() == 1 || item[1] == '(' || item[1] == '/');
}

bool is_range(std::string_view item) { return item.find_first_of("-/") != item.npos; }

// What every field takes; what only one takes was taken before.
Parsed<std::vector<unsigned>> parse_plain(Field const& field, std::string_view item) {
  if (item.empty()) return fault(field, "an item of the list is empty");
  if (is_hashed(item)) return fault(field, quoted(item) + ": H and R, a time picked at random, are not taken");
  if (item.find('?') != item.npos) {
    return fault(field, "? stands alone, for the day of month or the day of week");
  }
  if (item == "*") return values_of(field, {field.min, field.max, 1});
  if (is_range(item)) {
    NESTGATE_TRY(range, parse_range(field, item));
    return values_of(field, range);
  }
  NESTGATE_TRY(value, value_of(field, item));
  return std::vector<unsigned>{value};
}

bool has_wildcard(std::string_view field_text) { return field_text.find('*') != field_text.npos; }

bool is_any(std::string_view field_text) {
  auto const items = split(field_text, ",");
  return field_text == "?" || std::find(items.begin(), items.end(), "*") != items.end();
}

Parsed<std::uint64_t> parse_set(Field const& field, std::string_view text) {
  std::uint64_t bits = 0;
  for (auto const item : split(text, ",")) {
    NESTGATE_TRY(values, parse_plain(field, item));
    for (auto const value : values) bits |= std::uint64_t{1} << value;
  }
  return bits;
}

Parsed<Cron::Years> parse_years(std::string_view text) {
  Cron::Years years;
  for (auto const item : split(text, ",")) {
    NESTGATE_TRY(values, parse_plain(year_field, item));
    for (auto const value : values) years.set(value - year_field.min);
  }
  return years;
}

// 15W or W15.
std::optional<std::string_view> nearest_weekday_in(std::string_view item) {
  if (item.starts_with('w') && is_number(item.substr(1))) return item.substr(1);
  if (item.ends_with('w') && is_number(item.substr(0, item.size() - 1))) return item.substr(0, item.size() - 1);
  return std::nullopt;
}

Parsed<> parse_days_of_month(std::string_view text, CronDays& days) {
  auto const& field = day_of_month_field;
  auto const items = split(text, ",");
  for (auto const item : items) {
    if (text == "?") {
      days.of_month = ~std::uint32_t{1};
    } else if (item == "l") {
      days.last_of_month = true;
    } else if (auto const day = nearest_weekday_in(item)) {
      if (items.size() > 1) return fault(field, quoted(item) + " stands alone, not in a list");
      NESTGATE_TRY(value, value_of(field, *day));
      days.nearest_weekday = static_cast<std::uint8_t>(value);
    } else if (item == "lw" || item == "wl") {
      return fault(field, "the last weekday, LW, is not taken");
    } else {
      NESTGATE_TRY(values, parse_plain(field, item));
      for (auto const value : values) days.of_month |= 1u << value;
    }
  }
  return {};
}

// 1#2, mon#2, mon-fri#2: into `nth_of_week`.
Parsed<> parse_nth(std::string_view item, CronDays& days) {
  auto const& field = day_of_week_field;
  auto const cut = item.find('#');
  auto const weekdays = item.substr(0, cut), nth = item.substr(cut + 1);
  if (!is_number(nth)) return not_understood(field, item);
  auto const number = to_number(nth);
  if (number < 1 || number > 5) return fault(field, "a month has weekdays #1 to #5: " + quoted(item));
  bool const has_digit = std::any_of(weekdays.begin(), weekdays.end(), is_digit);
  if (weekdays == "*" || weekdays.find('/') != weekdays.npos || (is_range(weekdays) && has_digit))
    return not_understood(field, item);
  NESTGATE_TRY(values, parse_plain(field, weekdays));
  for (auto const value : values) days.nth_of_week[value] |= static_cast<std::uint8_t>(1u << number);
  return {};
}

Parsed<> parse_days_of_week(std::string_view text, CronDays& days) {
  auto const& field = day_of_week_field;
  bool has_nth = false, has_plain = false;
  for (auto const item : split(text, ",")) {
    bool const is_last = item.size() > 1 && item.starts_with('l') && is_number(item.substr(1));
    (is_last || item.find('#') != item.npos ? has_nth : has_plain) = true;
    if (text == "?") {
      days.of_week = 0x7F;
    } else if (is_last) {
      NESTGATE_TRY(value, value_of(field, item.substr(1)));
      days.nth_of_week[value] |= 1u;
    } else if (item.find('#') != item.npos) {
      NESTGATE_TRY_VOID(parse_nth(item, days));
    } else {
      NESTGATE_TRY(values, parse_plain(field, item));
      for (auto const value : values) days.of_week = static_cast<std::uint8_t>(days.of_week | 1u << value);
    }
  }
  if (has_nth && has_plain) return fault(field, "weekdays with # or L do not go with plain ones in a list");
  return {};
}

// Both day fields restricted: either matches. A field that names every day restricts nothing if the other one has a
// wildcard in it.
void settle_restrictions(std::string_view of_month, std::string_view of_week, CronDays& days) {
  constexpr std::uint32_t whole_month = ~std::uint32_t{1};
  constexpr std::uint8_t whole_week = 0x7F;
  days.any_of_month = is_any(of_month) || (days.of_month == whole_month && !days.last_of_month && has_wildcard(of_week));
  days.any_of_week = is_any(of_week) || (days.of_week == whole_week && has_wildcard(of_month));
}

std::string lower_case(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
  }
  return out;
}

std::vector<std::string_view> fields_of(std::string_view text) {
  auto fields = split(text, " \t\r\n\v\f");
  std::erase(fields, "");
  return fields;
}

CronFault whole(std::string reason) { return {"expression", std::move(reason)}; }

std::optional<std::string_view> meaning_of_alias(std::string_view name) {
  for (auto const& [alias, meaning] : aliases) {
    if (alias == name) return meaning;
  }
  return std::nullopt;
}

}  // namespace

class CronParser {
 public:
  static Parsed<Cron> parse(std::vector<std::string_view> const& fields) {
    Cron cron;
    NESTGATE_TRY(minutes, parse_set(minute_field, fields[0]));
    NESTGATE_TRY(hours, parse_set(hour_field, fields[1]));
    NESTGATE_TRY_VOID(parse_days_of_month(fields[2], cron.days_));
    NESTGATE_TRY(months, parse_set(month_field, fields[3]));
    NESTGATE_TRY_VOID(parse_days_of_week(fields[4], cron.days_));
    settle_restrictions(fields[2], fields[4], cron.days_);
    cron.minutes_ = minutes;
    cron.hours_ = hours;
    cron.months_ = months;
    cron.is_fixed_ = !has_wildcard(fields[0]) && !has_wildcard(fields[1]);
    if (fields.size() > fields_min) {
      NESTGATE_TRY(seconds, parse_set(second_field, fields[5]));
      cron.seconds_ = seconds;
      cron.has_seconds_ = true;
    }
    if (fields.size() == fields_max) {
      NESTGATE_TRY(years, parse_years(fields[6]));
      if (!years.all()) cron.years_ = years;  // all that can be named: those beyond them, too
    }
    return cron;
  }
};

Parsed<Cron> Cron::parse(std::string_view text) {
  if (text.size() > cron_bytes_max) return whole("more than " + std::to_string(cron_bytes_max) + " bytes");
  std::string expression = lower_case(text);
  auto fields = fields_of(expression);
  if (fields.size() == 1 && fields[0].starts_with('@')) {
    auto const meaning = meaning_of_alias(fields[0]);
    if (!meaning)
      return whole(quoted(fields[0]) + " is none of @hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually");
    expression = *meaning;
    fields = fields_of(expression);
  }
  if (fields.size() < fields_min || fields.size() > fields_max) {
    return whole(
        "minute, hour, day of month, month and day of week are needed, then second and year may follow; there are " +
        std::to_string(fields.size()) + " fields");
  }
  return CronParser::parse(fields);
}

}  // namespace nestgate::schedule
