#include "workers.hpp"

#include <algorithm>
#include <array>

#include "first_run.hpp"
#include "nestgate/automation/status_detail.hpp"
#include "nestgate/nested/bash_events.hpp"
#include "nestgate/net/interruptible.hpp"
#include "nestgate/schedule/backoff.hpp"
#include "nestgate/upstream/random.hpp"
#include "own_run.hpp"
#include "run_environment.hpp"
#include "user_configuration.hpp"

namespace nestgate::automation {
namespace {

using namespace std::chrono_literals;
using conversation::RuntimeState;
using store::CleanUp;
using store::RunRow;
using upstream::fail;
using SystemClock = std::chrono::system_clock;

constexpr std::chrono::seconds small_command_max = 30s;
constexpr Clock::duration small_call_max = 60s;     // a busy agent server takes its time
constexpr Clock::duration linger_max = 30s;         // for the exit code of a command whose script has reported
constexpr int looks_saved = 10;                     // where ends are told, a command is looked at so much more rarely
constexpr Clock::duration looks_apart_min = 5ms;    // of all that run in one runtime
constexpr std::size_t forgotten_at_once_max = 500;  // guards: a command has its bounds
constexpr unsigned refused_uploads_max = 3;
constexpr unsigned failed_downloads_max = 8;  // half a minute, where they fail at once
constexpr std::size_t private_folders_remembered_max = 10'000;
constexpr unsigned outcome_tries_max = 5;
constexpr std::string_view internal_upload = "oh-internal://uploads/";

std::string tail_of(std::string const& text, std::size_t bytes) {
  return text.substr(text.size() - std::min(text.size(), bytes));
}

Failure settled_early() {
  return fail(FaultKind::cancelled, "automation.dispatch", "the run was settled before it started");
}

bool is_refusal(Failure const& failure) {
  return failure.status >= 400 && failure.status < 500 && failure.status != 408 && failure.status != 429;
}

// Whether the next try may do better.
bool is_transient(Failure const& failure) {
  auto const kind = failure.fault.kind;
  if (kind == FaultKind::upstream) return !is_refusal(failure);
  return kind == FaultKind::timed_out || kind == FaultKind::unavailable || kind == FaultKind::overloaded;
}

// automation.md 3.2, 3.3.
std::string kind_of(Failure const& failure) {
  if (failure.status == 429) return "rate_limited";
  if (failure.status >= 500) return "server_error";
  switch (failure.fault.kind) {
    case FaultKind::timed_out: return "timeout";
    case FaultKind::overloaded: return "concurrency_limit";
    case FaultKind::upstream: return failure.status == 0 ? "transport" : "execution_error";
    case FaultKind::unavailable:
    case FaultKind::conflict:
    case FaultKind::not_found: return "environment_unavailable";
    default: return "execution_error";
  }
}

// An upload without which no try can succeed: its automation is disabled (automation.md 3.4).
constexpr std::string_view gone_for_good = "automation.tarball";
constexpr std::string_view failed_download = "automation.download";
constexpr std::string_view unreadable = "automation.wish";
Failure unreadable_wish() { return fail(FaultKind::forbidden, unreadable, "the run's secret cannot be opened"); }
// A command that was out of its time or killed: an exit code below 0.
bool was_cut_short(int code) { return code < 0; }
// By curl's exit code: a host that is not found, refuses, is too slow or breaks off.
bool may_download_later(int code) {
  constexpr std::array later{5, 6, 7, 16, 18, 22, 28, 35, 52, 55, 56, 92};
  return was_cut_short(code) || std::ranges::find(later, code) != later.end();
}
bool is_gone_for_good(Failure const& failure) { return failure.fault.where == gone_for_good; }

// Of the runtime that is made for this attempt.
std::string own_runtime_of(RunRow const& run) {
  std::string name = "run-" + run.id;
  if (run.attempt > 1) name += "-" + std::to_string(run.attempt);
  return name;
}

bool is_made_for_it(Target const& target) { return target.kind == Target::Kind::fresh || target.kind == Target::Kind::warm; }

// A store that is away comes back; until then nobody else takes the run, since its gateway lives.
bool is_away(Failure const& failure) { return failure.fault.kind == FaultKind::unavailable; }
schedule::Backoff const store_backoff{100ms, 5'000ms, schedule::Backoff::Jitter::equal};

identity::Principal principal_of(RunRow const& run) {
  identity::Principal by;
  by.name = "automation";
  by.owner = run.owner;
  by.organisation = run.organisation;
  return by;
}

// A key without an owner is an admin's. A target that was set after the run was made says nothing of the run.
bool may_use_all(RunRow const& run, store::AutomationRow const* automation) {
  if (run.owner.empty()) return true;
  if (automation == nullptr || !automation->target_by_admin) return false;
  auto const target = parse_policy(automation->policy_json).target;
  return target && to_string(*target) == run.target;
}

// A conversation is its owner's, and without one the admins'. What the settings name is there for all. A run without an
// automation was judged when it was taken.
bool may_run_in(RunRow const& run, store::AutomationRow const* automation, std::string_view owner, Target const& of_all) {
  return run.automation_id.empty() || run.runtime_is_own || run.target == to_string(of_all) ||
         may_use_all(run, automation) || principal_of(run).may_use(owner);
}

}  // namespace

// What a run's task works with.
struct Workers::Job {
  Job(Executor executor, store::ClaimedRun claimed, Claim claim)
      : run(std::move(claimed.run)),
        automation(std::move(claimed.automation)),
        own(parse_own_run(run.wish_json)),
        paths(run.id, run.attempt),
        how(claim),
        wake(executor),
        may_have_started(claim == Claim::taken_over),
        was_sent_again(claim == Claim::taken_over) {}

