#include "intent.hpp"

#include <algorithm>
#include <charconv>

#include "nestgate/http/route.hpp"

namespace nestgate::proxy {
namespace {

using http::Method;
using http::RequestHead;

bool is_under(std::vector<std::string> const& prefixes, std::string_view path) {
  return std::any_of(prefixes.begin(), prefixes.end(), [path](auto const& one) { return http::is_at_or_below(one, path); });
}

bool only_reads(Method method) { return method == Method::get || method == Method::head || method == Method::options; }

bool has(std::string_view query, std::string_view name) { return http::query_value(query, name).found; }

// What is no number counts as -1, as it does for the server (nested_server.md 3.4).
bool names_an_event(std::string_view query) {
  auto const text = http::query_value(query, "latest_event_id").value;
  long long id = -1;
  auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), id);
  return ec == std::errc{} && end == text.data() + text.size() && id >= 0;
}

// Who asks for what was missed has been here before.
bool looks_like_a_reconnect(std::string_view query) {
  return has(query, "sid") || has(query, "resend_mode") || has(query, "resend_all") || has(query, "after_timestamp") ||
         has(query, "after_seq") || names_an_event(query);
}

// Engine.IO answers each ping with a POST of one byte.
bool is_polling_pong(RequestHead const& head, std::string_view path) {
  return head.body == http::BodyKind::length && head.content_length <= 1 && http::is_at_or_below("/socket.io", path);
}

}  // namespace

bool is_act(WakeRules const& rules, RequestHead const& head, std::string_view target) {
  if (only_reads(head.method) && !head.websocket_upgrade && rules.always.empty()) return false;
  auto const question = target.find('?');
  auto const path = target.substr(0, question);
  if (http::is_health_probe(head.method, path) || is_under(rules.never, path)) return false;
  if (is_under(rules.always, path)) return true;
  auto const query = question == target.npos ? std::string_view{} : target.substr(question + 1);
  if (head.websocket_upgrade) {
    bool const by_a_person = rules.websockets_without_origin || head.has(http::FieldId::origin);
    return rules.websockets && by_a_person && !looks_like_a_reconnect(query);
  }
  return rules.requests && !only_reads(head.method) && !is_polling_pong(head, path);
}

bool is_long_poll(RequestHead const& head, std::string_view target) {
  if (head.method != Method::get || head.websocket_upgrade) return false;
  auto const question = target.find('?');
  return question != target.npos && http::is_at_or_below("/socket.io", target.substr(0, question)) &&
         has(target.substr(question + 1), "sid");
}

}  // namespace nestgate::proxy
