#pragma once

#include <netinet/in.h>
#include <sys/epoll.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

// What the bench's own programs share: plain sockets and epoll, so that they cost as little as the kernel allows and do
// not lean on what is measured. Every failure ends the program with a message: a bench has nothing to recover.
namespace bench {

[[noreturn]] void fail(std::string_view what);                          // with errno's text, exit code 1
[[noreturn]] void usage(std::string_view what);                         // exit code 2
std::uint64_t to_number(std::string_view text, std::string_view flag);  // or usage()

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) noexcept : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Fd& operator=(Fd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Fd();
  int get() const noexcept { return fd_; }
  explicit operator bool() const noexcept { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

sockaddr_in parse_address(std::string_view text);  // "127.0.0.1:8080", or usage()

// Non-blocking, with TCP_NODELAY.
Fd listen_at(sockaddr_in address);
std::uint16_t port_of(Fd const& listener);
Fd accept_from(Fd const& listener);  // empty when nobody waits
Fd connect_to(sockaddr_in address);  // waits for the connection

class Poll {
 public:
  Poll();
  void add(int fd, std::uint32_t events, void* data);
  void change(int fd, std::uint32_t events, void* data);
  // At most `capacity` events, within `milliseconds` (-1: no limit).
  int wait(epoll_event* events, int capacity, int milliseconds);

 private:
  Fd fd_;
};

// Lifts the limit on open files to what the system allows.
void raise_open_files();

}  // namespace bench
