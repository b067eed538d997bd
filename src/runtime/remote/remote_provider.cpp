#include "remote_provider.hpp"

#include <algorithm>
#include <utility>

#include "nestgate/runtime/factory.hpp"
#include "nestgate/upstream/http_client.hpp"
#include "nestgate/upstream/resolve.hpp"
#include "runtime/excerpt.hpp"
#include "runtime/image_name.hpp"
#include "runtime/to_the_end.hpp"
#include "runtime/turn.hpp"

namespace nestgate::runtime::remote {
namespace {

using namespace std::chrono_literals;
using upstream::fail;

constexpr std::size_t batch_max = 50;  // ids in one query
constexpr Clock::duration retry_pause_min = 1s;
constexpr Clock::duration retry_pause_max = 60s;

Failure not_found(std::string_view step) {
  return fail(FaultKind::not_found, "remote.find",
              std::string(step) + ": the runtime API has no runtime of this conversation");
}

Failure cancelled(std::string_view step) { return upstream::failed(step, Fault{FaultKind::cancelled, {}, "remote"}); }

Failure in_turn(std::string_view step) {
  return fail(FaultKind::conflict, "remote.turn", std::string(step) + ": the id is being started already");
}

// Of a start, what the API refuses for its own reasons may work later.
Failure as_start_failure(Failure failure) {
  if (failure.fault.kind == FaultKind::upstream || failure.fault.kind == FaultKind::not_found)
    failure.fault.kind = FaultKind::unavailable;
  return failure;
}

// Whether the API may have done what it was told although the answer says nothing of it.
bool may_be_done(Failure const& failure) {
  auto const kind = failure.fault.kind;
  return kind == FaultKind::timed_out || kind == FaultKind::cancelled || kind == FaultKind::unavailable ||
         kind == FaultKind::upstream;
}

// A server is reached by its address, with the paths that clients ask for. It is called by its name: what stands before it
// may tell runtimes apart by nothing else.
Task<Outcome<upstream::Place>> place_at(std::string url_text, std::shared_ptr<ClientTls const> trusted) {
  auto const url = upstream::parse_url(url_text);
  auto const shown = excerpt(url_text);
  if (!url)
    co_return fail(FaultKind::unavailable, "remote.url",
                   "create: the runtime's url '" + shown + "' is no http or https URL");
  if ((!url->path.empty() && url->path != "/") || !url->query.empty())
    co_return fail(FaultKind::unavailable, "remote.url",
                   "create: the runtime's url '" + shown + "' has a path; only a host and a port can be reached");
  auto const found = co_await upstream::resolve(url->host, url->port);
  if (!found) co_return upstream::failed("create: " + excerpt(url->host), found.error());
  co_return upstream::place_of(*url, upstream::preferred(*found), trusted, upstream::Naming::always);
}

upstream::Url base_of(std::string_view text) {
  auto url = upstream::parse_url(text).value();
  while (url.path.ends_with('/')) url.path.pop_back();
  return url;
}

Failure failed_state(std::string_view step, Session const& session) {
  return fail(FaultKind::upstream, "remote.state", std::string(step) + ": the runtime is " + state_text(session));
}

}  // namespace

// One that this gateway started or attached to, until its end is told or asked for.
struct RemoteProvider::Runtime {
  ConversationId id;
  Epoch epoch;
  bool end_was_asked = false;
};

Outcome<std::unique_ptr<RuntimeProvider>> make_remote_provider(RemoteSettings settings, Executor control) {
  if (auto const problem = problem_with(settings))
    return fail(FaultKind::bad_input, "remote.settings", std::string(problem->key) + ": " + problem->what);
  return std::unique_ptr<RuntimeProvider>(new RemoteProvider(std::move(settings), control, pause_for));
}

RemoteProvider::RemoteProvider(RemoteSettings settings, Executor control, Pause pause)
    : settings_(std::move(settings)),
      service_(base_of(settings_.url), settings_.api_key.clone(), settings_.call_time_max,
               RateLimit{settings_.rate_limit_tries_max, settings_.rate_limit_pause_min, settings_.rate_limit_pause_max},
               pause, control),
      pause_(std::move(pause)),
      tasks_(control) {}

Task<Outcome<Session>> RemoteProvider::need(std::string_view step, ConversationId id, Deadline by) {
  NESTGATE_CO_TRY(found, co_await service_.find(id.canonical(), by));
  if (!found) co_return not_found(step);
  co_return *std::move(found);
}

Task<Outcome<Instance>> RemoteProvider::create(Spec spec, Deadline by) {
  if (in_turn_.contains(spec.id.canonical())) co_return in_turn("create");
  Turn const turn(in_turn_, spec.id.canonical());
  watch();
  Undo undo = Undo::nothing;
  auto made = co_await start_or_attach(spec, undo, by);
  co_return co_await settled(spec, std::move(made), undo);
}

Task<Outcome<Instance>> RemoteProvider::start_or_attach(Spec const& spec, Undo& undo, Deadline by) {
  auto const& id = spec.id.canonical();
  if (auto const remains = to_take_back_.find(id); remains != to_take_back_.end()) {
    NESTGATE_CO_TRY_VOID(co_await take_back(spec.id, remains->second));
    to_take_back_.erase(id);
  }
  NESTGATE_CO_TRY(found, co_await service_.find(id, by));
  if (!found || found->status == "stopped") co_return co_await start(spec, undo, found.has_value(), by);
  if (found->status == "paused") co_return co_await wake(spec, *std::move(found), undo, by);
  if (!is_up(*found)) co_return failed_state("create", *found);
  auto const runtime = known(spec.id);
  if (runtime && !runtime->end_was_asked)
    co_return fail(FaultKind::conflict, "remote.create", "create: the id has a runtime already");
  NESTGATE_CO_TRY(instance, co_await instance_of(*found, spec.wish));
  instance.existed = true;
  co_return std::move(instance);
}

Task<Outcome<Instance>> RemoteProvider::start(Spec const& spec, Undo& undo, bool existed, Deadline by) {
  NESTGATE_CO_TRY(image, co_await image_for(spec, by));
  Secret const body = start_body(settings_, spec, image);
  auto started = co_await service_.start(body, spec.wish.environment, by);
  // What was there before, stopped, is left as it was found.
  if (started || may_be_done(started.error())) undo = existed ? Undo::pause : Undo::stop;
  if (!started) co_return started.error();
  NESTGATE_CO_TRY(instance, co_await instance_of(*started, spec.wish));
  instance.existed = existed;
  co_return std::move(instance);
}

Task<Outcome<Instance>> RemoteProvider::wake(Spec const& spec, Session paused, Undo& undo, Deadline by) {
  auto key = co_await service_.resume(paused.runtime_id, by);
  if (key || may_be_done(key.error())) undo = Undo::pause;
  if (!key) co_return key.error();
  NESTGATE_CO_TRY(session, co_await need("resume", spec.id, by));
  if (!key->empty()) session.session_key = std::move(*key);
  NESTGATE_CO_TRY(instance, co_await instance_of(session, spec.wish));
  instance.existed = true;
  co_return std::move(instance);
}

// A name without a registry is one of the API's own images: it must be there.
Task<Outcome<std::string>> RemoteProvider::image_for(Spec const& spec, Deadline by) {
  std::string image = spec.wish.image.empty() ? settings_.image : spec.wish.image;
  if (image.empty() || names_registry(image)) co_return image;
  tell_progress(spec.id, "looking for the image");
  NESTGATE_CO_TRY(full, co_await with_prefix(std::move(image), by));
  NESTGATE_CO_TRY(exists, co_await service_.image_exists(full, by));
  if (!exists)
    co_return fail(FaultKind::bad_input, "remote.image", "create: the runtime API has no image '" + excerpt(full) + "'");
  co_return std::move(full);
}

Task<Outcome<std::string>> RemoteProvider::with_prefix(std::string image, Deadline by) {
  if (!registry_prefix_) {
    NESTGATE_CO_TRY(prefix, co_await service_.registry_prefix(by));
    while (prefix.ends_with('/')) prefix.pop_back();
    registry_prefix_ = std::move(prefix);
  }
  co_return registry_prefix_->empty() ? std::move(image) : *registry_prefix_ + "/" + image;
}

Task<Outcome<std::optional<bool>>> RemoteProvider::has_image(std::string image, Deadline by) {
  if (!names_registry(image)) {
    NESTGATE_CO_TRY(full, co_await with_prefix(std::move(image), by));
    image = std::move(full);
  }
  NESTGATE_CO_TRY(exists, co_await service_.image_exists(std::move(image), by));
  co_return std::optional(exists);
}

Task<Outcome<Instance>> RemoteProvider::instance_of(Session const& session, Wish const& wish) {
  NESTGATE_CO_TRY(place, co_await place_at(session.url, settings_.nested_tls));
  if (session.session_key.empty())
    co_return fail(FaultKind::upstream, "remote.key", "create: the runtime API gave no session_api_key");
  Instance out;
  out.endpoint = std::move(place);
  out.session_key = session.session_key.clone();
  out.handle = session.runtime_id;
  out.workspace = wish.working_dir.empty() ? settings_.working_dir : wish.working_dir;
  for (auto const& [url, number] : session.work_hosts) {
    auto at = co_await place_at(url, settings_.nested_tls);
    if (at) out.ports.push_back({"work-" + std::to_string(out.ports.size() + 1), number, *std::move(at)});
  }
  co_return out;
}

Task<Outcome<Instance>> RemoteProvider::settled(Spec const& spec, Outcome<Instance> made, Undo undo) {
  if (made && co_await is_cancelled()) made = cancelled("create");
  if (made) {
    remember(spec);
    co_return made;
  }
  if (undo != Undo::nothing) {
    auto gone = co_await to_the_end(take_back(spec.id, undo));
    if (!gone && to_take_back_.insert_or_assign(spec.id.canonical(), undo).second)
      tasks_.spawn("remote.take_back", take_back_until_done(spec.id));
  }
  co_return as_start_failure(made.error());
}

Task<Outcome<>> RemoteProvider::take_back(ConversationId id, Undo undo) {
  NESTGATE_CO_TRY(found, co_await service_.find(id.canonical(), soon()));
  if (!found) co_return Outcome<>{};
  if (undo == Undo::stop) co_return co_await service_.stop(found->runtime_id, soon());
  if (!is_up(*found)) co_return Outcome<>{};
  co_return co_await service_.pause(found->runtime_id, soon());
}

// Ends also when a new start for the id has done it, and leaves the id alone while one is under way.
Task<> RemoteProvider::take_back_until_done(ConversationId id) {
  for (auto pause = retry_pause_min;; pause = std::min<Clock::duration>(pause * 2, retry_pause_max)) {
    auto waited = co_await pause_(pause);
    auto const remains = to_take_back_.find(id.canonical());
    if (!waited || remains == to_take_back_.end()) co_return;
    if (in_turn_.contains(id.canonical())) continue;
    Turn const turn(in_turn_, id.canonical());
    auto gone = co_await take_back(id, remains->second);
    if (gone) to_take_back_.erase(id.canonical());
  }
}

Task<Outcome<>> RemoteProvider::destroy(ConversationId id, Leftovers leftovers) {
  auto const runtime = known(id);
  if (runtime) runtime->end_was_asked = true;
  auto ended = co_await to_the_end(end(id, leftovers));
  if (ended) {
    forget(runtime);
    co_return ended;
  }
  auto failure = ended.error();
  if (leftovers == Leftovers::remove) failure.fault.kind = FaultKind::internal;
  co_return failure;
}

Task<Outcome<>> RemoteProvider::end(ConversationId id, Leftovers leftovers) {
  NESTGATE_CO_TRY(found, co_await service_.find(id.canonical(), soon()));
  if (!found) co_return Outcome<>{};
  if (leftovers == Leftovers::remove) co_return co_await service_.stop(found->runtime_id, soon());
  if (found->status == "paused" || found->status == "stopped") co_return Outcome<>{};
  co_return co_await service_.pause(found->runtime_id, soon());
}

Task<Outcome<>> RemoteProvider::wait_ready(ConversationId id, Deadline by) {
  for (;;) {
    NESTGATE_CO_TRY(found, co_await service_.find(id.canonical(), by));
    auto const readiness = found ? readiness_of(*found) : Readiness::not_yet;
    if (readiness == Readiness::ready) co_return Outcome<>{};
    if (readiness == Readiness::failed) co_return failed_state("ready", *found);
    if (by.passed(Clock::now() + settings_.ready_pause)) {
      auto failure = upstream::failed("ready", Fault{FaultKind::timed_out, {}, "remote.ready"});
      failure.reason += found ? ", the runtime is " + state_text(*found) : ", there is no runtime";
      co_return failure;
    }
    auto waited = co_await pause_(settings_.ready_pause);
    if (!waited) co_return upstream::failed("ready", waited.error());
  }
}

Task<Outcome<std::optional<Found>>> RemoteProvider::inspect(ConversationId id) {
  NESTGATE_CO_TRY(session, co_await service_.find(id.canonical(), soon()));
  if (!session) co_return std::optional<Found>();
  Found out{std::move(id), presence_of(*session), {}, {}, {}};
  Wish const as_settings_say;
  if (auto instance = co_await instance_of(*session, as_settings_say); instance) out.instance = *std::move(instance);
  out.instance.handle = session->runtime_id;
  out.instance.existed = true;
  if (out.presence == Presence::failed) out.reason = "the runtime is " + state_text(*session);
  co_return std::optional(std::move(out));
}

// pod_status of the list is not reliable: each batch of sessions is asked for it, where the API has that call.
Task<Outcome<std::vector<Found>>> RemoteProvider::list() {
  NESTGATE_CO_TRY(listed, co_await service_.list(soon()));
  std::erase_if(listed, [](Session const& session) { return !ConversationId::parse(session.session_id); });
  for (auto& session : listed) session.pod_status.clear();
  for (std::size_t begin = 0; begin < listed.size(); begin += batch_max) {
    auto const end = std::min(begin + batch_max, listed.size());
    std::vector<std::string> ids;
    std::map<std::string_view, Session*> by_handle;
    for (auto i = begin; i < end; ++i) {
      ids.push_back(listed[i].session_id);
      by_handle.emplace(listed[i].runtime_id, &listed[i]);
    }
    auto looked_at = co_await service_.find_all(ids, soon());
    if (!looked_at && looked_at.error().fault.kind == FaultKind::not_found) break;
    if (!looked_at) co_return looked_at.error();
    for (auto& session : *looked_at) {
      auto const one = by_handle.find(session.runtime_id);
      if (one == by_handle.end()) continue;
      one->second->status = std::move(session.status);
      one->second->pod_status = std::move(session.pod_status);
      one->second->restarts = session.restarts;
      one->second->restart_reasons = std::move(session.restart_reasons);
    }
  }
  std::vector<Found> out;
  out.reserve(listed.size());
  for (auto& session : listed) {
    Found found{*ConversationId::parse(session.session_id), presence_of(session), {}, {}, {}};
    if (found.presence == Presence::failed) found.reason = "the runtime is " + state_text(session);
    found.instance.handle = std::move(session.runtime_id);
    found.instance.existed = true;
    out.push_back(std::move(found));
  }
  co_return out;
}

Task<Outcome<>> RemoteProvider::pause(ConversationId id) {
  NESTGATE_CO_TRY(session, co_await need("pause", id, soon()));
  auto const runtime = known(id);
  if (session.status != "paused") {
    if (!is_up(session)) co_return fail(FaultKind::conflict, "remote.pause", "pause: the runtime does not run");
    if (runtime) runtime->end_was_asked = true;
    auto paused = co_await service_.pause(session.runtime_id, soon());
    if (!paused && runtime) runtime->end_was_asked = false;
    if (!paused) co_return paused;
  }
  forget(runtime);
  co_return Outcome<>{};
}

Task<Outcome<Instance>> RemoteProvider::resume(Spec spec, Deadline by) {
  if (in_turn_.contains(spec.id.canonical())) co_return in_turn("resume");
  Turn const turn(in_turn_, spec.id.canonical());
  watch();
  NESTGATE_CO_TRY(session, co_await need("resume", spec.id, by));
  Undo undo = Undo::nothing;
  if (is_up(session)) {
    auto instance = co_await instance_of(session, spec.wish);
    if (instance) instance->existed = true;
    co_return co_await settled(spec, std::move(instance), undo);
  }
  if (session.status != "paused")
    co_return fail(FaultKind::conflict, "remote.resume", "resume: the runtime is " + state_text(session));
  auto woken = co_await wake(spec, std::move(session), undo, by);
  co_return co_await settled(spec, std::move(woken), undo);
}

Task<Outcome<std::string>> RemoteProvider::log(ConversationId id, std::size_t bytes_max) {
  NESTGATE_CO_TRY(session, co_await need("log", id, soon()));
  if (!session.pod_log) co_return co_await RuntimeProvider::log(std::move(id), bytes_max);
  auto& text = *session.pod_log;
  if (text.size() > bytes_max) text.erase(0, text.size() - bytes_max);
  co_return std::move(text);
}

Task<> RemoteProvider::close() {
  tasks_.stop();
  auto joined = co_await tasks_.join();
  if (!joined) joined = co_await tasks_.join();
}

void RemoteProvider::remember(Spec const& spec) {
  runtimes_.insert_or_assign(spec.id.canonical(), std::make_shared<Runtime>(Runtime{spec.id, spec.epoch}));
}

RemoteProvider::RuntimePtr RemoteProvider::known(ConversationId const& id) const {
  auto const found = runtimes_.find(id.canonical());
  return found == runtimes_.end() ? nullptr : found->second;
}

void RemoteProvider::forget(RuntimePtr const& runtime) {
  if (runtime && known(runtime->id) == runtime) runtimes_.erase(runtime->id.canonical());
}

void RemoteProvider::watch() {
  if (!std::exchange(is_watching_, true)) tasks_.spawn("remote.list", follow_list());
}

Task<> RemoteProvider::follow_list() {
  for (;;) {
    auto waited = co_await pause_(settings_.list_pause);
    if (!waited) co_return;
    if (!runtimes_.empty()) co_await look_at_all();
  }
}

// The list is only a reason to look: what is told is what the API then says of the one session.
Task<> RemoteProvider::look_at_all() {
  std::vector<RuntimePtr> others;  // those that were known when the list was asked for
  others.reserve(runtimes_.size());
  for (auto const& [id, runtime] : runtimes_) others.push_back(runtime);
  auto const listed = co_await service_.list(soon());
  if (!listed) co_return;  // asked again with the next list
  std::set<std::string, std::less<>> ids_up;
  for (auto const& session : *listed) {
    auto const id = ConversationId::parse(session.session_id);
    if (id && is_up(session)) ids_up.insert(id->canonical());
  }
  std::erase_if(others, [&ids_up](RuntimePtr const& runtime) { return ids_up.contains(runtime->id.canonical()); });
  for (auto const& runtime : others) co_await look_at(runtime);
}

Task<> RemoteProvider::look_at(RuntimePtr runtime) {
  auto const found = co_await service_.find(runtime->id.canonical(), soon());
  bool const is_known = known(runtime->id) == runtime && !runtime->end_was_asked;
  if (!found || !is_known || (*found && is_up(**found))) co_return;
  std::string reason = "the runtime API has it no more";
  if (*found) reason = "the runtime API says that it is " + state_text(**found);
  forget(runtime);
  tell_end(runtime->id, runtime->epoch, std::move(reason));
}

}  // namespace nestgate::runtime::remote
