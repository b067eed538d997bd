#include "process_provider.hpp"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <list>

#include "child_process.hpp"
#include "command_template.hpp"
#include "keeper_line.hpp"
#include "launch_plan.hpp"
#include "nestgate/net/run_on.hpp"
#include "nestgate/runtime/factory.hpp"
#include "output_log.hpp"
#include "port_lease.hpp"
#include "process_tree.hpp"
#include "remove_tree.hpp"
#include "to_the_end.hpp"

namespace nestgate::runtime {
namespace {

namespace fs = std::filesystem;
using upstream::fail;

constexpr Clock::duration after_kill_max = std::chrono::seconds(5);  // then it hangs in the kernel
constexpr Clock::duration answer_max = std::chrono::seconds(5);      // of a keeper
constexpr std::size_t command_output_max = 64 * 1024;
constexpr int program_not_found = 127;  // as a shell says
constexpr std::string_view default_search_path = "/usr/local/bin:/usr/bin:/bin";

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

// For root every folder can be written to, those of /proc too: only the making of one tells.
int error_of_making_a_folder_in(fs::path const& path) {
  auto probe = (path / ".nestgate-XXXXXX").string();
  if (::mkdtemp(probe.data()) == nullptr) return errno;
  return ::rmdir(probe.c_str()) == 0 ? 0 : errno;
}

// Whether what is there can be written, or where nothing is, what it would be made in.
std::optional<std::string> problem_with_folder(fs::path const& path) {
  std::error_code ignored;
  auto const wanted = fs::absolute(path, ignored);
  auto at = wanted;
  while (!fs::exists(at, ignored) && at.has_relative_path()) at = at.parent_path();
  int error = !fs::is_directory(at, ignored) ? ENOTDIR : ::access(at.c_str(), R_OK | W_OK | X_OK) == 0 ? 0 : errno;
  if (error == 0 && at != wanted) error = error_of_making_a_folder_in(at);
  if (error == 0) return std::nullopt;
  return at.string() + ": " + std::generic_category().message(error);
}

struct FoundPrograms {
  std::string keeper;
  std::string server;
};

// As a shell in that directory would take it.
std::string seen_from(fs::path const& directory, std::string const& program) {
  bool const is_path = program.find('/') != program.npos;
  return is_path ? (directory / program).string() : program;
}

boost::system::result<FoundPrograms, SettingProblem> look_up(std::vector<std::string> const& command) {
  constexpr std::string_view key = "runtime.process.command";
  if (command.empty() || command.front().empty()) return SettingProblem{key, "must name a program"};
  FoundPrograms out;
  for (auto const& [name, path] :
       {std::pair{command.front(), &out.server}, std::pair{std::string(keeper_program), &out.keeper}}) {
    auto found = program_path(name);
    if (!found) return SettingProblem{key, "no executable '" + name + "' beside the gateway or in PATH"};
    *path = std::move(*found);
  }
  return out;
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

// What a server said last is shown and logged, and it may have said what it was told in confidence.
void hide(std::string& text, std::string_view secret) {
  constexpr std::size_t secret_size_min = 6;  // what is shorter would be found everywhere
  if (secret.size() < secret_size_min) return;
  for (auto at = text.find(secret); at != text.npos; at = text.find(secret, at)) text.replace(at, secret.size(), "***");
}

std::vector<Secret> clone(std::vector<Secret> const& secrets) {
  std::vector<Secret> out;
  out.reserve(secrets.size());
  for (auto const& secret : secrets) out.push_back(secret.clone());
  return out;
}

bool is_factor(std::uint32_t factor) { return factor == 1 || factor == 2 || factor == 4 || factor == 8; }

Failure no_runtime(std::string_view step) {
  return fail(FaultKind::not_found, "runtime.find", std::string(step) + ": the id has no runtime");
}

}  // namespace

struct ProcessProvider::Programs : FoundPrograms {};

struct ProcessProvider::Execution final : ChildProcess::Listener {
  explicit Execution(Executor executor) : changed(executor, Clock::time_point::max()) {}
  void on_output(std::string_view bytes) override {
    output += bytes;
    if (output.size() > 2 * command_output_max) output.erase(0, output.size() - command_output_max);
  }
  void on_report(Report) override {}
  void kill() noexcept {
    is_unwanted = true;
    if (child) child->signal(SIGKILL);
  }

