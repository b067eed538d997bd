#include "decide.hpp"

#include <array>

#include "intent.hpp"

namespace nestgate::proxy {
namespace {

using conversation::Directory;
using conversation::Entry;
using conversation::EntryPtr;
using http::FieldId;
using http::RequestHead;
using http::Route;
using http::RouteKind;

constexpr std::string_view workspace_cookie = "oh_workspace_session_key";  // agent_server.md 1.3
constexpr std::string_view editor_cookie = "vscode-tkn";

bool is_workspace_path(std::string_view path) {
  constexpr std::string_view start = "/api/conversations/";
  if (!path.starts_with(start)) return false;
  path.remove_prefix(start.size());
  auto const slash = path.find('/');
  if (slash == path.npos) return false;
  path.remove_prefix(slash);
  return path == "/workspace" || path.starts_with("/workspace/");
}

bool reads_only(RequestHead const& head) { return head.method == http::Method::get || head.method == http::Method::head; }

// `path` without a routing prefix. A cookie counts only where a browser has no other way: it would open a door to
// forged requests from other sites elsewhere.
std::string_view cookie_key(RequestHead const& head, std::string_view path, bool further_port) {
  if (!further_port && !(reads_only(head) && is_workspace_path(path))) return {};
  for (auto const& field : head.fields()) {
    if (field.id != FieldId::cookie) continue;
    if (auto key = http::cookie_value(field.value, workspace_cookie); !key.empty()) return key;
    if (!further_port) continue;
    if (auto key = http::cookie_value(field.value, editor_cookie); !key.empty()) return key;
  }
  return {};
}

// The remote runtime API's way to show an API key.
identity::Principal const* find_api_key_field(RequestHead const& head, Config const& config) {
  if (!head.has(FieldId::x_api_key) || !config.api_keys) return nullptr;
  return config.api_keys->find(head.value(FieldId::x_api_key));
}

// What the request shows for itself. `path` is without a routing prefix.
struct Credentials {
  Credentials(RequestHead const& head, Config const& config, std::string_view path, bool further_port);
  explicit Credentials(std::string_view session_key) : key(session_key) {}
  Credentials(Credentials const&) = delete;  // the key may stand in `decoded_`
  bool none() const { return key.empty() && principal == nullptr; }

  std::string_view key;  // the session key: query of a websocket first, then header, then cookie
  identity::Principal const* principal = nullptr;
  bool bearer_is_api_key = false;
  bool field_is_api_key = false;  // X-API-Key

