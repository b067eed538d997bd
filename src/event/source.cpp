#include "nestgate/event/source.hpp"

#include <algorithm>
#include <array>

#include "event/evaluator.hpp"
#include "event/github.hpp"
#include "nestgate/event/glob.hpp"

namespace nestgate::event {
namespace {

constexpr std::array<std::string_view, 4> names{"azure_devops", "bitbucket_data_center", "github", "jira_dc"};
static_assert(std::ranges::is_sorted(names) && names[static_cast<std::size_t>(BuiltinSource::jira_dc)] == "jira_dc");

constexpr std::string_view github_patterns[] = {"issue_comment.*",       "issues.*", "pull_request.*",
                                                "pull_request_review.*", "push",     "release.*"};
static_assert(std::ranges::is_sorted(github_patterns));

// A source that names its events: where it does so, and under which name that is stored.
struct Named {
  std::string_view member, stored_as;
};

constexpr Named named_by(BuiltinSource source) noexcept {
  switch (source) {
    case BuiltinSource::azure_devops: return {"eventType", "event_type"};
    case BuiltinSource::bitbucket_data_center: return {"eventKey", "event_key_value"};
    case BuiltinSource::jira_dc: return {"webhookEvent", "webhook_event"};
    case BuiltinSource::github: break;
  }
  return {};
}

Event with_raw(std::string_view name, std::string_view value, Value const& raw, std::string key) {
  auto payload = Value::object(
      {{std::string(name), Value::string(std::string(value))}, {"payload", raw}, {"event_key", Value::string(key)}});
  return {std::move(key), std::move(payload)};
}

}  // namespace

std::span<std::string_view const> builtin_source_names() noexcept { return names; }

std::string_view to_string(BuiltinSource source) noexcept { return names[static_cast<std::size_t>(source)]; }

std::optional<BuiltinSource> parse_builtin_source(std::string_view name) noexcept {
  auto const at = std::ranges::find(names, name);
  if (at == names.end()) return std::nullopt;
  return static_cast<BuiltinSource>(at - names.begin());
}

Recognition recognise(BuiltinSource source, Value const& raw) {
  if (source == BuiltinSource::github) return recognise_github(raw);
  auto const [member, stored_as] = named_by(source);
  auto const* const named = raw.find(member);
  if (!named || !named->is_string() || named->as_string().empty())
    return Unrecognised{std::string(member) + " names no event"};
  if (named->as_string().size() > event_key_bytes_max) return Unrecognised{"the event's key is too long"};
  return with_raw(stored_as, named->as_string(), raw, std::string(named->as_string()));
}

Recognition recognise_custom(std::string_view source, Expression const& key, Value const& raw, Budget const& budget) {
  if (!raw.is_object()) return Unreadable{"the body is no object"};
  auto const found = key.evaluate(raw, budget);
  if (!found) return Unrecognised{"the key's expression: " + found.error().text};
  auto text = python_text(*found);
  if (!text) return Unrecognised{"the key's expression finds no text, number or boolean"};
  if (text->size() > event_key_bytes_max) return Unrecognised{"the event's key is too long"};
  auto payload = Value::object(
      {{"payload", raw}, {"source_override", Value::string(std::string(source))}, {"event_key", Value::string(*text)}});
  return Event{std::move(*text), std::move(payload)};
}

Evaluated<bool> any_matches(std::span<std::string const> patterns, std::string_view key, Budget const& budget) {
  std::uint64_t steps = 0;
  for (auto const& pattern : patterns) {
    if (pattern == key) return true;
    if (pattern.size() > budget.pattern_bytes_max) return over_budget("length of a pattern");
    steps += glob_steps(pattern, key);
    if (steps > budget.steps_max) return over_budget("steps");
    if (glob_matches(pattern, key)) return true;
  }
  return false;
}

std::string DetectionRule::jmespath() const {
  std::string out;
  for (auto const member : members) {
    if (!out.empty()) out.append(" && ");
    out.append("contains(keys(@), '").append(member).append("')");
  }
  return out;
}

std::span<DetectionRule const> detection_rules(BuiltinSource source) noexcept {
  return source == BuiltinSource::github ? github_rules() : std::span<DetectionRule const>();
}

std::span<std::string_view const> event_types(BuiltinSource source) noexcept {
  return source == BuiltinSource::github ? github_types() : std::span<std::string_view const>();
}

std::span<std::string_view const> event_key_patterns(BuiltinSource source) noexcept {
  return source == BuiltinSource::github ? std::span<std::string_view const>(github_patterns)
                                         : std::span<std::string_view const>();
}

bool is_delivered(BuiltinSource source, std::string_view pattern) noexcept {
  auto const types = event_types(source);
  auto const type = type_of_pattern(pattern);
  if (types.empty()) return true;
  if (type.size() > event_key_bytes_max) return false;
  return std::ranges::any_of(types, [type](std::string_view each) { return glob_matches(type, each); });
}

std::string_view type_of_pattern(std::string_view pattern) noexcept { return pattern.substr(0, pattern.find('.')); }

}  // namespace nestgate::event