  std::optional<ChildProcess> child;  // while its keeper lives
  bool is_unwanted = false;
  std::string output;
  std::optional<Fault> fault;  // of its start
  Report last{Told::lost, 0};
  bool is_finished = false;
  Timer changed;
};

struct ProcessProvider::Runtime final : ChildProcess::Listener {
  Runtime(Executor executor, Spec& spec, PortLease p, Place place, OutputLog l)
      : id(std::move(spec.id)),
        epoch(spec.epoch),
        owner(std::move(spec.owner)),
        key(std::move(spec.session_key)),
        is_dormant(spec.wakefulness == Spec::Wakefulness::dormant),
        port(std::move(p)),
        child(std::move(place.child)),
        group(std::move(place.group)),
        log(std::move(l)),
        changed(executor, Clock::time_point::max()) {}
  void on_output(std::string_view bytes) override { log.append(bytes); }
  void on_report(Report report) override {
    answer_error = report.value;
    if (report.value == 0) is_paused = report.what == Told::paused;
    ++answers;
    changed.cancel();
  }
  // Its files have another name now, which holds longer than the alias.
  void move_to(fs::path place) {
    std::string const home = "HOME=";
    std::replace(variables.plain.begin(), variables.plain.end(), home + workspace.string(), home + place.string());
    directory = directory == workspace ? place : place / directory.lexically_relative(workspace);
    workspace = std::move(place);
  }
  bool has_freezer() const noexcept { return group && group->has(Controller::freezer); }

  ConversationId id;
  Epoch epoch;
  std::string owner;
  Secret key;
  bool is_dormant;
  PortLease port;
  ChildProcess child;
  std::optional<Cgroup> group;
  OutputLog log;
  Timer changed;  // cancelled when one of those below changed
  fs::path workspace;
  fs::path directory;                   // the server's working directory
  std::optional<ConversationId> alias;  // the id that it was dormant under: its server may know its files by that name
  bool existed = false;
  Variables variables;
  std::vector<std::pair<int, std::uint64_t>> limits;
  std::string keeper;
  std::list<ExecutionPtr> executions;
  bool is_paused = false;
  bool is_to_pause = false;   // as was ordered last
  std::uint64_t orders = 0;   // to pause or resume
  std::uint64_t answers = 0;  // to these, in their order
  int answer_error = 0;
  bool is_reaped = false;
  bool end_was_asked = false;

  Instance instance() const {
    Instance out;
    out.endpoint = asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), port.port());
    out.workspace = workspace.string();
    out.existed = existed;
    return out;
  }
  // "killed by signal 9, out of memory: its last line"
  std::string reason(Report const& last) const {
    std::string out = describe(last);
    if (last.what == Told::ended && WIFSIGNALED(last.value) && group && group->had_out_of_memory()) out += ", out of memory";
    auto line = log.last_line();
    hide(line, key.reveal());
    for (auto const& variable : variables.wished) hide(line, variable.reveal().substr(variable.reveal().find('=') + 1));
    return line.empty() ? out : out + ": " + line;
  }
};

std::optional<SettingProblem> problem_with(ProcessSettings const& settings) {
  if (auto const name = unknown_placeholder(settings.command))
    return SettingProblem{"runtime.process.command", "{" + *name + "} is none of {port}, {id}, {workspace}"};
  if (auto const programs = look_up(settings.command); !programs) return programs.error();
  if (auto problem = problem_with_folder(settings.workspace_dir))
    return SettingProblem{"runtime.process.workspace_dir", std::move(*problem)};
  return std::nullopt;
}

