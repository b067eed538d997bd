#pragma once

#include <boost/asio.hpp>
#include <boost/beast/core/basic_stream.hpp>
#include <boost/beast/websocket.hpp>

#include "nestgate/base/deadline.hpp"

// The one header of nestlet that names the executor.
namespace nestgate::nestlet {

namespace asio = boost::asio;
namespace beast = boost::beast;
using boost::system::error_code;

using Executor = asio::io_context::executor_type;
template <class T = void>
using Task = asio::awaitable<T, Executor>;
using Timer = asio::basic_waitable_timer<Clock, asio::wait_traits<Clock>, Executor>;
// TCP and Unix sockets alike.
using Stream = beast::basic_stream<asio::generic::stream_protocol, Executor>;
using WebSocket = beast::websocket::stream<Stream&>;  // the connection keeps its stream: the server can close it
using Descriptor = asio::posix::basic_stream_descriptor<Executor>;

inline constexpr auto no_throw = asio::as_tuple(asio::deferred);

// Whether the coroutine was told to stop. A loop has to ask: a cancellation that comes while a finished operation is queued
// cancels nothing, and the next operation would wait as if nobody had asked.
//   if (told_to_stop(co_await asio::this_coro::cancellation_state)) co_return;
inline bool told_to_stop(asio::cancellation_state const& state) {
  return state.cancelled() != asio::cancellation_type::none;
}

}  // namespace nestgate::nestlet
