// The load generator: one thread, N connections in a closed loop, every answer checked. It reads the CPU time of the
// watched processes itself, at the first and the last moment of the measured time, so that warming up does not count.
//
//   load --target 127.0.0.1:8080 --path /p [--header 'Name: value']… --connections 64 --seconds 2
//        [--warm-up-seconds 1] [--requests-max 10000000] [--body-bytes 200] [--watch PID]…
//   load … --tunnels 5000        opens idle websockets instead and reports the memory that they cost
//
// Prints one line of JSON.
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/http/field.hpp"
#include "sockets.hpp"

namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
  std::optional<sockaddr_in> target;
  std::string host;
  std::vector<std::string> paths;
  std::string headers;
  std::vector<pid_t> watch;
  std::uint64_t connections = 64;
  std::uint64_t tunnels = 0;
  std::uint64_t body_bytes = 200;
  std::uint64_t requests_max = 10'000'000;
  std::chrono::milliseconds measured{2000};
  std::chrono::milliseconds warm_up{1000};
};

// CPU time of a process with all its threads, in ns: the kernel's own sum, finer than the ticks in /proc/PID/stat.
std::uint64_t cpu_ns(pid_t pid) {
  clockid_t clock;
  timespec now{};
  errno = ::clock_getcpuclockid(pid, &clock);
  if (errno != 0 || ::clock_gettime(clock, &now) != 0) bench::fail("CPU time of process " + std::to_string(pid));
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
}

// Resident memory of a process in KiB.
std::uint64_t resident_kib(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string word; status >> word;) {
    std::uint64_t kib = 0;
    if (word == "VmRSS:" && status >> kib) return kib;
  }
  bench::fail("memory of process " + std::to_string(pid));
}

template <class Reading>
std::uint64_t sum(std::vector<pid_t> const& pids, Reading reading) {
  std::uint64_t total = 0;
  for (auto const pid : pids) total += reading(pid);
  return total;
}

// One answer at the start of `bytes`.
struct Answer {
  enum class State : std::uint8_t { incomplete, complete, broken } state = State::incomplete;
  unsigned status = 0;
  std::string_view body;
  std::size_t bytes = 0;
};

Answer parse_answer(std::string_view bytes) {
  Answer answer;
  auto const end = bytes.find("\r\n\r\n");
  if (end == bytes.npos) return answer;
  answer.state = Answer::State::broken;
  auto head = bytes.substr(0, end + 2);
  if (!head.starts_with("HTTP/1.1 ") || head.size() < 12) return answer;
  answer.status = static_cast<unsigned>((head[9] - '0') * 100 + (head[10] - '0') * 10 + (head[11] - '0'));
  std::optional<std::uint64_t> length;
  if (answer.status == 101) length = 0;
  for (head.remove_prefix(head.find("\r\n") + 2); !head.empty() && !length; head.remove_prefix(head.find("\r\n") + 2)) {
    constexpr std::string_view name = "content-length:";
    if (head.size() <= name.size() || !nestgate::http::equals_ignoring_case(head.substr(0, name.size()), name)) continue;
    auto value = head.substr(name.size(), head.find("\r\n") - name.size());
    value.remove_prefix(std::min(value.find_first_not_of(' '), value.size()));
    length = bench::to_number(value, "Content-Length of the answer");
  }
  if (!length) return answer;
  answer.state = Answer::State::incomplete;
  answer.bytes = end + 4 + *length;
  if (bytes.size() < answer.bytes) return answer;
  answer.body = bytes.substr(end + 4, *length);
  answer.state = Answer::State::complete;
  return answer;
}

struct Connection {
  bench::Fd socket;
  std::string_view request;
  std::string in;
  Clock::time_point sent;
};

