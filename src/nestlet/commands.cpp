#include "nestlet/commands.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>

#include "nestgate/codec/json_writer.hpp"

namespace nestgate::nestlet {
namespace {

using codec::JsonWriter;

constexpr auto kill_delay = std::chrono::seconds(1);  // between SIGTERM and SIGKILL (agent_server.md 4)
constexpr std::size_t pipe_bytes_max = 1024 * 1024;   // the kernel's own bound for unprivileged pipes
constexpr std::size_t read_bytes = 16 * 1024;
// The log keeps so many events: pieces come more slowly from a command that goes on and on, and from each of a crowd.
constexpr std::uint64_t flushes_of_one_pace = 128;
constexpr std::uint64_t slowest_pace = 16;
constexpr std::uint64_t commands_of_full_pace = 16;

std::string read_at_once(int fd) {
  std::string out;
  std::array<char, read_bytes> buffer;
  while (out.size() < pipe_bytes_max) {
    auto const n = ::read(fd, buffer.data(), buffer.size());
    if (n <= 0) break;
    out.append(buffer.data(), static_cast<std::size_t>(n));
  }
  return out;
}

std::optional<std::string> unless_empty(std::string text) {
  return text.empty() ? std::nullopt : std::optional(std::move(text));
}

}  // namespace

struct Commands::Running {
  Running(Executor executor, std::string command_id)
      : id(std::move(command_id)), alarm(executor), done(executor, Clock::time_point::max()), flush(executor) {}

