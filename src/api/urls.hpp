#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "nestgate/base/conversation_id.hpp"

// Where clients reach a conversation. Pure. `origin` is scheme://authority without a path; `domain` that of host routing,
// empty without.
namespace nestgate::api {

// scheme://{label}.{domain}[:port]; nothing without a domain, or for what is no host label of its own.
std::optional<std::string> host_url(std::string_view label, std::string_view origin, std::string_view domain);

// Never with a path: clients of the Cloud API and of the remote runtime API refuse one (agent_server.md 0.2). Without a host
// of its own it is the origin, where the session key leads to the conversation.
std::string agent_server_url(ConversationId const& id, std::string_view origin, std::string_view domain);

// A declared port: {number}-{id}.{domain}, else /runtime/{number} of the origin.
std::string port_url(ConversationId const& id, std::uint16_t number, std::string_view origin, std::string_view domain);

}  // namespace nestgate::api
