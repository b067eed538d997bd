#include "shapes.hpp"

#include <algorithm>

#include "nestgate/api/list_query.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestgate/http/field.hpp"
#include "nestgate/upstream/http_client.hpp"
#include "urls.hpp"

namespace nestgate::api {
namespace {

using conversation::RuntimeState;

// What a running server says of itself goes before what we know.
std::string_view runtime_status_of(conversation::View const& view) noexcept {
  if (view.state == RuntimeState::running && !view.nested_status.runtime.empty()) return view.nested_status.runtime;
  switch (view.state) {
    case RuntimeState::starting: return "STATUS$STARTING_RUNTIME";
    case RuntimeState::running: return "STATUS$READY";
    case RuntimeState::paused:
    case RuntimeState::stopping:
    case RuntimeState::stopped: return "STATUS$STOPPED";
    case RuntimeState::error: return "STATUS$ERROR";
  }
  return "";
}

std::string_view closed_word(conversation::Closed closed) noexcept {
  switch (closed) {
    case conversation::Closed::no: return "";
    case conversation::Closed::for_room: return "for_room";
    case conversation::Closed::when_idle: return "when_idle";
    case conversation::Closed::by_request: return "by_request";
  }
  return "";
}

// Where an old manager's client goes on by itself (nested_server.md 1.2): the nested server's URL of the conversation.
void write_event_store(codec::JsonWriter& w, conversation::View const& view, std::string const& url) {
  w.key("event_store").begin_object();
  w.member("conversation_id", view.id.text()).member("url", url + "/api/conversations/" + view.id.text());
  w.text_or_null("user_id", view.owner);
  w.end_object();
}

// What of ConversationInfo (nested_server.md 3.3) was said by others; what only the nested server knows is there for clients
// that read each member.
void write_rest_of_info(codec::JsonWriter& w, conversation::About const& about) {
  w.text_or_null("title", about.title);
  w.text_or_null("selected_repository", about.repository);
  w.text_or_null("selected_branch", about.branch);
  w.text_or_null("git_provider", about.git_provider);
  w.text_or_null("label", about.label);
  w.key("trigger").null();
  for (auto const name : {"pr_number", "sub_conversation_ids"}) w.key(name).begin_array().end_array();
}

void write_connections(codec::JsonWriter& w, conversation::View const& view, ConversationShape const& shape) {
  w.key("num_connections");
  if (shape.streams == nullptr) {
    w.null();
    return;
  }
  auto const found = shape.streams->find(view.id.canonical());
  w.value(found == shape.streams->end() ? 0U : found->second);
}

void write_conversation(codec::JsonWriter& w, conversation::View const& view, ConversationShape const& shape) {
  auto const url = conversation_url(view.id, shape.origin, shape.domain);
  w.begin_object().member("conversation_id", view.id.text()).member("id", view.id.text());
  w.member("status", status_word(view.state)).member("runtime_status", runtime_status_of(view)).member("url", url);
  w.text_or_null("session_api_key", view.client_key.reveal());  // tidy-ok(reveal): where the owner gets it
  write_event_store(w, view, url);
  w.text_or_null("error", view.reason);
  w.text_or_null("progress", view.progress);
  w.text_or_null("closed", closed_word(view.closed));
  w.text_or_null("agent_status", view.nested_status.conversation);
  w.text_or_null("owner", view.owner);
  w.text_or_null("organisation", view.organisation);
  w.member("origin", view.origin == conversation::Origin::fixed ? "static" : "managed");
  w.member("purpose", to_string(view.purpose));
  w.text_or_null("image", view.image);
  w.member("created_at", format_time(view.created_at)).member("last_updated_at", format_time(view.changed_at));
  bool const was_used = view.last_act_at != std::chrono::system_clock::time_point{};
  w.text_or_null("last_active_at", was_used ? format_time(view.last_act_at) : std::string());
  w.member("conversation_version", view.dialect == nested::Dialect::agent_server ? "V1" : "V0");
  w.member("version", view.version);
  write_connections(w, view, shape);
  write_rest_of_info(w, view.about);
  w.end_object();
}

void write_static_route(codec::JsonWriter& w, conversation::View const& view) {
  w.begin_object().member("id", view.id.text()).member("status", status_word(view.state));
  w.text_or_null("error", view.reason);
  w.key("address");
  if (view.endpoint.port() == 0) {
    w.null();
  } else {
    w.value(upstream::url_of(view.endpoint).text());
  }
  w.key("ports").begin_object();
  for (auto const& port : view.ports) w.member(port.name, port.number);
  w.end_object();
  w.member("created_at", format_time(view.created_at)).member("last_updated_at", format_time(view.changed_at));
  w.end_object();
}

}  // namespace

std::string format_time(std::chrono::system_clock::time_point time) {
  using namespace std::chrono;
  bool const has_fraction = floor<microseconds>(time) != floor<seconds>(time);
  return rfc3339(time, has_fraction ? 6 : 0);
}

std::string conversation_url(ConversationId const& id, std::string_view origin, std::string_view domain) {
  if (auto url = host_url(id.canonical(), origin, domain)) return *std::move(url);
  return std::string(origin) + "/runtime/" + id.text();
}

std::string_view status_word(RuntimeState state) noexcept {
  switch (state) {
    case RuntimeState::starting: return "STARTING";
    case RuntimeState::running: return "RUNNING";
    case RuntimeState::paused: return "PAUSED";
    case RuntimeState::stopping: return "STOPPING";
    case RuntimeState::stopped: return "STOPPED";
    case RuntimeState::error: return "ERROR";
  }
  return "";
}

std::optional<RuntimeState> parse_status_word(std::string_view text) {
  for (auto const state : {RuntimeState::starting, RuntimeState::running, RuntimeState::paused, RuntimeState::stopping,
                           RuntimeState::stopped, RuntimeState::error}) {
    if (http::equals_ignoring_case(text, status_word(state))) return state;
  }
  return std::nullopt;
}

std::optional<conversation::Purpose> parse_purpose(std::string_view text) {
  using conversation::Purpose;
  for (auto const purpose : {Purpose::conversation, Purpose::sandbox, Purpose::runtime}) {
    if (text == to_string(purpose)) return purpose;
  }
  return std::nullopt;
}

std::string conversation_json(conversation::View const& view, ConversationShape const& shape) {
  std::string out;
  codec::JsonWriter w(out);
  write_conversation(w, view, shape);
  return out;
}

std::string conversations_json(conversation::Page const& page, ConversationShape const& shape) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().key("results").begin_array();
  for (auto const& view : page.views) write_conversation(w, view, shape);
  w.end_array();
  w.text_or_null("next_page_id", page.has_more ? page_id_of(page.views.back()) : std::string());
  w.end_object();
  return out;
}