  std::string id;
  Timer alarm;  // the timeout; cancelled when the process has ended or shall be stopped
  Timer done;   // cancelled when the last output is there
  Timer flush;  // cancelled when `flush_at` is another
  Clock::time_point flush_at = Clock::time_point::max();
  bool is_flushed = false;  // while it runs
  std::uint64_t flushes = 0;
  bool exited = false;
  bool stop_asked = false;
  bool finished = false;
  std::int64_t next_order = 0;
  CharBuffer out;  // not yet in an event
  CharBuffer err;
  Frame last_output;
  // Set for a command without events: output stays here, up to the limit.
  bool logged = true;
  int exit_code = -1;
};

Commands::Commands(Executor executor, Limits const& limits, std::string workspace, std::vector<std::string> environment,
                   ProcessGroups& groups)
    : executor_(executor),
      limits_(limits),
      workspace_(std::move(workspace)),
      environment_(std::move(environment)),
      groups_(groups),
      log_(limits.bash_events_max, limits.bash_event_bytes_max),
      tasks_(executor) {}

Moment Commands::tick() {
  // Strictly growing, so that the order of the log is the order of time.
  last_event_ = std::max(now(), last_event_ + std::chrono::microseconds(1));
  return last_event_;
}

void Commands::settle(std::string workspace, std::vector<std::pair<std::string, std::string>> const& variables) {
  workspace_ = std::move(workspace);
  for (auto const& [name, value] : variables) {
    std::string const start = name + "=";
    std::erase_if(environment_, [&start](std::string const& entry) { return entry.starts_with(start); });
    environment_.push_back(start + value);
  }
}

CommandLine Commands::line_of(CommandRequest const& request, std::vector<std::string> const& extra) const {
  CommandLine line{request.command, request.directory.value_or(workspace_), extra};
  auto const is_replaced = [&extra](std::string const& entry) {
    auto const name = entry.substr(0, entry.find('=') + 1);
    return std::any_of(extra.begin(), extra.end(), [&](std::string const& other) { return other.starts_with(name); });
  };
  for (auto const& entry : environment_) {
    if (!is_replaced(entry)) line.environment.push_back(entry);
  }
  return line;
}

Checked<std::shared_ptr<Commands::Running>> Commands::admit() {
  if (closing_) return refuse(503, "The server is shutting down");
  if (running_.size() >= limits_.commands_max) {
    return refuse(429, "Too many running commands: at most " + std::to_string(limits_.commands_max));
  }
  auto command = std::make_shared<Running>(executor_, new_id());
  running_.emplace(command->id, command);
  return command;
}

Checked<Frame> Commands::start(CommandRequest request) {
  NESTGATE_TRY(launched, launch(std::move(request), Flush::while_it_runs));
  return launched.event;
}

Checked<Commands::Launched> Commands::launch(CommandRequest request, Flush flush) {
  NESTGATE_TRY(command, admit());
  command->is_flushed = flush == Flush::while_it_runs && limits_.output_flush_milliseconds > 0;
  LogEntry entry{command->id, tick(), "BashCommand", "", "", 0, nullptr};
  std::string text;
  JsonWriter w(text);
  w.begin_object().member("id", entry.id).member("timestamp", utc_text(entry.at)).member("command", request.command);
  w.member("cwd", request.directory);
  w.member("timeout", request.timeout_seconds).member("kind", entry.kind).end_object();
  entry.json = make_frame(std::move(text));

  auto const event = entry.json;
  feed_.publish(event);
  log_.append(std::move(entry));
  tasks_.spawn(run(command, line_of(request, {}), std::chrono::seconds(request.timeout_seconds)));
  return Launched{event, command};
}

Task<> Commands::wait_for(std::shared_ptr<Running> command) {
  while (!command->finished) {
    co_await command->done.async_wait(no_throw);
    if (told_to_stop(co_await asio::this_coro::cancellation_state)) co_return;
  }
}

Task<Checked<Frame>> Commands::execute(CommandRequest request) {
  NESTGATE_CO_TRY(launched, launch(std::move(request), Flush::at_the_end));
  co_await wait_for(launched.command);
  co_return launched.command->last_output;
}

Task<Checked<CommandResult>> Commands::run_unlogged(CommandRequest request, std::vector<std::string> extra) {
  NESTGATE_CO_TRY(command, admit());
  command->logged = false;
  auto const limit = static_cast<std::size_t>(limits_.output_chars_max);
  auto line = line_of(request, extra);
  tasks_.spawn(run(command, std::move(line), std::chrono::seconds(request.timeout_seconds)));
  co_await wait_for(command);
  co_return CommandResult{command->exit_code, command->out.take(limit), command->err.take(limit)};
}

Commands::Stopped Commands::stop(std::string_view command_id) {
  auto const at = running_.find(std::string(command_id));
  if (at == running_.end()) return Stopped::no;
  at->second->stop_asked = true;
  at->second->alarm.cancel();
  return Stopped::yes;
}

Task<> Commands::run(std::shared_ptr<Running> command, CommandLine line, Clock::duration timeout) {
  auto spawned = spawn_shell(line);
  if (spawned) {
    command->exit_code = co_await await_exit(*command, *spawned, timeout);
  } else {
    command->err.append(std::string(spawned.error().where) + ": " + ::strerror(spawned.error().error) +
                        (spawned.error().where == "chdir" ? " (" + line.directory + ")" : ""));
  }
  if (command->logged) {
    auto const limit = static_cast<std::size_t>(limits_.output_chars_max);
    for (;;) {
      auto out = command->out.take(limit);
      auto err = command->err.take(limit);
      bool const last = command->out.empty() && command->err.empty();
      publish_output(*command, last ? std::optional(command->exit_code) : std::nullopt, unless_empty(std::move(out)),
                     unless_empty(std::move(err)));
      if (last) break;
    }
  }
  command->finished = true;
  command->done.cancel();
  running_.erase(command->id);
}

Task<int> Commands::await_exit(Running& command, ChildProcess& child, Clock::duration timeout) {
  groups_.enter(child.pid);
  Descriptor out(executor_, child.out.release());
  Descriptor err(executor_, child.err.release());
  Descriptor ended(executor_, ::fcntl(child.pidfd.get(), F_DUPFD_CLOEXEC, 0));

  auto read_stream = [](Commands& self, Running& of, Descriptor& from, CharBuffer Running::* into) -> Task<> {
    std::array<char, read_bytes> buffer;
    for (;;) {
      auto [ec, n] = co_await from.async_read_some(asio::buffer(buffer), no_throw);
      if (ec && n == 0) co_return;
      self.take_in(of, into, std::string_view(buffer.data(), n));
      if (told_to_stop(co_await asio::this_coro::cancellation_state)) co_return;
    }
  };
  auto watch_end = [](Running& of, Descriptor& pidfd) -> Task<> {
    co_await pidfd.async_wait(Descriptor::wait_read, no_throw);
    of.exited = true;
    of.alarm.cancel();
  };
  auto wait_until = [](Running& of, Clock::time_point at) -> Task<> {
    while (!of.exited && Clock::now() < at) {
      of.alarm.expires_at(at);
      co_await of.alarm.async_wait(no_throw);
      if (of.stop_asked) break;
    }
  };

  TaskGroup readers(executor_);
  TaskGroup watch(executor_);
  readers.spawn(read_stream(*this, command, out, &Running::out));
  readers.spawn(read_stream(*this, command, err, &Running::err));
  if (command.is_flushed) readers.spawn(flush_while_it_runs(command));
  watch.spawn(watch_end(command, ended));
  if (!command.stop_asked) co_await wait_until(command, Clock::now() + timeout);
  bool const timed_out = !command.exited && !command.stop_asked;
  if (!command.exited || command.stop_asked) {
    ::kill(-child.pid, SIGTERM);
    command.stop_asked = false;
    co_await wait_until(command, Clock::now() + kill_delay);
    // The whole group, even when its leader has gone: it is not reaped yet, so the number is still ours.
    ::kill(-child.pid, SIGKILL);
  }
  co_await watch.join();
  readers.stop();
  co_await readers.join();
  // What the shell wrote last is in the pipes; what a background process may still write is not waited for.
  take_in(command, &Running::out, read_at_once(out.native_handle()));
  take_in(command, &Running::err, read_at_once(err.native_handle()));
  int const code = reap(child);
  groups_.leave(child.pid);
  co_return timed_out ? -1 : code;
}

// In time linear in what comes, whatever the bytes are.
void Commands::take_in(Running& command, CharBuffer Running::* into, std::string_view piece) {
  auto const limit = static_cast<std::size_t>(limits_.output_chars_max);
  auto& text = command.*into;
  if (!command.logged) {
    if (text.chars() < limit) text.append(piece);
    return text.cut(limit);
  }
  text.append(piece);
  while (text.chars() > limit) {
    std::optional<std::string> out, err;
    (into == &Running::out ? out : err) = text.take(limit);
    publish_output(command, std::nullopt, std::move(out), std::move(err));
  }
  if (!command.is_flushed || text.empty() || command.flush_at != Clock::time_point::max()) return;
  command.flush_at = Clock::now() + pause_until_flush(command);
  command.flush.cancel();
}

Clock::duration Commands::pause_until_flush(Running const& command) const {
  auto const by_age = std::uint64_t{1} << std::min<std::uint64_t>(command.flushes / flushes_of_one_pace, 63);
  auto const slower = std::max(std::min(by_age, slowest_pace), running_.size() / commands_of_full_pace);
  return std::chrono::milliseconds(limits_.output_flush_milliseconds * slower);
}

// Until it is cancelled.
Task<> Commands::flush_while_it_runs(Running& command) {
  for (;;) {
    command.flush.expires_at(command.flush_at);
    co_await command.flush.async_wait(no_throw);
    if (told_to_stop(co_await asio::this_coro::cancellation_state)) co_return;
    if (Clock::now() < command.flush_at) continue;
    command.flush_at = Clock::time_point::max();
    auto out = unless_empty(command.out.take_whole());
    auto err = unless_empty(command.err.take_whole());
    if (!out && !err) continue;
    ++command.flushes;
    publish_output(command, std::nullopt, std::move(out), std::move(err));
  }
}

void Commands::publish_output(Running& command, std::optional<int> exit_code, std::optional<std::string> out,
                              std::optional<std::string> err) {
  LogEntry entry{new_id(), tick(), "BashOutput", "", command.id, command.next_order++, nullptr};
  std::string text;
  JsonWriter w(text);
  w.begin_object().member("id", entry.id).member("timestamp", utc_text(entry.at));
  w.member("command_id", command.id).member("order", entry.order).key("exit_code");
  if (exit_code) {
    w.value(*exit_code);
  } else {
    w.null();
  }
  w.member("stdout", out);
  w.member("stderr", err);
  w.member("kind", entry.kind).end_object();
  entry.json = make_frame(std::move(text));
  command.last_output = entry.json;
  feed_.publish(entry.json);
  log_.append(std::move(entry));
}

Task<> Commands::shut_down() {
  closing_ = true;
  for (auto& [id, command] : running_) {
    command->stop_asked = true;
    command->alarm.cancel();
  }
  co_await tasks_.join();
  groups_.kill_lingering();
}

}  // namespace nestgate::nestlet
