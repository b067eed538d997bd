#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/automation/service.hpp"
#include "nestgate/event/expression.hpp"
#include "nestgate/event/source.hpp"

// What a delivered event means: pure functions of its body and of who waits, for a worker thread, since a body may have
// tens of megabytes and an expression may be hostile.
namespace nestgate::api {

// How a source's events are read.
struct EventReader {
  std::string source;
  std::optional<event::BuiltinSource> builtin;
  std::string key_expression;  // of a custom source
};

// A body as a value, or the answer to whoever sent it.
struct ReadEvent {
  unsigned status = 200;  // else a refusal with `detail`
  std::string detail;
  std::optional<event::Event> event;  // nothing with 200: it is none that anybody could want
  event::Value raw;                   // what filters see
};
ReadEvent read_event(EventReader const& reader, std::string_view body);

struct MatchLimits {
  event::Budget budget = {};                     // of each filter, and of each trigger's patterns
  std::chrono::milliseconds time_max{2'000};     // of all of them; who comes behind does not match
  std::size_t payloads_bytes_max = 256UL << 20;  // of all runs that are made
};

struct Matched {
  std::vector<automation::Match> matches;
  std::size_t over_budget = 0;  // filters or patterns that cost too much: no match
  std::size_t failed = 0;       // filters that could not be evaluated: no match
  bool is_too_large = false;    // payload times matches; nothing is to be done then
};
Matched match_event(ReadEvent const& read, std::vector<store::AutomationRow> waiting, MatchLimits const& limits);

// Whether a trigger wants it; nothing where its filter says nothing about it.
enum class Wanted : std::uint8_t { yes, no, failed, over_budget };
Wanted wants(automation::EventTrigger const& trigger, std::string_view key, event::Value const& raw,
             event::Budget const& budget);

}  // namespace nestgate::api