ProcessProvider::ProcessProvider(ProcessSettings settings, Executor control)
    : settings_(std::move(settings)), files_(settings_.workspace_dir), tasks_(control), keepers_(control, settings_.cgroup) {
  files_.remove_old_aliases();
  asio::post(remover_, [files = files_, &stop = stop_removing_] { files.remove_old_trash(stop); });
}

ProcessProvider::~ProcessProvider() { stop_removing_ = true; }

Traits ProcessProvider::traits() const noexcept {
  Traits out;
  out.pauses = true;
  out.assigns = true;
  return out;
}

ProcessProvider::RuntimePtr ProcessProvider::find(ConversationId const& id) const {
  auto const at = runtimes_.find(id.canonical());
  return at == runtimes_.end() ? nullptr : at->second;
}

Task<Outcome<Instance>> ProcessProvider::create(Spec spec, Deadline by) {
  auto const there = find(spec.id);
  if (there && there->is_paused && there->owner == spec.owner) {
    NESTGATE_CO_TRY(resumed, co_await resume(std::move(spec), by));
    resumed.existed = true;
    resumed.session_key = there->key.clone();
    co_return std::move(resumed);
  }
  NESTGATE_CO_TRY_VOID(admit(spec));
  NESTGATE_CO_TRY(found, programs(spec));
  auto place = co_await with_deadline(by, keepers_.take(found.keeper));
  if (!place) co_return upstream::failed("create: keeper", place.error());
  auto admitted = admit(spec);  // others were faster
  auto launched = admitted ? launch(spec, std::move(found), *place) : Outcome<RuntimePtr>(admitted.error());
  if (!launched) {
    keepers_.give_up(std::move(*place));
    co_return launched.error();
  }
  RuntimePtr runtime = *launched;
  runtimes_.emplace(runtime->id.canonical(), runtime);
  tasks_.spawn("runtime.watch", watch(runtime));
  co_return runtime->instance();
}

Outcome<> ProcessProvider::admit(Spec const& spec) const {
  if (find(spec.id)) return fail(FaultKind::conflict, "runtime.create", "create: the id has a runtime already");
  if (runtimes_.size() >= settings_.runtimes_max)
    return fail(
        FaultKind::overloaded, "runtime.create",
        "create: all " + std::to_string(settings_.runtimes_max) + " runtimes are in use (runtime.process.runtimes_max)");
  return Outcome<>{};
}

// Asked each time: what is missing may be installed meanwhile.
Outcome<ProcessProvider::Programs> ProcessProvider::programs(Spec const& spec) const {
  auto const has_nul = [](std::string const& text) { return text.find('\0') != text.npos; };
  bool const is_wished = !spec.wish.command.empty();
  auto command = is_wished ? spec.wish.command : settings_.command;
  if (std::any_of(command.begin(), command.end(), has_nul) || !is_factor(spec.wish.resource_factor))
    return fail(FaultKind::bad_input, "runtime.create", "create: the command or the resource factor is malformed");
  auto const workspace = files_.folder(spec.id) / "workspace";
  if (is_wished) command.front() = seen_from(place_below(workspace, spec.wish.working_dir), command.front());
  auto found = look_up(command);
  std::optional<SettingProblem> problem;
  if (!found) {
    problem = found.error();
    if (is_wished) return fail(FaultKind::bad_input, "runtime.create", "create: command: " + problem->what);
  } else if (auto folder = problem_with_folder(settings_.workspace_dir)) {
    problem = SettingProblem{"runtime.process.workspace_dir", std::move(*folder)};
  }
  if (problem)
    return fail(FaultKind::unavailable, "runtime.create",
                "create: " + problem->what + " (" + std::string(problem->key) + ")");
  return Programs{std::move(*found)};
}

