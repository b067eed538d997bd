#pragma once

#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "support/eventually.hpp"
#include "support/temp_folder.hpp"

namespace nestgate::test {

// A PostgreSQL of the test program's own: in a folder that goes with it, on a Unix socket there, and nowhere else. It ends
// with the thread that started it. As root it runs as nobody, since it refuses to be root's.
class PostgresServer {
 public:
  static constexpr std::string_view user = "nestgate";
  static constexpr std::string_view password = "pw-Zm9vYmFy";

  // The one of this test program; started by the first who asks.
  static PostgresServer& shared() {
    static PostgresServer server;
    return server;
  }

  PostgresServer() : programs_(programs()) {
    std::filesystem::permissions(folder_.path(), std::filesystem::perms(0711));
    std::filesystem::create_directory(home());
    give_away(home());
    give_away(folder_.write("password", password));
    auto const made = run({programs_ / "initdb", "--pgdata", data(), "--username", std::string(user), "--pwfile",
                           folder_.path() / "password", "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C",
                           "--no-instructions", "--no-sync"});
    if (made != 0) throw std::runtime_error("initdb failed: " + read_file(home() / "log"));
    start();
  }
  PostgresServer(PostgresServer const&) = delete;
  PostgresServer& operator=(PostgresServer const&) = delete;
  ~PostgresServer() { end(SIGQUIT); }

  void start() {
    server_ = spawn({programs_ / "postgres", "-D", data(), "-k", home(), "-c", "listen_addresses=", "-c",
                     "unix_socket_permissions=0777", "-c", "fsync=on", "-c", "deadlock_timeout=50ms", "-c",
                     "max_connections=100"});
    auto const is_ready = [this] { return run({programs_ / "pg_isready", "-q", "-h", home(), "-d", "postgres"}) == 0; };
    if (!eventually(is_ready)) throw std::runtime_error("PostgreSQL does not start: " + read_file(home() / "log"));
  }
  // Ends every connection and the server in order: a start after a crash first writes the whole folder through.
  void stop() { end(SIGINT); }

  // An empty one of its own, as far as a store can see: a schema, which is made and dropped far sooner than a database.
  std::string make_database() {
    static std::atomic<int> made = 0;
    auto const name = "test" + std::to_string(::getpid()) + "_" + std::to_string(++made);
    psql(name, "CREATE SCHEMA " + name);
    return name;
  }
  std::string url(std::string const& schema, std::string_view with_password = password) const {
    return url_of_server("postgres", with_password) + "?options=-csearch_path%3D" + schema;
  }
  std::string url_of_server(std::string const& database, std::string_view with_password = password) const {
    std::string socket;
    for (char const c : home().string()) socket += c == '/' ? std::string("%2F") : std::string(1, c);
    return "postgresql://" + std::string(user) + ":" + std::string(with_password) + "@" + socket + "/" + database;
  }
  // What it prints: rows as lines, columns with | between them.
  std::string psql(std::string const& database, std::string const& statement) {
    auto const out = folder_.path() / "psql";
    if (run({programs_ / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url(database), "-c", statement},
            out) != 0)
      throw std::runtime_error("psql failed: " + read_file(home() / "log"));
    auto text = read_file(out);
    if (text.ends_with('\n')) text.pop_back();
    return text;
  }

 private:
  std::filesystem::path home() const { return folder_.path() / "postgres"; }
  std::filesystem::path data() const { return home() / "data"; }

  void end(int signal) {
    if (server_ <= 0) return;
    ::kill(server_, signal);
    ::waitpid(server_, nullptr, 0);
    server_ = 0;
  }
  // Of the newest that is installed.
  static std::filesystem::path programs() {
    std::vector<std::filesystem::path> found;
    std::error_code ignored;
    for (auto const& version : std::filesystem::directory_iterator("/usr/lib/postgresql", ignored))
      if (std::filesystem::exists(version.path() / "bin/postgres")) found.push_back(version.path() / "bin");
    if (found.empty()) throw std::runtime_error("PostgreSQL is not installed (deploy/install-deps.sh --test)");
    return *std::max_element(found.begin(), found.end());
  }
  static passwd const* nobody() { return ::geteuid() == 0 ? ::getpwnam("nobody") : nullptr; }
  static void give_away(std::filesystem::path const& path) {
    auto const* const to = nobody();
    if (to != nullptr && ::chown(path.c_str(), to->pw_uid, to->pw_gid) != 0) throw std::runtime_error("chown failed");
  }

  pid_t spawn(std::vector<std::string> arguments, std::filesystem::path const& out = {}) const {
    std::vector<char*> argv;
    for (auto& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    auto const log = home() / "log";
    auto const* const as = out.empty() ? nobody() : nullptr;
    auto const parent = ::getpid();
    pid_t const child = ::fork();
    if (child != 0) return child;
    ::prctl(PR_SET_PDEATHSIG, SIGQUIT);
    int const to_log = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0666);
    int const to_out = out.empty() ? to_log : ::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ::dup2(to_out, STDOUT_FILENO);
    ::dup2(to_log, STDERR_FILENO);
    bool const is_ready = as == nullptr || (::fchown(to_log, as->pw_uid, as->pw_gid) == 0 && ::setgid(as->pw_gid) == 0 &&
                                            ::setuid(as->pw_uid) == 0);
    ::prctl(PR_SET_PDEATHSIG, SIGQUIT);  // another user's process forgets it
    if (is_ready && ::getppid() == parent && ::chdir("/") == 0) ::execv(argv[0], argv.data());
    ::_exit(127);
  }
  int run(std::vector<std::string> arguments, std::filesystem::path const& out = {}) const {
    int status = 0;
    ::waitpid(spawn(std::move(arguments), out), &status, 0);
    return status;
  }

  TempFolder folder_;
  std::filesystem::path programs_;
  pid_t server_ = 0;
};

}  // namespace nestgate::test
