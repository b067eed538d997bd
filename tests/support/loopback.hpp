#pragma once

// Plain blocking sockets on loopback for tests: what is sent and what came back, byte for byte. Every wait is bounded;
// one that runs out is a test failure, never a pass.

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace nestgate::test {

inline constexpr int patience_ms = 20'000;  // far beyond what a loaded machine needs

struct TimedOut : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class Connection {
 public:
  explicit Connection(int fd) : fd_(fd) {}
  Connection(Connection&& other) noexcept : fd_(std::exchange(other.fd_, -1)), pending_(std::move(other.pending_)) {}
  Connection& operator=(Connection&& other) noexcept {
    close();
    fd_ = std::exchange(other.fd_, -1);
    pending_ = std::move(other.pending_);
    return *this;
  }
  ~Connection() { close(); }

  static Connection to(std::uint16_t port) {
    int const fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) {
      ::close(fd);
      throw std::runtime_error("connect refused");
    }
    int const on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return Connection(fd);
  }
  static Connection to_unix(std::string const& path) {
    int const fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    path.copy(at.sun_path, sizeof at.sun_path - 1);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0) {
      ::close(fd);
      throw std::runtime_error("connect refused");
    }
    return Connection(fd);
  }

  int fd() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void end_sending() { ::shutdown(fd_, SHUT_WR); }
  // Closes so that the peer sees a reset.
  void reset() {
    linger const hard{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    close();
  }

  // False when the peer took it no more.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      auto const n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  // What comes next, at least a byte; empty at the end (or after a reset).
  std::string read_some(int wait_ms = patience_ms) {
    if (!pending_.empty()) return std::exchange(pending_, {});
    pollfd p{fd_, POLLIN, 0};
    if (::poll(&p, 1, wait_ms) <= 0) throw TimedOut("nothing came");
    std::string out(64 * 1024, '\0');
    auto const n = ::recv(fd_, out.data(), out.size(), 0);
    reset_by_peer_ = n < 0;
    out.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return out;
  }
  // Whether the last read met a reset instead of an orderly end.
  bool reset_by_peer() const { return reset_by_peer_; }
  // Up to and with `mark`; what is behind stays. Shorter when the peer ended first.
  std::string read_until(std::string_view mark) {
    std::string out;
    for (;;) {
      if (auto const at = out.find(mark); at != out.npos) {
        pending_ = out.substr(at + mark.size());
        out.resize(at + mark.size());
        return out;
      }
      auto more = read_some();
      if (more.empty()) return out;
      out += more;
    }
  }
  std::string read_exactly(std::size_t n) {
    std::string out = std::exchange(pending_, {});
    while (out.size() < n) {
      auto more = read_some();
      if (more.empty()) return out;
      out += more;
    }
    pending_ = out.substr(n);
    out.resize(n);
    return out;
  }
  std::string read_to_end() {
    std::string out;
    for (;;) {
      auto more = read_some();
      if (more.empty()) return out;
      out += more;
    }
  }
  // Whether something can be read (or the end was reached) right now.
  bool readable_now() const {
    pollfd p{fd_, POLLIN, 0};
    return !pending_.empty() || ::poll(&p, 1, 0) > 0;
  }

 private:
  int fd_;
  bool reset_by_peer_ = false;
  std::string pending_;
};

// An answer with its head and its body taken apart by Content-Length, chunks or the end.
struct Answer {
  unsigned status = 0;
  std::string head;
  std::string body;
  std::string value(std::string_view name) const;  // of a field, case-insensitive
};

inline bool same_ignoring_case(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return (x | 32) == (y | 32); });
}

inline std::string field_value(std::string_view head, std::string_view name) {
  for (std::size_t at = head.find("\r\n"); at != head.npos; at = head.find("\r\n", at + 2)) {
    auto line = head.substr(at + 2, head.find("\r\n", at + 2) - at - 2);
    auto const colon = line.find(':');
    if (colon == line.npos || !same_ignoring_case(line.substr(0, colon), name)) continue;
    auto value = line.substr(colon + 1);
    while (value.starts_with(' ')) value.remove_prefix(1);
    return std::string(value);
  }
  return {};
}
inline std::string Answer::value(std::string_view name) const { return field_value(head, name); }

enum class WithBody : bool { no, yes };

inline Answer read_answer(Connection& from, WithBody with_body = WithBody::yes) {
  Answer out;
  out.head = from.read_until("\r\n\r\n");
  if (out.head.size() > 12) out.status = static_cast<unsigned>(std::stoul(out.head.substr(9, 3)));
  if (with_body == WithBody::no || out.status < 200 || out.status == 204 || out.status == 304) return out;
  if (out.value("transfer-encoding") == "chunked") {
    for (;;) {
      auto const size = std::stoul("0" + from.read_until("\r\n"), nullptr, 16);
      if (size == 0) break;
      out.body += from.read_exactly(size);
      from.read_until("\r\n");
    }
    from.read_until("\r\n");
  } else if (auto const length = out.value("content-length"); !length.empty()) {
    out.body = from.read_exactly(std::stoul(length));
  } else {
    out.body = from.read_to_end();
  }
  return out;
}

// A server whose every connection is handled by `handle` on a thread of its own.
class Server {
 public:
  using Handle = std::function<void(Connection&)>;
  explicit Server(Handle handle) : handle_(std::move(handle)) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int const on = 1;
    ::setsockopt(fd_, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&at), size) != 0 || ::listen(fd_, 1024) != 0)
      throw std::runtime_error("listen");
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
    acceptor_ = std::thread([this] { accept_all(); });
  }
  Server(Server const&) = delete;
  ~Server() { stop(); }

  std::uint16_t port() const { return port_; }
  std::size_t accepted() const { return accepted_; }
  void stop() {
    if (stopped_.exchange(true)) return;
    ::shutdown(fd_, SHUT_RDWR);
    acceptor_.join();
    ::close(fd_);
    {
      std::lock_guard const lock(mutex_);
      for (int const fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    for (auto& thread : threads_) thread.join();
  }

 private:
  void accept_all() {
    for (;;) {
      int const fd = ::accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      int const on = 1;
      ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // pieces that a test sends stay pieces
      ++accepted_;
      std::lock_guard const lock(mutex_);
      open_.push_back(fd);
      threads_.emplace_back([this, fd] {
        {
          Connection connection(fd);
          try {
            handle_(connection);
          } catch (TimedOut const&) {
          }
          std::lock_guard const inner(mutex_);
          std::erase(open_, fd);
        }
      });
    }
  }

  Handle handle_;
  int fd_;
  std::uint16_t port_;
  std::atomic<bool> stopped_{false};
  std::atomic<std::size_t> accepted_{0};
  std::mutex mutex_;
  std::vector<int> open_;
  std::vector<std::thread> threads_;
  std::thread acceptor_;
};

}  // namespace nestgate::test