Outcome<ProcessProvider::RuntimePtr> ProcessProvider::launch(Spec& spec, Programs programs, Place& place) {
  auto claimed = files_.claim(spec);
  if (!claimed) {
    if (claimed.error().fault.kind == FaultKind::conflict && files_.owner(spec.id)) refused_.insert(spec.id.canonical());
    return claimed.error();
  }
  refused_.erase(spec.id.canonical());
  auto launched = launch_in_its_folder(spec, std::move(programs), place);
  if (launched) (*launched)->existed = *claimed;
  if (!launched && !*claimed) files_.unclaim(spec.id);
  return launched;
}

Outcome<ProcessProvider::RuntimePtr> ProcessProvider::launch_in_its_folder(Spec& spec, Programs programs, Place& place) {
  fs::path const workspace = files_.folder(spec.id) / "workspace";
  fs::path directory = workspace;
  if (!spec.wish.working_dir.empty()) {
    NESTGATE_TRY(made, make_working_directory(workspace, spec.wish.working_dir));
    directory = std::move(made);
  }
  auto port = PortLease::take();
  if (!port) return upstream::failed("create: port", port.error());

  Launch launch;
  launch.program = programs.server;
  Placeholders values;
  values.port = std::to_string(port->port());
  values.id = spec.id.text();
  values.workspace = workspace.string();
  launch.arguments = expand(spec.wish.command.empty() ? settings_.command : spec.wish.command, values);
  NESTGATE_TRY(variables, plan_variables(settings_, spec, search_path_of_this_process(), workspace.string()));
  launch.environment = variables.plain;
  launch.secrets = clone(variables.wished);
  std::move(variables.keys.begin(), variables.keys.end(), std::back_inserter(launch.secrets));
  launch.directory = directory;
  if (auto const limited = limit(place, spec, launch); !limited) return limited.error();
  if (auto const started = place.child.launch(launch); !started)
    return upstream::failed("create: start of " + launch.program, started.error());

  auto runtime = std::make_shared<Runtime>(tasks_.executor(), spec, std::move(*port), std::move(place),
                                           OutputLog(files_.folder(spec.id) / "output.log", settings_.output_bytes_max));
  runtime->workspace = workspace;
  runtime->directory = std::move(directory);
  runtime->variables = std::move(variables);
  runtime->limits = std::move(launch.limits);
  runtime->keeper = std::move(programs.keeper);
  return runtime;
}

// Of its group as far as there is one, else of each of its processes.
Outcome<> ProcessProvider::limit(Place& place, Spec const& spec, Launch& launch) const {
  auto const factor = spec.wish.resource_factor;
  auto const memory = settings_.memory_bytes ? std::optional(*settings_.memory_bytes * factor) : std::nullopt;
  GroupLimits limits;
  if (keepers_.limits(Controller::memory)) limits.memory_bytes = memory;
  if (keepers_.limits(Controller::cpu) && settings_.cpus) limits.cpus = *settings_.cpus * factor;
  if (keepers_.limits(Controller::pids)) limits.pids = settings_.pids_max;
  if (place.group)
    if (auto const set = place.group->limit(limits); !set) return upstream::failed("create: limits", set.error());
  launch.limits = plan_limits(settings_.limits, factor, limits.memory_bytes ? std::nullopt : memory);
  return Outcome<>{};
}

Task<> ProcessProvider::watch(RuntimePtr runtime) {
  Report const last = co_await runtime->child.follow(*runtime, settings_.output_bytes_max);
  for (auto const& execution : runtime->executions) execution->kill();
  while (!runtime->executions.empty())
    if (!co_await until_woken(runtime->changed)) break;
  std::string reason = runtime->reason(last);
  if (runtime->group) co_await runtime->group->clear();
  if (runtime->alias) files_.remove_alias(*runtime->alias);
  runtime->is_reaped = true;
  runtimes_.erase(runtime->id.canonical());
  runtime->changed.cancel();
  if (!runtime->end_was_asked) tell_end(runtime->id, runtime->epoch, std::move(reason));
}

