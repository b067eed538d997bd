#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "nestgate/event/expression.hpp"
#include "nestgate/event/value.hpp"

// What a webhook's body says, once its signature was checked: pure functions of the body.
namespace nestgate::event {

enum class BuiltinSource : std::uint8_t { azure_devops, bitbucket_data_center, github, jira_dc };

std::span<std::string_view const> builtin_source_names() noexcept;  // sorted
std::string_view to_string(BuiltinSource source) noexcept;
std::optional<BuiltinSource> parse_builtin_source(std::string_view name) noexcept;

// An event's key in bytes; who sends a longer one sends no event.
inline constexpr std::size_t event_key_bytes_max = 1024;

struct Event {
  std::string key;
  Value payload;  // what a run gets to see; filters are asked about the raw payload
};
// Nothing that a trigger could want: it is taken in and does nothing. `why` is for the log and says nothing of values.
struct Unrecognised {
  std::string why;
};
// Not of a shape that has events at all.
struct Unreadable {
  std::string why;
};
using Recognition = std::variant<Event, Unrecognised, Unreadable>;

// `raw` is the provider's own payload.
Recognition recognise(BuiltinSource source, Value const& raw);
// The key is what `key` finds in the body: text, or a number or boolean as Python writes it.
Recognition recognise_custom(std::string_view source, Expression const& key, Value const& raw, Budget const& budget = {});

// Whether one of a trigger's patterns is the key, or a glob for it. Patterns are of any length: the fault is that what they
// cost is over the budget.
Evaluated<bool> any_matches(std::span<std::string const> patterns, std::string_view key, Budget const& budget = {});

// How a source's events are told apart: the event is of the first type all of whose members the payload has.
struct DetectionRule {
  std::string_view event_type;
  std::span<std::string_view const> members;

  std::string jmespath() const;
};
// In their order. Empty for sources that name their events themselves.
std::span<DetectionRule const> detection_rules(BuiltinSource source) noexcept;
// The types of which events are taken in, where that is known: of github.
std::span<std::string_view const> event_types(BuiltinSource source) noexcept;
// Patterns for all keys that a source has, sorted: what a form may offer.
std::span<std::string_view const> event_key_patterns(BuiltinSource source) noexcept;
// Whether any event that is taken in can match this pattern of a trigger, as far as that is known.
bool is_delivered(BuiltinSource source, std::string_view pattern) noexcept;
// What a pattern says of the event's type: all before the first point.
std::string_view type_of_pattern(std::string_view pattern) noexcept;

}  // namespace nestgate::event