 private:
  std::string_view key_in(std::string_view query, std::string_view name) {
    return http::decode_query_value(http::query_value(query, name).value, decoded_);
  }
  std::array<char, shown_key_bytes_max> decoded_;
};

Credentials::Credentials(RequestHead const& head, Config const& config, std::string_view path, bool further_port) {
  std::string_view const bearer = identity::bearer_token(head.value(FieldId::authorization));
  if (!bearer.empty() && config.api_keys) {
    principal = config.api_keys->find(bearer);
    bearer_is_api_key = principal != nullptr;
  }
  field_is_api_key = find_api_key_field(head, config) != nullptr;
  bool const query_counts = head.websocket_upgrade || further_port || path.starts_with("/socket.io/");
  if (query_counts && head.has_query) {
    key = key_in(head.query, "session_api_key");
    if (key.empty() && further_port) key = key_in(head.query, "tkn");
  }
  if (key.empty()) key = head.value(FieldId::x_session_api_key);
  if (key.empty()) key = cookie_key(head, path, further_port);
  // The OpenAI-shaped routes take the key as a bearer token too (agent_server.md 1.2).
  if (key.empty() && !bearer.empty() && !principal && path.starts_with("/v1/")) key = bearer;
}

// Who may use a runtime: the holder of its session key, or an API key whose owner owns it.
bool opens(Entry const& entry, Credentials const& credentials) {
  if (entry.accepts(credentials.key)) return true;
  return credentials.principal && credentials.principal->role != identity::Role::automation &&
         credentials.principal->may_use(entry.record().owner);
}

Decision refuse(RouteKind route, unsigned status, Reject reject, std::string_view code, std::string_view message) {
  Decision out;
  out.kind = Decision::Kind::refuse;
  out.route = route;
  out.status = status;
  out.reject = reject;
  out.code = code;
  out.message = message;
  return out;
}

Decision close_websocket(RouteKind route, std::uint16_t code, Reject reject) {
  Decision out;
  out.kind = Decision::Kind::refuse_websocket;
  out.route = route;
  out.close_code = code;
  out.reject = reject;
  out.message = code == 4001 ? "Authentication failed" : "Conversation not found";
  return out;
}

// Nothing opened the door. The answer depends on what was shown, never on what is there.
Decision deny(RouteKind route, RequestHead const& head, Credentials const& credentials, std::string_view wanted_id,
              Config const& config) {
  if (credentials.principal) {
    if (head.websocket_upgrade) return close_websocket(route, 4004, Reject::not_found);
    return refuse(route, 404, Reject::not_found, "not_found", "no such conversation");
  }
  if (head.websocket_upgrade) {
    if (!credentials.key.empty() || !config.rules.first_frame) return close_websocket(route, 4001, Reject::unauthorized);
    Decision out;
    out.kind = Decision::Kind::first_frame;
    out.route = route;
    out.wanted_id = wanted_id;
    return out;
  }
  return refuse(route, 401, Reject::unauthorized, "unauthorized", "a session key or an API key is needed");
}

Decision forward(RouteKind route, EntryPtr entry, Credentials const& credentials, std::string_view target_text) {
  Decision out;
  if (entry->running()) {
    out.kind = Decision::Kind::forward;
    out.route = route;
    out.target = entry->target();
  } else {
    auto const why = why_not_running(entry->record());
    out = refuse(route, why.status, Reject::runtime_not_running, why.code, why.message);
    out.runtime = {to_string(entry->record().state), entry->record().progress};
  }
  if (auto const* const key = entry->accepted(credentials.key)) {
    out.presented_key = key->reveal();
  } else {
    out.principal = credentials.principal;
  }
  out.drop_authorization = credentials.bearer_is_api_key;
  out.drop_api_key = credentials.field_is_api_key;
  out.target_text = target_text;
  out.entry = std::move(entry);
  return out;
}

EntryPtr find_id(Directory const& directory, std::string_view id) {
  std::array<char, ConversationId::length_max> canonical;
  auto const text = ConversationId::canonicalize_in_path(id, canonical);
  return text.empty() ? nullptr : directory.find(text);
}

std::string_view path_of(Route const& route) { return route.rest.substr(0, route.rest.find('?')); }

// Nothing opened what a host or a prefix named. What was shown is read as for a further port wherever there could be one,
// so that the answer does not tell which ids and ports there are.
Decision deny_named(Route const& route, RequestHead const& head, Config const& config) {
  Credentials const credentials(head, config, path_of(route), route.port != 0);
  if (credentials.none() && http::is_health_probe(head.method, path_of(route))) {
    Decision out;
    out.kind = Decision::Kind::probe;
    out.route = route.kind;
    return out;
  }
  return deny(route.kind, head, credentials, route.id, config);
}

// Host and prefix name a runtime outright: what they name is served or denied, no later rule is asked.
Decision serve_named(Route const& route, EntryPtr entry, RequestHead const& head, Config const& config) {
  bool const further_port = route.kind == RouteKind::host && route.port != 0;
  Credentials const credentials(head, config, path_of(route), further_port);
  if (entry && opens(*entry, credentials)) {
    auto out = forward(route.kind, entry, credentials, route.rest);
    out.prefix = route.prefix;
    if (further_port && out.kind == Decision::Kind::forward) {
      out.target = entry->port_target(route.port);
      out.inject_key = false;
      if (!out.target)
        return refuse(route.kind, 404, Reject::not_found, "unknown_port", "the runtime declared no such port");
    }
    return out;
  }
  return deny_named(route, head, config);
}

// A host port of a known runtime: its nested server's, or one that it declared.
Decision serve_port(Route const& route, RequestHead const& head, Config const& config, Directory const& directory) {
  auto const entry = directory.find_by_port(route.port);
  bool const nested_server = entry && entry->record().is_up() && entry->record().endpoint.port() == route.port;
  bool const declared = entry && !nested_server;
  Credentials const credentials(head, config, path_of(route), declared);
  if (!entry || !opens(*entry, credentials)) {
    // The platform's own health check comes without a key through this very path (nested_server.md 4.10).
    if (nested_server && credentials.none() && http::is_health_probe(head.method, path_of(route))) {
      auto out = forward(route.kind, entry, credentials, route.rest);
      out.prefix = route.prefix;
      out.inject_key = false;
      return out;
    }
    return deny_named(route, head, config);
  }
  auto out = forward(route.kind, entry, credentials, route.rest);
  out.prefix = route.prefix;
  if (declared && out.kind == Decision::Kind::forward) {
    out.target = entry->port_target(route.port);
    out.inject_key = false;
  }
  return out;
}

// A request that is being decided on.
struct Asked {
  RequestHead const& head;
  Config const& config;
  Directory const& directory;
  SidTable const& sids;
  OwnRoutes const& own_routes;
};

std::optional<Decision> by_host(Asked const& asked) {
  auto const& rules = asked.config.rules;
  auto const route = http::match_host(rules, asked.head.authority, asked.head.target);
  if (!route) return std::nullopt;
  auto entry = find_id(asked.directory, route->id);
  if (!entry && route->port != 0) {
    auto const whole = http::match_host_whole_label(rules, asked.head.authority, asked.head.target);
    auto other = whole ? find_id(asked.directory, whole->id) : nullptr;
    if (other && opens(*other, Credentials(asked.head, asked.config, asked.head.path, false))) {
      return serve_named(*whole, std::move(other), asked.head, asked.config);
    }
  }
  return serve_named(*route, std::move(entry), asked.head, asked.config);
}

std::optional<Decision> by_prefix(Asked const& asked) {
  auto const& rules = asked.config.rules;
  if (!rules.prefix && !rules.port) return std::nullopt;
  auto const route = http::match_prefix(rules, asked.head.target);
  if (!route) return std::nullopt;
  if (route->kind == RouteKind::port && asked.directory.find_by_port(route->port)) {
    return serve_port(*route, asked.head, asked.config, asked.directory);
  }
  auto entry = rules.prefix ? find_id(asked.directory, route->id) : nullptr;
  return serve_named(*route, std::move(entry), asked.head, asked.config);
}

Decision own_route(http::OwnRoute own, identity::Principal const* principal) {
  Decision out;
  out.kind = Decision::Kind::own;
  out.route = RouteKind::own;
  out.own = own;
  out.principal = principal;
  return out;
}

// The remote runtime API shows its key in a field of its own, by which it is told from everything else at these paths.
std::optional<Decision> by_runtime_api(Asked const& asked) {
  auto const& head = asked.head;
  auto const* const principal = find_api_key_field(head, asked.config);
  if (!principal || http::match_own(head.method, head.path) != http::OwnRoute::runtime_api) return std::nullopt;
  return own_route(http::OwnRoute::runtime_api, principal);
}

// The gateway's own API: with an API key it comes before the path rule.
// Whether the path names a conversation by an id that its nested server handed out: only that server knows it by this name.
bool names_an_alias(Asked const& asked) {
  auto const route = http::match_path(asked.config.rules, asked.head.path);
  std::array<char, ConversationId::length_max> canonical;
  auto const id = route ? ConversationId::canonicalize_in_path(route->id, canonical) : std::string_view();
  auto const entry = id.empty() ? nullptr : asked.directory.find(id);
  return entry && entry->record().id.canonical() != id;
}

// The path as the automation API knows it.
std::string_view below_mount(std::string_view path, Config const& config) {
  auto const& mount = config.automation_mount;
  return !mount.empty() && path.starts_with(mount) ? path.substr(mount.size()) : path;
}

http::OwnRoute own_route_of(RequestHead const& head, Config const& config) {
  auto const own = http::match_own(head.method, head.path);
  if (own != http::OwnRoute::none) return own;
  bool const is_mounted = http::match_own(head.method, below_mount(head.path, config)) == http::OwnRoute::automation;
  return is_mounted ? http::OwnRoute::automation : own;
}

// The automation API's clients show an API key as a bearer, or where there is none in X-Session-API-Key.
identity::Principal const* automation_caller(Asked const& asked, Credentials const& credentials) {
  auto const authorization = asked.head.value(FieldId::authorization);
  if (authorization.substr(0, authorization.find(' ')) == "Bearer") return credentials.principal;
  auto const key = asked.head.value(FieldId::x_session_api_key);
  return key.empty() || !asked.config.api_keys ? nullptr : asked.config.api_keys->find(key);
}

std::optional<Decision> by_own_route(Asked const& asked, Credentials const& credentials) {
  auto const& head = asked.head;
  auto const own = own_route_of(head, asked.config);
  if (own == http::OwnRoute::none || own == http::OwnRoute::health || own == http::OwnRoute::runtime_api)
    return std::nullopt;
  // A session key talks to the nested server, which has routes of these names too.
  bool const is_told_to_all = own == http::OwnRoute::openapi || own == http::OwnRoute::versions;
  if (own == http::OwnRoute::versions && asked.config.fallback) return std::nullopt;
  bool const shared = own == http::OwnRoute::conversations || is_told_to_all;
  if (shared && !credentials.key.empty()) return std::nullopt;
  if (own == http::OwnRoute::conversations && names_an_alias(asked)) return std::nullopt;
  bool const is_automation = own == http::OwnRoute::automation;
  auto const* const principal = is_automation ? automation_caller(asked, credentials) : credentials.principal;
  if (principal) return own_route(own, principal);
  if (is_told_to_all && asked.config.fallback) return std::nullopt;
  auto const path = is_automation ? below_mount(head.path, asked.config) : head.path;
  if (asked.own_routes.admits_without_api_key(head.method, path)) return own_route(own, nullptr);
  if (!http::is_ours_alone(own)) return std::nullopt;
  return refuse(RouteKind::own, 401, Reject::unauthorized, "unauthorized", "an API key is needed");
}

// Also where an id names nothing that the credential opens: its server may have handed it out before anybody could learn
// it, and the key knows the server.
std::optional<Decision> by_session_key(Asked const& asked, Credentials const& credentials) {
  auto entry = asked.config.rules.session_key ? asked.directory.find_by_key(credentials.key) : nullptr;
  if (!entry) return std::nullopt;
  return forward(RouteKind::session_key, std::move(entry), credentials, asked.head.target);
}

std::optional<Decision> by_path(Asked const& asked, Credentials const& credentials) {
  auto const route = http::match_path(asked.config.rules, asked.head.path);
  if (!route) return std::nullopt;
  auto entry = find_id(asked.directory, route->id);
  if (entry && opens(*entry, credentials)) {
    return forward(RouteKind::path, std::move(entry), credentials, asked.head.target);
  }
  if (auto found = by_session_key(asked, credentials)) return found;
  return deny(RouteKind::path, asked.head, credentials, route->id, asked.config);
}

std::optional<Decision> by_socket_io(Asked const& asked, Credentials const& credentials) {
  constexpr std::size_t sid_bytes_max = 256;  // engine.io's have 20
  auto const route = http::match_socket_io(asked.config.rules, asked.head.path, asked.head.query);
  if (!route) return std::nullopt;
  std::array<char, sid_bytes_max> sid;
  auto entry = route->id.empty() ? asked.sids.find_sid(http::decode_query_value(route->sid, sid))
                                 : find_id(asked.directory, route->id);
  if (entry && opens(*entry, credentials)) {
    return forward(RouteKind::socket_io, std::move(entry), credentials, asked.head.target);
  }
  if (auto found = by_session_key(asked, credentials)) return found;
  // Socket.IO has no first-frame authentication: the client is told by status.
  return refuse(RouteKind::socket_io, 401, Reject::unauthorized, "unauthorized", "a session key or an API key is needed");
}

std::optional<Decision> by_health_probe(Asked const& asked, Credentials const&) {
  if (asked.config.fallback || !http::is_health_probe(asked.head.method, asked.head.path)) return std::nullopt;
  Decision out;
  out.kind = Decision::Kind::probe;
  out.route = RouteKind::own;
  return out;
}

std::optional<Decision> by_first_frame(Asked const& asked, Credentials const& credentials) {
  if (!asked.config.rules.first_frame || !asked.head.websocket_upgrade || !credentials.none()) return std::nullopt;
  return deny(RouteKind::first_frame, asked.head, credentials, {}, asked.config);
}

std::optional<Decision> by_default(Asked const& asked, Credentials const& credentials) {
  if (!asked.config.fallback) return std::nullopt;
  auto const& head = asked.head;
  if (auto entry = asked.directory.find(asked.config.fallback->canonical())) {
    if (opens(*entry, credentials)) return forward(RouteKind::fallback, std::move(entry), credentials, head.target);
    // What the nested server itself shows to everybody; without a credential of ours it gets no key of ours either.
    bool const guarded =
        head.path.starts_with("/api/") || head.path.starts_with("/sockets/") || head.path.starts_with("/v1/");
    if (!guarded && reads_only(head) && !head.websocket_upgrade && credentials.none()) {
      auto out = forward(RouteKind::fallback, std::move(entry), credentials, head.target);
      out.inject_key = false;
      return out;
    }
  }
  return deny(RouteKind::fallback, head, credentials, {}, asked.config);
}

Decision nothing_here(Asked const& asked, Credentials const& credentials) {
  auto const& head = asked.head;
  bool const shows_wrong_key = !credentials.key.empty();
  bool const needs_credential = http::match_own(head.method, head.path) != http::OwnRoute::none;
  if (!credentials.principal && (shows_wrong_key || needs_credential))
    return deny(RouteKind::own, head, credentials, {}, asked.config);
  if (head.websocket_upgrade) return close_websocket(RouteKind::none, 4004, Reject::not_found);
  return refuse(RouteKind::none, 404, Reject::not_found, "not_found", "nothing is served here");
}

Decision refuse_trace() {
  auto out = refuse(RouteKind::none, 405, Reject::bad_request, "method_not_allowed",
                    "TRACE is refused: its answer would show the session key that is put in");
  out.fields = "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n";
  return out;
}

}  // namespace

ShownCredentials::ShownCredentials(RequestHead const& head) noexcept {
  add(head.value(FieldId::x_session_api_key));
  add(identity::bearer_token(head.value(FieldId::authorization)));
  add(head.value(FieldId::x_api_key));
  auto const cookies = head.value(FieldId::cookie);
  add(http::cookie_value(cookies, workspace_cookie));
  add(http::cookie_value(cookies, editor_cookie));
}

NotRunning why_not_running(conversation::RuntimeRecord const& record) noexcept {
  if (record.closed_for_room()) {
    return {410, "conversation_closed", "the conversation was closed to make room for another; start it to go on"};
  }
  switch (record.state) {
    case conversation::RuntimeState::starting: return {503, "runtime_starting", "the conversation's runtime is starting"};
    case conversation::RuntimeState::running: break;  // at another place by now
    case conversation::RuntimeState::paused: return {503, "runtime_paused", "the conversation's runtime is paused"};
    case conversation::RuntimeState::stopping: return {503, "runtime_stopping", "the conversation's runtime is stopping"};
    case conversation::RuntimeState::stopped: return {503, "runtime_stopped", "the conversation's runtime is stopped"};
    case conversation::RuntimeState::error: return {503, "runtime_failed", "the conversation's runtime has failed"};
  }
  return {503, "runtime_restarted", "the conversation's runtime was started anew"};
}

namespace {

Decision decide_by_rules(Asked const& asked) {
  // These name a runtime or say themselves whose they are, and read the credentials where what they name wants them.
  for (auto const rule : {by_host, by_runtime_api, by_prefix}) {
    if (auto decided = rule(asked)) return *std::move(decided);
  }
  Credentials const credentials(asked.head, asked.config, asked.head.path, false);
  for (auto const rule :
       {by_own_route, by_path, by_socket_io, by_session_key, by_health_probe, by_first_frame, by_default}) {
    if (auto decided = rule(asked, credentials)) return *std::move(decided);
  }
  return nothing_here(asked, credentials);
}

}  // namespace

Decision decide(RequestHead const& head, Config const& config, Directory const& directory, SidTable const& sids,
                OwnRoutes const& own_routes) {
  if (head.method == http::Method::trace) return refuse_trace();
  auto out = decide_by_rules({head, config, directory, sids, own_routes});
  bool const opened = out.principal != nullptr || !out.presented_key.empty();
  if (opened && out.entry && is_act(config.wake, head, out.target_text)) take_for_act(out);
  return out;
}

void take_for_act(Decision& decision) {
  decision.act = true;
  bool const sleeps = decision.kind == Decision::Kind::refuse && decision.reject == Reject::runtime_not_running;
  if (sleeps && decision.entry->record().wakes) decision.kind = Decision::Kind::wake;
}

Decision decide_first_frame(std::string_view key, std::string_view wanted_id, Directory const& directory) {
  Credentials const credentials(key);
  EntryPtr entry = wanted_id.empty() ? nullptr : find_id(directory, wanted_id);
  if (!entry || !entry->accepts(key)) entry = directory.find_by_key(key);
  if (!entry) return close_websocket(RouteKind::first_frame, 4001, Reject::unauthorized);
  return forward(RouteKind::first_frame, std::move(entry), credentials, {});
}

}  // namespace nestgate::proxy