Task<Result<>> ProcessProvider::reaped(RuntimePtr runtime) {
  while (!runtime->is_reaped) NESTGATE_CO_TRY_VOID(co_await until_woken(runtime->changed));
  co_return Result<>{};
}

Task<> ProcessProvider::end(RuntimePtr runtime) {
  bool const first = !std::exchange(runtime->end_was_asked, true);
  if (first) runtime->child.signal(SIGTERM);
  auto const in_time = co_await with_deadline(Deadline::in(settings_.stop_grace), reaped(runtime));
  if (in_time || runtime->is_reaped) co_return;
  runtime->child.signal(SIGKILL);
  [[maybe_unused]] auto const killed = co_await to_the_end(with_deadline(Deadline::in(after_kill_max), reaped(runtime)));
}

Task<Outcome<>> ProcessProvider::destroy(ConversationId id, Leftovers leftovers) {
  if (auto const runtime = find(id)) co_await end(runtime);
  if (leftovers == Leftovers::remove && !refused_.contains(id.canonical())) co_return co_await remove_files(std::move(id));
  co_return Outcome<>{};
}

Task<Outcome<>> ProcessProvider::remove_files(ConversationId id) {
  auto const is_its_alias = [&id](auto const& entry) { return entry.second->alias == id; };
  if (std::any_of(runtimes_.begin(), runtimes_.end(), is_its_alias)) co_return Outcome<>{};
  files_.remove_alias(id);
  auto work = [folder = files_.folder(id), trash = files_.trash(id), &stop = stop_removing_] {
    return discard(folder, trash, stop);
  };
  auto const removed = co_await run_on(remover_, std::move(work));
  if (!removed) co_return upstream::failed("remove: files", removed.error());
  co_return Outcome<>{};
}

Found ProcessProvider::found(Runtime const& runtime) const {
  auto const presence = runtime.is_paused ? Presence::paused : Presence::running;
  return {runtime.id, presence, runtime.instance(), runtime.owner, ""};
}

Found ProcessProvider::found(RuntimeFiles::Kept const& kept) const {
  Instance instance;
  instance.workspace = (files_.folder(kept.id) / "workspace").string();
  instance.existed = true;
  if (kept.owner) return {kept.id, Presence::stopped, std::move(instance), *kept.owner, ""};
  return {kept.id, Presence::failed, std::move(instance), "", "a removal left files of it"};
}

Task<Outcome<std::optional<Found>>> ProcessProvider::inspect(ConversationId id) {
  if (auto const runtime = find(id)) co_return std::optional(found(*runtime));
  if (!files_.exists(id)) co_return std::optional<Found>();
  RuntimeFiles::Kept const kept{id, files_.owner(id)};
  co_return std::optional(found(kept));
}

Task<Outcome<std::vector<Found>>> ProcessProvider::list() {
  auto const kept = std::make_shared<std::vector<RuntimeFiles::Kept>>();
  auto work = [files = files_, kept] {
    *kept = files.list();
    return Result<>{};
  };
  [[maybe_unused]] auto const read = co_await run_on(reader_, std::move(work));
  std::vector<Found> out;
  out.reserve(kept->size());
  for (auto const& [id, runtime] : runtimes_) out.push_back(found(*runtime));
  for (auto const& one : *kept)
    if (!find(one.id)) out.push_back(found(one));
  co_return out;
}

Task<Outcome<>> ProcessProvider::pause(ConversationId id) {
  auto const runtime = find(id);
  if (!runtime) co_return no_runtime("pause");
  co_return co_await bring(runtime, Wanted::paused, Deadline::in(answer_max));
}

Task<Outcome<Instance>> ProcessProvider::resume(Spec spec, Deadline by) {
  auto const runtime = find(spec.id);
  if (!runtime) co_return no_runtime("resume");
  NESTGATE_CO_TRY_VOID(co_await bring(runtime, Wanted::running, by.capped(answer_max)));
  runtime->epoch = spec.epoch;
  co_return runtime->instance();
}

