#pragma once

// nestgate as operators start it, for tests that are its clients.

#include <fcntl.h>
#include <signal.h>
#include <simdjson.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "nestgate/identity/api_key.hpp"
#include "support/eventually.hpp"
#include "support/loopback.hpp"
#include "support/temp_folder.hpp"

namespace nestgate::test {

inline constexpr std::string_view api_key = "the-operators-api-key";

inline void write_file(std::filesystem::path const& path, std::string_view text) {
  std::ofstream(path) << text;
  std::filesystem::permissions(path, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

class Program {
 public:
  explicit Program(std::string extra_settings = {}) {
    std::string pattern = (std::filesystem::temp_directory_path() / "nestgate-test-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
    write_file(folder_ / "secret", std::string(64, 's'));
    configure(std::move(extra_settings));
    start();
  }
  Program(Program const&) = delete;
  ~Program() {
    kill();
    std::filesystem::remove_all(folder_);
  }

  // Returns at once.
  void run() {
    pid_ = ::fork();
    if (pid_ != 0) return;
    int const log = ::open((folder_ / "log").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(log, STDERR_FILENO);
    auto const config = (folder_ / "nestgate.toml").string(), ready = (folder_ / "ready.json").string();
    ::execl(NESTGATE_PROGRAM, "nestgate", "serve", "--config", config.c_str(), "--ready-file", ready.c_str(), nullptr);
    ::_exit(127);
  }
  // Also again, once it has ended. Returns when it is ready.
  void start() {
    run();
    if (!eventually([&] { return std::filesystem::exists(folder_ / "ready.json"); })) throw TimedOut("ready file: " + log());
    simdjson::dom::parser parser;
    auto const ready = parser.load((folder_ / "ready.json").string());
    port_ = port_of(std::string(std::string_view(ready["client"].at(0))));
    admin_port_ = port_of(std::string(std::string_view(ready["admin"])));
  }
  void configure(std::string const& extra) {
    write_file(folder_ / "nestgate.toml",
               "[listen]\nclient = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\nthreads = 2\n"
               "[identity]\nsecret_file = \"secret\"\n[[identity.api_key]]\nname = \"ops\"\nrole = \"admin\"\nowner = "
               "\"ops\"\nhash = \"" +
                   identity::hash_api_key(api_key) + "\"\n" + extra);
  }
  void signal(int number) const { ::kill(pid_, number); }
  void kill() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(std::exchange(pid_, -1), nullptr, 0);
    }
  }
  // On its folder, so with its store, but on other ports.
  void restart() {
    kill();
    std::filesystem::remove(folder_ / "ready.json");
    start();
  }
  // The exit code, or nothing when it did not exit by itself.
  std::optional<int> wait() {
    int status = 0;
    if (!eventually([&] { return ::waitpid(pid_, &status, WNOHANG) == pid_; })) return std::nullopt;
    pid_ = -1;
    return WIFEXITED(status) ? std::optional(WEXITSTATUS(status)) : std::nullopt;
  }

  std::uint16_t port() const { return port_; }
  std::uint16_t admin_port() const { return admin_port_; }
  std::filesystem::path const& folder() const { return folder_; }
  std::string log() const { return read_file(folder_ / "log"); }

  Answer ask(std::string_view method, std::string_view path, std::string_view fields = {},
             std::string_view body = {}) const {
    return exchange(port_, method, path, fields, body);
  }
  Answer ask_admin(std::string_view path) const { return exchange(admin_port_, "GET", path, {}, {}); }
  // As an operator.
  Answer call(std::string_view method, std::string_view path, std::string_view body = {}) const {
    return ask(method, path, "Authorization: Bearer " + std::string(api_key) + "\r\n", body);
  }

 private:
  static std::uint16_t port_of(std::string const& address) {
    return static_cast<std::uint16_t>(std::stoul(address.substr(address.rfind(':') + 1)));
  }
  static Answer exchange(std::uint16_t port, std::string_view method, std::string_view path, std::string_view fields,
                         std::string_view body) {
    auto connection = Connection::to(port);
    connection.send(std::string(method) + " " + std::string(path) + " HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n" +
                    std::string(fields) + "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + std::string(body));
    return read_answer(connection);
  }

  std::filesystem::path folder_;
  pid_t pid_ = -1;
  std::uint16_t port_ = 0, admin_port_ = 0;
};

// A gzipped tar of one file, main.sh.
inline std::string tarball_of(std::string_view script) {
  TempFolder const folder;
  folder.write("main.sh", script);
  std::string const at = folder.path().string();
  if (std::system(("tar -czf " + at + "/t.tar.gz -C " + at + " main.sh").c_str()) != 0) throw TimedOut("tar");
  return read_file(folder.path() / "t.tar.gz");
}

inline std::string member(std::string const& json, std::string_view name) {
  simdjson::dom::parser parser;
  std::string_view value;
  if (parser.parse(json)[name].get(value)) return {};
  return std::string(value);
}

}  // namespace nestgate::test
