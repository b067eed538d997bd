#include "process_provider.hpp"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "child_process.hpp"
#include "command_template.hpp"
#include "nestgate/runtime/factory.hpp"
#include "output_log.hpp"
#include "port_lease.hpp"

namespace nestgate::runtime {
namespace {

namespace fs = std::filesystem;

constexpr Clock::duration after_kill_max = std::chrono::seconds(5);  // then it hangs in the kernel
constexpr std::string_view default_search_path = "/usr/local/bin:/usr/bin:/bin";

Failure fail(FaultKind kind, std::string_view where, std::string reason) {
  return Failure{Fault{kind, {}, where}, std::move(reason)};
}

std::string directory_of_this_program() {
  std::error_code ec;
  return fs::read_symlink("/proc/self/exe", ec).parent_path().string();
}

std::string search_path_of_this_process() {
  char const* path = ::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): nothing sets variables after the start
  return path && *path ? std::string(path) : std::string(default_search_path);
}

Result<> make_private_directory(fs::path const& path) {
  std::error_code ec;
  fs::create_directories(path, ec);
  if (!ec) fs::permissions(path, fs::perms::owner_all, ec);
  if (ec) return Fault{FaultKind::unavailable, ec, "runtime.workspace"};
  return Result<>{};
}

}  // namespace

struct ProcessProvider::Runtime {
  Runtime(Executor executor, ConversationId i, Epoch e, PortLease p, ChildProcess c, OutputLog l)
      : id(std::move(i)),
        epoch(e),
        port(std::move(p)),
        child(std::move(c)),
        log(std::move(l)),
        ended(executor, Clock::time_point::max()) {}
  ConversationId id;
  Epoch epoch;
  PortLease port;
  ChildProcess child;
  OutputLog log;
  Timer ended;                   // cancelled when the child is reaped
  bool output_is_final = false;  // the child is reaped: nothing of its own comes any more
  bool is_reaped = false;
  bool end_was_asked = false;
};

Outcome<std::unique_ptr<RuntimeProvider>> ProcessProvider::make(ProcessSettings settings, Executor control) {
  if (settings.command.empty() || settings.command.front().empty())
    return fail(FaultKind::bad_input, "runtime.command", "runtime.process.command: must name a program");
  if (auto const name = unknown_placeholder(settings.command))
    return fail(FaultKind::bad_input, "runtime.command",
                "runtime.process.command: {" + *name + "} is none of {port}, {id}, {workspace}");
  std::error_code ec;
  settings.workspace_dir = fs::absolute(settings.workspace_dir, ec);
  return std::unique_ptr<RuntimeProvider>(new ProcessProvider(std::move(settings), control));
}

ProcessProvider::ProcessProvider(ProcessSettings settings, Executor control)
    : settings_(std::move(settings)),
      own_directory_(directory_of_this_program()),
      search_path_(search_path_of_this_process()),
      tasks_(control) {}

ProcessProvider::~ProcessProvider() = default;

Task<Outcome<Instance>> ProcessProvider::create(Spec spec, Deadline) {
  auto launched = launch(std::move(spec));
  if (!launched) co_return launched.error();
  RuntimePtr runtime = *launched;
  runtimes_.emplace(runtime->id.canonical(), runtime);
  tasks_.spawn("runtime.watch", watch(runtime));
  Instance instance;
  instance.endpoint = asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), runtime->port.port());
  co_return instance;
}

Outcome<ProcessProvider::RuntimePtr> ProcessProvider::launch(Spec spec) {
  if (runtimes_.contains(spec.id.canonical()))
    return fail(FaultKind::conflict, "runtime.create", "create: the id has a runtime already");
  if (runtimes_.size() >= settings_.runtimes_max)
    return fail(
        FaultKind::overloaded, "runtime.create",
        "create: all " + std::to_string(settings_.runtimes_max) + " runtimes are in use (runtime.process.runtimes_max)");
  auto const program = find_program(settings_.command.front(), own_directory_, search_path_);
  if (!program)
    return fail(
        FaultKind::unavailable, "runtime.command",
        "create: no executable '" + settings_.command.front() + "' beside the gateway or in PATH (runtime.process.command)");

  fs::path const folder = folder_of(spec.id);
  fs::path const workspace = folder / "workspace";
  if (auto made = make_private_directory(folder); !made) return upstream::failed("create: working directory", made.error());
  if (auto made = make_private_directory(workspace); !made)
    return upstream::failed("create: working directory", made.error());
  auto port = PortLease::take();
  if (!port) return upstream::failed("create: port", port.error());

  Launch launch;
  launch.program = *program;
  Placeholders values;
  values.port = std::to_string(port->port());
  values.id = spec.id.text();
  values.workspace = workspace.string();
  launch.arguments = expand(settings_.command, values);
  std::map<std::string, std::string> variables = {{"PATH", search_path_}, {"HOME", workspace.string()}, {"LANG", "C.UTF-8"}};
  for (auto const& [name, value] : settings_.environment) variables.insert_or_assign(name, value);
  for (auto const& [name, value] : variables) launch.environment.push_back(name + "=" + value);
  if (!spec.session_key.empty())
    launch.secret_variable = Secret("SESSION_API_KEY=" + std::string(spec.session_key.reveal()));
  launch.directory = workspace;
  launch.limits = settings_.limits;
  auto child = ChildProcess::start(tasks_.executor(), launch);
  if (!child) return upstream::failed("create: start of " + *program, child.error());
  return std::make_shared<Runtime>(tasks_.executor(), std::move(spec.id), spec.epoch, std::move(*port), std::move(*child),
                                   OutputLog(folder / "output.log", settings_.output_bytes_max));
}

