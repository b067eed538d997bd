#include "nestgate/automation/service.hpp"

#include "dispatcher.hpp"
#include "nestgate/automation/completion.hpp"
#include "own_run.hpp"
#include "planner.hpp"
#include "poster.hpp"
#include "run_output.hpp"
#include "run_request.hpp"
#include "workers.hpp"

namespace nestgate::automation {
namespace {

using store::AutomationRow;
using store::AutomationStore;
using store::RunRow;
using upstream::fail;
using SystemClock = std::chrono::system_clock;

constexpr std::size_t worker_threads = 2;
constexpr std::size_t purged_at_once = 500;
constexpr Clock::duration purge_pause_min = std::chrono::milliseconds(100);
constexpr Clock::duration purge_interval = std::chrono::minutes(10);

Failure unknown_run() { return fail(FaultKind::not_found, "automation.find", "Run not found"); }
Failure closing() { return fail(FaultKind::unavailable, "automation.submit", "the gateway is shutting down"); }

// All but what triggered it. Pure.
RunRow run_of(AutomationRow const& automation, Target const& target, std::string id, store::Time now) {
  RunRow run;
  run.id = std::move(id);
  run.automation_id = automation.id;
  run.tenant = automation.tenant;
  run.owner = automation.owner;
  run.organisation = automation.organisation;
  apply(parse_policy(automation.policy_json), target, run);
  run.created_at = now;
  return run;
}

}  // namespace

struct Service::StoreAnswer {
  explicit StoreAnswer(Executor executor) : come(executor, Clock::time_point::max()) {}
  std::optional<bool> is_good;
  Timer come;  // cancelled when it has
};

struct Service::Parts {
  Parts(Executor control, conversation::Manager& m, store::Store& store, std::string name,
        std::shared_ptr<identity::KeyRing const> k, Settings s)
      : manager(m),
        rows(store.automations()),
        keys(std::move(k)),
        settings(std::move(s)),
        book(rows, stats),
        workers(control, WorkSurroundings{store, rows, manager, book, settings, stats, keys},
                Workers::Listeners{[this](RunRow const& run) { dispatcher.note_ended(run); },
                                   [this] { stats.in_flight.sub(); }}),
        dispatcher(control, Dispatcher::With{rows, settings, stats, name},
                   Dispatcher::Listeners{
                       [this](store::ClaimedRun claimed, bool is_taken_over) { begin(std::move(claimed), is_taken_over); },
                       [this](RunRow const& run) { workers.note_settled(run); }}),
        planner(control, Planner::With{rows, settings, stats},
                Planner::Listeners{[this](RunRow const& run) { dispatcher.put(run); },
                                   [this](std::string const& id) { note_cancelled(id); }}),
        poster(control, Poster::With{rows, settings, stats, std::move(name)}),
        tasks(control) {
    book.listen({[this](RunRow const& run) { workers.note_settled(run); },
                 [this](RunRow const& run) {
                   workers.note_settled(run);
                   dispatcher.put(run);
                 },
                 [this] { poster.wake(); }});
  }

  void begin(store::ClaimedRun claimed, bool is_taken_over) {
    stats.in_flight.add();
    workers.begin(std::move(claimed), is_taken_over ? Workers::Claim::taken_over : Workers::Claim::fresh);
  }
  // By an overlap policy, in the transaction that made its successor.
  void note_cancelled(std::string const& id) {
    RunRow run;
    run.id = id;
    run.status = RunStatus::cancelled;
    run.clean_up = store::CleanUp::stop;
    workers.note_settled(run);
    poster.wake();
  }
  Task<> purge_loop();
  Task<> ask_store(std::shared_ptr<StoreAnswer> answer);
  // Its schedule begins now, unless it is the one that it had.
  void plan(AutomationRow& row);

