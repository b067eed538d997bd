#include "docker_provider.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <utility>

#include "nestgate/identity/base64.hpp"
#include "nestgate/runtime/factory.hpp"
#include "nestgate/upstream/random.hpp"
#include "nestgate/upstream/resolve.hpp"
#include "runtime/to_the_end.hpp"
#include "runtime/turn.hpp"

namespace nestgate::runtime::docker {
namespace {

using namespace std::chrono_literals;
using upstream::fail;

constexpr Clock::duration retry_pause_min = 100ms;
constexpr Clock::duration retry_pause_max = 5s;
constexpr Clock::duration name_pause_min = 20ms;
constexpr Clock::duration name_pause_max = 500ms;
constexpr Clock::duration ready_pause = 50ms;
constexpr auto clock_skew_max = 1h;  // between the engine's machine and ours; older events only cost a look
constexpr std::size_t last_words_bytes_max = 4096;

Failure not_found(std::string_view step) {
  return fail(FaultKind::not_found, "docker.find", std::string(step) + ": the conversation has no container");
}

// Of a start, what the engine refuses for its own reasons may work later.
Failure as_start_failure(Failure failure) {
  if (failure.fault.kind == FaultKind::upstream || failure.fault.kind == FaultKind::not_found)
    failure.fault.kind = FaultKind::unavailable;
  return failure;
}

bool may_work_later(Failure const& failure) {
  auto const kind = failure.fault.kind;
  return kind == FaultKind::unavailable || kind == FaultKind::timed_out || kind == FaultKind::upstream ||
         kind == FaultKind::conflict;  // a removal that is under way
}

Failure cancelled(std::string_view step) { return upstream::failed(step, Fault{FaultKind::cancelled, {}, "docker"}); }

// The file's content as the header has it: base64 for URLs. Nothing for another registry, which could read it.
Outcome<Secret> registry_auth(std::filesystem::path const& path, ImageReference const& image) {
  if (path.empty()) return Secret();
  std::ifstream file(path, std::ios::binary);
  Secret const text(std::string(std::istreambuf_iterator<char>(file), {}));
  if (!file || text.empty())
    return fail(FaultKind::unavailable, "docker.registry_auth",
                "pull: " + path.string() + " cannot be read (runtime.docker.registry_auth_file)");
  if (!is_auth_for(text.reveal(), registry_of(image.name))) return Secret();
  auto encoded = identity::encode_base64(text.reveal());
  std::replace(encoded.begin(), encoded.end(), '+', '-');
  std::replace(encoded.begin(), encoded.end(), '/', '_');
  return Secret(std::move(encoded));
}

}  // namespace

// One that this gateway started or adopted, until its end is told or asked for.
struct DockerProvider::Runtime {
  ConversationId id;
  Epoch epoch;
  std::string handle;
  bool is_starting = true;  // until then its end is the start's to tell
  bool end_was_asked = false;
  bool was_out_of_memory = false;
  bool is_looked_at = false;
  bool must_look_again = false;
};

Outcome<std::unique_ptr<RuntimeProvider>> make_docker_provider(DockerSettings settings, Executor control) {
  if (auto const problem = problem_with(settings))
    return fail(FaultKind::bad_input, "docker.settings", std::string(problem->key) + ": " + problem->what);
  bool const over_tls = !settings.tls.ca_file.empty();
  std::string problem;
  auto tls = over_tls ? ClientTls::load(settings.tls, problem) : nullptr;
  if (!problem.empty()) return fail(FaultKind::bad_input, "docker.settings", "runtime.docker.tls: " + problem);
  Engine engine(parse_engine_address(settings.host, over_tls).value(), std::move(tls), settings.call_time_max, control);
  return std::unique_ptr<RuntimeProvider>(new DockerProvider(std::move(settings), std::move(engine), control));
}

DockerProvider::DockerProvider(DockerSettings settings, Engine engine, Executor control)
    : settings_(std::move(settings)), engine_(std::move(engine)), tasks_(control) {
  events_since_ = std::chrono::system_clock::now().time_since_epoch() - clock_skew_max;
}

Task<Outcome<std::optional<Container>>> DockerProvider::find_ours(ConversationId id) {
  NESTGATE_CO_TRY(found, co_await engine_.find(container_name(settings_, id), soon()));
  if (!found) co_return std::optional<Container>();
  auto const runtime = known(id);
  bool const is_adopted = runtime && runtime->handle == found->id;
  if (!is_adopted && !is_ours(settings_, *found)) co_return std::optional<Container>();
  co_return std::move(found);
}

Task<Outcome<Container>> DockerProvider::need_ours(std::string_view step, ConversationId id) {
  NESTGATE_CO_TRY(found, co_await find_ours(std::move(id)));
  if (!found) co_return not_found(step);
  co_return std::move(*found);
}

Task<Outcome<Instance>> DockerProvider::create(Spec spec, Deadline by) {
  auto const& id = spec.id.canonical();
  if (in_turn_.contains(id)) co_return fail(FaultKind::conflict, "docker.create", "create: the id is being started already");
  if (!runtimes_.contains(id) && runtimes_.size() >= settings_.runtimes_max) {
    co_return fail(
        FaultKind::overloaded, "docker.create",
        "create: all " + std::to_string(settings_.runtimes_max) + " runtimes are in use (runtime.docker.runtimes_max)");
  }
  Turn const turn(in_turn_, id);
  watch();
  std::string const start = upstream::random_hex(8);
  auto made = co_await make_or_adopt(spec, start, by);
  if (made) {
    if (auto const settled = settle(spec.id); !settled) made = settled.error();
  }
  if (made) co_return std::move(*made);
  if (auto const runtime = known(spec.id); runtime && runtime->is_starting) forget(runtime);
  auto gone = co_await to_the_end(discard(spec.id, start));
  if (!gone && to_discard_.insert_or_assign(id, start).second) tasks_.spawn("docker.discard", discard_until_done(spec.id));
  co_return as_start_failure(made.error());
}

// The name is the lock: of those who make a container of it, on any gateway, the engine lets one win, and the others
// adopt what that one made.
Task<Outcome<Instance>> DockerProvider::make_or_adopt(Spec const& spec, std::string const& start, Deadline by) {
  if (auto const remains = to_discard_.find(spec.id.canonical()); remains != to_discard_.end()) {
    NESTGATE_CO_TRY_VOID(co_await discard(spec.id, remains->second));
    to_discard_.erase(spec.id.canonical());
  }
  auto const name = container_name(settings_, spec.id);
  for (auto pause = name_pause_min;; pause = std::min<Clock::duration>(pause * 2, name_pause_max)) {
    NESTGATE_CO_TRY(found, co_await engine_.find(name, by));
    if (found) {
      if (is_in_use(spec.id, *found))
        co_return fail(FaultKind::conflict, "docker.create", "create: the id has a runtime already");
      NESTGATE_CO_TRY(adopted, co_await adopt(spec, std::move(*found), by));
      if (adopted) co_return std::move(*adopted);
    } else {
      NESTGATE_CO_TRY_VOID(co_await to_the_end(make_volumes(spec, start, by)));
      auto handle = co_await make(spec, start, by);
      if (handle) {
        remember(spec, *handle);
        NESTGATE_CO_TRY_VOID(co_await to_the_end(engine_.start(*handle, by)));
        if (co_await is_cancelled()) co_return cancelled("create");
        co_return co_await started(std::move(*handle), by);
      } else if (handle.error().fault.kind != FaultKind::conflict) {
        co_return handle.error();
      }
    }
    auto waited = co_await pause_for(pause);
    if (!waited) co_return upstream::failed("create", waited.error());
    if (by.passed()) co_return upstream::failed("create", Fault{FaultKind::timed_out, {}, "docker.create"});
  }
}

Task<Outcome<std::string>> DockerProvider::make(Spec const& spec, std::string const& start, Deadline by) {
  auto const& image = image_for(settings_, spec.wish);
  if (!parse_image(image)) {
    co_return fail(FaultKind::bad_input, "docker.image",
                   image.empty() ? "create: no image is named (runtime.docker.image)"
                                 : "create: '" + excerpt(image) + "' is not the name of an image");
  }
  if (settings_.pull == DockerSettings::Pull::always) NESTGATE_CO_TRY_VOID(co_await pull(spec.id, image, by));
  auto const name = container_name(settings_, spec.id);
  Secret const body = container_body(plan(settings_, spec, start));
  auto handle = co_await to_the_end(engine_.create(name, body, by));
  bool const lacks_image = !handle && handle.error().fault.kind == FaultKind::not_found;
  if (lacks_image && settings_.pull == DockerSettings::Pull::missing) {
    NESTGATE_CO_TRY_VOID(co_await pull(spec.id, image, by));
    handle = co_await to_the_end(engine_.create(name, body, by));
  }
  if (co_await is_cancelled()) co_return cancelled("create");
  co_return handle;
}

Task<Outcome<>> DockerProvider::make_volumes(Spec const& spec, std::string const& start, Deadline by) {
  auto const labels = labels_for(settings_, spec, start);
  for (auto const& volume : own_volumes(settings_, spec.id)) {
    NESTGATE_CO_TRY(theirs, co_await engine_.create_volume(volume_body(volume, labels), by));
    auto const owner = theirs.find(owner_label);
    if (owner != theirs.end() && owner->second != spec.owner)
      co_return fail(FaultKind::conflict, "docker.volume", "create: this id has files that belong to someone else");
  }
  co_return Outcome<>{};
}

Task<Outcome<>> DockerProvider::pull(ConversationId id, std::string image, Deadline by) {
  auto reference = parse_image(image).value();
  NESTGATE_CO_TRY(auth, registry_auth(settings_.registry_auth_file, reference));
  tell_progress(id, "pulling image");
  auto const on_news = [this, &id](std::string_view news) { tell_progress(id, news); };
  auto const in_time = by.capped(settings_.pull_time_max);
  co_return co_await engine_.pull(std::move(reference), std::move(auth), on_news, in_time);
}

// Nothing: the container went away meanwhile.
Task<Outcome<std::optional<Instance>>> DockerProvider::adopt(Spec const& spec, Container found, Deadline by) {
  if (is_of_another_installation(settings_, found))
    co_return fail(FaultKind::conflict, "docker.adopt",
                   "create: the container of that name belongs to another installation");
  bool const is_theirs = is_labelled_for(found, spec.id) && found.label(owner_label) != spec.owner;
  if (is_theirs)
    co_return fail(FaultKind::conflict, "docker.adopt", "create: this id has a container that belongs to someone else");
  if (found.state == State::dead || found.state == State::removing) {
    auto removed = co_await to_the_end(engine_.remove(found.id));
    bool const is_going =
        removed || removed.error().fault.kind == FaultKind::conflict || removed.error().fault.kind == FaultKind::not_found;
    if (!is_going) co_return removed.error();
    co_return std::optional<Instance>();
  }
  remember(spec, found.id);
  auto instance = co_await bring_up(found, by);
  if (instance && co_await is_cancelled()) instance = cancelled("create");
  if (!instance) {
    co_await to_the_end(put_back(found));
    if (instance.error().fault.kind == FaultKind::not_found) co_return std::optional<Instance>();
    co_return instance.error();
  }
  instance->existed = true;
  co_return std::optional(std::move(*instance));
}

Task<Outcome<Instance>> DockerProvider::bring_up(Container const& found, Deadline by) {
  NESTGATE_CO_TRY_VOID(co_await to_the_end(start_or_thaw(found, by)));
  co_return co_await started(found.id, by);
}

// A start that fails leaves what it found as it found it; one that another start has just made is that one's to end.
Task<Outcome<>> DockerProvider::put_back(Container const& found) {
  if (found.state == State::paused) co_return co_await engine_.pause(found.id, soon());
  if (found.state == State::exited) co_return co_await engine_.stop(found.id, stop_grace());
  co_return Outcome<>{};
}

Task<Outcome<>> DockerProvider::start_or_thaw(Container const& found, Deadline by) {
  if (found.state == State::running || found.state == State::restarting) co_return Outcome<>{};
  if (found.state != State::paused) co_return co_await engine_.start(found.id, by);
  auto thawed = co_await engine_.unpause(found.id, by);
  if (thawed) co_return thawed;
  NESTGATE_CO_TRY(now, co_await engine_.find(found.id, by));
  if (now && now->state == State::running) co_return Outcome<>{};  // somebody else did it
  co_return thawed;
}

Task<Outcome<Instance>> DockerProvider::started(std::string handle, Deadline by) {
  NESTGATE_CO_TRY(container, co_await engine_.find(handle, by));
  if (!container) co_return not_found("start");
  if (!is_up(container->state)) co_return co_await ended_failure("start", *container);
  co_return co_await instance_of(*container);
}

Task<Failure> DockerProvider::ended_failure(std::string_view step, Container const& container) {
  auto log = co_await engine_.log(container.id, container.has_terminal, last_words_bytes_max);
  auto const reason = end_reason(container, log ? std::string_view(*log) : std::string_view());
  co_return fail(FaultKind::upstream, "docker.ended", std::string(step) + ": the container " + reason);
}

Task<Outcome<Instance>> DockerProvider::instance_of(Container const& container) {
  auto const host = co_await engine_host();
  if (!host) co_return upstream::failed("docker", host.error());
  auto const at = server_endpoint(settings_, container, *host);
  if (!at) {
    co_return fail(FaultKind::conflict, "docker.endpoint",
                   "create: the container " + container.name + " offers no port of its server (neither " +
                       std::to_string(settings_.container_port) + "/tcp nor what its variable 'port' says)");
  }
  Instance out;
  out.endpoint = *at;
  out.ports = further_ports(settings_, container, *host);
  if (auto const* const boot_key = boot_key_of(settings_, container)) {
    out.boot_key = boot_key->clone();
  } else if (auto const* const key = key_of(container)) {
    out.session_key = key->clone();
  }
  out.handle = container.id;
  out.workspace = container.working_dir;
  co_return out;
}

Task<Result<asio::ip::address>> DockerProvider::engine_host() {
  if (!engine_.address().unix_socket.empty()) co_return asio::ip::address(asio::ip::address_v4::loopback());
  if (!engine_host_) {
    auto const& url = engine_.address().url;
    NESTGATE_CO_TRY(found, co_await upstream::resolve(url.host, url.port));
    engine_host_ = found.front().address();
  }
  co_return *engine_host_;
}

// Takes away what a start made that failed, and nothing that anybody else made.
Task<Outcome<>> DockerProvider::discard(ConversationId id, std::string start) {
  NESTGATE_CO_TRY(found, co_await engine_.find(container_name(settings_, id), soon()));
  if (found && found->label(start_label) == start) {
    auto removed = co_await engine_.remove(found->id);
    if (!removed && removed.error().fault.kind != FaultKind::not_found) co_return removed.error();
  }
  std::vector<std::string> volumes;
  for (auto const& volume : own_volumes(settings_, id)) {
    NESTGATE_CO_TRY(labels, co_await engine_.volume_labels(volume));
    if (labels && (*labels)[std::string(start_label)] == start) volumes.push_back(volume);
  }
  co_return co_await remove_volumes(std::move(volumes));
}

// Ends also when a new start for the id has done it.
Task<> DockerProvider::discard_until_done(ConversationId id) {
  for (auto pause = retry_pause_min;; pause = std::min<Clock::duration>(pause * 2, retry_pause_max)) {
    auto waited = co_await pause_for(pause);
    auto const before = to_discard_.find(id.canonical());
    if (!waited || before == to_discard_.end()) co_return;
    std::string const start = before->second;
    auto gone = co_await discard(id, start);
    auto const after = to_discard_.find(id.canonical());
    if (gone && after != to_discard_.end() && after->second == start) to_discard_.erase(after);
  }
}

Task<Outcome<>> DockerProvider::destroy(ConversationId id, Leftovers leftovers) {
  auto const runtime = known(id);
  if (runtime) runtime->end_was_asked = true;
  auto const tries_end = Deadline::in(settings_.call_time_max);
  auto done = co_await end(id, leftovers);
  auto const is_worth_it = [&] {
    return !done && may_work_later(done.error()) && !tries_end.passed() && !engine_.is_cut_short();
  };
  for (auto pause = retry_pause_min; is_worth_it();) {
    if (auto waited = co_await pause_for(pause); !waited) break;
    pause = std::min<Clock::duration>(pause * 2, retry_pause_max);
    done = co_await end(id, leftovers);
  }
  if (done) {
    forget(runtime);
    co_return done;
  }
  auto failure = done.error();
  if (leftovers == Leftovers::remove) failure.fault.kind = FaultKind::internal;
  co_return failure;
}

Task<Outcome<>> DockerProvider::end(ConversationId id, Leftovers leftovers) {
  NESTGATE_CO_TRY(found, co_await to_the_end(find_ours(id)));
  if (!found) {
    if (leftovers == Leftovers::keep) co_return Outcome<>{};
    co_return co_await to_the_end(remove_volumes(own_volumes(settings_, id)));
  }
  if (is_up(found->state)) NESTGATE_CO_TRY_VOID(co_await stop(*found));
  if (leftovers == Leftovers::keep) co_return Outcome<>{};
  co_return co_await to_the_end(remove(std::move(id), *found));
}

Task<Outcome<>> DockerProvider::stop(Container const& container) {
  Outcome<> stopped = cancelled("stop");
  if (!co_await is_cancelled()) stopped = co_await engine_.stop(container.id, stop_grace());
  if (!stopped && stopped.error().fault.kind == FaultKind::cancelled) {
    stopped = co_await to_the_end(engine_.kill(container.id));
    if (!stopped && stopped.error().fault.kind == FaultKind::conflict) co_return Outcome<>{};  // it has just ended
  }
  if (!stopped && stopped.error().fault.kind == FaultKind::not_found) co_return Outcome<>{};
  co_return stopped;
}

Task<Outcome<>> DockerProvider::remove(ConversationId id, Container const& container) {
  auto removed = co_await engine_.remove(container.id);
  if (!removed && removed.error().fault.kind != FaultKind::not_found) co_return removed;
  auto volumes = own_volumes(settings_, id);
  auto const first_id = ConversationId::parse(container.label(conversation_label));
  if (first_id && *first_id != id) {
    for (auto& volume : own_volumes(settings_, *first_id))
      if (std::find(container.volumes.begin(), container.volumes.end(), volume) != container.volumes.end())
        volumes.push_back(std::move(volume));
  }
  co_return co_await remove_volumes(std::move(volumes));
}

Task<Outcome<>> DockerProvider::remove_volumes(std::vector<std::string> names) {
  for (auto const& volume : names) {
    auto removed = co_await engine_.remove_volume(volume);
    if (!removed && removed.error().fault.kind != FaultKind::not_found) co_return removed;
  }
  co_return Outcome<>{};
}

Task<Outcome<>> DockerProvider::wait_ready(ConversationId id, Deadline by) {
  for (;;) {
    NESTGATE_CO_TRY(found, co_await engine_.find(container_name(settings_, id), by));
    if (!found) co_return fail(FaultKind::upstream, "docker.ready", "ready: the container was removed");
    if (found->state == State::running || found->state == State::paused) co_return Outcome<>{};
    if (found->state == State::exited || found->state == State::dead) co_return co_await ended_failure("ready", *found);
    auto waited = co_await pause_for(ready_pause);
    if (!waited) co_return upstream::failed("ready", waited.error());
    if (by.passed()) co_return upstream::failed("ready", Fault{FaultKind::timed_out, {}, "docker.ready"});
  }
}

Task<Outcome<std::optional<Found>>> DockerProvider::inspect(ConversationId id) {
  NESTGATE_CO_TRY(container, co_await engine_.find(container_name(settings_, id), soon()));
  if (!container || container->state == State::removing || is_of_another_installation(settings_, *container))
    co_return std::optional<Found>();
  auto out = co_await found_of(std::move(id), *container);
  if (out.presence == Presence::failed) out.reason = "the container is dead: " + end_reason(*container, {});
  co_return std::optional(std::move(out));
}

Task<Outcome<std::vector<Found>>> DockerProvider::list() {
  NESTGATE_CO_TRY(containers, co_await engine_.list(std::string(installation_label) + "=" + settings_.installation));
  std::vector<Found> out;
  out.reserve(containers.size());
  for (auto const& container : containers) {
    auto id = id_of(settings_, container);
    if (!id || container.state == State::removing) continue;
    auto found = co_await found_of(std::move(*id), container);
    if (found.presence == Presence::failed) found.reason = "the container is dead: " + excerpt(container.status);
    out.push_back(std::move(found));
  }
  co_return out;
}

Task<Found> DockerProvider::found_of(ConversationId id, Container const& container) {
  Found out{std::move(id), presence_of(container.state), {}, {}, {}};
  if (container.state == State::created && in_turn_.contains(out.id.canonical())) out.presence = Presence::starting;
  if (is_labelled_for(container, out.id)) out.owner = container.label(owner_label);
  if (auto instance = co_await instance_of(container); instance) out.instance = std::move(*instance);
  out.instance.handle = container.id;
  out.instance.existed = true;
  co_return out;
}

Task<Outcome<>> DockerProvider::pause(ConversationId id) {
  NESTGATE_CO_TRY(container, co_await need_ours("pause", id));
  if (container.state == State::paused) co_return Outcome<>{};
  if (container.state != State::running)
    co_return fail(FaultKind::conflict, "docker.pause", "pause: the container does not run");
  auto paused = co_await engine_.pause(container.id, soon());
  if (paused || paused.error().fault.kind != FaultKind::conflict) co_return paused;
  NESTGATE_CO_TRY(now, co_await need_ours("pause", std::move(id)));
  if (now.state == State::paused) co_return Outcome<>{};
  co_return paused;
}

Task<Outcome<Instance>> DockerProvider::resume(Spec spec, Deadline by) {
  auto const& id = spec.id.canonical();
  if (in_turn_.contains(id)) co_return fail(FaultKind::conflict, "docker.resume", "resume: the id is being started already");
  NESTGATE_CO_TRY(container, co_await need_ours("resume", spec.id));
  if (container.state == State::dead || container.state == State::removing) co_return not_found("resume");
  Turn const turn(in_turn_, id);
  watch();
  auto adopted = co_await adopt(spec, std::move(container), by);
  if (adopted && *adopted) {
    NESTGATE_CO_TRY_VOID(settle(spec.id));
    co_return std::move(**adopted);
  }
  forget(spec.id);
  if (!adopted) co_return adopted.error();
  co_return not_found("resume");
}

Task<Outcome<Instance>> DockerProvider::assign(ConversationId dormant, Spec spec) {
  if (in_turn_.contains(spec.id.canonical()))
    co_return fail(FaultKind::conflict, "docker.assign", "assign: the id is being started already");
  Turn const turn(in_turn_, spec.id.canonical());
  NESTGATE_CO_TRY(container, co_await need_ours("assign", dormant));
  if (container.state != State::running)
    co_return fail(FaultKind::conflict, "docker.assign", "assign: the dormant container does not run");
  for (auto const& volume : own_volumes(settings_, spec.id)) {
    NESTGATE_CO_TRY(labels, co_await engine_.volume_labels(volume));
    if (labels) co_return fail(FaultKind::conflict, "docker.assign", "assign: this id has files already");
  }
  NESTGATE_CO_TRY(instance, co_await instance_of(container));
  NESTGATE_CO_TRY_VOID(co_await to_the_end(engine_.rename(container.id, container_name(settings_, spec.id))));
  forget(dormant);
  remember(spec, container.id);
  NESTGATE_CO_TRY_VOID(settle(spec.id));
  instance.session_key.reset();  // it gets the one that it is told
  co_return std::move(instance);
}

Task<Outcome<CommandResult>> DockerProvider::execute(ConversationId id, std::vector<std::string> command, Deadline by) {
  NESTGATE_CO_TRY(container, co_await need_ours("execute", std::move(id)));
  co_return co_await engine_.execute(container.id, std::move(command), by);
}

Task<Outcome<std::string>> DockerProvider::log(ConversationId id, std::size_t bytes_max) {
  NESTGATE_CO_TRY(container, co_await need_ours("log", std::move(id)));
  co_return co_await engine_.log(container.id, container.has_terminal, bytes_max);
}

Task<Outcome<Usage>> DockerProvider::usage(ConversationId id, Deadline by) {
  auto const runtime = known(id);
  if (!runtime) co_return fail(FaultKind::not_found, "docker.usage", "usage: the id has no runtime");
  co_return co_await engine_.usage(runtime->handle, by);
}

Task<Outcome<std::optional<bool>>> DockerProvider::has_image(std::string image, Deadline by) {
  using Pull = DockerSettings::Pull;
  auto reference = parse_image(image);
  if (!reference) co_return std::optional(false);
  if (settings_.pull != Pull::always) {
    NESTGATE_CO_TRY(is_there, co_await engine_.has_image(*reference, by));
    if (is_there || settings_.pull == Pull::never) co_return std::optional(is_there);
  }
  NESTGATE_CO_TRY(auth, registry_auth(settings_.registry_auth_file, *reference));
  NESTGATE_CO_TRY(is_offered, co_await engine_.can_pull(std::move(*reference), std::move(auth), by));
  co_return std::optional(is_offered);
}

Task<> DockerProvider::close() {
  tasks_.stop();
  auto joined = co_await tasks_.join();
  if (!joined) joined = co_await tasks_.join();
}

// Before it is started: its end may be told before the answer to its start is read.
void DockerProvider::remember(Spec const& spec, std::string const& handle) {
  auto runtime = std::make_shared<Runtime>(Runtime{spec.id, spec.epoch, handle});
  runtimes_.insert_or_assign(spec.id.canonical(), std::move(runtime));
}

Outcome<> DockerProvider::settle(ConversationId const& id) {
  auto const runtime = known(id);
  if (!runtime) return fail(FaultKind::conflict, "docker.settle", "start: the container was ended meanwhile");
  runtime->is_starting = false;
  if (std::exchange(runtime->must_look_again, false)) begin_look(runtime);
  return Outcome<>{};
}

DockerProvider::RuntimePtr DockerProvider::known(ConversationId const& id) const {
  auto const found = runtimes_.find(id.canonical());
  return found == runtimes_.end() ? nullptr : found->second;
}

void DockerProvider::forget(RuntimePtr const& runtime) {
  if (runtime && known(runtime->id) == runtime) runtimes_.erase(runtime->id.canonical());
}

bool DockerProvider::is_known(Runtime const& runtime) const {
  return known(runtime.id).get() == &runtime && !runtime.end_was_asked;
}

bool DockerProvider::is_in_use(ConversationId const& id, Container const& container) const {
  auto const runtime = known(id);
  if (!runtime || container.state != State::running) return false;
  return runtime->handle == container.id && !runtime->is_starting && !runtime->end_was_asked;
}

void DockerProvider::watch() {
  if (!std::exchange(is_watching_, true)) tasks_.spawn("docker.events", follow_events());
}

// An event is a reason to look; what is told is what the engine then says of the container.
Task<> DockerProvider::follow_events() {
  auto pause = retry_pause_min;
  auto const on_open = [this, &pause] {
    pause = retry_pause_min;
    tasks_.spawn("docker.look", look_at_all());
  };
  auto const take = [this](Event const& event) { on_event(event); };
  for (;;) {
    std::vector<std::string> actions = {"die", "oom", "destroy"};
    [[maybe_unused]] auto const end = co_await engine_.follow(std::move(actions), events_since_, on_open, take);
    engine_.forget_version();  // the engine may be another when it comes back
    if (auto waited = co_await pause_for(pause); !waited) co_return;
    pause = std::min<Clock::duration>(pause * 2, retry_pause_max);
  }
}

void DockerProvider::on_event(Event const& event) {
  events_since_ = std::max(events_since_, std::chrono::nanoseconds(event.time_ns));
  for (auto const& [id, runtime] : runtimes_) {
    if (runtime->handle != event.container) continue;
    if (event.action == "oom") {
      runtime->was_out_of_memory = true;
    } else {
      begin_look(runtime);
    }
    return;
  }
}

// What ended while nobody listened.
Task<> DockerProvider::look_at_all() {
  auto const listed = co_await engine_.list(std::string(installation_label) + "=" + settings_.installation);
  if (!listed) co_return;  // the stream has ended as well, and opens anew
  std::set<std::string, std::less<>> up;
  for (auto const& container : *listed)
    if (is_up(container.state)) up.insert(container.id);
  std::vector<RuntimePtr> others;
  for (auto const& [id, runtime] : runtimes_)
    if (!up.contains(runtime->handle)) others.push_back(runtime);
  for (auto const& runtime : others) begin_look(runtime);
}

void DockerProvider::begin_look(RuntimePtr const& runtime) {
  if (runtime->is_starting || runtime->is_looked_at) {
    runtime->must_look_again = true;
    return;
  }
  runtime->is_looked_at = true;
  tasks_.spawn("docker.look", look_at(runtime));
}

Task<> DockerProvider::look_at(RuntimePtr runtime) {
  std::optional<std::string> reason;
  do {
    runtime->must_look_again = false;
    reason = co_await end_of(runtime);
  } while (!reason && runtime->must_look_again);
  runtime->is_looked_at = false;
  if (!reason || !is_known(*runtime)) co_return;
  forget(runtime);
  tell_end(runtime->id, runtime->epoch, std::move(*reason));
}

// Nothing while it has not ended; an engine that is away is asked again when its stream is back.
Task<std::optional<std::string>> DockerProvider::end_of(RuntimePtr runtime) {
  auto found = co_await engine_.find(runtime->handle, soon());
  if (!found) co_return std::nullopt;
  if (!*found) co_return "its container was removed";
  auto& container = **found;
  if (is_up(container.state)) co_return std::nullopt;
  container.was_out_of_memory |= runtime->was_out_of_memory;
  auto const log = co_await engine_.log(container.id, container.has_terminal, last_words_bytes_max);
  co_return end_reason(container, log ? std::string_view(*log) : std::string_view());
}

}  // namespace nestgate::runtime::docker