Task<Outcome<>> ProcessProvider::bring(RuntimePtr runtime, Wanted wanted, Deadline by) {
  std::string_view const step = wanted == Wanted::paused ? "pause" : "resume";
  auto const tell = [wanted](ChildProcess& child) { wanted == Wanted::paused ? child.pause() : child.resume(); };
  if (runtime->end_was_asked) co_return fail(FaultKind::conflict, "runtime.pause", std::string(step) + ": the runtime ends");
  runtime->is_to_pause = wanted == Wanted::paused;
  tell(runtime->child);
  if (!runtime->has_freezer())  // what a command started is under a keeper of its own
    for (auto const& execution : runtime->executions)
      if (execution->child) tell(*execution->child);
  auto const waited = co_await with_deadline(by, answered(runtime, ++runtime->orders));
  if (!waited) co_return upstream::failed(step, waited.error());
  if (runtime->answer_error == 0) co_return Outcome<>{};
  runtime->is_to_pause = runtime->is_paused;
  Fault const fault{FaultKind::conflict, {runtime->answer_error, boost::system::system_category()}, "runtime.pause"};
  co_return upstream::failed(step, fault);
}

Task<Result<>> ProcessProvider::answered(RuntimePtr runtime, std::uint64_t order) {
  while (runtime->answers < order) {
    if (runtime->is_reaped) co_return Fault{FaultKind::not_found, {}, "runtime.pause"};
    NESTGATE_CO_TRY_VOID(co_await until_woken(runtime->changed));
  }
  co_return Result<>{};
}

Task<Outcome<Instance>> ProcessProvider::assign(ConversationId dormant, Spec spec) {
  auto const runtime = find(dormant);
  if (!runtime) co_return no_runtime("assign");
  auto const refuse = [](std::string why) {
    return fail(FaultKind::conflict, "runtime.assign", "assign: " + std::move(why));
  };
  if (!runtime->is_dormant || runtime->end_was_asked) co_return refuse("the runtime is not dormant");
  if (find(spec.id)) co_return refuse("the id has a runtime already");
  auto const& wish = spec.wish;
  if (!wish.command.empty() || !wish.working_dir.empty() || !wish.environment.empty() || wish.resource_factor != 1)
    co_return refuse("what is wished cannot be given to a server that runs");
  NESTGATE_CO_TRY_VOID(files_.reassign(dormant, spec.id, spec.owner));
  runtimes_.erase(dormant.canonical());
  runtime->move_to(files_.folder(spec.id) / "workspace");
  runtime->alias = std::move(dormant);
  runtime->id = std::move(spec.id);
  runtime->epoch = spec.epoch;
  runtime->owner = std::move(spec.owner);
  runtime->key = std::move(spec.session_key);
  runtime->is_dormant = false;
  runtime->log.move_to(files_.folder(runtime->id) / "output.log");
  runtimes_.emplace(runtime->id.canonical(), runtime);
  refused_.erase(runtime->id.canonical());
  co_return runtime->instance();
}

Task<Outcome<CommandResult>> ProcessProvider::execute(ConversationId id, std::vector<std::string> command, Deadline by) {
  auto const runtime = find(id);
  if (!runtime) co_return no_runtime("execute");
  if (runtime->is_to_pause || runtime->end_was_asked)
    co_return fail(FaultKind::conflict, "runtime.execute", "execute: the runtime is paused or ends");
  if (command.empty()) co_return fail(FaultKind::bad_input, "runtime.execute", "execute: the command is empty");
  auto const search_path = value_of(runtime->variables, "PATH").value_or(default_search_path);
  auto const program =
      find_program(seen_from(runtime->directory, command.front()), directory_of_this_program(), search_path);
  if (!program) co_return CommandResult{program_not_found, command.front() + ": not found\n"};
  Launch launch;
  launch.program = *program;
  launch.arguments = std::move(command);
  launch.environment = runtime->variables.plain;
  launch.secrets = clone(runtime->variables.wished);
  launch.directory = runtime->directory;
  launch.limits = runtime->limits;
  auto const execution = std::make_shared<Execution>(tasks_.executor());
  runtime->executions.push_back(execution);
  tasks_.spawn("runtime.execution", attend(runtime, execution, runtime->keeper, std::move(launch)));
  auto const done = co_await with_deadline(by, finished(execution));
  if (!done) {
    execution->kill();
    [[maybe_unused]] auto const killed =
        co_await to_the_end(with_deadline(Deadline::in(after_kill_max), finished(execution)));
    co_return upstream::failed("execute", done.error());
  }
  if (execution->fault) co_return upstream::failed("execute: start of " + *program, *execution->fault);
  if (execution->last.what == Told::lost) co_return fail(FaultKind::conflict, "runtime.execute", "execute: it was ended");
  auto& output = execution->output;
  if (output.size() > command_output_max) output.erase(0, output.size() - command_output_max);
  int const status = execution->last.value;
  int const code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  co_return CommandResult{code, std::move(output)};
}

