#include "nestgate/automation/service.hpp"

#include <algorithm>

#include "command_chain.hpp"
#include "deliveries.hpp"
#include "nestgate/base/text.hpp"
#include "nestgate/codec/json_writer.hpp"
#include "nestgate/upstream/random.hpp"
#include "run_edit.hpp"
#include "run_request.hpp"

namespace nestgate::automation {
namespace {

using namespace std::chrono_literals;
using upstream::fail;
using SystemClock = std::chrono::system_clock;

constexpr std::chrono::seconds small_command_max = 30s;
constexpr Clock::duration small_call_max = 60s;   // a busy agent server takes its time
constexpr Clock::duration closing_time_max = 2s;  // beyond its deadline, for what a stop has to say and to clean up
constexpr Clock::duration linger_max = 30s;       // for the exit code of a command whose script has reported
constexpr unsigned upload_tries_max = 3;

Failure settled_early() { return fail(FaultKind::conflict, "automation.start", "the run was settled before it started"); }

std::string tail_of(std::string const& text, std::size_t bytes) {
  return text.substr(text.size() - std::min(text.size(), bytes));
}

std::string event_payload() {
  std::string out;
  codec::JsonWriter w(out);
  w.begin_object().member("trigger", "manual").key("trigger_payload").begin_object().end_object().end_object();
  return out;
}

bool is_worth_another_try(Fault const& fault) {
  return fault.kind == FaultKind::upstream || fault.kind == FaultKind::timed_out;
}

}  // namespace

// What a run's task needs and the store does not keep.
struct Service::Job {
  Job(Executor executor, std::string id, ConversationId c)
      : run_id(std::move(id)), conversation(std::move(c)), wake(executor) {}
  std::string run_id;
  ConversationId conversation;
  Epoch epoch{0};
  upstream::Place endpoint;
  Secret session_key;
  std::string tarball;
  std::string setup_script;
  std::string entrypoint;
  Secret environment;
  std::chrono::seconds time_max{0};
  std::string command_id;
  Timer wake;  // cancelled when the script has reported, so that its end is looked at soon
  bool is_settled = false;
};

Service::Service(Executor control, conversation::Manager& manager, std::unique_ptr<RunStore> store, Settings settings)
    : manager_(manager),
      store_(std::move(store)),
      settings_(std::move(settings)),
      deliveries_(std::make_unique<Deliveries>(control, *store_, settings_, stats_)),
      tasks_(control) {}

Service::~Service() = default;

Task<Outcome<Run>> Service::submit(RunRequest request) {
  if (is_closing_) co_return fail(FaultKind::unavailable, "automation.submit", "the gateway is shutting down");
  if (auto why = why_refused(request, settings_)) co_return std::move(*why);
  auto const runtime = manager_.find(*request.conversation);
  if (!runtime || !request.by.may_use(runtime->owner))
    co_return fail(FaultKind::not_found, "automation.submit", "conversation_id: there is no such conversation");
  if (runtime->state != conversation::RuntimeState::running)
    co_return fail(FaultKind::conflict, "automation.submit",
                   "conversation_id: the conversation is " + std::string(to_string(runtime->state)) + ", expected running");

  auto const bytes = request.tarball.size();
  bool const is_too_much = tarball_bytes_held_ + bytes > settings_.tarball_bytes_held_max;
  if (is_too_much && tarball_bytes_held_ != 0)
    co_return fail(FaultKind::overloaded, "automation.submit",
                   "tarballs of " + std::to_string(tarball_bytes_held_) +
                       " bytes are on their way already (automation.tarball_bytes_held_max)");

  Secret const token = upstream::random_token(32);
  Run run(dashed_uuid(upstream::random_uuid_hex()), runtime->id);
  run.owner = request.by.owner;
  run.entrypoint = request.entrypoint;
  run.callback_url = request.callback_url;
  run.token_hash = identity::hash_api_key(token.reveal());
  run.created_at = SystemClock::now();

  auto job = std::make_shared<Job>(tasks_.executor(), run.id, runtime->id);
  job->epoch = runtime->epoch;
  job->endpoint = runtime->endpoint;
  job->session_key = runtime->session_key.clone();
  job->environment = environment_for(request, run, token, *runtime);
  job->tarball = std::move(request.tarball);
  job->setup_script = std::move(request.setup_script);
  job->entrypoint = std::move(request.entrypoint);
  job->time_max = std::chrono::seconds(request.time_max_s.value_or(settings_.run_time_default.count()));

  tarball_bytes_held_ += bytes;
  if (auto kept = co_await store_->insert(run); !kept) {
    release_tarball(*job);
    co_return fail(
        kept.error().kind, kept.error().where,
        "all " + std::to_string(settings_.runs_in_flight_max) + " runs are in use (automation.runs_in_flight_max)");
  }
  stats_.submitted.add();
  stats_.in_flight.add();
  jobs_.emplace(run.id, job);
  tasks_.spawn("automation.run", Service::run(std::move(job)));
  co_return std::move(run);
}

Secret Service::environment_for(RunRequest const& request, Run const& run, Secret const& token,
                                conversation::View const& runtime) const {
  std::string const base = settings_.base_url.empty() ? request.base_url : settings_.base_url;
  std::vector<std::pair<std::string, Secret>> variables;
  auto const set = [&variables](std::string name, std::string value) {
    variables.emplace_back(std::move(name), Secret(std::move(value)));
  };
  set("SANDBOX_ID", runtime.id.text());
  variables.emplace_back("SESSION_API_KEY", runtime.session_key.clone());
  set("AGENT_SERVER_URL", upstream::url_of(runtime.endpoint).text());
  set("AGENT_SERVER_PORT", std::to_string(runtime.endpoint.port()));
  set("AUTOMATION_CALLBACK_URL", base + "/v1/runs/" + run.id + "/complete");
  variables.emplace_back("AUTOMATION_CALLBACK_API_KEY", token.clone());
  set("AUTOMATION_RUN_ID", run.id);
  set("AUTOMATION_API_URL", base);
  set("AUTOMATION_EVENT_PAYLOAD", event_payload());
  for (auto const& [name, value] : request.environment) variables.emplace_back(name, value.clone());
  return environment_file(variables);
}

Task<> Service::run(std::shared_ptr<Job> job) {
  auto claimed = co_await apply(job->run_id, Claimed{});
  if (claimed && claimed->effect == Effect::moved) {
    nested::Client client(job->endpoint, job->session_key.clone());
    auto dispatched = co_await dispatch(*job, client);
    release_tarball(*job);
    job->environment = Secret();
    if (dispatched) {
      co_await watch(*job, client);
    } else {
      DispatchFailed event{"dispatch: " + dispatched.error().reason};
      [[maybe_unused]] auto told = co_await apply(job->run_id, std::move(event));
      std::string clean_up = remove_folder_command(RunPaths(job->run_id));
      auto const by = Deadline::in(is_stopping_ ? closing_time_max : small_call_max);
      [[maybe_unused]] auto cleaned = co_await client.execute(std::move(clean_up), small_command_max, by);
    }
  }
  release_tarball(*job);
  jobs_.erase(job->run_id);
}

void Service::release_tarball(Job& job) {
  tarball_bytes_held_ -= job.tarball.size();
  std::string().swap(job.tarball);  // an assignment would keep the memory
}

Task<Outcome<>> Service::dispatch(Job& job, nested::Client& client) {
  RunPaths const paths(job.run_id);
  NESTGATE_CO_TRY(made,
                  co_await client.execute(make_folder_command(paths), small_command_max, Deadline::in(small_call_max)));
  if (made.exit_code != 0)
    co_return fail(FaultKind::upstream, "automation.folder", "the run's folder cannot be made in the runtime");
  NESTGATE_CO_TRY_VOID(co_await upload(job, client, paths.tarball, job.tarball));
  NESTGATE_CO_TRY_VOID(co_await upload(job, client, paths.environment, job.environment.reveal()));
  if (job.is_settled) co_return settled_early();

  std::string command = run_command(paths, job.setup_script, job.entrypoint);
  NESTGATE_CO_TRY(command_id, co_await client.start(std::move(command), job.time_max, Deadline::in(small_call_max)));
  job.command_id = command_id;
  auto const timeout_at = SystemClock::now() + job.time_max + settings_.report_margin;
  auto note = [command_id, timeout_at](Run& run) {
    run.bash_command_id = command_id;
    run.timeout_at = timeout_at;
  };
  NESTGATE_CO_TRY_VOID(co_await edit_run(*store_, job.run_id, std::move(note)));
  co_return Outcome<>{};
}

// An upload overwrites, so it may be tried again.
Task<Outcome<>> Service::upload(Job& job, nested::Client& client, std::string path, std::string_view bytes) {
  Clock::duration pause = 250ms;
  for (unsigned tries = 1;; ++tries, pause *= 4) {
    if (job.is_settled) co_return settled_early();
    auto done = co_await client.upload(path, bytes, Deadline::in(settings_.upload_time_max));
    if (done || tries == upload_tries_max || !is_worth_another_try(done.error().fault)) co_return done;
    auto waited = co_await pause_for(pause);
    if (!waited) co_return upstream::failed("upload", waited.error());
  }
}

// Until the command's exit code is known, or the run is out of its time, or its runtime is gone.
Task<> Service::watch(Job& job, nested::Client& client) {
  auto give_up = Deadline::in(job.time_max + settings_.report_margin);
  bool lingers = false;
  for (;;) {
    bool const was_cut = co_await is_cancelled();  // in the search: the wait below would not be told
    if (was_cut) co_return;
    job.wake.expires_after(settings_.watch_interval);
    [[maybe_unused]] auto [woken] = co_await job.wake.async_wait(no_throw);
    bool const is_cut = co_await is_cancelled();
    if (is_cut) co_return;
    if (auto why = why_lost(job)) {
      GivenUp event{std::move(*why)};
      [[maybe_unused]] auto told = co_await apply(job.run_id, std::move(event));
      co_return;
    }
    auto found = co_await client.newest_output(job.command_id, Deadline::in(small_call_max));
    // A search that fails says nothing of the run: it is asked again until the time is over.
    if (found && *found && (*found)->exit_code) {
      auto& output = **found;
      CommandEnded event{*output.exit_code, tail_of(output.standard_output, settings_.output_tail_bytes),
                         tail_of(output.standard_error, settings_.output_tail_bytes)};
      [[maybe_unused]] auto told = co_await apply(job.run_id, std::move(event));
      co_return;
    }
    if (job.is_settled && !std::exchange(lingers, true)) give_up = give_up.capped(linger_max);
    if (give_up.passed()) {
      GivenUp event{std::string(timed_out_prefix) + "the command did not end"};
      if (!job.is_settled) [[maybe_unused]]
        auto told = co_await apply(job.run_id, std::move(event));
      co_return;
    }
  }
}

std::optional<std::string> Service::why_lost(Job const& job) const {
  using conversation::RuntimeState;
  auto const state = manager_.state_of(job.conversation, job.epoch);
  if (state == RuntimeState::running) return std::nullopt;
  if (state == RuntimeState::stopping || state == RuntimeState::stopped)
    return "the conversation was stopped while the run was in it";
  return "the runtime ended while the run was in it";
}

Task<Outcome<Run>> Service::report(std::string run_id, Report report, Reporter by) {
  auto found = co_await store_->find(run_id);
  if (!found) co_return upstream::failed("run", found.error());
  auto const& known = *found;
  if (by.principal) {
    if (!known || !by.principal->may_use(known->owner)) co_return unknown_run();
  } else {
    // Hashes are compared, so time tells nothing of the token; an unknown run and a wrong token look alike.
    bool const is_its_script = known && identity::hash_api_key(by.token.reveal()) == known->token_hash;
    if (!is_its_script) co_return fail(FaultKind::unauthorized, "automation.report", "Not this run's token");
  }
  RunEvent event = ReportedCompleted{};
  if (report.status == RunStatus::failed)
    event =
        ReportedFailed{report.error.empty() ? std::string("Completion callback reported failure") : std::move(report.error)};
  NESTGATE_CO_TRY(changed, co_await apply(std::move(run_id), std::move(event), std::move(report)));
  if (changed.effect == Effect::refused)
    co_return fail(FaultKind::conflict, "automation.report",
                   "Run is " + std::string(to_string(changed.run.status)) + ", expected RUNNING");
  co_return std::move(changed.run);
}

Task<Outcome<Service::Changed>> Service::apply(std::string id, RunEvent event, std::optional<Report> report) {
  for (;;) {
    auto found = co_await store_->find(id);
    if (!found) co_return upstream::failed("run", found.error());
    if (!*found) co_return unknown_run();
    Run run = std::move(**found);
    Step step = judge(run, event);
    run.status = step.status;
    run.error_detail = std::move(step.error_detail);
    run.error_is_guess = step.error_is_guess;
    if (step.effect == Effect::moved) run.started_at = SystemClock::now();
    if (step.effect == Effect::settled || step.effect == Effect::corrected) run.completed_at = SystemClock::now();
    if (auto const* end = std::get_if<CommandEnded>(&event)) {
      run.exit_code = end->exit_code;
      run.output_tail = end->output_tail;
      run.error_tail = end->error_tail;
    }
    if (report && step.effect != Effect::refused) {
      if (!report->conversation_id.empty()) run.reported_conversation_id = report->conversation_id;
      if (report->cost) run.cost = report->cost;
    }
    auto written = co_await store_->replace(run);
    if (!written) co_return upstream::failed("run", written.error());
    if (!*written) continue;  // somebody else was first: judge anew
    ++run.version;
    Changed changed{step.effect, std::move(run)};
    after(changed);
    co_return std::move(changed);
  }
}

void Service::after(Changed const& changed) {
  if (changed.effect != Effect::settled && changed.effect != Effect::corrected) return;
  if (changed.effect == Effect::settled) stats_.in_flight.sub();
  (changed.run.status == RunStatus::completed ? stats_.completed : stats_.failed).add();
  if (auto const job = jobs_.find(changed.run.id); job != jobs_.end()) {
    job->second->is_settled = true;
    job->second->wake.cancel();
  }
  if (!changed.run.callback_url.empty()) deliveries_->tell(changed.run);
}

Task<Outcome<Run>> Service::find(std::string run_id, identity::Principal by) {
  auto found = co_await store_->find(std::move(run_id));
  if (!found) co_return upstream::failed("run", found.error());
  if (!*found || !by.may_use((*found)->owner)) co_return unknown_run();
  co_return std::move(**found);
}

Task<Outcome<RunPage>> Service::list(identity::Principal by, std::size_t limit, std::size_t offset) {
  auto page = co_await store_->list(std::move(by), limit, offset);
  if (!page) co_return upstream::failed("runs", page.error());
  co_return std::move(*page);
}

void Service::begin_closing() { is_closing_ = true; }

Task<> Service::stop(Deadline by) {
  begin_closing();
  [[maybe_unused]] auto in_time = co_await with_deadline(by, tasks_.join());
  auto const last = Deadline::in(closing_time_max);
  is_stopping_ = true;
  std::vector<std::string> left;
  left.reserve(jobs_.size());
  for (auto const& [id, job] : jobs_) left.push_back(id);
  for (auto& id : left) {
    GivenUp event{"the gateway was shut down"};
    [[maybe_unused]] auto told = co_await apply(std::move(id), std::move(event));
  }
  deliveries_->begin_closing();
  tasks_.stop();
  [[maybe_unused]] auto joined = co_await tasks_.join();
  co_await deliveries_->stop(last);
}

}  // namespace nestgate::automation
