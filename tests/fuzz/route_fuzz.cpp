// Any text as a target and an authority, with a line break between them. What a rule finds is a piece of what it was given,
// and the path rule agrees with decoding first and matching then.
#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "nestgate/base/invariant.hpp"
#include "nestgate/http/rewrite.hpp"
#include "nestgate/http/route.hpp"

namespace {

using namespace nestgate::http;

bool is_inside(std::string_view part, std::string_view whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

int hex(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && text.size() - i > 2 && hex(text[i + 1]) >= 0 && hex(text[i + 2]) >= 0) {
      out += static_cast<char>(hex(text[i + 1]) * 16 + hex(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

// The id that the nested server would see in `path`; empty when there is none.
std::string id_seen_by_the_server(std::string_view path) {
  std::string const text = decoded(path);
  for (std::string_view start : {"/api/conversations/", "/sockets/events/", "/sockets/session/"}) {
    if (!text.starts_with(start)) continue;
    std::string const id = text.substr(start.size(), text.find('/', start.size()) - start.size());
    if (id == "search" || id == "count" || id == "prepare-for-sandbox-pause") return {};
    return id;
  }
  return {};
}

// Decoding first and matching then finds the same, where decoding twice is decoding once.
void check_own(std::string_view path) {
  std::string const text = decoded(path);
  if (text.find('%') != text.npos) return;
  for (Method method : {Method::get, Method::head, Method::post, Method::patch, Method::delete_, Method::put}) {
    auto const own = match_own(method, path);
    NESTGATE_INVARIANT(own == match_own(method, text), "as the server would read it");
    bool const is_named_so =
        text.starts_with("/api/v1/") || text.starts_with("/api/routes") || text.starts_with("/api/automation");
    NESTGATE_INVARIANT(!is_ours_alone(own) || is_named_so, "ours alone is what no nested server has");
  }
  for (std::string_view root : {"/api/v1/webhooks", "/socket.io"}) {
    bool const below = text == root || text.starts_with(std::string(root) + "/");
    NESTGATE_INVARIANT(is_at_or_below(root, path) == below, "a prefix ends where a segment does");
  }
}

void check_target(RouteRules const& rules, std::string_view target) {
  auto const question = target.find('?');
  std::string_view const path = target.substr(0, question);
  std::string_view const query = question == target.npos ? std::string_view{} : target.substr(question + 1);

  if (auto const route = match_prefix(rules, target)) {
    NESTGATE_INVARIANT(is_inside(route->id, target) && is_inside(route->prefix, target), "pieces of the target");
    NESTGATE_INVARIANT(route->rest == "/" || std::string(route->prefix).append(route->rest) == target, "nothing gets lost");
    NESTGATE_INVARIANT((route->kind == RouteKind::port) == (route->port != 0), "a port is not 0");
  }
  auto const by_path = match_path(rules, path);
  NESTGATE_INVARIANT(decoded(by_path ? by_path->id : std::string_view{}) == id_seen_by_the_server(path),
                     "the server sees the same id");
  NESTGATE_INVARIANT(!by_path || is_inside(by_path->id, path), "a piece of the path");
  if (auto const route = match_socket_io(rules, path, query)) {
    NESTGATE_INVARIANT(is_inside(route->id, query) && is_inside(route->sid, query), "pieces of the query");
  }
  check_own(path);
  hands_out_conversation_id(Method::post, path);
}

void check_query(std::string_view target) {
  auto const question = target.find('?');
  if (question == target.npos) return;
  std::string_view const path = target.substr(0, question);
  std::string_view const query = target.substr(question + 1);
  std::string without, with, redacted;
  append_target_without(without, path, query, "session_api_key");
  constexpr std::string_view key = "a/b+c=&#% \xff";
  append_target_with(with, path, query, "session_api_key", key);
  append_redacted_target(redacted, target, {});
  auto query_of = [](std::string const& text) {
    return std::string_view(text).substr(std::min(text.find('?') + 1, text.size()));
  };
  NESTGATE_INVARIANT(without.find('?') == without.npos || !query_value(query_of(without), "session_api_key").found,
                     "it is gone");
  std::array<char, key.size()> decoded_key;
  auto const written = query_value(query_of(with), "session_api_key").value;
  NESTGATE_INVARIANT(decode_query_value(written, decoded_key) == key, "it is ours");
  auto const shown = query_value(query_of(redacted), "session_api_key");
  NESTGATE_INVARIANT(shown.value.empty() || shown.value == "***", "it is not logged");
}

// Neither a credential that the request shows, nor what follows the name of one, however it is encoded.
void check_log(std::string_view target) {
  constexpr std::string_view credential = "Q";
  std::string redacted, again;
  append_redacted_target(redacted, target, {&credential, 1});
  append_redacted_target(again, redacted, {&credential, 1});
  NESTGATE_INVARIANT(again == redacted, "there is nothing left to mask");
  for (std::string const name : {"session_api_key", "Api-Key", "a%26TOKEN", "j%57t"}) {
    std::string logged;
    append_redacted_target(logged, "/p?" + name + "=" + std::string(target.substr(0, target.find('&'))), {});
    NESTGATE_INVARIANT(logged == "/p?" + name + "=***", "it is not logged");
  }
  std::string logged;
  append_redacted_target(logged, std::string(target.substr(0, target.find('?'))) + "/%51/Q?Q&b=%51", {&credential, 1});
  NESTGATE_INVARIANT(logged.ends_with("/***/***?***&b=***"), "the request's own credential is not logged");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
  std::string_view const text(reinterpret_cast<char const*>(data), size);
  auto const cut = text.find('\n');
  std::string_view const target = text.substr(0, cut);
  std::string_view const authority = cut == text.npos ? std::string_view{} : text.substr(cut + 1);
  RouteRules rules;
  rules.domain = "s.test";
  check_target(rules, target);
  check_query(target);
  check_log(target);
  if (auto const route = match_host(rules, authority, target)) {
    NESTGATE_INVARIANT(!route->id.empty() && is_inside(route->id, authority), "a piece of the authority");
    NESTGATE_INVARIANT((route->port != 0) == match_host_whole_label(rules, authority, target).has_value(),
                       "two readings of a split");
  }
  return 0;
}
