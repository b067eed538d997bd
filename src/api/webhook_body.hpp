#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "invalid.hpp"

// What today's agent servers push of themselves (agent_server.md 3.5). Pure.
namespace nestgate::api {

struct Pushed {
  std::string execution_status;  // "idle", "running", "finished", …; "" when nothing was said of it
  std::string title;             // "" when nothing was said of it
  bool is_act = false;           // the agent or a user did something: more than a change of state
};

// A ConversationInfo. Invalid: no JSON object. What it does not know is passed over.
Checked<Pushed> parse_pushed_conversation(std::string_view body);
// A list of events, the newest last. Invalid: no JSON array. What it does not know is passed over.
Checked<Pushed> parse_pushed_events(std::string_view body);

}  // namespace nestgate::api
