#include "sockets.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace bench {
namespace {

void tune(int fd) {
  int const one = 1;
  if (::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0) fail("TCP_NODELAY");
}

}  // namespace

void fail(std::string_view what) {
  std::fprintf(stderr, "%.*s: %s\n", static_cast<int>(what.size()), what.data(), std::strerror(errno));
  std::exit(1);
}

void usage(std::string_view what) {
  std::fprintf(stderr, "%.*s\n", static_cast<int>(what.size()), what.data());
  std::exit(2);
}

std::uint64_t to_number(std::string_view text, std::string_view flag) {
  std::uint64_t number = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size())
    usage(std::string(flag) + ": a number is wanted, not " + std::string(text));
  return number;
}

Fd::~Fd() {
  if (fd_ >= 0) ::close(fd_);
}

sockaddr_in parse_address(std::string_view text) {
  auto const colon = text.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  std::string const host(text.substr(0, colon));
  if (colon == text.npos || ::inet_pton(AF_INET, host.c_str(), &address.sin_addr) != 1)
    usage("an address is wanted like 127.0.0.1:8080, not " + std::string(text));
  auto const port = to_number(text.substr(colon + 1), "port");
  if (port > 65535) usage("port: at most 65535");
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

Fd listen_at(sockaddr_in address) {
  Fd listener(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!listener) fail("socket");
  int const one = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (::bind(listener.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0) fail("bind");
  if (::listen(listener.get(), SOMAXCONN) != 0) fail("listen");
  return listener;
}

std::uint16_t port_of(Fd const& listener) {
  sockaddr_in address{};
  socklen_t length = sizeof address;
  if (::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &length) != 0) fail("getsockname");
  return ntohs(address.sin_port);
}

Fd accept_from(Fd const& listener) {
  Fd peer(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (peer)
    tune(peer.get());
  else if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR)
    fail("accept");
  return peer;
}

Fd connect_to(sockaddr_in address) {
  Fd peer(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!peer) fail("socket");
  if (::connect(peer.get(), reinterpret_cast<sockaddr const*>(&address), sizeof address) != 0) fail("connect");
  tune(peer.get());
  if (::fcntl(peer.get(), F_SETFL, O_NONBLOCK) != 0) fail("O_NONBLOCK");
  return peer;
}

Poll::Poll() : fd_(::epoll_create1(EPOLL_CLOEXEC)) {
  if (!fd_) fail("epoll_create1");
}

void Poll::add(int fd, std::uint32_t events, void* data) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = data;
  if (::epoll_ctl(fd_.get(), EPOLL_CTL_ADD, fd, &event) != 0) fail("epoll_ctl");
}

void Poll::change(int fd, std::uint32_t events, void* data) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = data;
  if (::epoll_ctl(fd_.get(), EPOLL_CTL_MOD, fd, &event) != 0) fail("epoll_ctl");
}

int Poll::wait(epoll_event* events, int capacity, int milliseconds) {
  int const n = ::epoll_wait(fd_.get(), events, capacity, milliseconds);
  if (n < 0 && errno != EINTR) fail("epoll_wait");
  return n < 0 ? 0 : n;
}

void raise_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) fail("RLIMIT_NOFILE");
  limit.rlim_cur = limit.rlim_max;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0) fail("RLIMIT_NOFILE");
}

}  // namespace bench
