// Takes the callbacks of the bench: one thread, any number of requests a connection, 200 to each once its body is there.
//
//   sink       prints "listening PORT"
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "nestgate/http/field.hpp"
#include "sockets.hpp"

namespace {

constexpr std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

struct Peer {
  bench::Fd socket;
  std::string in;
};

std::size_t body_bytes(std::string_view head) {
  std::size_t bytes = 0;
  while (!head.empty()) {
    auto const end = head.find("\r\n");
    auto const line = head.substr(0, end);
    head.remove_prefix(end + 2);
    auto const colon = line.find(':');
    if (colon == line.npos || !nestgate::http::equals_ignoring_case(line.substr(0, colon), "content-length")) continue;
    auto value = line.substr(colon + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    std::from_chars(value.data(), value.data() + value.size(), bytes);
  }
  return bytes;
}

// False when the peer is gone.
bool read(Peer& peer) {
  std::array<char, 16 * 1024> buffer;
  auto const n = ::read(peer.socket.get(), buffer.data(), buffer.size());
  if (n <= 0) return n < 0 && errno == EAGAIN;
  peer.in.append(buffer.data(), static_cast<std::size_t>(n));
  for (auto end = peer.in.find("\r\n\r\n"); end != peer.in.npos; end = peer.in.find("\r\n\r\n")) {
    auto const whole = end + 4 + body_bytes(std::string_view(peer.in).substr(0, end + 2));
    if (peer.in.size() < whole) break;
    peer.in.erase(0, whole);
    auto const sent = ::send(peer.socket.get(), answer.data(), answer.size(), MSG_NOSIGNAL);
    if (sent != static_cast<ssize_t>(answer.size())) return false;
  }
  return true;
}

[[noreturn]] void serve() {
  auto const listener = bench::listen_at(bench::parse_address("127.0.0.1:0"));
  std::printf("listening %u\n", static_cast<unsigned>(bench::port_of(listener)));
  std::fflush(stdout);
  bench::Poll poll;
  poll.add(listener.get(), EPOLLIN, nullptr);
  std::unordered_map<Peer*, std::unique_ptr<Peer>> peers;
  std::array<epoll_event, 256> events;
  for (;;) {
    int const n = poll.wait(events.data(), static_cast<int>(events.size()), -1);
    for (int i = 0; i < n; ++i) {
      auto* const known = static_cast<Peer*>(events[static_cast<std::size_t>(i)].data.ptr);
      if (known != nullptr) {
        if (!read(*known)) peers.erase(known);
        continue;
      }
      while (auto socket = bench::accept_from(listener)) {
        auto peer = std::make_unique<Peer>();
        peer->socket = std::move(socket);
        auto* const raw = peer.get();
        poll.add(raw->socket.get(), EPOLLIN, raw);
        peers.emplace(raw, std::move(peer));
      }
    }
  }
}

}  // namespace

int main() {
  bench::raise_open_files();
  serve();
}