// Goes on when its caller is gone, until nothing of the command is left.
Task<> ProcessProvider::attend(RuntimePtr runtime, ExecutionPtr execution, std::string keeper, Launch launch) {
  Cgroup const* const group = runtime->group ? &*runtime->group : nullptr;
  auto made = co_await keepers_.join(std::move(keeper), group);
  if (made) {
    auto& child = execution->child.emplace(std::move(*made));
    if (execution->is_unwanted) {
      child.signal(SIGKILL);
    } else if (auto const started = child.launch(launch); !started) {
      execution->fault = started.error();
      child.signal(SIGKILL);
    } else if (runtime->is_to_pause && !runtime->has_freezer()) {
      child.pause();
    }
    execution->last = co_await child.follow(*execution, command_output_max);
    execution->child.reset();
  } else {
    execution->fault = made.error();
  }
  execution->is_finished = true;
  runtime->executions.remove(execution);
  execution->changed.cancel();
  runtime->changed.cancel();
}

Task<Result<>> ProcessProvider::finished(ExecutionPtr execution) {
  while (!execution->is_finished) NESTGATE_CO_TRY_VOID(co_await until_woken(execution->changed));
  co_return Result<>{};
}

Task<Outcome<std::string>> ProcessProvider::log(ConversationId id, std::size_t bytes_max) {
  if (!find(id) && !files_.exists(id)) co_return no_runtime("log");
  auto const text = std::make_shared<std::string>();
  auto const wanted = std::min<std::uint64_t>(bytes_max, settings_.output_bytes_max);
  auto work = [path = files_.folder(id) / "output.log", wanted, text] {
    *text = OutputLog::read_newest(path, wanted);
    return Result<>{};
  };
  [[maybe_unused]] auto const read = co_await run_on(reader_, std::move(work));
  co_return std::move(*text);
}

// By its group, and what that does not count, by its processes.
Task<Outcome<Usage>> ProcessProvider::usage(ConversationId id, Deadline) {
  auto const runtime = find(id);
  if (!runtime) co_return no_runtime("usage");
  std::vector<pid_t> keepers = {runtime->child.keeper()};
  for (auto const& execution : runtime->executions)
    if (execution->child) keepers.push_back(execution->child->keeper());
  auto work = [group = runtime->group, keepers = std::move(keepers)]() -> Result<Usage> {
    Usage out = group ? group->usage() : Usage{};
    if (out.memory_bytes && out.cpu_time) return out;
    auto const by_process = usage_below(keepers);
    if (!out.memory_bytes) out.memory_bytes = by_process.memory_bytes;
    if (!out.cpu_time) out.cpu_time = by_process.cpu_time;
    return out;
  };
  auto const seen = co_await run_on(reader_, std::move(work));
  if (!seen || runtime->is_reaped) co_return no_runtime("usage");
  co_return *seen;
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
  co_await keepers_.close();
  stop_removing_ = true;
}

}  // namespace nestgate::runtime
