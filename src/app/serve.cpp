#include "nestgate/app/serve.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <boost/asio/basic_signal_set.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <csignal>
#include <fstream>

#include "nestgate/app/cli.hpp"
#include "nestgate/app/gateway.hpp"
#include "nestgate/app/log.hpp"
#include "nestgate/codec/json_writer.hpp"

namespace nestgate::app {
namespace {

using SignalSet = asio::basic_signal_set<Executor>;

void append_list(codec::JsonWriter& json, std::string_view key, std::vector<std::string> const& items) {
  json.key(key).begin_array();
  for (auto const& item : items) json.value(item);
  json.end_array();
}

// Written by rename, so that whoever waits for it never reads half of it (operator.md "nestgate").
bool write_ready_file(std::filesystem::path const& path, Addresses const& addresses) {
  std::string text;
  codec::JsonWriter json(text);
  json.begin_object().member("pid", ::getpid());
  append_list(json, "client", addresses.client);
  append_list(json, "client_tls", addresses.client_tls);
  json.member("admin", addresses.admin).end_object();
  auto const unfinished = std::filesystem::path(path).concat(".new");
  {
    std::ofstream file(unfinished, std::ios::trunc);
    file << text << '\n';
    if (!file.flush()) return false;
  }
  std::error_code ec;
  std::filesystem::rename(unfinished, path, ec);
  return !ec;
}

// Each connection is a descriptor, each forwarded one two.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

class Process {
 public:
  Process(Settings settings, ServeOptions options)
      : options_(std::move(options)),
        gateway_(control_, std::move(settings)),
        working_(control_.loop.get_executor()),
        stop_asked_(control_.loop.get_executor(), SIGINT, SIGTERM),
        reload_asked_(control_.loop.get_executor(), SIGHUP) {}

  int run() {
    control_.tasks.spawn("serve", serve());
    control_.loop.run();
    return exit_code_;
  }

 private:
  Task<> serve() {
    std::string problem;
    if (!co_await gateway_.start(problem)) {
      log(LogLevel::error, "cannot start", {{"problem", problem}});
      exit_code_ = exit_failed;
      co_return finish();
    }
    auto const& addresses = gateway_.addresses();
    if (options_.ready_file && !write_ready_file(*options_.ready_file, addresses)) {
      log(LogLevel::error, "cannot write the ready file", {{"path", options_.ready_file->string()}});
      exit_code_ = exit_failed;
      co_await gateway_.drain();
      co_return finish();
    }
    for (auto const& address : addresses.client) log(LogLevel::info, "listening", {{"address", address}});
    for (auto const& address : addresses.client_tls) log(LogLevel::info, "listening", {{"address", address}, {"tls", true}});
    log(LogLevel::info, "admin address", {{"address", addresses.admin}});
    control_.tasks.spawn("reload", reload_on_hangup());
    auto [ec, signal] = co_await stop_asked_.async_wait(no_throw);
    log(LogLevel::info, "draining", {{"signal", signal}});
    reload_asked_.cancel();
    co_await gateway_.drain();
    log(LogLevel::info, "stopped");
    if (options_.ready_file) {
      std::error_code ignored;
      std::filesystem::remove(*options_.ready_file, ignored);
    }
    finish();
  }

  void finish() {
    reload_asked_.cancel();
    working_.reset();
  }

  Task<> reload_on_hangup() {
    for (;;) {
      auto [ec, signal] = co_await reload_asked_.async_wait(no_throw);
      if (ec) co_return;
      co_await reload();
    }
  }

  // A file with a fault changes nothing: what runs goes on.
  Task<> reload() {
    gateway_.reopen_logs();
    SettingsSource source;
    source.file = options_.config_file;
    source.environment.variables = options_.environment.variables;
    if (options_.environment.secret) source.environment.secret = options_.environment.secret->clone();
    auto loaded = load_settings(source);
    for (auto const& warning : loaded.warnings) log(LogLevel::warn, "settings", {{"warning", warning}});
    if (!loaded.settings) {
      for (auto const& fault : loaded.faults) log(LogLevel::error, "settings not reloaded", {{"fault", fault}});
      co_return;
    }
    std::string problem;
    if (!co_await gateway_.reload(std::move(*loaded.settings), problem)) {
      log(LogLevel::error, "settings not reloaded", {{"fault", problem}});
    }
  }

  ServeOptions options_;
  Core control_{CoreIndex(0xFFFF)};
  Gateway gateway_;
  asio::executor_work_guard<Executor> working_;
  SignalSet stop_asked_;
  SignalSet reload_asked_;
  int exit_code_ = exit_done;
};

}  // namespace

int serve(Settings settings, ServeOptions options) {
  raise_descriptor_limit();
  std::signal(SIGPIPE, SIG_IGN);
  set_log_level(settings.log.level);
  return Process(std::move(settings), std::move(options)).run();
}

}  // namespace nestgate::app
