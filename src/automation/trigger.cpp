#include "nestgate/automation/trigger.hpp"

#include <simdjson.h>

#include <array>

#include "nestgate/base/conversation_id.hpp"
#include "nestgate/codec/json_writer.hpp"

namespace nestgate::automation {
namespace {

namespace dom = simdjson::dom;
using codec::JsonWriter;

constexpr std::array<std::pair<Overlap, std::string_view>, 4> overlaps{{{Overlap::allow, "allow"},
                                                                        {Overlap::skip, "skip"},
                                                                        {Overlap::queue_one, "queue_one"},
                                                                        {Overlap::cancel_running, "cancel_running"}}};

std::optional<std::string> text_in(dom::object object, std::string_view name) {
  std::string_view text;
  if (object[name].get_string().get(text)) return std::nullopt;
  return std::string(text);
}

std::int64_t number_in(dom::object object, std::string_view name, std::int64_t otherwise) {
  std::int64_t number = 0;
  return object[name].get_int64().get(number) ? otherwise : number;
}

template <class T>
T choice_in(dom::object object, std::string_view name, std::optional<T> (*parse)(std::string_view), T otherwise) {
  auto const text = text_in(object, name);
  if (!text) return otherwise;
  return parse(*text).value_or(otherwise);
}

void write(JsonWriter& w, CronTrigger const& trigger) {
  CronTrigger const plain;
  w.member("type", "cron").member("schedule", trigger.schedule).member("timezone", trigger.timezone);
  if (trigger.dst_gap != plain.dst_gap) w.member("dst_gap", schedule::to_string(trigger.dst_gap));
  if (trigger.dst_overlap != plain.dst_overlap) w.member("dst_overlap", schedule::to_string(trigger.dst_overlap));
  if (trigger.misfire != plain.misfire) w.member("misfire", schedule::to_string(trigger.misfire));
  if (trigger.catch_up != plain.catch_up) w.member("catch_up_seconds", trigger.catch_up.count());
  if (trigger.overlap != plain.overlap) w.member("overlap", to_string(trigger.overlap));
  if (trigger.jitter != plain.jitter) w.member("jitter_seconds", trigger.jitter.count());
}

void write(JsonWriter& w, EventTrigger const& trigger) {
  w.member("type", "event").member("source", trigger.source).key("on");
  if (trigger.on_is_text) {
    w.value(trigger.on.front());
  } else {
    w.begin_array();
    for (auto const& pattern : trigger.on) w.value(pattern);
    w.end_array();
  }
  w.member("filter", trigger.filter);
  w.member("destination", trigger.destination);
  w.member("subject_key_expr", trigger.subject_key_expr);
  w.member("turn_text_expr", trigger.turn_text_expr);
  w.member("wake_agent", trigger.wake_agent);
}

std::optional<Trigger> cron_of(dom::object object) {
  auto const schedule = text_in(object, "schedule");
  if (!schedule) return std::nullopt;
  CronTrigger trigger;
  trigger.schedule = *schedule;
  trigger.timezone = text_in(object, "timezone").value_or("UTC");
  trigger.dst_gap = choice_in<schedule::DstGap>(
      object, "dst_gap", [](std::string_view t) { return schedule::parse_dst_gap(t); }, trigger.dst_gap);
  trigger.dst_overlap = choice_in<schedule::DstOverlap>(
      object, "dst_overlap", [](std::string_view t) { return schedule::parse_dst_overlap(t); }, trigger.dst_overlap);
  trigger.misfire = choice_in<schedule::Misfire>(
      object, "misfire", [](std::string_view t) { return schedule::parse_misfire(t); }, trigger.misfire);
  trigger.overlap = choice_in<Overlap>(object, "overlap", &parse_overlap, trigger.overlap);
  trigger.catch_up = std::chrono::seconds(number_in(object, "catch_up_seconds", 0));
  trigger.jitter = std::chrono::seconds(number_in(object, "jitter_seconds", 0));
  return trigger;
}

std::optional<Trigger> event_of(dom::object object) {
  EventTrigger trigger;
  trigger.source = text_in(object, "source").value_or("");
  if (auto one = text_in(object, "on")) {
    trigger.on.push_back(std::move(*one));
    trigger.on_is_text = true;
  } else {
    dom::array patterns;
    if (object["on"].get_array().get(patterns)) return std::nullopt;
    for (auto const pattern : patterns) {
      std::string_view text;
      if (pattern.get_string().get(text)) return std::nullopt;
      trigger.on.emplace_back(text);
    }
  }
  trigger.filter = text_in(object, "filter");
  trigger.destination = text_in(object, "destination").value_or(trigger.destination);
  trigger.subject_key_expr = text_in(object, "subject_key_expr");
  trigger.turn_text_expr = text_in(object, "turn_text_expr");
  if (bool wakes = true; !object["wake_agent"].get_bool().get(wakes)) trigger.wake_agent = wakes;
  return trigger;
}

}  // namespace

std::string_view to_string(Overlap overlap) noexcept {
  for (auto const& [value, text] : overlaps) {
    if (value == overlap) return text;
  }
  return "";
}

std::optional<Overlap> parse_overlap(std::string_view text) {
  for (auto const& [value, name] : overlaps) {
    if (name == text) return value;
  }
  return std::nullopt;
}

std::string to_json(Trigger const& trigger) {
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  std::visit([&w](auto const& t) { write(w, t); }, trigger);
  w.end_object();
  return out;
}

std::optional<Trigger> parse_trigger(std::string_view json) {
  dom::parser parser;
  dom::object object;
  if (parser.parse(json.data(), json.size()).get_object().get(object)) return std::nullopt;
  auto const type = text_in(object, "type");
  if (type == "cron") return cron_of(object);
  if (type == "event") return event_of(object);
  return std::nullopt;
}

std::string_view kind_of(Trigger const& trigger) noexcept {
  return std::holds_alternative<CronTrigger>(trigger) ? "cron" : "event";
}

std::string to_string(Target const& target) {
  using Kind = Target::Kind;
  if (target.kind == Kind::conversation) return "conversation:" + target.name;
  if (target.kind == Kind::label) return "label:" + target.name;
  return target.kind == Kind::warm ? "warm" : "fresh";
}

std::optional<Target> parse_target(std::string_view text) {
  using Kind = Target::Kind;
  if (text == "fresh") return Target{Kind::fresh, {}};
  if (text == "warm") return Target{Kind::warm, {}};
  for (auto const& [prefix, kind] : {std::pair<std::string_view, Kind>{"conversation:", Kind::conversation},
                                     std::pair<std::string_view, Kind>{"label:", Kind::label}}) {
    if (!text.starts_with(prefix) || text.size() == prefix.size()) continue;
    auto const name = text.substr(prefix.size());
    if (kind == Kind::conversation && !ConversationId::parse(name)) return std::nullopt;
    return Target{kind, std::string(name)};
  }
  return std::nullopt;
}

std::string to_json(Policy const& policy) {
  Policy const plain;
  std::string out;
  JsonWriter w(out);
  w.begin_object();
  if (policy.target) w.member("target", to_string(*policy.target));
  if (policy.priority != plain.priority) w.member("priority", policy.priority);
  if (policy.concurrent_max != plain.concurrent_max) w.member("max_concurrent_runs", policy.concurrent_max);
  if (policy.attempts_max != plain.attempts_max) w.member("max_attempts", policy.attempts_max);
  if (policy.retry_pause != plain.retry_pause) w.member("retry_pause_seconds", policy.retry_pause.count());
  w.end_object();
  return out == "{}" ? std::string() : out;
}

Policy parse_policy(std::string_view json) {
  Policy policy;
  dom::parser parser;
  dom::object object;
  if (json.empty() || parser.parse(json.data(), json.size()).get_object().get(object)) return policy;
  if (auto const target = text_in(object, "target")) policy.target = parse_target(*target);
  policy.priority = static_cast<std::int32_t>(number_in(object, "priority", policy.priority));
  policy.concurrent_max = static_cast<std::uint32_t>(number_in(object, "max_concurrent_runs", policy.concurrent_max));
  policy.attempts_max = static_cast<std::uint32_t>(number_in(object, "max_attempts", policy.attempts_max));
  policy.retry_pause = std::chrono::seconds(number_in(object, "retry_pause_seconds", policy.retry_pause.count()));
  return policy;
}

void apply(Policy const& policy, Target const& otherwise, store::RunRow& run) {
  run.target = to_string(policy.target.value_or(otherwise));
  run.priority = policy.priority;
  run.concurrent_max = policy.concurrent_max;
  run.attempts_max = policy.attempts_max;
  run.retry_pause_s = policy.retry_pause.count();
}

}  // namespace nestgate::automation