// Ends with the output, or once the child is reaped with what is in the pipe by then: a command that outlived its server
// may hold the other end open.
Task<> ProcessProvider::pump(RuntimePtr runtime) {
  auto& output = runtime->child.output();
  std::array<char, 16 * 1024> buffer;
  while (!runtime->output_is_final) {
    auto [ec, size] = co_await output.async_read_some(asio::buffer(buffer), no_throw);
    runtime->log.append(std::string_view(buffer.data(), size));
    if (ec && ec != asio::error::operation_aborted) co_return;
  }
  error_code ec;
  output.non_blocking(true, ec);
  for (std::uint64_t left = settings_.output_bytes_max; !ec && left > 0;) {
    auto const size = output.read_some(asio::buffer(buffer), ec);
    runtime->log.append(std::string_view(buffer.data(), size));
    left -= std::min<std::uint64_t>(left, size);
  }
}

Task<> ProcessProvider::watch(RuntimePtr runtime) {
  TaskGroup pumps(tasks_.executor());
  pumps.spawn("runtime.pump", pump(runtime));
  auto ended = co_await runtime->child.ended();
  NESTGATE_INVARIANT(ended, "the provider is closed by ending its children, not by cancelling their watchers");
  std::string reason = runtime->child.reap();
  error_code ignored;
  runtime->output_is_final = true;
  runtime->child.output().cancel(ignored);
  [[maybe_unused]] auto joined = co_await pumps.join();
  runtime->child.output().close(ignored);
  runtime->is_reaped = true;
  runtimes_.erase(runtime->id.canonical());
  runtime->ended.cancel();
  if (!runtime->end_was_asked) tell_end(runtime->id, runtime->epoch, std::move(reason));
}

Task<Result<>> ProcessProvider::reaped(RuntimePtr runtime) {
  while (!runtime->is_reaped) {
    auto [ec] = co_await runtime->ended.async_wait(no_throw);  // the watcher's cancel() wakes us with the same code
    auto const state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none) co_return Fault{FaultKind::cancelled, ec, "runtime.end"};
  }
  co_return Result<>{};
}

Task<> ProcessProvider::end(RuntimePtr runtime) {
  bool const first = !std::exchange(runtime->end_was_asked, true);
  if (first) runtime->child.signal_group(SIGTERM);
  auto const in_time = co_await with_deadline(Deadline::in(settings_.stop_grace), reaped(runtime));
  if (in_time || runtime->is_reaped) co_return;
  runtime->child.signal_session(SIGKILL);
  [[maybe_unused]] auto const killed = co_await with_deadline(Deadline::in(after_kill_max), reaped(runtime));
}

Task<> ProcessProvider::destroy(ConversationId id, Leftovers leftovers) {
  auto const found = runtimes_.find(id.canonical());
  if (found != runtimes_.end()) co_await end(found->second);
  if (leftovers == Leftovers::remove) co_await remove_files(folder_of(id));
}

// By a child of its own: a workspace may hold a million files, and the control core serves others meanwhile.
Task<> ProcessProvider::remove_files(fs::path folder) {
  Launch launch;
  launch.program = "/bin/rm";
  launch.arguments = {"rm", "-rf", "--", folder.string()};
  launch.environment = {"LANG=C.UTF-8"};
  launch.directory = "/";
  auto child = ChildProcess::start(tasks_.executor(), launch);
  if (!child) co_return;
  auto ended = co_await child->ended();
  if (!ended) child->signal_group(SIGKILL);
  child->reap();
}

Task<> ProcessProvider::close() {
  TaskGroup ends(tasks_.executor());
  for (auto const& [id, runtime] : runtimes_) ends.spawn("runtime.end", end(runtime));
  auto all = co_await ends.join();
  if (!all) {
    ends.stop();  // skips the grace; the kill bounds the rest
    all = co_await ends.join();
  }
  all = co_await tasks_.join();
}

Outcome<std::unique_ptr<RuntimeProvider>> make_provider(std::string_view name, ProviderSettings settings, Executor control) {
  if (name == "process") return ProcessProvider::make(std::move(settings.process), control);
  return fail(FaultKind::bad_input, "runtime.provider", "runtime.provider: '" + std::string(name) + "' is none of: process");
}

}  // namespace nestgate::runtime