  store::AutomationRow const* the_automation() const { return automation ? &*automation : nullptr; }
  // The runtime that was made for it stays.
  bool is_kept() const { return automation && automation->keep_alive.value_or(false); }
  // Nothing more is to be done towards its verdict.
  bool is_over() const noexcept { return is_settled || is_lost; }

  RunRow run;  // as it was claimed; `clean_up` as it is now
  std::optional<store::AutomationRow> automation;
  OwnRun own;
  RunPaths paths;
  Claim how;
  std::chrono::seconds time_max{0};
  std::chrono::steady_clock::time_point claimed_at = Clock::now();
  Timer wake;                     // cancelled when something happened to it
  bool is_settled = false;        // its verdict stands, or another attempt was decided
  bool is_lost = false;           // somebody else holds it now
  bool is_held = false;           // as its last write found
  unsigned starts_open = 0;       // that were sent, and may still come
  bool takes_room = true;         // among those in flight
  bool may_have_started;          // its script, though no command of it is known
  bool is_earlier_ended = false;  // nothing of the attempt before is left
  bool was_sent_again;            // another start than the last may have run: what was uploaded then may lie there
  Clock::time_point look_at;      // when its command is looked at next
};

// A runtime whose server tells of the ends of its commands.
struct Workers::Followed {
  explicit Followed(Executor executor) : gone(executor, Clock::time_point::max()) {}
  std::size_t watched = 0;                      // runs
  std::optional<Clock::time_point> told_since;  // what ended behind it is told; nothing: nothing is told
  Timer gone;                                   // cancelled when nobody watches any more
};

// Where a run is.
struct Workers::Runtime {
  ConversationId id;
  Epoch epoch;
  conversation::Origin origin;
  upstream::Place place;
  Secret session_key;

