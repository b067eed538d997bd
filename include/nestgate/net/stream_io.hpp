#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <boost/asio/buffer.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "nestgate/net/net.hpp"

namespace nestgate {

using TlsStream = asio::ssl::stream<TcpSocket>;

// A stream whose file descriptor may be read and written directly: TCP and Unix sockets, not TLS.
template <class Stream>
concept PlainStream = std::is_same_v<Stream, TcpSocket> || std::is_same_v<Stream, UnixSocket>;

// The socket under a stream: what is cancelled, shut down and asked for its address.
template <PlainStream Stream>
Stream& socket_of(Stream& stream) {
  return stream;
}
inline TcpSocket& socket_of(TlsStream& stream) { return stream.next_layer(); }

// What one system call did without waiting.
struct DirectIo {
  std::size_t bytes = 0;
  error_code ec{};  // would_block: nothing could be done now
  bool would_block() const { return ec == asio::error::would_block; }
};

inline error_code last_error() {
  if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) return asio::error::would_block;
  return error_code(errno, boost::system::system_category());
}

// Both pieces in one gather write. A direct call saves the scheduler's queue on the path where the socket has room, which
// is nearly always.
inline DirectIo write_now(int fd, std::string_view first, std::string_view second = {}) noexcept {
  iovec parts[2] = {{const_cast<char*>(first.data()), first.size()}, {const_cast<char*>(second.data()), second.size()}};
  msghdr message{};
  message.msg_iov = parts;
  message.msg_iovlen = second.empty() ? 1 : 2;
  auto const sent = ::sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  if (sent < 0) return {0, last_error()};
  return {static_cast<std::size_t>(sent), {}};
}

// bytes 0 without an error: the peer ended its side.
inline DirectIo read_now(int fd, char* to, std::size_t size) noexcept {
  auto const got = ::recv(fd, to, size, MSG_DONTWAIT);
  if (got < 0) return {0, last_error()};
  if (got == 0) return {0, asio::error::eof};
  return {static_cast<std::size_t>(got), {}};
}

// `ended_its_side`: it sends no more, and may still read. Bytes that wait to be read hide neither this nor a reset.
enum class Peer : std::uint8_t { there, ended_its_side, gone };
inline Peer look_at_peer(int fd) noexcept {
  pollfd look{fd, POLLRDHUP, 0};
  if (::poll(&look, 1, 0) <= 0) return Peer::there;
  if ((look.revents & (POLLHUP | POLLERR)) != 0) return Peer::gone;
  return (look.revents & POLLRDHUP) != 0 ? Peer::ended_its_side : Peer::there;
}

// Drops `n` bytes from the front of two pieces that stand one behind the other.
inline void consume(std::string_view& first, std::string_view& second, std::size_t n) noexcept {
  auto const from_first = std::min(n, first.size());
  first.remove_prefix(from_first);
  second.remove_prefix(n - from_first);
  if (first.empty()) std::swap(first, second);
}

// Tells `on_progress` of every piece that went, so that a deadline can follow a slow reader.
template <class Stream, class OnProgress>
Task<error_code> write_all(Stream& stream, std::string_view first, std::string_view second, OnProgress on_progress) {
  if (first.empty()) std::swap(first, second);
  while (!first.empty()) {
    std::size_t sent = 0;
    if constexpr (PlainStream<Stream>) {
      auto const done = write_now(stream.native_handle(), first, second);
      if (done.would_block()) {
        auto [ec] = co_await stream.async_wait(asio::socket_base::wait_write, no_throw);
        if (ec) co_return ec;
        continue;
      }
      if (done.ec) co_return done.ec;
      sent = done.bytes;
    } else {
      auto [ec, n] = co_await stream.async_write_some(asio::buffer(first.data(), first.size()), no_throw);
      if (ec) co_return ec;
      sent = n;
    }
    on_progress(sent);
    consume(first, second, sent);
  }
  co_return error_code{};
}

// The whole of both pieces at once if the socket takes it: true, with `ec` set on an error. Otherwise the pieces are
// shortened by what went, and write_all has to finish.
template <class Stream>
bool write_at_once(Stream& stream, std::string_view& first, std::string_view& second, error_code& ec) {
  if constexpr (PlainStream<Stream>) {
    auto const done = write_now(stream.native_handle(), first, second);
    if (done.would_block()) return false;
    ec = done.ec;
    if (ec) return true;
    consume(first, second, done.bytes);
    return first.empty();
  } else {
    return false;
  }
}

}  // namespace nestgate