  conversation::Manager& manager;
  AutomationStore& rows;
  std::shared_ptr<identity::KeyRing const> keys;
  Settings settings;
  Stats stats;
  bool is_closing = false;
  RunBook book;
  Workers workers;
  Dispatcher dispatcher;
  Planner planner;
  Poster poster;
  std::shared_ptr<StoreAnswer> store_answer;  // that is waited for
  TaskGroup tasks;
  asio::thread_pool pool{worker_threads};
};

Service::Service(Executor control, conversation::Manager& manager, store::Store& store, std::string gateway,
                 std::shared_ptr<identity::KeyRing const> keys, Settings settings)
    : parts_(std::make_unique<Parts>(control, manager, store, std::move(gateway), std::move(keys), std::move(settings))) {}

Service::~Service() = default;

AutomationStore& Service::rows() noexcept { return parts_->rows; }
schedule::Zones& Service::zones() noexcept { return parts_->planner.zones(); }
Settings const& Service::settings() const noexcept { return parts_->settings; }
Stats const& Service::stats() const noexcept { return parts_->stats; }
asio::thread_pool& Service::workers() noexcept { return parts_->pool; }

void Service::use_own_address(std::string base_url) {
  auto& known = parts_->settings.base_url_default;
  if (known.empty()) known = std::move(base_url);
}

void Service::start() {
  parts_->dispatcher.start();
  parts_->planner.start();
  parts_->poster.start();
  parts_->tasks.spawn("automation.purge", parts_->purge_loop());
}

// A few at a time, so that nothing waits for it.
Task<> Service::Parts::purge_loop() {
  for (;;) {
    auto const removed = co_await rows.purge(SystemClock::now() - settings.runs_kept_for, purged_at_once);
    bool const is_more = removed && *removed >= purged_at_once;
    auto const pause = is_more ? purge_pause_min : purge_interval;
    auto waited = co_await pause_for(pause);
    if (!waited) co_return;
  }
}

Task<> Service::Parts::ask_store(std::shared_ptr<StoreAnswer> answer) {
  auto const asked = co_await rows.metadata("ready");
  answer->is_good = static_cast<bool>(asked);
  store_answer.reset();
  answer->come.cancel();
}

// A call of the store does not end before its own time is over, so it is left behind; those who ask meanwhile share it.
Task<bool> Service::is_store_there(Deadline by) {
  auto& parts = *parts_;
  if (parts.is_closing) co_return false;
  auto answer = parts.store_answer;
  if (!answer) {
    answer = parts.store_answer = std::make_shared<StoreAnswer>(parts.tasks.executor());
    parts.tasks.spawn("automation.ready", parts.ask_store(answer));
  }
  [[maybe_unused]] auto const in_time = co_await with_deadline(by, has_come(answer));
  co_return answer->is_good.value_or(false);
}

Task<Result<>> Service::has_come(std::shared_ptr<StoreAnswer> answer) {
  while (!answer->is_good) {
    auto woken = co_await until_woken(answer->come);
    if (!woken) co_return woken;
  }
  co_return Result<>{};
}

void Service::replace_keys(std::shared_ptr<identity::KeyRing const> keys) { parts_->keys = std::move(keys); }

void Service::wake() {
  parts_->dispatcher.wake_scan();
  parts_->poster.wake();
}

// From now on; the store keeps the next moment of a schedule that stays as it is.
void Service::Parts::plan(AutomationRow& row) {
  auto const now = SystemClock::now();
  row.updated_at = now;
  row.next_at.reset();
  bool const is_live = row.enabled && !row.deleted_at && row.trigger_kind == "cron";
  if (!is_live) return;
  auto const trigger = parse_trigger(row.trigger_json);
  if (trigger) row.next_at = planner.next_of(*trigger, now);
}

Task<Outcome<AutomationStore::Created>> Service::create(AutomationRow row) {
  parts_->plan(row);
  row.created_at = row.updated_at;
  NESTGATE_CO_TRY(created, co_await parts_->rows.create(std::move(row)));
  if (created.is_new) parts_->planner.note(created.row);
  co_return std::move(created);
}

Task<Outcome<std::optional<AutomationRow>>> Service::replace(AutomationRow row) {
  parts_->plan(row);
  NESTGATE_CO_TRY(kept, co_await parts_->rows.replace(std::move(row)));
  if (kept) parts_->planner.note(*kept);
  co_return std::move(kept);
}

Task<Outcome<std::optional<AutomationRow>>> Service::replace_with_upload(AutomationRow row, store::UploadRow upload,
                                                                         std::string bytes, std::string gone) {
  parts_->plan(row);
  NESTGATE_CO_TRY(
      kept, co_await parts_->rows.replace_with_upload(std::move(row), std::move(upload), std::move(bytes), std::move(gone)));
  if (kept) parts_->planner.note(*kept);
  co_return std::move(kept);
}

std::vector<store::Time> Service::next_moments(AutomationRow const& row, std::size_t count) {
  auto const trigger = parse_trigger(row.trigger_json);
  if (!trigger) return {};
  return parts_->planner.next_ones(*trigger, SystemClock::now(), count);
}

Task<Outcome<RunRow>> Service::dispatch(std::string automation_id, MayDispatch may, std::string idempotency_key) {
  if (parts_->is_closing) co_return closing();
  // The store may ask when this service is gone.
  store::RunOfAutomation make = [may = std::move(may), target = parts_->settings.target, id = timed_id(),
                                 now = SystemClock::now(),
                                 key = std::move(idempotency_key)](AutomationRow const& row) -> std::optional<RunRow> {
    if (!may(row)) return std::nullopt;
    auto run = run_of(row, target, id, now);
    run.trigger_source = "manual";
    if (!key.empty()) run.dedupe_key = "key:" + key;
    return run;
  };
  NESTGATE_CO_TRY(made, co_await parts_->dispatcher.enqueue_of(std::move(automation_id), std::move(make)));
  if (made.is_new) parts_->stats.submitted.add();
  co_return std::move(made.run);
}

Task<Outcome<AutomationStore::EventTaken>> Service::take_event(std::string org_id, std::string source,
                                                               std::string delivery_id, std::vector<Match> matches) {
  if (parts_->is_closing) co_return closing();
  std::vector<RunRow> runs;
  for (auto& match : matches) {
    auto run = run_of(match.automation, parts_->settings.target, timed_id(), SystemClock::now());
    run.trigger_source = "event";
    run.event_payload_json = std::move(match.payload_json);
    if (!delivery_id.empty()) run.dedupe_key = "event:" + source + ":" + delivery_id;
    runs.push_back(std::move(run));
  }
  auto const waiting_max = parts_->settings.runs_waiting_max;
  NESTGATE_CO_TRY(taken, co_await parts_->rows.take_event(std::move(org_id), std::move(source), std::move(delivery_id),
                                                          std::move(runs), waiting_max));
  for (auto const& run : taken.made) {
    parts_->stats.submitted.add();
    parts_->dispatcher.put(run);
  }
  co_return std::move(taken);
}

Task<Outcome<RunRow>> Service::submit(RunRequest request) {
  if (parts_->is_closing) co_return closing();
  if (auto refused = why_refused(request, parts_->settings)) co_return *std::move(refused);
  identity::Principal by;
  by.owner = request.by.owner;
  if (request.by.is_admin) by.role = identity::Role::admin;
  auto const runtime = parts_->manager.find(*request.conversation);
  Target const named{Target::Kind::conversation, request.conversation->text()};
  bool const is_of_all = to_string(named) == to_string(parts_->settings.target);
  if (!runtime || !(is_of_all || by.may_use(runtime->owner)))
    co_return fail(FaultKind::not_found, "automation.submit", "conversation_id: there is no such conversation");
  if (runtime->state != conversation::RuntimeState::running)
    co_return fail(FaultKind::conflict, "automation.submit",
                   "conversation_id: the conversation is " + std::string(to_string(runtime->state)) + ", expected running");
  OwnRun own;
  own.entrypoint = std::move(request.entrypoint);
  own.setup_script = std::move(request.setup_script);
  own.callback_url = std::move(request.callback_url);
  own.base_url = std::move(request.base_url);
  own.upload_id = timed_id();
  own.environment = std::move(request.environment);
  own.time_max = std::chrono::seconds(request.time_max_s.value_or(0));
  RunRow run;
  run.id = timed_id();
  run.tenant = request.by.tenant;
  run.owner = request.by.owner;
  run.organisation = request.by.organisation;
  run.trigger_source = "manual";
  run.target = to_string(Target{Target::Kind::conversation, runtime->id.text()});
  run.wish_json = to_json(own);
  run.created_at = SystemClock::now();
  store::UploadRow upload;
  upload.id = own.upload_id;
  upload.tenant = run.tenant;
  upload.is_listed = false;
  upload.name = "run " + run.id;
  upload.status = "COMPLETED";
  upload.size_bytes = static_cast<std::int64_t>(request.tarball.size());
  upload.created_at = upload.updated_at = run.created_at;
  NESTGATE_CO_TRY(made, co_await parts_->rows.enqueue_own(std::move(run), std::move(upload), std::move(request.tarball),
                                                          parts_->settings.runs_waiting_max));
  parts_->stats.submitted.add();
  parts_->dispatcher.put(made.run);
  co_return std::move(made.run);
}

bool Service::is_token_of(std::string_view run_id, Secret const& token) const {
  return parts_->keys->opens_run(run_id, token.reveal());
}

Task<Outcome<RunRow>> Service::report(std::string run_id, Report report, Reporter by) {
  bool const is_its_script = is_token_of(run_id, by.token);
  if (!is_its_script) {
    if (!by.caller) co_return fail(FaultKind::unauthorized, "automation.report", "Not this run's token");
    NESTGATE_CO_TRY(known, co_await parts_->rows.find_run(run_id));
    if (!known) co_return unknown_run();
    if (!by.caller->sees_all && known->tenant != by.caller->tenant)
      co_return fail(FaultKind::forbidden, "automation.report", "Not your automation");
  }
  Reported event{std::move(report)};
  NESTGATE_CO_TRY(applied, co_await parts_->book.apply(std::move(run_id), std::nullopt, std::move(event)));
  if (applied.effect == Effect::refused)
    co_return fail(FaultKind::conflict, "automation.report",
                   "Run is " + std::string(to_string(applied.run.status)) + ", expected RUNNING");
  co_return std::move(applied.run);
}

Task<Outcome<RunRow>> Service::cancel(std::string run_id) {
  CancelAsked event;
  NESTGATE_CO_TRY(applied, co_await parts_->book.apply(std::move(run_id), std::nullopt, event));
  if (applied.effect == Effect::refused)
    co_return fail(
        FaultKind::conflict, "automation.cancel",
        "Run is " + std::string(to_string(applied.run.status)) + ", only PENDING or RUNNING runs can be cancelled");
  co_return std::move(applied.run);
}

Task<Outcome<std::unique_ptr<OutputFeed>>> Service::output(std::string run_id) {
  NESTGATE_CO_TRY(run, co_await parts_->rows.find_run(run_id));
  if (!run) co_return unknown_run();
  co_return make_output_feed(parts_->rows, parts_->manager, std::move(run_id), parts_->settings.watch_interval);
}

void Service::begin_closing() { parts_->is_closing = true; }

Task<> Service::stop(Deadline by) {
  begin_closing();
  parts_->tasks.stop();
  [[maybe_unused]] auto joined = co_await parts_->tasks.join();
  co_await parts_->planner.stop();
  co_await parts_->dispatcher.stop();
  co_await parts_->workers.stop();
  co_await parts_->poster.stop(by);
  parts_->pool.join();
}

}  // namespace nestgate::automation
