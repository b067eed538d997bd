#pragma once

// The one header that names the executor: every socket, timer and coroutine of nestgate has this type, so that none pays
// for type erasure.
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>

#include "nestgate/base/deadline.hpp"
#include "nestgate/base/result.hpp"

namespace nestgate {

namespace asio = boost::asio;
using boost::system::error_code;

using Executor = asio::io_context::executor_type;
template <class T = void>
using Task = asio::awaitable<T, Executor>;
using TcpSocket = asio::basic_stream_socket<asio::ip::tcp, Executor>;
using UnixSocket = asio::basic_stream_socket<asio::local::stream_protocol, Executor>;
using TcpAcceptor = asio::basic_socket_acceptor<asio::ip::tcp, Executor>;
using UnixAcceptor = asio::basic_socket_acceptor<asio::local::stream_protocol, Executor>;
template <class C>
using BasicTimer = asio::basic_waitable_timer<C, asio::wait_traits<C>, Executor>;
using Timer = BasicTimer<Clock>;

// auto [ec, n] = co_await op(..., no_throw);
inline constexpr auto no_throw = asio::as_tuple(asio::deferred);

}  // namespace nestgate
