#include "nestgate/http/route.hpp"

#include <algorithm>
#include <initializer_list>

#include "http/percent.hpp"
#include "http/scan.hpp"
#include "nestgate/base/conversation_id.hpp"

namespace nestgate::http {
namespace {

// A number from 1 to 65535 as people write it; 0 for any other text.
constexpr std::uint16_t port_of(std::string_view text) noexcept {
  if (text.empty() || text.size() > 5 || text.front() == '0') return 0;
  std::uint32_t port = 0;
  for (char c : text) {
    if (!scan::is_digit(c)) return 0;
    port = port * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return port <= 65535 ? static_cast<std::uint16_t>(port) : std::uint16_t{0};
}
static_assert(port_of("65535") == 65535 && port_of("65536") == 0 && port_of("080") == 0);

// Words that stand where a conversation's id would (agent_server.md 1.4).
constexpr bool is_word(std::string_view segment) noexcept {
  return equals_decoded(segment, "search") || equals_decoded(segment, "count") ||
         equals_decoded(segment, "prepare-for-sandbox-pause");
}

constexpr bool is_id(std::string_view segment) noexcept { return !segment.empty() && !is_word(segment); }

// The label before `.{domain}`, if it is one.
std::string_view label_of(RouteRules const& rules, std::string_view authority) noexcept {
  if (!rules.host || rules.domain.empty()) return {};
  std::string_view const host = authority.substr(0, authority.find(':'));
  std::size_t const domain = rules.domain.size();
  if (host.size() < domain + 2 || host[host.size() - domain - 1] != '.') return {};
  if (!equals_ignoring_case(host.substr(host.size() - domain), rules.domain)) return {};
  std::string_view const label = host.substr(0, host.size() - domain - 1);
  return label.find('.') == label.npos ? label : std::string_view{};
}

// Where the id of `{port}-{id}` starts; 0 when the label has not that form.
constexpr std::size_t split_of(std::string_view label) noexcept {
  auto const dash = label.find('-');
  bool const splits = dash != label.npos && dash + 1 < label.size() && port_of(label.substr(0, dash)) != 0;
  return splits ? dash + 1 : 0;
}
static_assert(split_of("8001-abc") == 5 && split_of("8001-") == 0 && split_of("12345678-1234-1234-1234-123456789abc") == 0);

Route host_route(std::string_view label, std::string_view target) noexcept {
  Route route;
  route.kind = RouteKind::host;
  route.id = label;
  route.rest = target;
  return route;
}

struct IdInPath {
  std::string_view id;
  std::string_view below;  // behind the id: empty or from a '/' on, raw
};

// The segment behind `start`, if it is an id.
constexpr std::optional<IdInPath> id_behind(std::string_view start, std::string_view path) noexcept {
  DecodedCursor cursor(path);
  if (!cursor.take(start)) return std::nullopt;
  std::string_view const id = cursor.take_segment();
  if (!is_id(id)) return std::nullopt;
  return IdInPath{id, cursor.rest()};
}
static_assert(id_behind("/api/conversations/", "/api/conversations/c1/events")->id == "c1");
static_assert(id_behind("/api/conversations/", "/%61pi/conversations/c1%2Fevents")->below == "%2Fevents");
static_assert(!id_behind("/api/conversations/", "/api/conversations/%73earch"));

bool reads_only(Method method) noexcept { return method == Method::get || method == Method::head; }

// What the next four look at is behind the cursor, up to the path's end.
constexpr bool is(DecodedCursor cursor, std::string_view rest) noexcept { return cursor.take(rest) && cursor.at_end(); }
constexpr bool is_below(DecodedCursor cursor, std::string_view root) noexcept {
  return cursor.take(root) && (cursor.at_end() || cursor.take("/"));
}
// `start` and one segment.
constexpr bool is_item(DecodedCursor cursor, std::string_view start) noexcept {
  return cursor.take(start) && !cursor.take_segment().empty() && cursor.at_end();
}
constexpr bool is_health(DecodedCursor path) noexcept {
  return is(path, "/alive") || is(path, "/health") || is(path, "/ready");
}

OwnRoute own_conversation_route(Method method, DecodedCursor behind_name) noexcept {
  auto const when = [](bool matches) { return matches ? OwnRoute::conversations : OwnRoute::none; };
  if (behind_name.at_end()) return OwnRoute::conversations;
  if (!behind_name.take("/") || !is_id(behind_name.take_segment())) return OwnRoute::none;
  auto const verb = [&behind_name](std::string_view text) { return is(behind_name, text); };
  switch (method) {
    case Method::get:
    case Method::head: return when(behind_name.at_end() || verb("/log") || verb("/progress"));
    case Method::delete_:
    case Method::patch: return when(behind_name.at_end());
    case Method::post:
      return when(verb("/stop") || verb("/pause") || verb("/resume") || verb("/events") || verb("/session-key/revoke"));
    default: return OwnRoute::none;
  }
}

OwnRoute own_cloud_route(DecodedCursor behind_v1) noexcept {
  if (is_below(behind_v1, "sandboxes")) return OwnRoute::sandboxes;
  if (is_below(behind_v1, "webhooks")) return OwnRoute::webhooks;
  if (is_below(behind_v1, "users/me")) return OwnRoute::users;
  return is_below(behind_v1, "sandbox-specs") ? OwnRoute::sandbox_specs : OwnRoute::none;
}

OwnRoute own_api_route(Method method, DecodedCursor behind_api) noexcept {
  if (behind_api.take("conversations")) return own_conversation_route(method, behind_api);
  if (behind_api.take("v1/")) return own_cloud_route(behind_api);
  if (is_below(behind_api, "automation")) return OwnRoute::automation;
  return is_below(behind_api, "routes") ? OwnRoute::routes : OwnRoute::none;
}

bool is_runtime_api(Method method, DecodedCursor path) noexcept {
  if (method == Method::post) return is(path, "/start") || is(path, "/stop") || is(path, "/pause") || is(path, "/resume");
  if (!reads_only(method)) return false;
  return is(path, "/list") || is(path, "/registry_prefix") || is(path, "/image_exists") || is_item(path, "/sessions/") ||
         is_item(path, "/runtime/");
}

}  // namespace

std::string_view to_string(RouteKind kind) noexcept {
  switch (kind) {
    case RouteKind::host: return "host";
    case RouteKind::prefix: return "prefix";
    case RouteKind::port: return "port";
    case RouteKind::path: return "path";
    case RouteKind::socket_io: return "socket_io";
    case RouteKind::session_key: return "session_key";
    case RouteKind::first_frame: return "first_frame";
    case RouteKind::own: return "own";
    case RouteKind::fallback: return "fallback";
    case RouteKind::none: return "none";
  }
  return "none";
}

std::optional<Route> match_host(RouteRules const& rules, std::string_view authority, std::string_view target) {
  std::string_view const label = label_of(rules, authority);
  if (label.empty()) return std::nullopt;
  Route route = host_route(label, target);
  if (std::size_t const split = split_of(label); split != 0) {
    route.port = port_of(label.substr(0, split - 1));
    route.id = label.substr(split);
  }
  return route;
}

std::optional<Route> match_host_whole_label(RouteRules const& rules, std::string_view authority, std::string_view target) {
  std::string_view const label = label_of(rules, authority);
  if (split_of(label) == 0) return std::nullopt;
  return host_route(label, target);
}

std::optional<Route> match_prefix(RouteRules const& rules, std::string_view target) {
  constexpr std::string_view start = "/runtime/";
  if (!target.starts_with(start)) return std::nullopt;
  auto const end = std::min(target.find_first_of("/?", start.size()), target.size());
  Route route;
  route.id = target.substr(start.size(), end - start.size());
  if (route.id.empty()) return std::nullopt;
  route.port = rules.port ? port_of(route.id) : std::uint16_t{0};
  if (route.port == 0 && !rules.prefix) return std::nullopt;
  route.kind = route.port != 0 ? RouteKind::port : RouteKind::prefix;
  route.prefix = target.substr(0, end);
  route.rest = end == target.size() ? "/" : target.substr(end);
  return route;
}

std::optional<Route> match_path(RouteRules const& rules, std::string_view path) {
  if (!rules.path) return std::nullopt;
  for (std::string_view start : {"/api/conversations/", "/sockets/events/", "/sockets/session/"}) {
    auto const found = id_behind(start, path);
    if (!found) continue;
    Route route;
    route.kind = RouteKind::path;
    route.id = found->id;
    route.rest = path;
    return route;
  }
  return std::nullopt;
}

std::optional<Route> match_socket_io(RouteRules const& rules, std::string_view path, std::string_view query) {
  if (!rules.socket_io || !is_at_or_below("/socket.io", path)) return std::nullopt;
  Route route;
  route.kind = RouteKind::socket_io;
  route.id = query_value(query, "conversation_id").value;
  route.sid = query_value(query, "sid").value;
  route.rest = path;
  if (route.id.empty() && route.sid.empty()) return std::nullopt;
  return route;
}

OwnRoute match_own(Method method, std::string_view path) {
  DecodedCursor const whole(path);
  DecodedCursor behind_api = whole;
  if (behind_api.take("/api/")) return own_api_route(method, behind_api);
  if (reads_only(method) && is_health(whole)) return OwnRoute::health;
  if (reads_only(method) && is(whole, "/openapi.json")) return OwnRoute::openapi;
  if (reads_only(method) && (is(whole, "/sdk-version") || is(whole, "/server_info"))) return OwnRoute::versions;
  return is_runtime_api(method, whole) ? OwnRoute::runtime_api : OwnRoute::none;
}

bool is_ours_alone(OwnRoute route) noexcept {
  switch (route) {
    case OwnRoute::automation:
    case OwnRoute::sandboxes:
    case OwnRoute::sandbox_specs:
    case OwnRoute::users:
    case OwnRoute::webhooks:
    case OwnRoute::routes: return true;
    default: return false;
  }
}

bool is_at_or_below(std::string_view root, std::string_view path) noexcept { return is_below(DecodedCursor(path), root); }

std::optional<std::string_view> why_not_an_id(std::string_view text) {
  if (text == "." || text == "..") return "must not be . or ..: a path cannot name them";
  if (!ConversationId::parse(text)) return "must be 1 to 128 of A-Za-z0-9._-";
  if (is_word(text)) return "must not be search, count or prepare-for-sandbox-pause: in a path these are routes";
  return std::nullopt;
}

bool hands_out_conversation_id(Method method, std::string_view path) {
  if (method != Method::post) return false;
  if (equals_decoded(path, "/api/conversations")) return true;
  auto const found = id_behind("/api/conversations/", path);
  return found && (equals_decoded(found->below, "/fork") || equals_decoded(found->below, "/children"));
}

bool is_health_probe(Method method, std::string_view path) { return reads_only(method) && is_health(DecodedCursor(path)); }

}  // namespace nestgate::http
