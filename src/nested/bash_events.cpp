#include "nestgate/nested/bash_events.hpp"

#include <simdjson.h>

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <boost/beast/websocket/stream.hpp>

#include "nestgate/codec/wire_messages.hpp"

namespace nestgate::nested {
namespace {

namespace beast = boost::beast;
namespace websocket = beast::websocket;
using upstream::Failure;

constexpr std::chrono::seconds handshake_max{10};
constexpr std::chrono::seconds idle_max{60};                 // a ping goes out at half of it
constexpr std::size_t message_bytes_max = 16 * 1024 * 1024;  // two streams of 1 MiB, escaped

Failure ended(error_code why) {
  return upstream::failed("bash events", Fault{FaultKind::upstream, why, "nested.bash_events"});
}

// Of a BashOutput with an exit code; empty for every other event.
std::string ended_command(std::string_view json) {
  simdjson::dom::parser parser;
  simdjson::dom::object event;
  std::string_view kind, command_id;
  std::int64_t exit_code = 0;
  bool const is_end = !parser.parse(json.data(), json.size()).get_object().get(event) &&
                      !event["kind"].get_string().get(kind) && kind == "BashOutput" &&
                      !event["exit_code"].get_int64().get(exit_code) && !event["command_id"].get_string().get(command_id);
  return is_end ? std::string(command_id) : std::string();
}

}  // namespace

Task<Failure> follow_bash_events(upstream::Place place, Secret session_key, BashEventListeners listeners) {
  if (place.tls) co_return upstream::fail(FaultKind::upstream, "nested.bash_events", "bash events: not over TLS");
  TcpSocket socket(co_await asio::this_coro::executor);
  auto [connect_error] = co_await socket.async_connect(place.at, no_throw);
  if (connect_error) co_return ended(connect_error);
  websocket::stream<TcpSocket> events(std::move(socket));
  events.set_option(websocket::stream_base::timeout{handshake_max, idle_max, true});
  events.read_message_max(message_bytes_max);
  std::string host = place.authority;
  if (host.empty()) host = place.at.address().to_string() + ":" + std::to_string(place.port());
  auto [handshake_error] = co_await events.async_handshake(host, "/sockets/bash-events", no_throw);
  if (handshake_error) co_return ended(handshake_error);
  auto const hello = codec::auth_frame(session_key.reveal());  // tidy-ok(reveal): to its own server
  auto [hello_error, sent] = co_await events.async_write(asio::buffer(hello), no_throw);
  if (hello_error) co_return ended(hello_error);
  listeners.open();
  beast::flat_buffer message;
  for (;;) {
    auto [read_error, bytes] = co_await events.async_read(message, no_throw);
    if (read_error) co_return ended(read_error);
    auto const text = message.cdata();
    auto const command_id = ended_command({static_cast<char const*>(text.data()), text.size()});
    if (!command_id.empty()) listeners.ended(command_id);
    message.consume(message.size());
  }
}

}  // namespace nestgate::nested
