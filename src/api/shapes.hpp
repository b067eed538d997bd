#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "invalid.hpp"
#include "nestgate/automation/run_store.hpp"
#include "nestgate/conversation/manager.hpp"

// Answers as JSON. Pure.
namespace nestgate::api {

// RFC 3339 in UTC, six digits of a second where they are not zero (automation.md 1.0).
std::string format_time(std::chrono::system_clock::time_point time);

// Where clients reach a conversation: host only with a domain and an id that is a host label, else by prefix.
std::string conversation_url(ConversationId const& id, std::string_view origin, std::string_view domain);

std::string conversation_json(conversation::View const& view, std::string_view origin, std::string_view domain);
// `next_page_id` names where the page ends, not what stands there: it is good when that conversation is gone.
std::string conversations_json(conversation::Page const& page, std::string_view origin, std::string_view domain);
std::optional<conversation::Position> parse_page_id(std::string_view text);
std::string run_json(automation::Run const& run);
std::string runs_json(automation::RunPage const& page);

std::string error_json(std::string_view code, std::string_view message, std::string_view request_id);
std::string detail_json(std::string_view detail);
// {"detail":[{"type","loc":["body",…],"msg"}]}; inputs are never echoed: they may be secrets.
std::string invalid_json(Invalid const& invalid);

}  // namespace nestgate::api