class Load {
 public:
  explicit Load(Settings settings) : settings_(std::move(settings)) {
    for (auto const& path : settings_.paths) {
      std::string const upgrade =
          "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
          "dGhlIHNhbXBsZSBub25jZQ==\r\n";
      requests_.push_back("GET " + path + " HTTP/1.1\r\nHost: " + settings_.host + "\r\n" + settings_.headers +
                          (settings_.tunnels == 0 ? "" : upgrade) + "\r\n");
    }
  }

  // Exit code 0 if every answer was right.
  int closed_loop() {
    latencies_ns_.reserve(1'000'000);
    for (std::uint64_t i = 0; i < settings_.connections; ++i) open();
    for (auto& connection : connections_) send(*connection);
    run_until(Clock::now() + settings_.warm_up);

    latencies_ns_.clear();
    auto const cpu_before = sum(settings_.watch, cpu_ns);
    auto const own_before = cpu_ns(::getpid());
    auto const begin = Clock::now();
    run_until(begin + settings_.measured);
    auto const seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    auto const cpu = sum(settings_.watch, cpu_ns) - cpu_before;
    auto const own = cpu_ns(::getpid()) - own_before;

    auto const requests = latencies_ns_.size();
    std::printf(
        "{\"requests\":%zu,\"errors\":%llu,\"seconds\":%.6f,\"cpu_ns\":%llu,\"load_cpu_ns\":%llu,"
        "\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f}\n",
        requests, static_cast<unsigned long long>(errors_), seconds, static_cast<unsigned long long>(cpu),
        static_cast<unsigned long long>(own), percentile_us(0.5), percentile_us(0.99), percentile_us(0.999));
    return errors_ == 0 && requests > 0 ? 0 : 1;
  }

  // Opens the tunnels a few at a time (a listener's queue is short), lets them be, and reads the memory.
  int idle_tunnels() {
    constexpr std::size_t at_once = 64;
    auto const before = sum(settings_.watch, resident_kib);
    while (connections_.size() < settings_.tunnels && errors_ == 0) {
      auto const first = connections_.size();
      for (auto i = first; i < std::min<std::size_t>(first + at_once, settings_.tunnels); ++i) send(open());
      upgraded_ = 0;
      auto const give_up = Clock::now() + std::chrono::seconds(10);
      while (upgraded_ < connections_.size() - first && errors_ == 0 && Clock::now() < give_up) turn(100);
      if (upgraded_ < connections_.size() - first) ++errors_;
    }
    run_until(Clock::now() + settings_.measured);
    auto const after = sum(settings_.watch, resident_kib);
    std::printf("{\"tunnels\":%zu,\"errors\":%llu,\"resident_kib_before\":%llu,\"resident_kib_after\":%llu}\n",
                connections_.size(), static_cast<unsigned long long>(errors_), static_cast<unsigned long long>(before),
                static_cast<unsigned long long>(after));
    return errors_ == 0 ? 0 : 1;
  }

 private:
  Connection& open() {
    auto connection = std::make_unique<Connection>();
    connection->socket = bench::connect_to(*settings_.target);
    connection->request = requests_[connections_.size() % requests_.size()];
    poll_.add(connection->socket.get(), EPOLLIN, connection.get());
    return *connections_.emplace_back(std::move(connection));
  }

  void send(Connection& connection) {
    connection.sent = Clock::now();
    auto const n = ::send(connection.socket.get(), connection.request.data(), connection.request.size(), MSG_NOSIGNAL);
    if (n != static_cast<ssize_t>(connection.request.size())) bench::fail("send");
  }

  void run_until(Clock::time_point end) {
    for (auto now = Clock::now(); now < end && total_ < settings_.requests_max; now = Clock::now())
      turn(static_cast<int>(std::chrono::duration_cast<std::chrono::milliseconds>(end - now).count()) + 1);
  }

  void turn(int milliseconds) {
    std::array<epoll_event, 256> events;
    int const n = poll_.wait(events.data(), static_cast<int>(events.size()), milliseconds);
    for (std::size_t i = 0; i < static_cast<std::size_t>(n); ++i) read(*static_cast<Connection*>(events[i].data.ptr));
  }

