// The floor: bytes from a client to the origin and back, one thread, no HTTP. What a proxy costs on top of this is what it
// does; what this costs is the kernel's.
//
//   relay --listen 127.0.0.1:0 --origin 127.0.0.1:9000        prints "listening PORT"
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
#include <utility>
#include <vector>

#include "sockets.hpp"

namespace {

struct Pair;

struct Side {
  Pair* pair = nullptr;
  bench::Fd socket;
  std::string pending;  // from the other side, what this socket did not take
  std::uint32_t wanted = EPOLLIN;
};

struct Pair {
  Side client, origin;
  bool dead = false;
};

class Relay {
 public:
  Relay(sockaddr_in listen, sockaddr_in origin) : origin_(origin), listener_(bench::listen_at(listen)) {}

  [[noreturn]] void serve() {
    std::printf("listening %u\n", static_cast<unsigned>(bench::port_of(listener_)));
    std::fflush(stdout);
    poll_.add(listener_.get(), EPOLLIN, nullptr);
    std::array<epoll_event, 256> events;
    std::vector<Pair*> ended;
    for (;;) {
      int const n = poll_.wait(events.data(), static_cast<int>(events.size()), -1);
      ended.clear();
      for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) {
        auto* const side = static_cast<Side*>(events[i].data.ptr);
        if (side == nullptr) {
          accept_all();
        } else if (!side->pair->dead && !serve(*side, events[i].events)) {
          side->pair->dead = true;  // the other side's event may be in the same batch
          ended.push_back(side->pair);
        }
      }
      for (auto* const pair : ended) pairs_.erase(pair);
    }
  }

 private:
  void accept_all() {
    while (auto socket = bench::accept_from(listener_)) {
      auto pair = std::make_unique<Pair>();
      pair->client.socket = std::move(socket);
      pair->origin.socket = bench::connect_to(origin_);
      for (auto* const side : {&pair->client, &pair->origin}) {
        side->pair = pair.get();
        poll_.add(side->socket.get(), EPOLLIN, side);
      }
      auto* const raw = pair.get();
      pairs_.emplace(raw, std::move(pair));
    }
  }

  // False when either side is gone.
  bool serve(Side& side, std::uint32_t events) {
    if (events & EPOLLOUT) {
      auto const unsent = std::exchange(side.pending, {});
      return write(side, unsent);
    }
    auto& other = &side == &side.pair->client ? side.pair->origin : side.pair->client;
    std::array<char, 16 * 1024> buffer;
    auto const n = ::read(side.socket.get(), buffer.data(), buffer.size());
    if (n <= 0) return n < 0 && errno == EAGAIN;
    return write(other, std::string_view(buffer.data(), static_cast<std::size_t>(n)));
  }

  // While something is pending for `to`, the side that it comes from is not read.
  bool write(Side& to, std::string_view bytes) {
    while (!bytes.empty()) {
      auto const n = ::send(to.socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN) return false;
      if (n < 0) break;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    to.pending = bytes;
    auto& from = &to == &to.pair->client ? to.pair->origin : to.pair->client;
    want(to, bytes.empty() ? to.wanted & ~std::uint32_t{EPOLLOUT} : to.wanted | EPOLLOUT);
    want(from, bytes.empty() ? from.wanted | EPOLLIN : from.wanted & ~std::uint32_t{EPOLLIN});
    return true;
  }

  void want(Side& side, std::uint32_t events) {
    if (side.wanted != events) poll_.change(side.socket.get(), side.wanted = events, &side);
  }

  sockaddr_in origin_;
  bench::Fd listener_;
  bench::Poll poll_;
  std::unordered_map<Pair*, std::unique_ptr<Pair>> pairs_;
};

}  // namespace

int main(int argc, char** argv) {
  auto listen = bench::parse_address("127.0.0.1:0");
  std::optional<sockaddr_in> origin;
  for (int i = 1; i < argc; i += 2) {
    std::string_view const flag = argv[i];
    if (i + 1 == argc) bench::usage(std::string(flag) + ": a value is wanted");
    if (flag == "--listen")
      listen = bench::parse_address(argv[i + 1]);
    else if (flag == "--origin")
      origin = bench::parse_address(argv[i + 1]);
    else
      bench::usage("relay: unknown flag " + std::string(flag));
  }
  if (!origin) bench::usage("relay: --origin is wanted");
  bench::raise_open_files();
  Relay(listen, *origin).serve();
}