std::string progress_event(conversation::View const& view) {
  std::string out = "event: state\nid: " + std::to_string(view.version) + "\ndata: ";
  codec::JsonWriter w(out);
  w.begin_object().member("state", status_word(view.state));
  w.text_or_null("progress", view.progress);
  w.text_or_null("reason", view.reason);
  w.member("version", view.version).end_object();
  return out + "\n\n";
}

std::string static_route_json(conversation::View const& view) {
  std::string out;
  codec::JsonWriter w(out);
  write_static_route(w, view);
  return out;
}

std::string static_routes_json(conversation::Page const& page) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().key("results").begin_array();
  for (auto const& view : page.views) write_static_route(w, view);
  w.end_array();
  w.text_or_null("next_page_id", page.has_more ? page_id_of(page.views.back()) : std::string());
  w.end_object();
  return out;
}

std::string static_changes_json(std::size_t put, std::size_t removed, std::vector<StaticChanges::Refused> const& refused) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("put", put).member("removed", removed).key("failed").begin_array();
  for (auto const& entry : refused) {
    w.begin_object().member("list", entry.list).member("index", entry.place);
    w.text_or_null("id", entry.id);
    w.key("error").begin_object().member("code", entry.code).member("message", entry.message).end_object().end_object();
  }
  w.end_array().end_object();
  return out;
}

std::string error_json(std::string_view code, std::string_view message, std::string_view request_id) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().key("error").begin_object();
  w.member("code", code).member("message", message).member("request_id", request_id);
  w.end_object().end_object();
  return out;
}

std::string limit_json(upstream::Failure const& failure, std::string_view request_id) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().key("detail").begin_object().member("error", "CONCURRENCY_LIMIT_REACHED");
  w.member("message", failure.reason).member("limit", failure.limit).member("current", failure.current).end_object();
  w.key("error").begin_object().member("code", "limit_reached").member("message", failure.reason);
  w.member("request_id", request_id).end_object().end_object();
  return out;
}

std::string detail_json(std::string_view detail) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("detail", detail).end_object();
  return out;
}

std::string invalid_json(Invalid const& invalid) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().key("detail").begin_array().begin_object();
  w.member("type", invalid.type).key("loc").begin_array().value("body");
  std::string_view field = invalid.field;
  while (!field.empty()) {
    auto const dot = std::min(field.find('.'), field.size());
    w.value(field.substr(0, dot));
    field.remove_prefix(std::min(dot + 1, field.size()));
  }
  w.end_array().member("msg", invalid.message);
  w.end_object().end_array().end_object();
  return out;
}

}  // namespace nestgate::api
