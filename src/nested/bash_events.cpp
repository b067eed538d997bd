#include "nestgate/nested/bash_events.hpp"

#include <simdjson.h>

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/websocket/rfc6455.hpp>
#include <boost/beast/websocket/stream.hpp>

#include "nestgate/codec/wire_messages.hpp"
#include "nestgate/net/interruptible.hpp"

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

using Events = websocket::stream<TcpSocket>;

Task<Failure> read_events(Events& events, std::string host, Secret session_key, BashEventListeners listeners) {
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

// A cancel that comes between two operations, also between those of which the websocket makes one, reaches none of them.
// A closed socket fails whatever is next.
Task<> close_when_cut(Events& events) {
  Timer never(co_await asio::this_coro::executor, Clock::time_point::max());
  [[maybe_unused]] auto cut = co_await until_woken(never);
  error_code ignored;
  events.next_layer().close(ignored);
}

}  // namespace

Task<Failure> follow_bash_events(upstream::Place place, Secret session_key, BashEventListeners listeners) {
  if (place.tls) co_return upstream::fail(FaultKind::upstream, "nested.bash_events", "bash events: not over TLS");
  auto const executor = co_await asio::this_coro::executor;
  TcpSocket socket(executor);
  auto [connect_error] = co_await socket.async_connect(place.at, no_throw);
  if (connect_error) co_return ended(connect_error);
  bool const is_cut = co_await is_cancelled();
  if (is_cut) co_return ended(asio::error::operation_aborted);
  Events events(std::move(socket));
  events.set_option(websocket::stream_base::timeout{handshake_max, idle_max, true});
  events.read_message_max(message_bytes_max);
  std::string host = place.authority;
  if (host.empty()) host = place.at.address().to_string() + ":" + std::to_string(place.port());
  auto reading = read_events(events, std::move(host), std::move(session_key), std::move(listeners));
  auto read = asio::co_spawn(executor, kept(std::move(reading)), asio::deferred);
  auto closed = asio::co_spawn(executor, quiet(close_when_cut(events)), asio::deferred);
  auto both = asio::experimental::make_parallel_group(std::move(read), std::move(closed));
  auto first = asio::experimental::wait_for_one();
  auto [order, bug, why, close_bug] = co_await std::move(both).async_wait(first, asio::deferred);
  for (auto const& one : {bug, close_bug})
    if (one) std::rethrow_exception(one);
  co_return *std::move(why);
}

}  // namespace nestgate::nested
