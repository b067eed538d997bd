#include "shapes.hpp"

#include <algorithm>
#include <charconv>

#include "nestgate/base/text.hpp"
#include "nestgate/codec/json_writer.hpp"

namespace nestgate::api {
namespace {

using conversation::RuntimeState;

// The words of the older managers' clients (nested_server.md 3.3), and beside them what their status cannot say.
std::string_view status_of(RuntimeState state) noexcept {
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

std::string_view runtime_status_of(RuntimeState state) noexcept {
  switch (state) {
    case RuntimeState::starting: return "STATUS$STARTING_RUNTIME";
    case RuntimeState::running: return "STATUS$READY";
    case RuntimeState::paused:
    case RuntimeState::stopping:
    case RuntimeState::stopped: return "STATUS$STOPPED";
    case RuntimeState::error: return "STATUS$ERROR";
  }
  return "";
}

// A host label of its own: RFC 1123, and not one that reads as `{port}-{id}`.
bool is_host_label(std::string_view text) {
  if (text.empty() || text.size() > 63 || text.front() == '-' || text.back() == '-') return false;
  bool const allowed = std::all_of(text.begin(), text.end(),
                                   [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
  auto const digits = text.find_first_not_of("0123456789");
  bool const reads_as_port = digits != text.npos && digits > 0 && text[digits] == '-';
  return allowed && !reads_as_port;
}

void text_or_null(codec::JsonWriter& w, std::string_view name, std::string_view text) {
  w.key(name);
  if (text.empty()) {
    w.null();
  } else {
    w.value(text);
  }
}

void time_or_null(codec::JsonWriter& w, std::string_view name, std::optional<automation::Run::Time> const& time) {
  text_or_null(w, name, time ? format_time(*time) : std::string());
}

void write_conversation(codec::JsonWriter& w, conversation::View const& view, std::string_view origin,
                        std::string_view domain) {
  w.begin_object().member("conversation_id", view.id.text()).member("id", view.id.text());
  w.member("status", status_of(view.state)).member("runtime_status", runtime_status_of(view.state));
  w.member("url", conversation_url(view.id, origin, domain));
  text_or_null(w, "session_api_key", view.session_key.reveal());  // tidy-ok(reveal): where the owner gets it
  text_or_null(w, "error", view.reason);
  text_or_null(w, "owner", view.owner);
  w.member("origin", view.origin == conversation::Origin::fixed ? "static" : "managed");
  w.member("created_at", format_time(view.created_at)).member("last_updated_at", format_time(view.changed_at));
  w.end_object();
}

// Needs no encoding in a query.
std::string page_id_of(conversation::View const& last) {
  return std::to_string(last.created_at.time_since_epoch().count()) + "." + last.id.canonical();
}

void write_run(codec::JsonWriter& w, automation::Run const& run) {
  w.begin_object().member("id", run.id).key("automation_id").null().member("status", to_string(run.status));
  text_or_null(w, "error_detail", run.error_detail);
  w.key("status_detail").null();
  text_or_null(w, "conversation_id", run.reported_conversation_id);
  w.key("cost");
  if (run.cost) {
    w.value(*run.cost);
  } else {
    w.null();
  }
  time_or_null(w, "timeout_at", run.timeout_at);
  w.member("sandbox_id", run.conversation.text());
  text_or_null(w, "bash_command_id", run.bash_command_id);
  w.member("created_at", format_time(run.created_at));
  time_or_null(w, "started_at", run.started_at);
  time_or_null(w, "completed_at", run.completed_at);
  w.member("entrypoint", run.entrypoint).key("exit_code");
  if (run.exit_code) {
    w.value(*run.exit_code);
  } else {
    w.null();
  }
  w.member("stdout_tail", run.output_tail).member("stderr_tail", run.error_tail);
  text_or_null(w, "callback_url", run.callback_url);
  w.key("callback").begin_object().member("attempts", run.delivery_attempts);
  time_or_null(w, "delivered_at", run.delivered_at);
  text_or_null(w, "error", run.delivery_error);
  w.end_object().end_object();
}

}  // namespace

std::string format_time(std::chrono::system_clock::time_point time) {
  using namespace std::chrono;
  bool const has_fraction = floor<microseconds>(time) != floor<seconds>(time);
  return rfc3339(time, has_fraction ? 6 : 0);
}

std::string conversation_url(ConversationId const& id, std::string_view origin, std::string_view domain) {
  auto const scheme_end = origin.find("://");
  if (domain.empty() || scheme_end == origin.npos || !is_host_label(id.canonical()))
    return std::string(origin) + "/runtime/" + id.text();
  std::string_view const authority = origin.substr(scheme_end + 3);
  auto const host_end = authority.rfind(']') == authority.npos ? 0 : authority.rfind(']');
  auto const colon = authority.find(':', host_end);
  std::string out(origin.substr(0, scheme_end + 3));
  out.append(id.canonical()).append(".").append(domain);
  if (colon != authority.npos) out += authority.substr(colon);
  return out;
}

std::string conversation_json(conversation::View const& view, std::string_view origin, std::string_view domain) {
  std::string out;
  codec::JsonWriter w(out);
  write_conversation(w, view, origin, domain);
  return out;
}

std::string conversations_json(conversation::Page const& page, std::string_view origin, std::string_view domain) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().key("results").begin_array();
  for (auto const& view : page.views) write_conversation(w, view, origin, domain);
  w.end_array();
  text_or_null(w, "next_page_id", page.has_more ? page_id_of(page.views.back()) : std::string());
  w.end_object();
  return out;
}

std::optional<conversation::Position> parse_page_id(std::string_view text) {
  using Clock = std::chrono::system_clock;
  Clock::rep ticks = 0;
  auto const [end, ec] = std::from_chars(text.data(), text.data() + text.size(), ticks);
  if (ec != std::errc{} || end == text.data() + text.size() || *end != '.') return std::nullopt;
  auto const id = ConversationId::parse(text.substr(static_cast<std::size_t>(end - text.data()) + 1));
  if (!id) return std::nullopt;
  return conversation::Position{Clock::time_point(Clock::duration(ticks)), id->canonical()};
}

std::string run_json(automation::Run const& run) {
  std::string out;
  codec::JsonWriter w(out);
  write_run(w, run);
  return out;
}

std::string runs_json(automation::RunPage const& page) {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().key("runs").begin_array();
  for (auto const& run : page.runs) write_run(w, run);
  w.end_array().member("total", page.total).end_object();
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
