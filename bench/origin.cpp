// The nested server of the bench: one thread, keep-alive, the same small JSON answer to every request, 101 to a websocket
// upgrade (and then silence). With --key it also checks that the proxy did its work: the session key set, once, and the
// forwarded fields there; else 400, which the load generator counts as an error.
//
//   origin --listen 127.0.0.1:0 [--key KEY] [--body-bytes 200]        prints "listening PORT"
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "nestgate/http/field.hpp"
#include "nestgate/http/websocket.hpp"
#include "sockets.hpp"

namespace {

using nestgate::http::equals_ignoring_case;

struct Settings {
  sockaddr_in listen = bench::parse_address("127.0.0.1:0");
  std::string key;
  std::uint64_t body_bytes = 200;
};

struct Peer {
  bench::Fd socket;
  std::string in;
  std::string out;  // what the socket did not take
  std::uint32_t wanted = EPOLLIN;
  bool tunnel = false;
};

class Origin {
 public:
  explicit Origin(Settings settings)
      : key_(std::move(settings.key)),
        listener_(bench::listen_at(settings.listen)),
        answer_(json(body(settings.body_bytes))) {}

  [[noreturn]] void serve() {
    std::printf("listening %u\n", static_cast<unsigned>(bench::port_of(listener_)));
    std::fflush(stdout);
    poll_.add(listener_.get(), EPOLLIN, nullptr);
    std::array<epoll_event, 256> events;
    for (;;) {
      int const n = poll_.wait(events.data(), static_cast<int>(events.size()), -1);
      for (int i = 0; i < n; ++i) {
        auto* const peer = static_cast<Peer*>(events[static_cast<std::size_t>(i)].data.ptr);
        if (peer == nullptr)
          accept_all();
        else if (!(events[static_cast<std::size_t>(i)].events & EPOLLOUT ? flush(*peer) : read(*peer)))
          peers_.erase(peer);
      }
    }
  }

 private:
  static std::string body(std::uint64_t bytes) {
    std::string text = R"({"status":"ok","events":[")";
    std::string_view const end = "\"]}";
    if (text.size() + end.size() < bytes) text.append(bytes - text.size() - end.size(), 'e');
    return text.append(end);
  }

  static std::string json(std::string const& body) {
    return "HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 11:00:00 GMT\r\nServer: uvicorn\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\nContent-Type: application/json\r\n\r\n" + body;
  }

  void accept_all() {
    while (auto socket = bench::accept_from(listener_)) {
      auto peer = std::make_unique<Peer>();
      peer->socket = std::move(socket);
      auto* const raw = peer.get();
      poll_.add(raw->socket.get(), EPOLLIN, raw);
      peers_.emplace(raw, std::move(peer));
    }
  }

  // False when the peer is gone.
  bool read(Peer& peer) {
    std::array<char, 16 * 1024> buffer;
    auto const n = ::read(peer.socket.get(), buffer.data(), buffer.size());
    if (n <= 0) return n < 0 && errno == EAGAIN;
    if (peer.tunnel) return true;
    peer.in.append(buffer.data(), static_cast<std::size_t>(n));
    std::string_view rest = peer.in;
    for (auto end = rest.find("\r\n\r\n"); end != rest.npos; end = rest.find("\r\n\r\n")) {
      answer(peer, rest.substr(0, end + 2));
      rest.remove_prefix(end + 4);
    }
    peer.in.erase(0, peer.in.size() - rest.size());
    return flush(peer);
  }

  void answer(Peer& peer, std::string_view head) {
    unsigned keys = 0, right_keys = 0, forwarded = 0;
    std::string_view websocket_key;
    head.remove_prefix(head.find("\r\n") + 2);
    while (!head.empty()) {
      auto const end = head.find("\r\n");
      auto const line = head.substr(0, end);
      head.remove_prefix(end + 2);
      auto const colon = line.find(':');
      if (colon == line.npos) continue;
      auto const name = line.substr(0, colon);
      auto value = line.substr(colon + 1);
      while (value.starts_with(' ')) value.remove_prefix(1);
      if (equals_ignoring_case(name, "x-session-api-key")) {
        ++keys;
        right_keys += value == key_;
      }
      forwarded += equals_ignoring_case(name, "x-forwarded-for") || equals_ignoring_case(name, "x-forwarded-proto") ||
                   equals_ignoring_case(name, "x-forwarded-host");
      if (equals_ignoring_case(name, "sec-websocket-key")) websocket_key = value;
    }
    if (!key_.empty() && (keys != 1 || right_keys != 1 || forwarded != 3)) {
      peer.out += "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    } else if (!websocket_key.empty()) {
      peer.out += "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
                  nestgate::http::websocket_accept(websocket_key) + "\r\n\r\n";
      peer.tunnel = true;
    } else {
      peer.out += answer_;
    }
  }

  bool flush(Peer& peer) {
    while (!peer.out.empty()) {
      auto const n = ::send(peer.socket.get(), peer.out.data(), peer.out.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EAGAIN) {
        want(peer, EPOLLIN | EPOLLOUT);
        return true;
      }
      if (n < 0) return false;
      peer.out.erase(0, static_cast<std::size_t>(n));
    }
    want(peer, EPOLLIN);
    return true;
  }

  void want(Peer& peer, std::uint32_t events) {
    if (peer.wanted != events) poll_.change(peer.socket.get(), peer.wanted = events, &peer);
  }

  std::string key_;
  bench::Fd listener_;
  std::string answer_;
  bench::Poll poll_;
  std::unordered_map<Peer*, std::unique_ptr<Peer>> peers_;
};

}  // namespace

int main(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; i += 2) {
    std::string_view const flag = argv[i];
    if (i + 1 == argc) bench::usage(std::string(flag) + ": a value is wanted");
    std::string_view const value = argv[i + 1];
    if (flag == "--listen")
      settings.listen = bench::parse_address(value);
    else if (flag == "--key")
      settings.key = value;
    else if (flag == "--body-bytes")
      settings.body_bytes = bench::to_number(value, flag);
    else
      bench::usage("origin: unknown flag " + std::string(flag));
  }
  bench::raise_open_files();
  Origin(std::move(settings)).serve();
}
