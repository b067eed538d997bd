#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "invalid.hpp"
#include "nestgate/conversation/manager.hpp"
#include "static_routes_body.hpp"

// Answers as JSON. Pure.
namespace nestgate::api {

// RFC 3339 in UTC, six digits of a second where they are not zero (automation.md 1.0).
std::string format_time(std::chrono::system_clock::time_point time);

// Where clients reach a conversation: host only with a domain and an id that is a host label, else by prefix.
std::string conversation_url(ConversationId const& id, std::string_view origin, std::string_view domain);

// What a conversation's owner is shown of it.
struct ConversationShape {
  std::string_view origin;                                                  // scheme://authority
  std::string_view domain;                                                  // host routing's; empty: none
  std::unordered_map<std::string, std::uint32_t> const* streams = nullptr;  // open ones, by canonical id; nullptr: not known
};
std::string conversation_json(conversation::View const& view, ConversationShape const& shape);
std::string conversations_json(conversation::Page const& page, ConversationShape const& shape);
// The words of the older managers' clients: STARTING, RUNNING, …
std::string_view status_word(conversation::RuntimeState state) noexcept;
std::optional<conversation::RuntimeState> parse_status_word(std::string_view text);
std::optional<conversation::Purpose> parse_purpose(std::string_view text);
// An event of a start's progress: its name and JSON, as SSE.
std::string progress_event(conversation::View const& view);

std::string static_route_json(conversation::View const& view);
std::string static_routes_json(conversation::Page const& page);
// Of a batch: how many were done, and why the others were not.
std::string static_changes_json(std::size_t put, std::size_t removed, std::vector<StaticChanges::Refused> const& refused);

std::string error_json(std::string_view code, std::string_view message, std::string_view request_id);
// A count that is at its limit: in the error shape, and beside it in that of the Cloud API (nested_server.md 4.3).
std::string limit_json(upstream::Failure const& failure, std::string_view request_id);
std::string detail_json(std::string_view detail);
// {"detail":[{"type","loc":["body",…],"msg"}]}; inputs are never echoed: they may be secrets.
std::string invalid_json(Invalid const& invalid);

}  // namespace nestgate::api
