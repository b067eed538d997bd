#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "nestgate/http/head.hpp"

namespace nestgate::http {

// The rules in their order of precedence; each is a pure function of the request, tried in turn by `next_route`.
enum class RouteKind : std::uint8_t {
  host,           // {id}.{domain}, {port}-{id}.{domain}
  prefix,         // /runtime/{id}/…
  port,           // /runtime/{port}/…
  path,           // /api/conversations/{id}…, /sockets/events/{id}, /sockets/session/{id}
  socket_io,      // /socket.io/ by conversation_id, then by sid
  session_key,    // header, websocket query, workspace cookie
  first_frame,    // a websocket that names its key in its first text frame
  own,            // the gateway's own routes
  fallback,       // the default runtime
  none,
};
std::string_view to_string(RouteKind kind) noexcept;

// Which rules are on (settings `[routing]`), and what they look for.
struct RouteRules {
  bool host = true;      // needs a domain
  bool prefix = true;
  bool port = true;
  bool path = true;
  bool socket_io = true;
  bool session_key = true;
  bool first_frame = true;
  std::string domain;    // lower case, without leading dot; empty: no host routing
};

// What a rule found. Views point into the request.
struct Route {
  RouteKind kind = RouteKind::none;
  std::string_view id;        // host, prefix, path, socket_io: as in the request, not checked beyond its syntax
  std::string_view sid;       // socket_io without a conversation_id
  std::uint16_t port = 0;     // host with a port, port
  std::string_view prefix;    // prefix, port: what is stripped ("/runtime/abc")
  std::string_view rest;      // the target behind `prefix` ("/" when empty), query included; else the whole target
};

// host: `{id}.{domain}` and `{port}-{id}.{domain}`, case-insensitive, a port in the authority ignored. An id that itself
// starts with digits and a dash is taken whole when the caller does not know a runtime for the split form; see `alternative`.
std::optional<Route> match_host(RouteRules const& rules, std::string_view authority, std::string_view target);
// `{port}-{rest}` could also be one id: the same label read the other way.
std::optional<Route> match_host_whole_label(RouteRules const& rules, std::string_view authority, std::string_view target);
std::optional<Route> match_prefix(RouteRules const& rules, std::string_view target);   // kind prefix or port
std::optional<Route> match_path(RouteRules const& rules, std::string_view path);
std::optional<Route> match_socket_io(RouteRules const& rules, std::string_view path, std::string_view query);

// Whether `path` is one of the gateway's own routes: the control API. Not matched by a session key.
enum class OwnRoute : std::uint8_t { none, health, conversations, automation, sandboxes };
OwnRoute match_own(Method method, std::string_view path);

// POST /api/conversations and POST …/fork: an answer that may hand out a conversation id.
bool hands_out_conversation_id(Method method, std::string_view path);
// /alive, /health, /ready: sent without credentials (agent_server.md 0.3).
bool is_health_probe(Method method, std::string_view path);

}  // namespace nestgate::http
