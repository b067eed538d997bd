#include <fcntl.h>
#include <gtest/gtest.h>
#include <malloc.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <iostream>

#include "support/websocket.hpp"

// Five thousand idle websockets through one process. Clients and nested servers live in a child process, so that what
// this one needs is the gateway's alone.
namespace nestgate::test {
namespace {

// A sanitizer's own memory says nothing about the gateway's.
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool measures_memory = false;
#else
constexpr bool measures_memory = true;
#endif

constexpr std::size_t tunnels = 5'000;
constexpr std::size_t warm_up_tunnels = 100;
constexpr std::size_t bytes_per_tunnel_max = 8 * 1024;

// A word between the two processes.
void tell(int to, std::uint32_t word) {
  if (::write(to, &word, sizeof word) != sizeof word) std::abort();
}
std::optional<std::uint32_t> hear(int from) {
  pollfd p{from, POLLIN, 0};
  std::uint32_t word = 0;
  if (::poll(&p, 1, 10 * patience_ms) <= 0 || ::read(from, &word, sizeof word) != sizeof word) return std::nullopt;
  return word;
}

int listen_on_loopback(std::uint16_t& port) {
  int const fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in at{};
  at.sin_family = AF_INET;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof at;
  if (::bind(fd, reinterpret_cast<sockaddr*>(&at), size) != 0 || ::listen(fd, 1024) != 0) std::abort();
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
  port = ntohs(at.sin_port);
  return fd;
}

// What the child does: each number that it hears is how many tunnels to have open, and 0 the end. Says how many carry a
// frame both ways afterwards.
[[noreturn]] void be_both_ends(int from, int to) {
  std::uint16_t nested_port = 0;
  int const door = listen_on_loopback(nested_port);
  tell(to, nested_port);
  auto const gateway_port = static_cast<std::uint16_t>(hear(from).value_or(0));
  std::vector<Tunnelled> open;
  open.reserve(tunnels);
  while (auto const wanted = hear(from).value_or(0)) {
    while (open.size() < wanted) {
      auto client = Connection::to(gateway_port);
      client.send(upgrade_request("/sockets/events/c1", key_field("c1")));
      Connection nested(::accept4(door, nullptr, nullptr, SOCK_CLOEXEC));
      read_request(nested);
      nested.send(switching_protocols());
      if (read_answer(client, WithBody::no).status != 101) break;
      open.push_back({std::move(client), std::move(nested)});
    }
    std::uint32_t alive = 0;
    auto const up = from_client(text_opcode, "up"), down = from_server(text_opcode, "down");
    for (auto& pair : open) {
      alive += pair.client.send(up) && pair.nested.read_exactly(up.size()) == up && pair.nested.send(down) &&
               pair.client.read_exactly(down.size()) == down;
    }
    tell(to, alive);
  }
  std::_Exit(0);
}

std::size_t resident_bytes() {
  ::malloc_trim(0);
  std::size_t size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

class IdleTunnels : public testing::Test {
 protected:
  IdleTunnels() {
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    enough_files_ = files.rlim_cur >= 2 * tunnels + 200;
    int there[2], back[2];
    if (!enough_files_ || ::pipe2(there, O_CLOEXEC) != 0 || ::pipe2(back, O_CLOEXEC) != 0) return;
    child_ = ::fork();  // before any thread of the gateway
    if (child_ == 0) {
      ::close(there[1]);
      ::close(back[0]);
      be_both_ends(there[0], back[1]);
    }
    ::close(there[0]);
    ::close(back[1]);
    to_ = there[1];
    from_ = back[0];
  }
  ~IdleTunnels() override {
    if (child_ <= 0) return;
    ::close(to_);
    ::close(from_);
    ::waitpid(child_, nullptr, 0);
  }
  std::uint32_t have_open(std::size_t count) {
    tell(to_, static_cast<std::uint32_t>(count));
    return hear(from_).value_or(0);
  }

  bool enough_files_ = false;
  pid_t child_ = -1;
  int to_ = -1, from_ = -1;
};

TEST_F(IdleTunnels, FiveThousandThroughOneProcessHoldNoBuffers) {
  ASSERT_TRUE(enough_files_) << "needs a limit of " << 2 * tunnels + 200 << " open files";
  auto const nested_port = hear(from_);
  ASSERT_TRUE(nested_port);
  auto config = default_config();
  config.limits.upgrades_per_key_per_second_max = 1'000'000;
  config.limits.upstream_connections_per_runtime_max = 2 * tunnels;
  Gateway gateway(std::move(config));
  gateway.start();
  gateway.add("c1", static_cast<std::uint16_t>(*nested_port));
  tell(to_, gateway.port());
  ASSERT_EQ(have_open(warm_up_tunnels), warm_up_tunnels);
  auto const before = resident_bytes();
  ASSERT_EQ(have_open(tunnels), tunnels) << "each carries a frame both ways";
  auto const after = resident_bytes();
  EXPECT_EQ(gateway.stats().tunnels_open.read(), static_cast<std::int64_t>(tunnels));
  auto const each = (after - std::min(before, after)) / (tunnels - warm_up_tunnels);
  RecordProperty("resident_bytes_per_tunnel", std::to_string(each));
  std::cout << "resident memory of the gateway for each idle websocket: " << each << " bytes\n";
  if (measures_memory) {
    EXPECT_LT(each, bytes_per_tunnel_max);
  }
  gateway.stop(std::chrono::seconds(60));
  EXPECT_EQ(gateway.stats().tunnels_ended[static_cast<std::size_t>(proxy::TunnelEnd::drain)].read(), tunnels);
}

}  // namespace
}  // namespace nestgate::test