  Life life() const { return {std::string(id.canonical()), epoch.get()}; }
  nested::Client client() const { return nested::Client(place, session_key.clone()); }
};

Workers::Workers(Executor control, WorkSurroundings around, Listeners listeners)
    : with_(around),
      listeners_(std::move(listeners)),
      tarballs_(control, around.rows, around.settings.tarball_bytes_held_max),
      tasks_(control),
      connections_(tasks_) {}

Workers::~Workers() = default;

void Workers::begin(store::ClaimedRun claimed, Claim how) {
  auto job = std::make_shared<Job>(tasks_.executor(), std::move(claimed), how);
  auto const& settings = with_.settings;
  auto wanted = settings.run_time_default;
  if (job->automation && job->automation->timeout_s) wanted = std::chrono::seconds(*job->automation->timeout_s);
  if (job->own.time_max > 0s) wanted = job->own.time_max;
  job->time_max = std::min(wanted, settings.run_time_max);
  jobs_.insert_or_assign(job->run.id, job);
  tasks_.spawn("automation.run", work(std::move(job)));
}

void Workers::note_settled(RunRow const& run) {
  auto const found = jobs_.find(run.id);
  if (found == jobs_.end()) return;
  auto& job = *found->second;
  job.is_settled = true;
  job.run.clean_up = run.clean_up;
  job.run.status = run.status;
  job.run.error_is_guess = run.error_is_guess;
  job.run.status_detail_json = run.status_detail_json;
  // Another attempt begins where nothing of this one is left.
  if (run.status == RunStatus::pending) job.run.clean_up = CleanUp::stop;
  job.wake.cancel();
  leave_room(job);
  if (job.automation && !job.automation->template_id.empty() && is_terminal(run.status))
    tasks_.spawn("automation.outcome", keep_first_outcome(found->second));
}

Task<> Workers::stop() {
  tasks_.stop();
  [[maybe_unused]] auto joined = co_await tasks_.join();
}

Task<> Workers::work(JobPtr job) {
  co_await live(*job);
  bool const is_cut = co_await is_cancelled();
  auto const mine = jobs_.find(job->run.id);
  if (mine != jobs_.end() && mine->second == job) jobs_.erase(mine);
  if (is_cut) co_return;
  leave_room(*job);
  listeners_.ended();
}

// Others need not wait for what is cleaned up: a runtime that does not answer would keep them waiting for ever.
void Workers::leave_room(Job& job) {
  if (std::exchange(job.takes_room, false)) listeners_.has_left_room(job.run);
}

Task<> Workers::live(Job& job) {
  job.is_settled = is_terminal(job.run.status);  // taken over for what is left to clean up
  if (job.is_settled) leave_room(job);
  auto runtime = co_await reach(job);
  if (!job.is_over()) {
    if (!runtime) {
      co_await fail_dispatch(job, runtime.error());
    } else {
      auto command = co_await command_of(job, *runtime);
      if (command) {
        co_await watch(job, *runtime, std::move(*command));
      } else if (!job.is_over()) {
        co_await fail_dispatch(job, std::move(command).error());
      }
    }
  }
  bool const is_cut = co_await is_cancelled();
  if (is_cut || job.is_lost) co_return;
  Runtime const* const there = runtime ? &*runtime : nullptr;
  co_await clean_up(job, there);
}

// Written again where somebody else changed the automation meanwhile.
Task<> Workers::keep_first_outcome(JobPtr job) {
  for (unsigned tries = 0; tries < outcome_tries_max; ++tries) {
    auto row = co_await with_.rows.find(job->automation->id);
    if (!row || !*row) co_return;
    auto metadata = with_first_run((*row)->preset_metadata_json, job->run, SystemClock::now());
    if (!metadata) co_return;
    (*row)->preset_metadata_json = std::move(*metadata);
    auto kept = co_await with_.rows.replace(std::move(**row));
    if (!kept || *kept) co_return;
  }
}

// False: cut short, or something happened to the run.
Task<bool> Workers::pause(Job& job, Clock::duration time) {
  if (job.is_over()) co_return false;
  job.wake.expires_after(time);
  auto const woken = co_await until_woken(job.wake);
  co_return woken && !job.is_over();
}

Task<> Workers::apply(Job& job, RunEvent event) {
  for (std::uint32_t tries = 1;; ++tries) {
    auto applied = co_await with_.book.apply(job.run.id, job.run.fence, event);
    if (applied || !is_away(applied.error())) {
      job.is_held = applied && applied->effect != Effect::refused;
      // Refused: settled otherwise meanwhile, or another's by now.
      if (!applied || applied->effect == Effect::refused) job.is_lost = !job.is_settled;
      // Settled by another gateway, or by a write of which nobody knew: its task was not told.
      if (applied && applied->effect == Effect::noted && !job.is_settled) note_settled(applied->run);
      co_return;
    }
    auto const waited = co_await pause_for(store_backoff.pause(tries, upstream::random_number()));
    if (!waited) co_return;
  }
}

// False: it is another's by now, or its task is cut short.
Task<bool> Workers::note(Job& job, RunBook::Edit edit) {
  for (std::uint32_t tries = 1;; ++tries) {
    auto noted = co_await with_.book.note(job.run.id, job.run.fence, edit);
    if (noted || !is_away(noted.error())) {
      job.is_held = noted && *noted;
      job.is_lost = !job.is_held;
      co_return job.is_held;
    }
    auto const waited = co_await pause_for(store_backoff.pause(tries, upstream::random_number()));
    if (!waited) co_return false;
  }
}

Task<> Workers::fail_dispatch(Job& job, Failure failure) {
  bool const is_cut = co_await is_cancelled();
  if (is_cut) co_return;
  StatusDetail detail;
  detail.phase = "dispatch";
  detail.kind = kind_of(failure);
  detail.detail = failure.reason;
  detail.transient = is_transient(failure);
  detail.source = "agent_server";
  detail.operation = std::string(failure.fault.where);
  if (failure.status != 0) detail.status_code = static_cast<int>(failure.status);
  DispatchFailed event;
  event.may_have_started = job.may_have_started;
  event.detail = std::move(failure.reason);
  event.status_detail_json = to_json(detail, job.run.status_detail_json, SystemClock::now());
  if (failure.fault.kind == FaultKind::overloaded) event.how = DispatchFailed::How::skipped;
  if (failure.fault.where == unreadable) event.how = DispatchFailed::How::failed_for_good;
  if (is_gone_for_good(failure)) {
    event.how = DispatchFailed::How::failed_for_good;
    co_await disable_automation(job, event.detail);
  }
  co_await apply(job, std::move(event));
}

// Unless it has got another tarball meanwhile, or the run is another's by now.
Task<> Workers::disable_automation(Job const& job, std::string detail) {
  if (!job.automation) co_return;
  auto const run = co_await with_.rows.find_run(job.run.id);
  auto const now = co_await with_.rows.find(job.automation->id);
  bool const is_mine = run && *run && (*run)->fence == job.run.fence;
  bool const is_same = now && *now && (*now)->tarball_path == job.automation->tarball_path;
  if (!is_mine || !is_same) co_return;
  [[maybe_unused]] auto disabled = co_await with_.rows.disable(job.automation->id, "tarball_missing", std::move(detail));
}

Task<Outcome<Workers::Runtime>> Workers::reach(Job& job) {
  auto known = ConversationId::parse(job.run.sandbox_id);
  bool const is_of_earlier = known && job.run.runtime_is_own && job.run.sandbox_id != own_runtime_of(job.run);
  if (is_of_earlier && !job.is_kept()) {
    [[maybe_unused]] auto removed = co_await with_.manager.remove(*known);
  }
  if (known && !is_of_earlier) co_return co_await reach_existing(job, std::move(*known));
  auto target = parse_target(job.run.target).value_or(with_.settings.target);
  if (is_made_for_it(target)) {
    job.run.runtime_is_own = true;  // also one that is half made goes with it
    if (job.is_over()) co_return settled_early();
    if (job.run.is_unreadable) co_return unreadable_wish();
    co_return co_await provision(job);
  }
  NESTGATE_CO_TRY(id, co_await named_runtime(job, target));
  co_return co_await reach_existing(job, std::move(id));
}

Task<Outcome<ConversationId>> Workers::named_runtime(Job& job, Target const& target) {
  if (target.kind == Target::Kind::conversation) {
    auto id = ConversationId::parse(target.name);
    if (!id) co_return fail(FaultKind::not_found, "automation.target", "target: there is no such conversation");
    co_return std::move(*id);
  }
  auto by = principal_of(job.run);
  auto found = with_.manager.find_labelled(by, target.name);
  if (!found && may_use_all(job.run, job.the_automation())) {
    by.role = identity::Role::admin;
    found = with_.manager.find_labelled(by, target.name);
  }
  if (!found)
    co_return fail(FaultKind::not_found, "automation.target",
                   "target: no conversation with the label " + target.name + " is running");
  auto edit = [id = found->text()](RunRow& run) { run.sandbox_id = id; };
  bool const noted = co_await note(job, std::move(edit));
  if (!noted) co_return settled_early();
  co_return *found;
}

Task<Outcome<Workers::Runtime>> Workers::reach_existing(Job& job, ConversationId id) {
  auto const by = Deadline::in(with_.settings.provision_time_max);
  for (;;) {
    auto view = with_.manager.find(id);
    bool const is_hidden = view && job.run.bash_command_id.empty() &&
                           !may_run_in(job.run, job.the_automation(), view->owner, with_.settings.target);
    if (!view || is_hidden) co_return fail(FaultKind::not_found, "automation.target", "the run's runtime is not known");
    bool const is_another_life = job.run.runtime_epoch != 0 && view->origin == conversation::Origin::managed &&
                                 view->epoch.get() != job.run.runtime_epoch && job.how == Claim::taken_over;
    if (is_another_life)
      co_return fail(FaultKind::not_found, "automation.target", "the runtime ended while the run was in it");
    if (view->state == RuntimeState::running)
      co_return Runtime{view->id, view->epoch, view->origin, view->endpoint, std::move(view->session_key)};
    bool const may_come_up = view->state == RuntimeState::starting;
    bool const is_adopted = may_come_up && job.how == Claim::taken_over;  // just now: the run may have begun in it
    if (job.is_over() && job.run.clean_up != CleanUp::nothing && !is_adopted)
      co_return fail(FaultKind::conflict, "automation.target", "the runtime does not run");
    bool const sleeps = view->state == RuntimeState::paused || view->state == RuntimeState::stopped;
    // One whose command is known ran in a life that is over.
    bool const may_wake = job.how == Claim::fresh || (job.run.bash_command_id.empty() && !job.is_over());
    if (sleeps && may_wake) {
      NESTGATE_CO_TRY_VOID(co_await with_.manager.resume(id));
      continue;
    }
    if (!may_come_up || by.passed())
      co_return fail(FaultKind::conflict, "automation.target",
                     "the conversation is " + std::string(to_string(view->state)) + ", expected running");
    auto const changed = co_await with_.manager.wait_change(id, view->version, by);
    if (!changed) co_return changed.error();
  }
}

Task<Outcome<Workers::Runtime>> Workers::provision(Job& job) {
  auto const id = ConversationId::parse(own_runtime_of(job.run));
  auto const by = Deadline::in(with_.settings.provision_time_max);
  schedule::Backoff const backoff{1'000ms, 30'000ms, schedule::Backoff::Jitter::equal};
  for (std::uint32_t tries = 1;; ++tries) {
    auto view = co_await start_runtime(job, *id);
    if (view) {
      auto edit = [id = view->id.text(), epoch = view->epoch.get()](RunRow& run) {
        run.sandbox_id = id;
        run.runtime_epoch = epoch;
        run.runtime_is_own = true;
      };
      bool const noted = co_await note(job, std::move(edit));
      if (!noted) co_return settled_early();
      co_return Runtime{view->id, view->epoch, view->origin, view->endpoint, std::move(view->session_key)};
    }
    auto const wait = backoff.pause(tries, upstream::random_number());
    if (!is_transient(view.error()) || by.passed()) co_return std::move(view).error();
    bool const goes_on = co_await pause(job, wait);
    if (!goes_on) co_return settled_early();
  }
}

Task<Outcome<conversation::View>> Workers::start_runtime(Job& job, ConversationId id) {
  conversation::StartRequest request;
  request.id = std::move(id);
  request.by = principal_of(job.run);
  request.purpose = conversation::Purpose::sandbox;
  NESTGATE_CO_TRY(configuration, co_await configuration_of(with_.store, job.run.owner));
  request.configuration = std::move(configuration);
  NESTGATE_CO_TRY(started, co_await with_.manager.start(std::move(request)));
  co_return std::move(started.view);
}

Task<Outcome<std::string>> Workers::command_of(Job& job, Runtime const& runtime) {
  if (!job.run.bash_command_id.empty()) co_return job.run.bash_command_id;
  auto client = runtime.client();
  if (job.how == Claim::taken_over) {
    // Whoever held it before may have started it: that is looked for until the server answers.
    auto const by = Deadline::at(job.claimed_at + with_.settings.provision_time_max);
    for (;;) {
      with_.stats.start_searches.add();
      auto found = co_await find_start(job, client);
      if (found && *found) {
        bool const noted = co_await note_command(job, runtime, **found);
        if (!noted) co_return settled_early();
        co_return std::move(**found);
      }
      // In the end the guard alone has to do: there is no second start in any case.
      if (found || by.passed()) break;
      bool const goes_on = co_await pause(job, 500ms);
      if (!goes_on) co_return settled_early();
    }
    job.was_sent_again = true;
  }
  co_return co_await dispatch(job, runtime);
}

Task<Outcome<std::string>> Workers::dispatch(Job& job, Runtime const& runtime) {
  if (job.run.is_unreadable) co_return unreadable_wish();
  auto const by = Deadline::at(job.claimed_at + with_.settings.provision_time_max + job.time_max);
  schedule::Backoff const backoff{250ms, 15'000ms, schedule::Backoff::Jitter::equal};
  unsigned refusals = 0, downloads = 0;
  for (std::uint32_t tries = 1;; ++tries) {
    auto command = co_await dispatch_once(job, runtime);
    if (command) {
      auto const took = Clock::now() - job.claimed_at;
      with_.stats.dispatch.observe_us(
          static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
      co_return std::move(*command);
    }
    auto const& failure = command.error();
    if (is_refusal(failure)) ++refusals;
    if (failure.fault.where == failed_download) ++downloads;
    bool const may_help = (is_transient(failure) && downloads < failed_downloads_max) ||
                          (is_refusal(failure) && refusals < refused_uploads_max);
    if (!may_help || by.passed() || job.is_over()) co_return std::move(command).error();
    with_.stats.upload_retries.add();
    job.was_sent_again = true;
    bool const goes_on = co_await pause(job, backoff.pause(tries, upstream::random_number()));
    if (!goes_on) co_return settled_early();
  }
}

Task<Outcome<std::string>> Workers::dispatch_once(Job& job, Runtime const& runtime) {
  bool const is_cut = co_await is_cancelled();  // what is begun behind a stop is told of none
  if (is_cut) co_return settled_early();
  auto client = runtime.client();
  client.use(connections_.to(runtime.life(), runtime.place));
  NESTGATE_CO_TRY_VOID(co_await end_earlier(job, client));
  NESTGATE_CO_TRY_VOID(co_await put_tarball(job, client));
  if (job.is_over()) co_return settled_early();
  auto const token = (*with_.keys).run_token(job.run.id);
  Secret kv;
  if (auto const& secret = with_.settings.kv_secret; secret && job.automation)
    kv = kv_token(*secret, job.run, SystemClock::now());
  std::string base = with_.settings.base_url;
  if (base.empty()) base = job.own.base_url;
  if (base.empty()) base = with_.settings.base_url_default;
  RunSurroundings const around{base, runtime.id.text(), runtime.place, runtime.session_key, token, kv};
  NESTGATE_CO_TRY(folder, co_await make_private_folder(runtime, client));
  job.paths = RunPaths(job.run.id, job.run.attempt, folder);
  auto environment = environment_of(job.run, job.the_automation(), with_.settings, job.paths, around);
  auto const file = environment_file(environment.variables);
  if (!environment.event_file.empty()) {
    auto const& event = environment.event_file;
    NESTGATE_CO_TRY_VOID(co_await client.upload(job.paths.event, event, Deadline::in(with_.settings.upload_time_max)));
  }
  NESTGATE_CO_TRY_VOID(
      co_await client.upload(job.paths.environment, file.reveal(), Deadline::in(with_.settings.upload_time_max)));
  if (job.is_over()) co_return settled_early();
  NESTGATE_CO_TRY(command, co_await start(job, client));
  bool const noted = co_await note_command(job, runtime, command);
  if (!noted) co_return settled_early();
  co_return std::move(command);
}

// Two attempts never run side by side.
Task<Outcome<>> Workers::end_earlier(Job& job, nested::Client& client) {
  if (job.run.attempt == 1 || job.run.runtime_is_own || job.is_earlier_ended) co_return Outcome<>{};
  auto command = stop_command(RunPaths(job.run.id, job.run.attempt - 1));
  NESTGATE_CO_TRY(stopped, co_await client.execute(std::move(command), small_command_max, Deadline::in(small_call_max)));
  if (stopped.exit_code != 0)
    co_return fail(FaultKind::unavailable, "automation.dispatch", "the attempt before it does not end");
  job.is_earlier_ended = true;
  co_return Outcome<>{};
}

// Its path. Once in a runtime's life: later runs pay no round trip for it.
Task<Outcome<std::string>> Workers::make_private_folder(Runtime const& runtime, nested::Client& client) {
  auto const known = private_folders_.find(runtime.life());
  if (known != private_folders_.end()) co_return known->second;
  auto command = private_folder_command(private_folder);
  NESTGATE_CO_TRY(made, co_await client.execute(std::move(command), small_command_max, Deadline::in(small_call_max)));
  auto const code = made.exit_code.value_or(-1);
  if (was_cut_short(code))
    co_return fail(FaultKind::unavailable, "automation.dispatch",
                   "the runtime cut short what makes its private folder (exit code " + std::to_string(code) + ")");
  auto folder = code == 0 ? parse_private_folder(made.standard_output) : std::nullopt;
  if (!folder)
    co_return fail(FaultKind::conflict, "automation.dispatch",
                   "The runtime has no private folder for the run's environment: " + std::string(private_folder) +
                       " cannot be made, or is another user's (exit code " + std::to_string(code) + ")");
  if (private_folders_.size() >= private_folders_remembered_max) private_folders_.clear();
  private_folders_.emplace(runtime.life(), *folder);
  co_return *std::move(folder);
}

Task<Outcome<>> Workers::put_tarball(Job& job, nested::Client& client) {
  std::string const path = job.automation ? job.automation->tarball_path : std::string(internal_upload) + job.own.upload_id;
  if (path.starts_with("https://")) co_return co_await fetch_tarball(job, client);
  if (!path.starts_with(internal_upload))
    co_return fail(FaultKind::bad_input, "automation.fetch", "Unsupported tarball_path: '" + path + "'");
  NESTGATE_CO_TRY(bytes, co_await tarballs_.bytes_of(path.substr(internal_upload.size())));
  if (!bytes)
    co_return fail(FaultKind::not_found, gone_for_good, "Tarball not found (underlying upload may have been deleted)");
  co_return co_await client.upload(job.paths.tarball, *bytes, Deadline::in(with_.settings.upload_time_max));
}

Task<Outcome<>> Workers::fetch_tarball(Job& job, nested::Client& client) {
  auto const& settings = with_.settings;
  auto const time_max = settings.download_time_max + 30s;
  auto command = fetch_command(job.paths, job.automation->tarball_path, settings.download_bytes_max,
                               static_cast<std::uint32_t>(settings.download_time_max.count()));
  NESTGATE_CO_TRY(output, co_await client.execute(std::move(command), time_max, Deadline::in(time_max + 30s)));
  auto const code = output.exit_code.value_or(-1);
  if (code == 0) co_return Outcome<>{};
  if (code == 63)
    co_return fail(FaultKind::bad_input, "automation.fetch",
                   "Tarball exceeds size limit (" + std::to_string(settings.download_bytes_max / (1024 * 1024)) + " MB)");
  auto reason = "Failed to download tarball (exit=" + std::to_string(code) + "): " + tail_of(output.standard_error, 500);
  auto const said = output.standard_error.find("returned error: 4");
  bool const is_for_good = code == 22 && said != std::string::npos &&
                           output.standard_error.compare(said + 16, 3, "408") != 0 &&
                           output.standard_error.compare(said + 16, 3, "429") != 0;
  if (is_for_good) co_return fail(FaultKind::not_found, gone_for_good, std::move(reason));
  auto const kind = may_download_later(code) ? FaultKind::upstream : FaultKind::bad_input;
  co_return fail(kind, failed_download, std::move(reason));
}

// Not idempotent: after an answer that did not come its command is looked for. One that is sent again cannot start twice.
Task<Outcome<std::string>> Workers::start(Job& job, nested::Client& client) {
  RunScript script;
  script.workspace_base = with_.settings.workspace_base;
  script.entrypoint = job.own.entrypoint;
  script.setup_script = job.own.setup_script;
  if (job.automation) script.entrypoint = job.automation->entrypoint;
  auto command = start_command(job.paths, job.run.fence, script);
  ++job.starts_open;
  auto started = co_await client.start(std::move(command), job.time_max, Deadline::in(with_.settings.start_time_max));
  if (started || is_refusal(started.error())) {
    --job.starts_open;
    co_return started;
  }
  job.may_have_started = true;
  auto const by = Deadline::in(with_.settings.start_time_max * 2);
  while (!by.passed()) {
    with_.stats.start_searches.add();
    auto found = co_await find_start(job, client);
    if (found && *found) {
      --job.starts_open;
      co_return std::move(**found);
    }
    bool const goes_on = co_await pause(job, 500ms);
    if (!goes_on) co_return settled_early();
  }
  with_.stats.starts_resent.add();
  co_return started;
}

// The start that got through the guard: the one that did not end as started_before.
Task<Outcome<std::optional<std::string>>> Workers::find_start(Job& job, nested::Client& client) {
  NESTGATE_CO_TRY(commands, co_await client.find_commands(job.paths.guard, Deadline::in(small_call_max)));
  for (auto const& command : commands) {
    if (!fence_of(job.paths, command.text)) continue;
    NESTGATE_CO_TRY(output, co_await client.newest_output(command.id, Deadline::in(small_call_max)));
    bool const was_turned_away = output && output->exit_code == started_before;
    if (!was_turned_away) co_return std::optional(command.id);
  }
  co_return std::optional<std::string>();
}

Task<bool> Workers::note_command(Job& job, Runtime const& runtime, std::string command_id) {
  auto const timeout_at = SystemClock::now() + job.time_max + with_.settings.report_margin;
  auto edit = [command_id, timeout_at, id = runtime.id.text(), epoch = runtime.epoch.get()](RunRow& run) {
    run.sandbox_id = id;
    run.runtime_epoch = epoch;
    run.bash_command_id = command_id;
    run.timeout_at = timeout_at;
  };
  job.run.bash_command_id = std::move(command_id);
  co_return co_await note(job, std::move(edit));
}

std::optional<std::string> Workers::why_lost(Runtime const& runtime) const {
  auto const state = with_.manager.state_of(runtime.id, runtime.epoch);
  if (state == RuntimeState::running || state == RuntimeState::paused) return std::nullopt;
  if (state == RuntimeState::stopping || state == RuntimeState::stopped)
    return "the conversation was stopped while the run was in it";
  return "the runtime ended while the run was in it";
}

Workers::Followed& Workers::join(Runtime const& runtime) {
  auto const [at, is_new] = followed_.try_emplace(runtime.life(), tasks_.executor());
  ++at->second.watched;
  if (is_new) tasks_.spawn("automation.follow", follow(runtime.life(), runtime.place, runtime.session_key.clone()));
  return at->second;
}

void Workers::leave(Runtime const& runtime) {
  auto const at = followed_.find(runtime.life());
  if (at != followed_.end() && --at->second.watched == 0) at->second.gone.cancel();
}

// A wake-up only: what it misses the next look finds.
Task<> Workers::follow(Life life, upstream::Place place, Secret session_key) {
  auto const at = followed_.find(life);
  auto& followed = at->second;
  schedule::Backoff const backoff{500ms, 30'000ms, schedule::Backoff::Jitter::equal};
  nested::BashEventListeners listeners;
  listeners.open = [&followed] { followed.told_since = Clock::now(); };
  listeners.ended = [this, &life](std::string_view command_id) {
    auto const job = by_command_.find({life, std::string(command_id)});
    if (job != by_command_.end()) look_soon(*job->second, Clock::now());
  };
  for (std::uint32_t failures = 1; followed.watched > 0; ++failures) {
    auto ended = co_await unless_tripped(followed.gone, nested::follow_bash_events(place, session_key.clone(), listeners));
    if (std::exchange(followed.told_since, std::nullopt)) {
      failures = 1;
      look_at_all(life);
    }
    bool const is_cut = co_await is_cancelled();
    if (is_cut || followed.watched == 0) break;
    followed.gone.expires_after(backoff.pause(failures, upstream::random_number()));
    auto const woken = co_await until_woken(followed.gone);
    if (!woken) break;
    followed.gone.expires_at(Clock::time_point::max());
  }
  followed_.erase(at);
}

void Workers::look_soon(Job& job, Clock::time_point at) {
  job.look_at = std::min(job.look_at, at);
  job.wake.cancel();
}

// Nobody tells any more what ends in that runtime: each of its runs is looked at, one behind the other.
void Workers::look_at_all(Life const& life) {
  auto at = Clock::now();
  for (auto job = by_command_.lower_bound({life, {}}); job != by_command_.end() && job->first.first == life; ++job)
    look_soon(*job->second, at += looks_apart_min);
}

// Where many run in one runtime, each is looked at more rarely.
Clock::duration Workers::pause_between_looks(Followed const& followed, Clock::time_point look_began) const {
  Clock::duration const interval = with_.settings.watch_interval;
  bool const is_told = followed.told_since && *followed.told_since < look_began;
  return std::max(is_told ? interval * looks_saved : interval, looks_apart_min * static_cast<int>(followed.watched));
}

// Until the command's exit code is known, or the run is out of its time, or its runtime is gone.
Task<> Workers::watch(Job& job, Runtime const& runtime, std::string command_id) {
  bool const is_cut = co_await is_cancelled();  // what is begun behind a stop is told of none
  if (is_cut) co_return;
  auto const& followed = join(runtime);
  by_command_.insert_or_assign({runtime.life(), command_id}, &job);
  co_await watch_to_the_end(job, runtime, followed, command_id);
  by_command_.erase({runtime.life(), command_id});
  leave(runtime);
}

Task<> Workers::watch_to_the_end(Job& job, Runtime const& runtime, Followed const& followed, std::string& command_id) {
  auto const& settings = with_.settings;
  auto left = std::chrono::duration_cast<Clock::duration>(job.time_max + settings.report_margin);
  if (job.run.timeout_at) left = std::chrono::duration_cast<Clock::duration>(*job.run.timeout_at - SystemClock::now());
  // A server that answers is believed at the deadline, one that does not gets a grace.
  auto give_up = Deadline::in(left);
  auto give_up_unasked = Deadline::in(left + settings.hard_grace);
  bool lingers = false;
  for (;;) {
    if (auto why = why_lost(runtime)) {
      GivenUp event{std::move(*why), "environment_unavailable"};
      if (!job.is_over()) co_await apply(job, std::move(event));
      co_return;
    }
    job.look_at = Clock::time_point::max();
    auto const look_began = Clock::now();
    auto const seen = co_await look(job, runtime, command_id);
    bool const is_cut = co_await is_cancelled();
    if (seen == Seen::ended || is_cut || job.is_lost) co_return;
    if (job.is_settled && job.run.clean_up == CleanUp::stop) co_return;
    if (job.is_settled && !std::exchange(lingers, true)) give_up = give_up_unasked = give_up.capped(linger_max);
    bool const is_time_over = seen == Seen::goes_on ? give_up.passed() : give_up_unasked.passed();
    if (is_time_over) {
      GivenUp event{"No bash output found", "timeout"};
      if (!job.is_over()) co_await apply(job, std::move(event));
      co_return;
    }
    job.look_at = std::min(job.look_at, Clock::now() + pause_between_looks(followed, look_began));
    if (!give_up.passed()) job.look_at = std::min(job.look_at, give_up.at());
    co_await wait_for_look(job);
  }
}

// Until it is time, or something happened to the run.
Task<> Workers::wait_for_look(Job& job) {
  bool const was_settled = job.is_settled;
  while (job.is_settled == was_settled && Clock::now() < job.look_at) {
    job.wake.expires_at(job.look_at);
    auto const woken = co_await until_woken(job.wake);
    if (!woken) co_return;
  }
}

// How what an ended command said ends: all outputs before the newest may belong to it.
Task<Outcome<nested::OutputTail>> Workers::output_tail_of(nested::Client& client, std::string const& command_id,
                                                          nested::CommandOutput newest) {
  std::size_t const bytes = with_.settings.output_tail_bytes;
  if (newest.order > 0 && bytes > 0) co_return co_await client.output_tail(command_id, bytes, Deadline::in(small_call_max));
  co_return nested::OutputTail{tail_of(newest.standard_output, bytes), tail_of(newest.standard_error, bytes)};
}

// Whether the command has ended. A search that fails says nothing of the run: it is asked again until the time is over.
Task<Workers::Seen> Workers::look(Job& job, Runtime const& runtime, std::string& command_id) {
  auto client = runtime.client();
  auto found = co_await client.newest_output(command_id, Deadline::in(small_call_max));
  // A refusal is an answer, too: it knows nothing of the command.
  if (!found && is_refusal(found.error())) co_return Seen::goes_on;
  if (!found) co_return Seen::nothing;
  if (!*found || !(*found)->exit_code) co_return Seen::goes_on;
  auto& output = **found;
  if (*output.exit_code == started_before) {
    auto other = co_await find_start(job, client);
    // Without that answer nobody knows whether it is the script's own exit code.
    if (!other && is_refusal(other.error())) co_return Seen::goes_on;
    if (!other) co_return Seen::nothing;
    if (*other && **other != command_id) {
      by_command_.erase({runtime.life(), command_id});
      command_id = std::move(**other);
      by_command_.insert_or_assign({runtime.life(), command_id}, &job);
      [[maybe_unused]] bool const noted = co_await note_command(job, runtime, command_id);
      co_return Seen::goes_on;
    }
  }
  auto const exit_code = *output.exit_code;
  auto tail = co_await output_tail_of(client, command_id, std::move(output));
  if (!tail) co_return Seen::nothing;
  CommandEnded event{exit_code, std::move(tail->standard_output), std::move(tail->standard_error)};
  event.leaves_files = job.was_sent_again;
  co_await apply(job, std::move(event));
  co_return Seen::ended;
}

Task<> Workers::clean_up(Job& job, Runtime const* runtime) {
  bool done = true;
  if (job.run.clean_up == CleanUp::stop && runtime != nullptr) {
    done = co_await insist(*runtime, stop_command(job.paths));
  } else if (job.was_sent_again && runtime != nullptr) {
    done = co_await insist(*runtime, tidy_command(job.paths) + " || true");
  }
  bool const goes_with_it = job.run.runtime_is_own && !job.is_kept();
  if (goes_with_it) {
    auto const id = ConversationId::parse(own_runtime_of(job.run));
    auto removed = co_await with_.manager.remove(*id);
    done = removed || removed.error().fault.kind == FaultKind::not_found;
  }
  bool const is_cut = co_await is_cancelled();
  if (is_cut || !done) co_return;
  if (job.run.clean_up != CleanUp::nothing) {
    auto edit = [](RunRow& run) { run.clean_up = CleanUp::nothing; };
    [[maybe_unused]] bool const noted = co_await note(job, std::move(edit));
    bool const is_cut_now = co_await is_cancelled();
    if (is_cut_now) co_return;
  }
  // Nobody but this task ever sent a start of it, and all of them have come.
  bool const is_spent = job.how == Claim::fresh && job.starts_open == 0 && job.is_held;
  if (is_spent && runtime != nullptr && !goes_with_it) forget_soon(*runtime, job.paths.guard);
}

void Workers::forget_soon(Runtime const& runtime, std::string guard) {
  auto const [at, is_first] = spent_guards_.try_emplace(runtime.life());
  at->second.push_back(std::move(guard));
  if (is_first) tasks_.spawn("automation.guards", forget_guards(runtime.life(), runtime.place, runtime.session_key.clone()));
}

// What does not go now goes with those that are too old.
Task<> Workers::forget_guards(Life life, upstream::Place place, Secret session_key) {
  auto const waited = co_await pause_for(with_.settings.guards_gathered_for);
  auto guards = std::move(spent_guards_.extract(life).mapped());
  if (!waited) co_return;
  nested::Client client(place, std::move(session_key));
  while (!guards.empty()) {
    auto const count = std::min(guards.size(), forgotten_at_once_max);
    auto const end = guards.end() - static_cast<std::ptrdiff_t>(count);
    std::vector<std::string> some(std::make_move_iterator(end), std::make_move_iterator(guards.end()));
    guards.erase(end, guards.end());
    auto forgotten = co_await client.execute(forget_command(some), small_command_max, Deadline::in(small_call_max));
    if (!forgotten) co_return;
  }
}

// Until the command said that it is done, or the runtime is gone with all that was in it. False: cut short.
Task<bool> Workers::insist(Runtime const& runtime, std::string command) {
  schedule::Backoff const backoff{250ms, 15'000ms, schedule::Backoff::Jitter::equal};
  auto client = runtime.client();
  for (std::uint32_t tries = 1; !why_lost(runtime); ++tries) {
    auto done = co_await client.execute(command, small_command_max, Deadline::in(small_call_max));
    if (done && done->exit_code == 0) co_return true;
    auto waited = co_await pause_for(backoff.pause(tries, upstream::random_number()));
    if (!waited) co_return false;
  }
  co_return true;
}

}  // namespace nestgate::automation
