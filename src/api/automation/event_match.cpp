#include "event_match.hpp"

#include "json_fault.hpp"
#include "json_value.hpp"
#include "nestgate/automation/trigger.hpp"

namespace nestgate::api {
namespace {

Wanted why_no_verdict(event::EvaluationFault const& fault) {
  return fault.kind == event::EvaluationFault::Kind::over_budget ? Wanted::over_budget : Wanted::failed;
}

// As Python's decoder says it: "Expecting value: line 1 column 1 (char 0)".
std::string why_no_json(std::string_view body) {
  auto const fault = find_json_fault(body);
  std::size_t line = 1, column = 1, characters = 0;
  for (char const c : body) {
    if ((static_cast<unsigned char>(c) & 0xC0U) == 0x80U) continue;
    if (characters++ == fault.at) break;
    column = c == '\n' ? 1 : column + 1;
    line += c == '\n' ? 1 : 0;
  }
  std::string out = "Invalid JSON: ";
  out.append(fault.text).append(": line ").append(std::to_string(line)).append(" column ").append(std::to_string(column));
  return out.append(" (char ").append(std::to_string(fault.at)).append(")");
}

// What the source itself sent: built-in ones come in an envelope.
event::Value const* payload_of(EventReader const& reader, event::Value const& root) {
  return reader.builtin ? root.find("payload") : &root;
}

event::Recognition recognise(EventReader const& reader, event::Value const& raw) {
  if (reader.builtin) return event::recognise(*reader.builtin, raw);
  auto const expression = event::Expression::parse(reader.key_expression);
  if (!expression) return event::Unrecognised{"the key's expression is none"};
  return event::recognise_custom(reader.source, *expression, raw);
}

}  // namespace

ReadEvent read_event(EventReader const& reader, std::string_view body) {
  ReadEvent out;
  auto const root = event::Value::parse(body);
  if (!root && root.error().kind == FaultKind::too_large) return {413, "The event has too many values", {}, {}};
  if (!root) return {400, why_no_json(body), {}, {}};
  auto const* raw = payload_of(reader, *root);
  if (!raw) return {400, "Missing payload in builtin source request", {}, {}};
  out.raw = *raw;
  auto found = recognise(reader, out.raw);
  if (auto* unreadable = std::get_if<event::Unreadable>(&found))
    return {400, "Failed to parse event: " + unreadable->why, {}, {}};
  if (auto* event = std::get_if<event::Event>(&found)) out.event = std::move(*event);
  return out;
}

Wanted wants(automation::EventTrigger const& trigger, std::string_view key, event::Value const& raw,
             event::Budget const& budget) {
  auto const is_meant = event::any_matches(trigger.on, key, budget);
  if (!is_meant) return why_no_verdict(is_meant.error());
  if (!*is_meant) return Wanted::no;
  if (!trigger.filter || trigger.filter->empty()) return Wanted::yes;
  auto const filter = event::Expression::parse(*trigger.filter);
  if (!filter) return Wanted::failed;
  auto const is_true = filter->matches(raw, budget);
  if (!is_true) return why_no_verdict(is_true.error());
  return *is_true ? Wanted::yes : Wanted::no;
}

Matched match_event(ReadEvent const& read, std::vector<store::AutomationRow> waiting, MatchLimits const& limits) {
  Matched out;
  if (!read.event) return out;
  auto const end = std::chrono::steady_clock::now() + limits.time_max;
  std::string const payload = compact_json(read.event->payload);
  for (auto& row : waiting) {
    auto const trigger = automation::parse_trigger(row.trigger_json);
    auto const* wanting = trigger ? std::get_if<automation::EventTrigger>(&*trigger) : nullptr;
    if (!wanting) continue;
    bool const is_late = std::chrono::steady_clock::now() > end;
    auto const verdict = is_late ? Wanted::over_budget : wants(*wanting, read.event->key, read.raw, limits.budget);
    out.over_budget += verdict == Wanted::over_budget ? 1 : 0;
    out.failed += verdict == Wanted::failed ? 1 : 0;
    if (verdict != Wanted::yes) continue;
    if (payload.size() > limits.payloads_bytes_max / (out.matches.size() + 1)) {
      out.matches.clear();
      out.is_too_large = true;
      return out;
    }
    out.matches.push_back({std::move(row), payload});
  }
  return out;
}

}  // namespace nestgate::api
