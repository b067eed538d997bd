#include "trigger_body.hpp"

#include "nestgate/codec/json_writer.hpp"
#include "nestgate/event/expression.hpp"
#include "nestgate/schedule/rule.hpp"

namespace nestgate::api {
namespace {

using automation::CronTrigger;
using automation::EventTrigger;
using automation::Trigger;

constexpr std::int64_t seconds_in_a_day = 24 * 3600;
constexpr std::int64_t catch_up_max = 366 * seconds_in_a_day;
constexpr std::int64_t jitter_max = 3600;
constexpr std::size_t patterns_max = 1'000;

// A word that `parse` knows.
template <class T>
Rule<T> word(std::vector<std::string> words, std::optional<T> (*parse)(std::string_view)) {
  return [rule = one_of(std::move(words)), parse](Value const& value, T& out) {
    std::string given;
    if (!rule(value, given)) return false;
    out = *parse(given);
    return true;
  };
}

Rule<std::chrono::seconds> seconds(std::int64_t max) {
  return [rule = whole(0, max)](Value const& value, std::chrono::seconds& out) {
    std::int64_t count = 0;
    if (!rule(value, count)) return false;
    out = std::chrono::seconds(count);
    return true;
  };
}

std::string never_fires(std::string const& schedule) {
  return "Cron expression cannot produce any future fire times: " + schedule;
}

std::optional<std::string> why_no_schedule(std::string const& text, store::Time now) {
  auto const cron = schedule::Cron::parse(text);
  if (!cron) return "Invalid cron expression: " + text;
  schedule::Rule const rule{*cron, schedule::Zone::utc()};
  return rule.next(now) ? std::nullopt : std::optional<std::string>(never_fires(text));
}

// By its own clocks: all that it names may be what they leave out, or over there already.
bool fires(CronTrigger const& trigger, BodyRules const& rules) {
  auto const cron = schedule::Cron::parse(trigger.schedule);
  auto const zone = rules.zones.find(trigger.timezone);
  if (!cron || !zone) return false;
  schedule::Rule const rule{*cron, *zone, trigger.dst_gap, trigger.dst_overlap};
  return rule.next(rules.now).has_value();
}

std::optional<std::string> why_no_zone(std::string const& name, schedule::Zones& zones) {
  auto const zone = zones.find(name);
  return zone ? std::nullopt : std::optional<std::string>(zone.error().reason);
}

std::optional<std::string> why_no_expression(std::string_view field, std::string const& text) {
  if (text.empty()) return std::nullopt;
  auto const parsed = event::Expression::parse(text);
  if (parsed) return std::nullopt;
  return "Invalid " + std::string(field) + " expression: " + parsed.error().text;
}

Rule<std::string> expression(std::string field) {
  return checked<std::string>(text(),
                              [field = std::move(field)](std::string& text) { return why_no_expression(field, text); });
}

// One pattern or a list of them: a union, whose arms tell their own faults.
bool read_patterns(Value const& value, EventTrigger& out) {
  if (auto const one = value.text()) {
    out.on = {std::string(*one)};
    out.on_is_text = true;
    return true;
  }
  std::string ignored;
  Faults both;
  text()(Value(both, below(value.loc(), "str"), *value.json()), ignored);
  if (list_of(text(), 0, patterns_max)(Value(both, below(value.loc(), "list[str]"), *value.json()), out.on)) return true;
  for (auto const& fault : both.all()) value.faults().add(fault);
  return false;
}

bool read_cron(Value const& value, BodyRules const& rules, Trigger& out) {
  using schedule::DstGap, schedule::DstOverlap, schedule::Misfire, automation::Overlap;
  CronTrigger cron;
  Model in(value);
  in.take("type");
  in.need("schedule", cron.schedule,
          checked<std::string>(text(), [&](std::string& s) { return why_no_schedule(s, rules.now); }));
  in.may("timezone", cron.timezone,
         checked<std::string>(text(), [&](std::string& s) { return why_no_zone(s, rules.zones); }));
  in.may("dst_gap", cron.dst_gap,
         word<DstGap>({"run_after", "skip"}, [](std::string_view t) { return schedule::parse_dst_gap(t); }));
  in.may("dst_overlap", cron.dst_overlap,
         word<DstOverlap>({"first", "both"}, [](std::string_view t) { return schedule::parse_dst_overlap(t); }));
  in.may("misfire", cron.misfire,
         word<Misfire>({"once", "all", "skip"}, [](std::string_view t) { return schedule::parse_misfire(t); }));
  in.may("catch_up_seconds", cron.catch_up, seconds(catch_up_max));
  in.may("overlap", cron.overlap,
         word<Overlap>({"allow", "skip", "queue_one", "cancel_running"}, &automation::parse_overlap));
  in.may("jitter_seconds", cron.jitter, seconds(jitter_max));
  bool is_well = in.done();
  if (is_well && !fires(cron, rules)) is_well = in.take("schedule")->refuse_value(never_fires(cron.schedule));
  out = std::move(cron);
  return is_well;
}

bool read_event(Value const& value, Trigger& out) {
  EventTrigger event;
  Model in(value);
  in.take("type");
  in.need("source", event.source, text());
  if (auto const on = in.take("on")) {
    read_patterns(*on, event);
  } else {
    std::string ignored;
    in.need("on", ignored, text());
  }
  in.may("filter", event.filter, expression("filter"));
  in.may("destination", event.destination, one_of({"dispatch_run", "continue_conversation"}));
  in.may("subject_key_expr", event.subject_key_expr, expression("subject_key_expr"));
  in.may("turn_text_expr", event.turn_text_expr, expression("turn_text_expr"));
  in.may("wake_agent", event.wake_agent, flag());
  bool const is_well = in.done();
  out = std::move(event);
  return is_well;
}

bool refuse_tag(Value const& value, std::string const& tag) {
  std::string context;
  codec::JsonWriter w(context);
  w.begin_object()
      .member("discriminator", "'type'")
      .member("tag", tag)
      .member("expected_tags", "'cron', 'event'")
      .end_object();
  return value.refuse("union_tag_invalid",
                      "Input tag '" + tag + "' found using 'type' does not match any of the expected tags: 'cron', 'event'",
                      std::move(context));
}

std::string tag_of(simdjson::dom::object object) {
  simdjson::dom::element type;
  std::string_view text;
  if (object["type"].get(type) || type.is_null()) return {};
  return type.get_string().get(text) ? std::string(simdjson::minify(type)) : std::string(text);
}

}  // namespace

Rule<Trigger> trigger(BodyRules const& rules) {
  return [&rules](Value const& value, Trigger& out) {
    auto const element = value.json();
    simdjson::dom::object object;
    if (!element || element->get_object().get(object))
      return value.refuse("model_attributes_type", "Input should be a valid dictionary or object to extract fields from");
    auto const tag = tag_of(object);
    if (tag == "cron") return read_cron(value.as("cron"), rules, out);
    if (tag == "event") return read_event(value.as("event"), out);
    return refuse_tag(value, tag);
  };
}

}  // namespace nestgate::api