  void read(Connection& connection) {
    std::array<char, 16 * 1024> buffer;
    auto const n = ::read(connection.socket.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) bench::fail("the server closed a connection");
    connection.in.append(buffer.data(), static_cast<std::size_t>(n));
    auto const answer = parse_answer(connection.in);
    if (answer.state == Answer::State::incomplete) return;
    check(answer);
    if (answer.state == Answer::State::broken || connection.in.size() != answer.bytes) bench::fail("an answer without end");
    connection.in.clear();
    ++total_;
    if (settings_.tunnels != 0) {
      ++upgraded_;
      return;
    }
    latencies_ns_.push_back(
        static_cast<std::uint32_t>(std::min<std::int64_t>((Clock::now() - connection.sent).count(), UINT32_MAX)));
    send(connection);
  }

  void check(Answer const& answer) {
    bool const right = settings_.tunnels != 0 ? answer.status == 101
                                              : answer.status == 200 && answer.body.size() == settings_.body_bytes &&
                                                    answer.body.starts_with("{\"status\":\"ok\"");
    if (right) return;
    if (errors_++ == 0)
      std::fprintf(stderr, "status %u with %zu bytes: %.*s\n", answer.status, answer.body.size(),
                   static_cast<int>(std::min<std::size_t>(answer.body.size(), 500)), answer.body.data());
  }

  double percentile_us(double share) {
    if (latencies_ns_.empty()) return 0;
    auto const rank =
        std::min(latencies_ns_.size() - 1, static_cast<std::size_t>(share * static_cast<double>(latencies_ns_.size())));
    std::ranges::nth_element(latencies_ns_, latencies_ns_.begin() + static_cast<std::ptrdiff_t>(rank));
    return latencies_ns_[rank] / 1000.0;
  }

  Settings settings_;
  std::vector<std::string> requests_;
  bench::Poll poll_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::vector<std::uint32_t> latencies_ns_;
  std::uint64_t errors_ = 0;
  std::uint64_t total_ = 0;
  std::size_t upgraded_ = 0;
};

Settings parse(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; i += 2) {
    std::string_view const flag = argv[i];
    if (i + 1 == argc) bench::usage(std::string(flag) + ": a value is wanted");
    std::string_view const value = argv[i + 1];
    auto const number = [&] { return bench::to_number(value, flag); };
    if (flag == "--target") {
      settings.target = bench::parse_address(value);
      settings.host = value;
    } else if (flag == "--path") {
      settings.paths.emplace_back(value);
    } else if (flag == "--header") {
      settings.headers.append(value).append("\r\n");
    } else if (flag == "--watch") {
      settings.watch.push_back(static_cast<pid_t>(number()));
    } else if (flag == "--connections") {
      settings.connections = number();
    } else if (flag == "--tunnels") {
      settings.tunnels = number();
    } else if (flag == "--body-bytes") {
      settings.body_bytes = number();
    } else if (flag == "--requests-max") {
      settings.requests_max = number();
    } else if (flag == "--seconds") {
      settings.measured = std::chrono::seconds(number());
    } else if (flag == "--warm-up-seconds") {
      settings.warm_up = std::chrono::seconds(number());
    } else {
      bench::usage("load: unknown flag " + std::string(flag));
    }
  }
  if (!settings.target || settings.paths.empty()) bench::usage("load: --target and --path are wanted");
  if (settings.measured.count() == 0) bench::usage("load: --seconds: at least 1");
  return settings;
}

}  // namespace

int main(int argc, char** argv) {
  auto settings = parse(argc, argv);
  bench::raise_open_files();
  bool const tunnels = settings.tunnels != 0;
  Load load(std::move(settings));
  return tunnels ? load.idle_tunnels() : load.closed_loop();
}
