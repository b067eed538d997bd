#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "nestgate/http/head.hpp"

namespace nestgate::http {

// The rules in their order of precedence; each is a pure function of the request, tried in turn by the proxy.
enum class RouteKind : std::uint8_t {
  host,         // {id}.{domain}, {port}-{id}.{domain}
  prefix,       // /runtime/{id}/…
  port,         // /runtime/{port}/…
  path,         // /api/conversations/{id}…, /sockets/events/{id}, /sockets/session/{id}
  socket_io,    // /socket.io/ by conversation_id, then by sid
  session_key,  // header, websocket query, workspace cookie
  first_frame,  // a websocket that names its key in its first text frame
  own,          // the gateway's own routes
  fallback,     // the default runtime
  none,
};
std::string_view to_string(RouteKind kind) noexcept;

// Which rules are on (settings `[routing]`), and what they look for.
struct RouteRules {
  bool host = true;  // needs a domain
  bool prefix = true;
  bool port = true;
  bool path = true;
  bool socket_io = true;
  bool session_key = true;
  bool first_frame = true;
  std::string domain;  // lower case, without leading dot; empty: no host routing
};

// What a rule found. Views point into the request. Ids are as in the request, percent-encoding included, and not checked
// beyond their place: ConversationId::parse_in_path does that.
struct Route {
  RouteKind kind = RouteKind::none;
  std::string_view id;      // host, prefix, path, socket_io; of a port its digits
  std::string_view sid;     // socket_io
  std::uint16_t port = 0;   // host with a port, port
  std::string_view prefix;  // prefix, port: what is stripped ("/runtime/abc")
  std::string_view rest;    // prefix, port: the target behind `prefix`, "/" when empty; else all of what was matched
};

// host: `{id}.{domain}` and `{port}-{id}.{domain}`, one label before the domain, case-insensitive, the authority's own port
// ignored. `{port}-{id}` could also be one id: see match_host_whole_label for the other reading.
std::optional<Route> match_host(RouteRules const& rules, std::string_view authority, std::string_view target);
// The label read as one id, where match_host split it; nothing otherwise.
std::optional<Route> match_host_whole_label(RouteRules const& rules, std::string_view authority, std::string_view target);

// /runtime/{x}: a port when {x} is a number from 1 to 65535 without leading zeros, else an id. Of `/runtime/{x}?q` the rest
// is `?q`, before which append_request_head puts the "/".
std::optional<Route> match_prefix(RouteRules const& rules, std::string_view target);

// The next two decode percent-encoding once, as the nested server does before it routes; `/` may be encoded too. Nothing
// else is normalised: `//api` is not `/api`.
std::optional<Route> match_path(RouteRules const& rules, std::string_view path);
// Needs a conversation_id or a sid in the query.
std::optional<Route> match_socket_io(RouteRules const& rules, std::string_view path, std::string_view query);

// Whether `path` is one of the gateway's own routes: the control API.
enum class OwnRoute : std::uint8_t {
  none,
  health,
  conversations,  // with a session key the nested server's, which has routes of these names too
  automation,
  sandboxes,      // /api/v1/sandboxes…
  sandbox_specs,  // /api/v1/sandbox-specs…
  users,          // /api/v1/users/me…
  webhooks,       // /api/v1/webhooks…
  routes,         // /api/routes…
  openapi,        // /openapi.json
  versions,       // /sdk-version, /server_info: the automation API's; with a session key the nested server's
  runtime_api,    // the remote runtime API (nested_server.md 2.6): with X-API-Key only
};
OwnRoute match_own(Method method, std::string_view path);
// No nested server has routes of these names: whoever may not use them is told so, and none is asked.
bool is_ours_alone(OwnRoute route) noexcept;

// `path` is `root` itself or below it, percent-decoded once; `root` has no `%` and no '/' at its end.
bool is_at_or_below(std::string_view root, std::string_view path) noexcept;

// Why a conversation cannot be made with that id, to follow "conversation_id: "; nothing when it can.
std::optional<std::string_view> why_not_an_id(std::string_view text);

// POST /api/conversations, and POST …/{id}/fork and …/{id}/children: an answer that may hand out a conversation id.
// `path` as the nested server sees it, without a stripped prefix.
bool hands_out_conversation_id(Method method, std::string_view path);
// GET or HEAD of /alive, /health, /ready: sent without credentials (agent_server.md 0.3).
bool is_health_probe(Method method, std::string_view path);

}  // namespace nestgate::http
