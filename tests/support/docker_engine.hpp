#pragma once

// A Docker engine of a test program's own: its data, socket and bridge are nobody else's, and nothing of it is left
// behind.

#include <fcntl.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "support/loopback.hpp"
#include "support/temp_folder.hpp"

namespace nestgate::test {

// Looks every 10 ms.
inline bool comes_true(std::function<bool()> const& holds, int wait_ms = patience_ms) {
  auto const end = std::chrono::steady_clock::now() + std::chrono::milliseconds(wait_ms);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    ::poll(nullptr, 0, 10);
  }
  return true;
}

// Runs a program to its end; its exit code, or -1. What it says is dropped.
inline int run_program(std::vector<std::string> const& command) {
  std::vector<char*> arguments;
  for (auto const& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
  arguments.push_back(nullptr);
  pid_t const child = ::fork();
  if (child == 0) {
    int const null = ::open("/dev/null", O_RDWR);
    for (int fd = 0; fd < 3; ++fd) ::dup2(null, fd);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

class DockerEngine {
 public:
  // `flags` are put behind those that every engine gets.
  explicit DockerEngine(std::vector<std::string> flags = {}) : flags_(std::move(flags)) {
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    problem_ = prepare();
    if (problem_.empty()) problem_ = start();
  }
  DockerEngine(DockerEngine const&) = delete;
  ~DockerEngine() {
    if (is_running()) remove_containers();
    stop(SIGTERM);
    clean(folder_.path());
    if (!bridge_.empty()) run_program({"ip", "link", "delete", bridge_});
  }

  // Why there is no engine; "" when there is one.
  std::string const& problem() const { return problem_; }
  std::string socket() const { return (folder_.path() / "docker.sock").string(); }
  std::string host() const { return "unix://" + socket(); }
  std::filesystem::path const& folder() const { return folder_.path(); }

  // "" or why it did not start.
  std::string start() {
    begin_start();
    bool is_up = false;
    comes_true([this, &is_up] { return (is_up = answers()) || !is_running(); }, 60'000);
    return is_up ? std::string() : "dockerd does not start: " + last_log_line();
  }
  // It ends with the thread that calls this.
  void begin_start() {
    auto const path = folder_.path().string();
    std::vector<std::string> command = {
        "dockerd",           "--data-root", path + "/data", "--exec-root", path + "/exec", "--pidfile",
        path + "/pid",       "-H",          host(),         "--bridge",    bridge_,        "--iptables=false",
        "--ip6tables=false", "--log-level", "warn"};
    command.insert(command.end(), flags_.begin(), flags_.end());
    daemon_ = spawn(command);
  }
  // SIGKILL is what a crash is.
  void stop(int signal) {
    if (daemon_ <= 0) return;
    ::kill(daemon_, signal);
    if (!comes_true([this] { return !is_running(); }, 40'000)) {
      ::kill(daemon_, SIGKILL);
      comes_true([this] { return !is_running(); });
    }
    // Its containerd goes with it, a moment later; the next engine takes one that nobody reaped for alive.
    auto const containerd = read_file(folder_.path() / "exec/containerd/containerd.pid");
    if (!containerd.empty()) comes_true([&containerd] { return reap_orphans(), is_dead(containerd); });
  }

  void signal(int number) const { ::kill(daemon_, number); }

  Answer ask(std::string_view method, std::string_view path, std::string_view body = {},
             std::string_view type = "application/json") const {
    auto connection = Connection::to_unix(socket());
    connection.send(std::string(method) + " /v1.40" + std::string(path) +
                    " HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n" + "Content-Type: " + std::string(type) +
                    "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
    connection.send(body);
    return read_answer(connection);
  }

  // Makes an image of a folder.
  void import_image(std::filesystem::path const& root, std::string_view name, std::string_view tag) const {
    auto const tarball = folder_.path() / "image.tar";
    if (run_program({"tar", "-C", root.string(), "-cf", tarball.string(), "."}) != 0) throw std::runtime_error("tar");
    auto const answer = ask("POST", "/images/create?fromSrc=-&repo=" + std::string(name) + "&tag=" + std::string(tag),
                            read_file(tarball), "application/x-tar");
    if (answer.status != 200 || answer.body.find("\"error\"") != answer.body.npos)
      throw std::runtime_error("image: " + answer.body);
  }

  void remove_containers() const {
    auto const all = ask("GET", "/containers/json?all=1").body;
    std::string_view rest = all;
    constexpr std::string_view mark = R"("Id":")";
    for (auto at = rest.find(mark); at != rest.npos; at = rest.find(mark)) {
      rest.remove_prefix(at + mark.size());
      ask("DELETE", "/containers/" + std::string(rest.substr(0, 64)) + "?v=1&force=1");
    }
  }

 private:
  std::string prepare() {
    if (::geteuid() != 0) return "a Docker engine of the tests' own needs root";
    if (run_program({"dockerd", "--version"}) != 0) return "there is no dockerd (Debian package docker.io)";
    clean_up_after_the_dead();
    folder_.write(owner_file, std::to_string(::getpid()));
    static char count = 'a';
    auto const own = std::string(bridge_mark) + std::to_string(::getpid()) + count++;
    if (run_program({"ip", "link", "add", own, "type", "bridge"}) != 0) return "cannot make a network bridge";
    bridge_ = own;
    if (run_program({"ip", "address", "add", free_address() + "/24", "dev", own}) != 0 ||
        run_program({"ip", "link", "set", own, "up"}) != 0)
      return "cannot give the bridge its address";
    return {};
  }

  // In a network that no interface here is in.
  static std::string free_address() {
    ifaddrs* all = nullptr;
    ::getifaddrs(&all);
    std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> const freed(all, ::freeifaddrs);
    for (unsigned turn = 0;; ++turn) {
      auto const wanted = "10.213." + std::to_string((static_cast<unsigned>(::getpid()) + turn) % 256) + ".1";
      bool is_taken = false;
      for (auto const* at = all; at; at = at->ifa_next) {
        if (!at->ifa_addr || at->ifa_addr->sa_family != AF_INET) continue;
        char text[INET_ADDRSTRLEN];
        ::inet_ntop(AF_INET, &reinterpret_cast<sockaddr_in const*>(at->ifa_addr)->sin_addr, text, sizeof text);
        is_taken = is_taken || wanted == text;
      }
      if (!is_taken || turn == 255) return wanted;
    }
  }

  static bool is_dead(std::string const& pid) {
    return !pid.empty() && std::all_of(pid.begin(), pid.end(), [](unsigned char c) { return std::isdigit(c); }) &&
           !std::filesystem::exists("/proc/" + pid);
  }

  // A test program that was killed could not take its engine's remains away.
  static void clean_up_after_the_dead() {
    std::error_code ec;
    for (auto const& entry : std::filesystem::directory_iterator(std::filesystem::temp_directory_path(), ec)) {
      if (!entry.path().filename().string().starts_with("nestgate-test-")) continue;
      if (!is_dead(read_file(entry.path() / owner_file))) continue;
      clean(entry.path());
      std::filesystem::remove_all(entry.path(), ec);
    }
    std::unique_ptr<struct if_nameindex, void (*)(struct if_nameindex*)> const links(::if_nameindex(), ::if_freenameindex);
    for (auto const* link = links.get(); link && link->if_name; ++link) {
      std::string const name = link->if_name;
      if (name.starts_with(bridge_mark) && is_dead(name.substr(bridge_mark.size(), name.size() - bridge_mark.size() - 1)))
        run_program({"ip", "link", "delete", name});
    }
  }

  static void clean(std::filesystem::path const& folder) {
    kill_leftovers(folder);
    unmount_all(folder);
  }

  pid_t spawn(std::vector<std::string> const& command) const {
    std::vector<char*> arguments;
    for (auto const& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    auto const log = (folder_.path() / "log").string();
    pid_t const child = ::fork();
    if (child != 0) return child;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    int const out = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    ::dup2(out, 1);
    ::dup2(out, 2);
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }

  // What its processes leave behind becomes ours.
  static void reap_orphans() {
    while (::waitpid(-1, nullptr, WNOHANG) > 0) {
    }
  }

  bool is_running() {
    if (daemon_ <= 0) return false;
    if (::waitpid(daemon_, nullptr, WNOHANG) == 0) return true;
    daemon_ = -1;
    return false;
  }

  bool answers() const {
    try {
      return ask("GET", "/_ping").status == 200;
    } catch (std::runtime_error const&) {
      return false;
    }
  }

  std::string last_log_line() const {
    auto log = read_file(folder_.path() / "log");
    while (log.ends_with('\n')) log.pop_back();
    return log.substr(log.rfind('\n') + 1);
  }

  static std::vector<pid_t> processes_with(std::string const& text) {
    std::vector<pid_t> out;
    std::error_code ec;
    for (auto const& entry : std::filesystem::directory_iterator("/proc", ec)) {
      auto const name = entry.path().filename().string();
      if (!std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isdigit(c); })) continue;
      auto const pid = static_cast<pid_t>(std::stol(name));
      if (pid != ::getpid() && read_file(entry.path() / "cmdline").find(text) != std::string::npos) out.push_back(pid);
    }
    return out;
  }

  // Shims are nobody's children, and name the engine's folder.
  static void kill_leftovers(std::filesystem::path const& folder) {
    auto const mark = folder.string() + "/";
    comes_true([&mark] {
      auto const left = processes_with(mark);
      for (auto const pid : left) ::kill(pid, SIGKILL);
      reap_orphans();
      return left.empty();
    });
  }

  static void unmount_all(std::filesystem::path const& folder) {
    std::istringstream mounts(read_file("/proc/self/mountinfo"));
    std::vector<std::string> ours;
    for (std::string line; std::getline(mounts, line);) {
      std::istringstream fields(line);
      std::vector<std::string> const parts{std::istream_iterator<std::string>(fields), {}};
      if (parts.size() > 4 && parts[4].starts_with(folder.string() + "/")) ours.push_back(parts[4]);
    }
    for (auto mount = ours.rbegin(); mount != ours.rend(); ++mount) ::umount2(mount->c_str(), MNT_DETACH);
  }

  static constexpr std::string_view bridge_mark = "ngt";       // then the process's id and a letter
  static constexpr std::string_view owner_file = "engine-of";  // the process whose engine is in the folder

  TempFolder folder_;
  std::vector<std::string> flags_;
  std::string bridge_;
  std::string problem_;
  pid_t daemon_ = -1;
};

// A folder with programs and what they are linked with, to be an image's root.
inline void copy_programs(std::filesystem::path const& root, std::vector<std::filesystem::path> const& programs) {
  namespace fs = std::filesystem;
  auto const put = [&root](fs::path const& from) {
    auto const to = root / from.relative_path();
    fs::create_directories(to.parent_path());
    fs::copy_file(from, to, fs::copy_options::overwrite_existing);
  };
  for (auto const& program : programs) {
    fs::create_directories(root / "bin");
    fs::copy_file(program, root / "bin" / program.filename(), fs::copy_options::overwrite_existing);
    std::unique_ptr<FILE, int (*)(FILE*)> const listed(::popen(("ldd " + program.string() + " 2>/dev/null").c_str(), "r"),
                                                       ::pclose);
    char line[4096];
    while (std::fgets(line, sizeof line, listed.get())) {
      std::string_view const text(line);
      auto const start = text.find('/');
      if (start != text.npos) put(text.substr(start, text.find(' ', start) - start));
    }
  }
  for (auto const* folder : {"tmp", "workspace", "proc", "dev", "etc"}) fs::create_directories(root / folder);
}

}  // namespace nestgate::test
