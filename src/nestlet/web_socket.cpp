#include "nestlet/web_socket.hpp"

#include <boost/beast/websocket/rfc6455.hpp>
#include <functional>
#include <memory>
#include <optional>

#include "nestlet/command_request.hpp"
#include "nestlet/outbox.hpp"
#include "nestlet/task_group.hpp"

namespace nestgate::nestlet {
namespace {

namespace websocket = beast::websocket;

constexpr auto first_frame_max = std::chrono::seconds(10);  // agent_server.md 2.2
constexpr auto handshake_max = std::chrono::seconds(10);
constexpr auto idle_max = std::chrono::seconds(60);  // a peer that answers no ping is dead
constexpr CloseReason too_many_bash{1013, "Too many bash event connections"};

Task<> refuse_upgrade(App& app, Stream& stream, std::string_view status) {
  std::string const head = "HTTP/1.1 " + std::string(status) + "\r\nserver: nestlet\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
  stream.expires_after(std::chrono::seconds(app.settings.limits.progress_seconds));
  co_await asio::async_write(stream, asio::buffer(head), no_throw);
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

enum class SocketKind : std::uint8_t { bash };
struct SocketTarget {
  SocketKind kind;
};

// Nothing: no such socket, answered by refusing the upgrade (agent_server.md 2.2).
std::optional<SocketTarget> socket_target(std::string_view path) {
  if (path == "/sockets/bash-events") return SocketTarget{SocketKind::bash};
  return std::nullopt;
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
  codec::JsonWriter w(text);
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

Task<> serve_bash_events(App& app, WebSocket& socket, std::shared_ptr<Outbox> outbox, Query const& query) {
  if (app.commands.feed().size() >= app.settings.limits.bash_subscribers_max) {
    outbox->close(too_many_bash);
    co_return co_await read_frames(socket, *outbox, {});
  }
  Feed::Seat const seat(app.commands.feed(), outbox);
  if (query.get("resend_mode") == "all" || query.get("resend_all") == "true") {
    std::vector<Frame> kept;
    for (auto const& entry : app.commands.log().entries()) kept.push_back(entry.json);
    outbox->preload(kept);
  }
  co_await read_frames(socket, *outbox, [&](std::string_view text) { on_bash_text(app, *outbox, text); });
}

Task<> serve_target(App& app, WebSocket& socket, std::shared_ptr<Outbox> outbox, SocketTarget target, Query const& query) {
  switch (target.kind) {
    case SocketKind::bash: co_return co_await serve_bash_events(app, socket, std::move(outbox), query);
  }
}

}  // namespace

Task<> serve_web_socket(App& app, Stream& stream, RequestParser& parser, Request const& request) {
  auto const target = socket_target(request.path());
  auto const entry = entry_of(app, request);
  if (!target || entry == Entry::refused) co_return co_await refuse_upgrade(app, stream, "403 Forbidden");
  if (app.stopping) co_return co_await refuse_upgrade(app, stream, "503 Service Unavailable");

  WebSocket socket(std::move(stream));
  websocket::permessage_deflate deflate;
  deflate.server_enable = true;
  socket.set_option(deflate);
  socket.set_option(websocket::stream_base::timeout{handshake_max, idle_max, true});
  socket.read_message_max(app.settings.limits.frame_bytes_max);
  auto [ec] = co_await socket.async_accept(parser.get(), no_throw);
  if (ec) co_return;

  auto const outbox = std::make_shared<Outbox>(app.executor, app.settings.limits.subscriber_queue_bytes_max);
  Feed::Seat const everyone(app.sockets, outbox);
  TaskGroup writer(app.executor);
  writer.spawn(write_frames(socket, *outbox));
  bool authenticated = entry == Entry::open;
  if (!authenticated) authenticated = co_await authenticate(app, socket, *outbox);
  if (authenticated) {
    co_await serve_target(app, socket, outbox, *target, request.query());
  } else {
    co_await read_frames(socket, *outbox, {});
  }
  // The peer is gone, or the writer has closed: either way nothing more can be sent.
  if (!outbox->closing()) {
    outbox->abandon();
    writer.stop();
  }
  co_await writer.join();
}

}  // namespace nestgate::nestlet
