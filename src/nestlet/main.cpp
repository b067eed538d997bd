#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "nestgate/codec/json_writer.hpp"
#include "nestlet/files.hpp"
#include "nestlet/server.hpp"
#include "nestlet/warden.hpp"

namespace nestgate::nestlet {
namespace {

// operator.md, "Programs".
enum ExitCode : int { done = 0, failed = 1, wrong_usage = 2 };

void complain(std::string_view line) { std::fprintf(stderr, "nestlet: %.*s\n", static_cast<int>(line.size()), line.data()); }

std::vector<std::string> command_environment() {
  std::vector<std::string> out;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    std::string_view const text = *entry;
    if (!text.starts_with("NESTLET_") && !text.starts_with("AI_AGENT=")) out.emplace_back(text);
  }
  out.emplace_back("AI_AGENT=openhands");  // agent_server.md 3.2
  return out;
}

// {"pid":1,"listen":["127.0.0.1:1234"]}, whole or not at all.
int write_ready_file(std::string const& path, pid_t pid, std::vector<std::string> const& addresses) {
  std::string text;
  codec::JsonWriter w(text);
  w.begin_object().member("pid", pid).key("listen").begin_array();
  for (auto const& address : addresses) w.value(address);
  w.end_array().end_object();
  text.push_back('\n');
  auto file = PendingFile::create(path.starts_with('/') ? path : "./" + path);
  if (!file) return file.error();
  if (int const error = file->write(text); error != 0) return error;
  return file->commit();
}

Task<> serve_until_told(Server& server, asio::basic_signal_set<Executor>& told, ProcessGroups& groups,
                        asio::basic_signal_set<Executor>& child_ended) {
  TaskGroup reaper(told.get_executor());
  auto const reap_orphans = [](asio::basic_signal_set<Executor>& signal, ProcessGroups& of) -> Task<> {
    for (;;) {
      co_await signal.async_wait(no_throw);
      if (told_to_stop(co_await asio::this_coro::cancellation_state)) co_return;
      of.sweep();
    }
  };
  reaper.spawn(reap_orphans(child_ended, groups));
  co_await told.async_wait(no_throw);
  co_await server.stop();
  reaper.stop();
  co_await reaper.join();
}

int serve(Settings settings) {
  std::string key_file = settings.session_key_file;
  if (char const* const named = std::getenv("NESTLET_SESSION_KEY_FILE"); key_file.empty() && named != nullptr)
    key_file = named;
  auto keys = key_file.empty() ? keys_from(own_environment()) : keys_from_file(key_file);
  if (!keys) {
    complain(keys.error().message);
    return wrong_usage;
  }
  auto boot = boot_from(own_environment(), *keys);
  if (!boot) {
    complain(boot.error().message);
    return wrong_usage;
  }
  scrub_environment();
  // Commands run as the same user: without this they could read the keys out of /proc/PID/mem.
  ::prctl(PR_SET_DUMPABLE, 0);

  std::array<char, PATH_MAX> resolved;
  struct stat about{};
  if (::realpath(settings.workspace.c_str(), resolved.data()) == nullptr || ::stat(resolved.data(), &about) != 0 ||
      !S_ISDIR(about.st_mode)) {
    complain("--workspace: \"" + settings.workspace + "\" is not a directory");
    return wrong_usage;
  }
  settings.workspace = resolved.data();

  auto const split = split_off_server();
  if (!split) {
    complain(std::string("fork: ") + ::strerror(errno));
    return failed;
  }
  if (split->ended) return *split->ended;
  ProcessGroups groups;
  auto const ready_file = settings.ready_file;
  asio::io_context loop(1);
  asio::basic_signal_set<Executor> told(loop.get_executor(), SIGTERM, SIGINT);
  asio::basic_signal_set<Executor> child_ended(loop.get_executor(), SIGCHLD);
  Server server(loop.get_executor(), std::move(settings), std::move(*keys), std::move(*boot), command_environment(), groups);
  auto const opened = server.open();
  int code = done;
  if (!opened) {
    complain(opened.error().message);
    code = opened.error().kind == FaultKind::bad_input ? wrong_usage : failed;
  } else if (int const error = ready_file.empty() ? 0 : write_ready_file(ready_file, split->warden, *opened); error != 0) {
    complain("--ready-file: \"" + ready_file + "\": " + ::strerror(error));
    code = failed;
  }
  auto const bug = [](std::exception_ptr thrown) {
    if (thrown) std::rethrow_exception(thrown);
  };
  if (code == done) {
    asio::co_spawn(loop.get_executor(), serve_until_told(server, told, groups, child_ended), bug);
  } else {
    told.clear();
    child_ended.clear();
    asio::co_spawn(loop.get_executor(), server.stop(), bug);
  }
  loop.run();
  kill_all_children();
  return code;
}

int run(std::vector<std::string_view> const& arguments) {
  ::signal(SIGPIPE, SIG_IGN);
  auto parsed = parse_command_line(arguments);
  if (auto const* faults = std::get_if<UsageFaults>(&parsed)) {
    for (auto const& line : faults->lines) complain(line);
    return wrong_usage;
  }
  if (auto const* notice = std::get_if<Notice>(&parsed)) {
    std::fputs(*notice == Notice::help ? usage().c_str() : "nestlet " NESTGATE_VERSION "\n", stdout);
    return done;
  }
  return serve(std::move(std::get<Settings>(parsed)));
}

}  // namespace
}  // namespace nestgate::nestlet

int main(int argc, char** argv) { return nestgate::nestlet::run({argv + 1, argv + argc}); }
