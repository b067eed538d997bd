#include "process_provider.hpp"

#include <signal.h>
#include <unistd.h>

#include <array>
#include <boost/system/system_category.hpp>
#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "child_process.hpp"
#include "command_template.hpp"
#include "keeper_line.hpp"
#include "nestgate/net/run_on.hpp"
#include "nestgate/runtime/factory.hpp"
#include "output_log.hpp"
#include "port_lease.hpp"
#include "remove_tree.hpp"

namespace nestgate::runtime {
namespace {

namespace fs = std::filesystem;
using upstream::fail;

constexpr Clock::duration after_kill_max = std::chrono::seconds(5);  // then it hangs in the kernel
constexpr std::string_view default_search_path = "/usr/local/bin:/usr/bin:/bin";
constexpr char trash_mark = '~';  // in no id

std::string directory_of_this_program() {
  std::error_code ec;
  return fs::read_symlink("/proc/self/exe", ec).parent_path().string();
}

std::string search_path_of_this_process() {
  char const* path = ::getenv("PATH");  // NOLINT(concurrency-mt-unsafe): nothing sets variables after the start
  return path && *path ? std::string(path) : std::string(default_search_path);
}

std::optional<std::string> program_path(std::string const& program) {
  return find_program(program, directory_of_this_program(), search_path_of_this_process());
}

Result<> make_private_directory(fs::path const& path) {
  std::error_code ec;
  fs::create_directories(path, ec);
  if (!ec) fs::permissions(path, fs::perms::owner_all, ec);
  if (ec) return Fault{FaultKind::unavailable, ec, "runtime.workspace"};
  return Result<>{};
}

// Whether what is there can be written, or where nothing is, what it would be made in.
std::optional<std::string> problem_with_folder(fs::path const& path) {
  std::error_code ignored;
  auto at = fs::absolute(path, ignored);
  while (!fs::exists(at, ignored) && at.has_relative_path()) at = at.parent_path();
  int const error = !fs::is_directory(at, ignored) ? ENOTDIR : ::access(at.c_str(), R_OK | W_OK | X_OK) == 0 ? 0 : errno;
  if (error == 0) return std::nullopt;
  return at.string() + ": " + std::generic_category().message(error);
}

std::optional<std::string> read_file(fs::path const& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

// The files are nobody's first, so that what cannot be removed is given to nobody; then out of the id's way, at once; then
// gone. Blocks.
Result<> discard(fs::path const& folder, fs::path const& trash, std::atomic<bool> const& stop) {
  std::error_code ec;
  fs::remove(folder / "owner", ec);
  if (auto earlier = remove_tree(trash, stop); !earlier) return earlier;
  fs::rename(folder, trash, ec);
  if (ec && ec != std::errc::no_such_file_or_directory) return Fault{FaultKind::internal, ec, "runtime.remove"};
  return remove_tree(trash, stop);
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

std::optional<SettingProblem> problem_with(ProcessSettings const& settings) {
  constexpr std::string_view command = "runtime.process.command";
  if (settings.command.empty() || settings.command.front().empty()) return SettingProblem{command, "must name a program"};
  if (auto const name = unknown_placeholder(settings.command))
    return SettingProblem{command, "{" + *name + "} is none of {port}, {id}, {workspace}"};
  for (auto const& program : {settings.command.front(), std::string(keeper_program)})
    if (!program_path(program))
      return SettingProblem{command, "no executable '" + program + "' beside the gateway or in PATH"};
  if (auto problem = problem_with_folder(settings.workspace_dir))
    return SettingProblem{"runtime.process.workspace_dir", std::move(*problem)};
  return std::nullopt;
}

ProcessProvider::ProcessProvider(ProcessSettings settings, Executor control)
    : settings_(std::move(settings)), tasks_(control) {
  std::error_code ec;
  settings_.workspace_dir = fs::absolute(settings_.workspace_dir, ec);
  remove_old_trash();
}

ProcessProvider::~ProcessProvider() { stop_removing_ = true; }

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
  // Asked each time: what is missing may be installed meanwhile.
  if (auto const problem = problem_with(settings_)) {
    return fail(FaultKind::unavailable, "runtime.create",
                "create: " + problem->what + " (" + std::string(problem->key) + ")");
  }
  fs::path const folder = folder_of(spec.id);
  fs::path const workspace = folder / "workspace";
  if (auto claimed = claim(folder, spec); !claimed) return claimed.error();
  if (auto made = make_private_directory(workspace); !made)
    return upstream::failed("create: working directory", made.error());
  auto port = PortLease::take();
  if (!port) return upstream::failed("create: port", port.error());

  Launch launch;
  launch.keeper = program_path(std::string(keeper_program)).value();
  launch.program = program_path(settings_.command.front()).value();
  Placeholders values;
  values.port = std::to_string(port->port());
  values.id = spec.id.text();
  values.workspace = workspace.string();
  launch.arguments = expand(settings_.command, values);
  std::map<std::string, std::string> variables = {
      {"PATH", search_path_of_this_process()}, {"HOME", workspace.string()}, {"LANG", "C.UTF-8"}};
  for (auto const& [name, value] : settings_.environment) variables.insert_or_assign(name, value);
  for (auto const& [name, value] : variables) launch.environment.push_back(name + "=" + value);
  if (!spec.session_key.empty())
    launch.secret_variable = Secret("SESSION_API_KEY=" + std::string(spec.session_key.reveal()));
  launch.directory = workspace;
  launch.limits = settings_.limits;
  auto child = ChildProcess::start(tasks_.executor(), launch);
  if (!child) return upstream::failed("create: start of " + launch.program, child.error());
  return std::make_shared<Runtime>(tasks_.executor(), std::move(spec.id), spec.epoch, std::move(*port), std::move(*child),
                                   OutputLog(folder / "output.log", settings_.output_bytes_max));
}

// Files that were kept go to their owner alone: a gateway that was started anew knows conversations by nothing else.
Outcome<> ProcessProvider::claim(fs::path const& folder, Spec const& spec) {
  std::error_code ignored;
  bool const is_first = !fs::exists(settings_.workspace_dir, ignored);  // one that is there keeps its rights
  auto made = is_first ? make_private_directory(settings_.workspace_dir) : Result<>{};
  if (made) made = make_private_directory(folder);
  if (!made) return upstream::failed("create: working directory", made.error());
  auto const owner = read_file(folder / "owner");
  if (owner && *owner != spec.owner)
    return fail(FaultKind::conflict, "runtime.create", "create: this id has files that belong to someone else");
  claimed_.insert(spec.id.canonical());
  if (owner) return Outcome<>{};
  std::error_code ec;
  if (fs::exists(folder / "workspace", ec))
    return fail(FaultKind::conflict, "runtime.create",
                "create: this id has files of a removed conversation; delete it once more");
  if (!(std::ofstream(folder / "owner", std::ios::binary) << spec.owner).flush())
    return fail(FaultKind::unavailable, "runtime.create", "create: cannot write to the runtime's folder");
  return Outcome<>{};
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
  std::string reason = co_await runtime->child.ended();
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
  if (first) runtime->child.signal(SIGTERM);
  auto const in_time = co_await with_deadline(Deadline::in(settings_.stop_grace), reaped(runtime));
  if (in_time || runtime->is_reaped) co_return;
  runtime->child.signal(SIGKILL);
  [[maybe_unused]] auto const killed = co_await with_deadline(Deadline::in(after_kill_max), reaped(runtime));
}

Task<Outcome<>> ProcessProvider::destroy(ConversationId id, Leftovers leftovers) {
  auto const found = runtimes_.find(id.canonical());
  if (found != runtimes_.end()) co_await end(found->second);
  if (leftovers == Leftovers::remove && claimed_.contains(id.canonical())) co_return co_await remove_files(std::move(id));
  co_return Outcome<>{};
}

Task<Outcome<>> ProcessProvider::remove_files(ConversationId id) {
  auto const trash = trash_of(id);
  auto work = [folder = folder_of(id), trash, &stop = stop_removing_] { return discard(folder, trash, stop); };
  auto const removed = co_await run_on(remover_, std::move(work));
  if (!removed) co_return upstream::failed("remove: files", removed.error());
  claimed_.erase(id.canonical());
  co_return Outcome<>{};
}

fs::path ProcessProvider::trash_of(ConversationId const& id) const {
  return settings_.workspace_dir / (trash_mark + id.canonical());
}

// What a gateway that ended too early was removing. What cannot be removed now is tried again at the next start.
void ProcessProvider::remove_old_trash() {
  asio::post(remover_, [dir = settings_.workspace_dir, &stop = stop_removing_] {
    std::error_code ec;
    for (fs::directory_iterator entry(dir, ec), end; !ec && entry != end; entry.increment(ec))
      if (entry->path().filename().string().front() == trash_mark) [[maybe_unused]]
        auto const removed = remove_tree(entry->path(), stop);
  });
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
  stop_removing_ = true;
}

Outcome<std::unique_ptr<RuntimeProvider>> make_provider(std::string_view name, ProviderSettings settings, Executor control) {
  if (name == "process") return std::unique_ptr<RuntimeProvider>(new ProcessProvider(std::move(settings.process), control));
  return fail(FaultKind::bad_input, "runtime.provider", "runtime.provider: '" + std::string(name) + "' is none of: process");
}

}  // namespace nestgate::runtime
