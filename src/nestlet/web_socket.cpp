#include "nestlet/web_socket.hpp"

#include <algorithm>
#include <boost/beast/websocket/rfc6455.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "nestgate/base/text.hpp"
#include "nestlet/command_request.hpp"
#include "nestlet/filters.hpp"
#include "nestlet/outbox.hpp"
#include "nestlet/task_group.hpp"

namespace nestgate::nestlet {
namespace {

namespace websocket = beast::websocket;
using codec::JsonWriter;

constexpr auto first_frame_max = std::chrono::seconds(10);  // agent_server.md 2.2
constexpr std::uint64_t first_frame_bytes_max = 64 * 1024;  // of somebody who has not shown a key yet
constexpr auto handshake_max = std::chrono::seconds(10);
constexpr auto idle_max = std::chrono::seconds(60);  // a peer that answers no ping is dead
constexpr CloseReason too_many_events{1013, "Too many connections for this conversation"};
constexpr CloseReason too_many_bash{1013, "Too many bash event connections"};

Task<> refuse_upgrade(App& app, Stream& stream, std::string_view status) {
  std::string const head =
      "HTTP/1.1 " + std::string(status) + "\r\nserver: nestlet\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
  stream.expires_after(std::chrono::seconds(app.settings.limits.progress_seconds));
  co_await asio::async_write(stream, asio::buffer(head), no_throw);
}

// Closes the socket under a writer that cannot finish: a peer that reads nothing, or never answers the close.
Task<> insist(Stream& stream, Outbox& outbox) {
  co_await outbox.overdue();
  if (!told_to_stop(co_await asio::this_coro::cancellation_state)) stream.close();
}

// The only one who writes to the socket; ends when the outbox does.
Task<> write_frames(WebSocket& socket, Outbox& outbox) {
  while (!outbox.ended()) {
    auto const next = co_await outbox.next(Deadline::at(Clock::time_point::max()));
    if (!next.frame) break;
    auto [ec, n] = co_await socket.async_write(asio::buffer(*next.frame), no_throw);
    if (ec) break;
  }
  if (auto const reason = outbox.closing()) {
    websocket::close_reason said(static_cast<websocket::close_code>(reason->code));
    said.reason = {reason->text.data(), reason->text.size()};
    co_await socket.async_close(said, no_throw);
  }
  beast::get_lowest_layer(socket).close();
}

Task<> close_when(Timer& alarm, Outbox& outbox) {
  auto [ec] = co_await alarm.async_wait(no_throw);
  if (!ec) outbox.close(authentication_failed);
}

// {"type":"auth","session_api_key":"..."} with a good key?
bool is_good_auth(App const& app, std::string_view text) {
  auto const object = parse_object(text);
  if (!object) return false;
  auto const type = need_string(*object, "type");
  auto const key = need_string(*object, "session_api_key");
  return type && *type == "auth" && key && app.keys.accept(*key);
}

// Such a frame is ignored when the socket is authenticated already.
bool is_stray_auth(JsonObject const& object) {
  auto const type = need_string(object, "type");
  return type && *type == "auth" && object.size() == 2 && object.contains("session_api_key");
}

enum class SocketKind : std::uint8_t { bash, events, session };
struct SocketTarget {
  SocketKind kind;
  std::string conversation;  // 32 hex digits
};

// Nothing: no such socket, answered by refusing the upgrade (agent_server.md 2.2).
std::optional<SocketTarget> socket_target(std::string_view path) {
  constexpr std::string_view events = "/sockets/events/";
  constexpr std::string_view session = "/sockets/session/";
  if (path == "/sockets/bash-events") return SocketTarget{SocketKind::bash, {}};
  bool const is_events = path.starts_with(events);
  if (!is_events && !path.starts_with(session)) return std::nullopt;
  auto hex = uuid_hex(path.substr(is_events ? events.size() : session.size()));
  if (!hex) return std::nullopt;
  return SocketTarget{is_events ? SocketKind::events : SocketKind::session, std::move(*hex)};
}

enum class Entry : std::uint8_t { open, refused, first_frame };

// A key in the query wins over one in the header; without any the first frame has to bring it.
Entry entry_of(App const& app, Request const& request) {
  if (app.keys.open()) return Entry::open;
  std::string_view const key = request.query().get("session_api_key").value_or(request.session_key());
  if (key.empty()) return Entry::first_frame;
  return app.keys.accept(key) ? Entry::open : Entry::refused;
}

using OnText = std::function<void(std::string_view)>;

// Reads until the peer goes or the socket is closed. What comes after the decision to close is dropped.
Task<> read_frames(WebSocket& socket, Outbox& outbox, OnText on_text) {
  beast::flat_buffer buffer;
  for (;;) {
    auto [ec, n] = co_await socket.async_read(buffer, no_throw);
    if (ec) co_return;
    auto const data = buffer.cdata();
    if (!outbox.ended()) on_text({static_cast<char const*>(data.data()), data.size()});
    buffer.consume(buffer.size());
  }
}

// True when the first frame, in time, had a good key; otherwise the outbox is closed with 4001.
Task<bool> authenticate(App& app, WebSocket& socket, Outbox& outbox) {
  Timer alarm(app.executor, first_frame_max);
  TaskGroup watch(app.executor);
  watch.spawn(close_when(alarm, outbox));
  beast::flat_buffer buffer;
  auto [ec, n] = co_await socket.async_read(buffer, no_throw);
  alarm.cancel();
  co_await watch.join();
  auto const data = buffer.cdata();
  bool const good = !ec && socket.got_text() && is_good_auth(app, {static_cast<char const*>(data.data()), data.size()});
  if (!good) outbox.close(authentication_failed);
  co_return good && !outbox.ended();
}

std::string bash_error(Refusal const& refusal) {
  std::string text;
  JsonWriter w(text);
  w.begin_object().member("id", new_id()).member("timestamp", utc_text(now()));
  w.member("code", std::to_string(refusal.status)).member("detail", refusal.body).member("kind", "BashError").end_object();
  return text;
}

void on_bash_text(App& app, Outbox& outbox, std::string_view text) {
  auto const object = parse_object(text);
  if (object && is_stray_auth(*object)) return;
  auto command = object ? read_command(*object, app.settings.limits) : Checked<CommandRequest>(object.error());
  if (command) {
    app.touch();
    auto const started = app.commands.start(std::move(*command));
    if (!started) outbox.push(make_frame(bash_error(started.error())));
  } else {
    outbox.push(make_frame(bash_error(command.error())));
  }
}

// `resend_all` is the older way to say it; that it is a boolean was checked before the upgrade.
std::string_view resend_mode(Query const& query) {
  auto const all = boolean(query, "resend_all");
  return query.get("resend_mode").value_or(all && *all ? "all" : "");
}

Task<> serve_bash_events(App& app, WebSocket& socket, std::shared_ptr<Outbox> outbox, Query const& query) {
  if (app.commands.feed().size() >= app.settings.limits.bash_subscribers_max) {
    outbox->close(too_many_bash);
    co_return co_await read_frames(socket, *outbox, {});
  }
  Feed::Seat const seat(app.commands.feed(), outbox);
  if (resend_mode(query) == "all") {
    std::vector<Frame> kept;
    for (auto const& entry : app.commands.log().entries()) kept.push_back(entry.json);
    outbox->preload(kept);
  }
  co_await read_frames(socket, *outbox, [&](std::string_view text) { on_bash_text(app, *outbox, text); });
}

std::string server_error(Refusal const& refusal) {
  std::string text;
  JsonWriter w(text);
  w.begin_object()
      .member("id", dashed_uuid(new_id()))
      .member("timestamp", local_text(now()))
      .member("source", "environment");
  w.member("code", "InvalidMessage").member("detail", refusal.body).member("kind", "ServerErrorEvent").end_object();
  return text;
}

// A message is appended and starts a run; a bad one costs nobody the socket (agent_server.md 2.3).
void on_event_text(App& app, std::shared_ptr<Conversation> const& conversation, Outbox& outbox, std::string_view text) {
  auto const object = parse_object(text);
  if (object && is_stray_auth(*object)) return;
  auto const added = object ? conversation->add_message(*object) : Checked<std::string>(object.error());
  if (!added) return outbox.push(make_frame(server_error(added.error())));
  app.touch();
  if (conversation->status() == RunStatus::running) return;
  auto const started = app.conversations.run(conversation);
  if (!started) outbox.push(make_frame(server_error(started.error())));
}

// The whole log, or what is not older than `after_timestamp`.
std::vector<Frame> replay(Conversation const& conversation, Query const& query) {
  auto const mode = resend_mode(query);
  std::vector<Frame> frames;
  if (mode != "all" && mode != "since") return frames;
  auto const since =
      mode == "since" ? parse_moment(query.get("after_timestamp").value_or(""), local_offset(now())) : std::nullopt;
  for (auto const& entry : conversation.log().entries()) {
    if (!since || entry.at >= *since) frames.push_back(entry.json);
  }
  return frames;
}

Task<> serve_events(App& app, WebSocket& socket, std::shared_ptr<Outbox> outbox, std::shared_ptr<Conversation> conversation,
                    Query const& query) {
  Feed::Seat const seat(conversation->feed(), outbox);
  auto first = replay(*conversation, query);
  first.insert(first.begin(), make_frame(conversation->snapshot_event()));
  outbox->preload(first);
  co_await read_frames(socket, *outbox, [&](std::string_view text) { on_event_text(app, conversation, *outbox, text); });
}

// agent_server_live.md 3: -1 is everything, an absent after_seq only what comes from now on.
Task<> serve_session(WebSocket& socket, std::shared_ptr<Outbox> outbox, std::shared_ptr<Conversation> conversation,
                     std::optional<std::int64_t> after_seq) {
  Feed::Seat const seat(conversation->session_feed(), outbox);
  auto const& log = conversation->log();
  auto const next = static_cast<std::int64_t>(log.next_seq());
  auto const first_kept = static_cast<std::int64_t>(log.first_seq());
  auto const from = after_seq ? std::clamp(*after_seq, first_kept - 1, next - 1) + 1 : next;
  std::string sync;
  JsonWriter(sync)
      .begin_object()
      .member("type", "sync")
      .member("from_seq", from)
      .member("through_seq", next - 1)
      .end_object();
  std::vector<Frame> first{make_frame(std::move(sync))};
  for (auto seq = from; seq < next; ++seq)
    first.push_back(make_frame(conversation->session_frame(static_cast<std::uint64_t>(seq))));
  first.push_back(make_frame(Conversation::transient_frame(conversation->snapshot_event())));
  outbox->preload(first);
  co_await read_frames(socket, *outbox, [](std::string_view) {});
}

Task<> serve_target(App& app, WebSocket& socket, std::shared_ptr<Outbox> outbox, SocketTarget target, Query const& query) {
  if (target.kind == SocketKind::bash) co_return co_await serve_bash_events(app, socket, std::move(outbox), query);
  auto conversation = app.conversations.find(target.conversation);
  auto const max = app.settings.limits.event_subscribers_max;
  if (!conversation) outbox->close(conversation_not_found);
  if (conversation && conversation->feed().size() + conversation->session_feed().size() >= max)
    outbox->close(too_many_events);
  if (outbox->ended()) co_return co_await read_frames(socket, *outbox, {});
  if (target.kind == SocketKind::events) {
    co_return co_await serve_events(app, socket, std::move(outbox), std::move(conversation), query);
  }
  auto const after_seq = parse_integer(query.get("after_seq").value_or(""));
  co_await serve_session(socket, std::move(outbox), std::move(conversation), after_seq);
}

}  // namespace

Task<> serve_web_socket(App& app, Stream& stream, RequestParser& parser, Request const& request) {
  auto const target = socket_target(request.path());
  auto const entry = entry_of(app, request);
  bool const bad_query = !integer(request.query(), "after_seq") || !boolean(request.query(), "resend_all");
  if (!target || bad_query || entry == Entry::refused) co_return co_await refuse_upgrade(app, stream, "403 Forbidden");
  bool const is_dormant = app.init_state == InitState::dormant;
  if (app.stopping || is_dormant) co_return co_await refuse_upgrade(app, stream, "503 Service Unavailable");

  WebSocket socket(stream);
  websocket::permessage_deflate deflate;
  deflate.server_enable = true;
  socket.set_option(deflate);
  socket.set_option(websocket::stream_base::timeout{handshake_max, idle_max, true});
  auto const& limits = app.settings.limits;
  bool authenticated = entry == Entry::open;
  socket.read_message_max(authenticated ? limits.frame_bytes_max : std::min(first_frame_bytes_max, limits.frame_bytes_max));
  auto [ec] = co_await socket.async_accept(parser.get(), no_throw);
  if (ec) co_return;

  auto const closing_max = std::chrono::seconds(limits.close_seconds);
  auto const outbox = std::make_shared<Outbox>(app.executor, limits.subscriber_queue_bytes_max, closing_max);
  Feed::Seat const everyone(app.sockets, outbox);
  TaskGroup writer(app.executor);
  TaskGroup watch(app.executor);
  writer.spawn(write_frames(socket, *outbox));
  watch.spawn(insist(stream, *outbox));
  if (!authenticated) authenticated = co_await authenticate(app, socket, *outbox);
  if (authenticated) {
    socket.read_message_max(limits.frame_bytes_max);
    co_await serve_target(app, socket, outbox, *target, request.query());
  } else if (socket.is_open()) {  // a socket that failed cannot be read again
    co_await read_frames(socket, *outbox, {});
  }
  // The peer is gone, or the writer has closed: either way nothing more can be sent.
  if (!outbox->closing()) {
    outbox->abandon();
    stream.close();  // a write may be under way to a peer that takes nothing
  }
  co_await writer.join();
  watch.stop();
  co_await watch.join();
}

}  // namespace nestgate::nestlet
