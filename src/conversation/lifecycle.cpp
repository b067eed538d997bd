#include "lifecycle.hpp"

#include <algorithm>

#include "nestgate/nested/action_server.hpp"
#include "nestgate/net/interruptible.hpp"
#include "nestgate/upstream/random.hpp"
#include "release_pause.hpp"
#include "stored.hpp"

namespace nestgate::conversation {
namespace {

using upstream::fail;
using Why = Conversation::Interrupt::Why;
using SystemClock = std::chrono::system_clock;

constexpr int closings_for_one_start_max = 8;

ConversationId made_id() {
  auto id = ConversationId::parse(upstream::random_uuid_hex());
  NESTGATE_INVARIANT(id, "a UUID is an id");
  return std::move(*id);
}

Failure quota_failure(store::Claim const& claim) {
  if (claim.by_units && claim.row.units > claim.limit)
    return fail(
        FaultKind::bad_input, "conversation.quota",
        "resource_factor: " + std::to_string(claim.row.units) + " is more than the limit of " + std::to_string(claim.limit));
  std::string reason = "quota: " + std::to_string(claim.current) + " of " + std::to_string(claim.limit);
  reason.append(claim.by_units ? " resources " : " conversations ")
      .append(claim.quota == store::QuotaKind::all ? "" : "of this ");
  if (claim.quota != store::QuotaKind::all) reason.append(to_string(claim.quota)).append(" ");
  auto failure = fail(FaultKind::overloaded, "conversation.quota", reason + "are in use; stop one first");
  failure.limit = claim.limit;
  failure.current = claim.current;
  return failure;
}

// The members that `change` has go before those that are known.
About merged(About known, About const& change) {
  for (auto const member : {&About::title, &About::repository, &About::branch, &About::git_provider, &About::label})
    if (!(change.*member).empty()) known.*member = change.*member;
  return known;
}

// What was asked to stop stops, and what died has nothing to freeze.
bool may_freeze_again(Conversation const& c) { return !c.interrupt || c.interrupt->why == Why::closing; }

}  // namespace

struct Lifecycle::Work {
  nested::Configuration configuration;
  runtime::Wish wish;
  About about;
  bool is_new = false;  // nobody knew the id before
  // What it was, for when nothing comes of the start.
  RuntimeState before = RuntimeState::stopped;
  std::string reason_before;
  Closed closed_before = Closed::no;
  bool is_frozen = false;          // there is a paused runtime, which a start that fails leaves as it was
  bool left_nothing = false;       // its create failed, and the provider took back what there was of it
  std::optional<Secret> boot_key;  // of a dormant server that is still to be told its real key
  std::optional<Failure> failure;  // of the step that failed
};

Lifecycle::Lifecycle(Executor control, Registry& registry, runtime::RuntimeProvider& provider, Credentials& credentials,
                     WarmPool& warm, ManagerSettings const& settings)
    : registry_(registry),
      provider_(provider),
      credentials_(credentials),
      warm_(warm),
      settings_(settings),
      tasks_(control) {}

Task<Outcome<Started>> Lifecycle::start(StartRequest request) { return start_until(std::move(request), Until::settled); }

Task<Outcome<Started>> Lifecycle::begin_start(StartRequest request) {
  return start_until(std::move(request), Until::admitted);
}

Task<Outcome<Started>> Lifecycle::start_until(StartRequest request, Until until) {
  std::optional<Started::What> what;
  bool was_roused = false;
  bool is_replaced = request.again != StartRequest::Again::replace;
  for (;;) {
    if (registry_.is_closing()) co_return closing_failure();
    NESTGATE_CO_TRY(admitted, admit(request));
    auto const c = admitted.conversation;
    if (!what) what = admitted.what;
    if (c->is_unknown) co_return unknown_runtime_failure();
    if (c->is_busy && !c->starts()) {  // it ends first, and may be forgotten then
      NESTGATE_CO_TRY_VOID(co_await registry_.until_idle(c));
      continue;
    }
    if (!std::exchange(is_replaced, true) && (c->is_busy || c->state == RuntimeState::running)) {
      NESTGATE_CO_TRY_VOID(co_await stop(c->id));
      continue;
    }
    if (!c->is_busy && c->state != RuntimeState::running) {
      StartRequest rest;  // of what is told once: a second turn only joins
      rest.id = request.id;
      rest.by = request.by;
      begin(c, std::exchange(request, std::move(rest)));
    }
    if (until == Until::admitted) {
      NESTGATE_CO_TRY_VOID(co_await until_admitted(c));
      if (c->is_busy && !c->refusal) {
        c->is_announced = true;
        co_return Started{*what, registry_.view_of(*c)};
      }
    }
    NESTGATE_CO_TRY_VOID(co_await registry_.until_idle(c));
    if (c->refusal) co_return *c->refusal;
    if (c->is_elsewhere && (c->state == RuntimeState::starting || c->state == RuntimeState::stopping)) {
      if (until == Until::admitted) co_return Started{*what, registry_.view_of(*c)};
      NESTGATE_CO_TRY_VOID(co_await registry_.until_changed(c, c->version, Deadline::in(settings_.ready_time_max)));
      continue;
    }
    if (c->is_elsewhere && c->state == RuntimeState::paused && !std::exchange(was_roused, true)) {
      NESTGATE_CO_TRY_VOID(co_await until_roused_elsewhere(c, Deadline::in(settings_.ready_time_max)));
      if (c->state == RuntimeState::starting || c->state == RuntimeState::running) continue;
    }
    if (c->state == RuntimeState::running) co_return Started{*what, registry_.view_of(*c)};
    if (c->state == RuntimeState::error) co_return fail(c->failure_kind, "conversation.start", c->reason);
    if (c->state == RuntimeState::paused)
      co_return fail(FaultKind::conflict, "conversation.start", "the gateway that holds it did not resume it");
    co_return fail(FaultKind::conflict, "conversation.start", "it was stopped while it started");
  }
}

Outcome<Lifecycle::Admitted> Lifecycle::admit(StartRequest& request) {
  if (!request.id) request.id = made_id();
  if (WarmPool::is_warm_id(*request.id))
    return fail(FaultKind::bad_input, "conversation.start", "conversation_id: names of this form are the gateway's own");
  if (auto known = registry_.find(*request.id)) {
    if (!request.by.may_use(known->owner))
      return fail(FaultKind::conflict, "conversation.start", "conversation_id: belongs to someone else");
    if (known->origin == Origin::fixed && known->state != RuntimeState::running) return static_runtime_failure();
    return Admitted{known, Started::What::joined};
  }
  if (registry_.managed() >= settings_.conversations_max && !make_room())
    return fail(
        FaultKind::overloaded, "conversation.start",
        "all " + std::to_string(settings_.conversations_max) + " conversations are in use; delete some that are stopped");
  auto c = registry_.add(*request.id, Origin::managed);
  c->owner = request.by.owner;
  c->organisation = request.by.organisation;
  c->purpose = request.purpose;
  c->spec_id = request.spec_id;
  return Admitted{std::move(c), Started::What::made};
}

// What failed before it ever ran holds nothing that anybody would miss: the oldest of these goes.
bool Lifecycle::make_room() {
  ConversationPtr oldest;
  registry_.for_each([&oldest](ConversationPtr const& c) {
    bool const failed_to_start = c->state == RuntimeState::error && !c->has_run && !c->removal_failure && !c->left_behind;
    bool const may_go = c->origin == Origin::managed && !c->is_busy && !c->is_elsewhere && failed_to_start;
    if (may_go && (!oldest || c->changed_at < oldest->changed_at)) oldest = c;
  });
  if (!oldest) return false;
  registry_.forget(*oldest);
  tasks_.spawn("conversation.forget", abandon(oldest));
  return true;
}

Task<> Lifecycle::abandon(ConversationPtr c) {
  if (c->is_remembered) [[maybe_unused]]
    auto forgotten = co_await registry_.store().forget(c->id, registry_.gateway(), c->epoch);
  co_await registry_.withdraw(c);
}

void Lifecycle::begin(ConversationPtr c, StartRequest request) {
  auto work = std::make_shared<Work>();
  work->configuration = std::move(request.configuration);
  work->wish = std::move(request.wish);
  work->about = std::move(request.about);
  work->is_new = c->epoch.get() == 0;
  work->before = c->state;
  work->is_frozen = c->state == RuntimeState::paused;
  work->reason_before = c->reason;
  work->closed_before = c->closed;
  c->interrupt.reset();
  c->refusal.reset();
  c->removal_failure.reset();
  c->is_busy = true;
  c->is_admitted = false;
  registry_.stats.starts.add();
  registry_.change(*c, RuntimeState::starting);
  if (registry_.is_closing()) c->interrupt_start({Why::closing, {}});
  tasks_.spawn("conversation.start", drive(std::move(c), std::move(work)));
}

void Lifecycle::begin_restart(ConversationPtr c) { begin(std::move(c), StartRequest{}); }

Task<Outcome<>> Lifecycle::until_admitted(ConversationPtr c) {
  while (c->is_busy && !c->is_admitted) {
    auto changed = co_await registry_.until_next(c, Deadline::in(settings_.ready_time_max));
    if (!changed) co_return changed;
  }
  co_return Outcome<>{};
}

Task<> Lifecycle::drive(ConversationPtr c, WorkPtr work) {
  StartMachine machine(settings_.releases_max);
  StartMachine::Event event = StartMachine::Begun{};
  for (;;) {
    auto action = machine.on(std::move(event));
    if (auto* settled = std::get_if<StartMachine::Settle>(&action)) {
      co_await settle(c, work, std::move(*settled));
      registry_.done(*c);
      warm_.refill();  // not before: who started this waits for it
      co_return;
    }
    if (auto const* again = std::get_if<StartMachine::Release>(&action)) {
      if (again->try_number > 1) [[maybe_unused]]
        auto waited = co_await pause_for(release_pause(again->try_number));
      if (work->is_frozen && may_freeze_again(*c)) {
        co_await freeze_again(c, work);
        event = StartMachine::Released{};
        continue;
      }
      work->is_frozen = false;
      auto released = co_await provider_.destroy(c->id, runtime::Leftovers::keep);
      if (released) {
        event = StartMachine::Released{};
      } else {
        event = StartMachine::ReleaseFailed{released.error().reason};
      }
      continue;
    }
    auto next = co_await perform(std::get<StartMachine::Perform>(action).step, c, work);
    event = std::move(next);
  }
}

Task<StartMachine::Event> Lifecycle::perform(StartStep step, ConversationPtr c, WorkPtr work) {
  registry_.note_progress(*c, to_string(step));
  if (step == StartStep::quota && !c->interrupt) {
    auto claimed = co_await claim(c, work);
    if (!std::holds_alternative<StartMachine::StepDone>(claimed)) co_return claimed;
    c->is_admitted = true;
    registry_.note_progress(*c, "admitted");
    co_await registry_.publish(c);  // so that clients that come early are told to wait instead of 404
  }
  std::optional<Outcome<>> done = Outcome<>{};
  if (step != StartStep::quota && !c->interrupt) {
    done = co_await unless_tripped(c->trip, run_step(step, c, work));
  }
  if (c->interrupt) {
    if (c->interrupt->why == Why::stop_asked) co_return StartMachine::StopAsked{};
    if (c->interrupt->why == Why::closing) {
      c->failure_kind = FaultKind::unavailable;
      co_return StartMachine::StepFailed{closing_failure().reason};
    }
    c->failure_kind = FaultKind::upstream;
    co_return StartMachine::Died{std::string(to_string(step)) + ": the runtime " + c->interrupt->reason};
  }
  NESTGATE_INVARIANT(done, "only an interrupt ends a step early");
  if (!*done) {
    c->failure_kind = done->error().fault.kind;
    work->failure = done->error();
    co_return StartMachine::StepFailed{done->error().reason, work->left_nothing};
  }
  co_return StartMachine::StepDone{};
}

Task<Outcome<>> Lifecycle::run_step(StartStep step, ConversationPtr c, WorkPtr work) {
  switch (step) {
    case StartStep::quota: break;
    case StartStep::credentials: {
      if (work->configuration.git_tokens.empty()) break;
      auto const by = Deadline::in(settings_.configure_step_time_max);
      co_return co_await credentials_.check(work->configuration.git_tokens, by);
    }
    case StartStep::create: co_return co_await create(std::move(c), std::move(work));
    case StartStep::ready: co_return co_await wait_ready(std::move(c), std::move(work));
    case StartStep::configure: co_return co_await configure(std::move(c), std::move(work));
    case StartStep::conversation: co_return co_await begin_conversation(std::move(c), std::move(work));
    case StartStep::publish: co_return co_await go_up(std::move(c), std::move(work));
  }
  co_return Outcome<>{};
}

// Not interrupted: what the store did of it must be known.
Task<StartMachine::Event> Lifecycle::claim(ConversationPtr c, WorkPtr work) {
  for (int closings = 0;; ++closings) {
    auto row = registry_.row_of(*c, store::Phase::starting);
    if (!work->configuration.empty()) row.configuration_json = nested::configuration_json(work->configuration);
    row.wish_json = wish_json(work->wish);
    row.about_json = about_json(merged(c->about, work->about));
    if (!row.wish_json.empty()) row.units = work->wish.resource_factor;
    auto claimed = co_await registry_.store().claim(std::move(row), registry_.gateway(), settings_.quota);
    if (!claimed) {
      c->failure_kind = claimed.error().fault.kind;
      work->failure = claimed.error();
      co_return StartMachine::StepFailed{claimed.error().reason};
    }
    switch (claimed->what) {
      case store::Claim::What::elsewhere: co_return StartMachine::HeldElsewhere{};
      case store::Claim::What::up:
      case store::Claim::What::taken: take_claim(*c, *work, claimed->row); co_return StartMachine::StepDone{};
      case store::Claim::What::refused: break;
    }
    bool const could_fit = !claimed->by_units || claimed->row.units <= claimed->limit;
    bool const may_close = settings_.at_limit == AtLimit::close_least_recently_used && could_fit && !c->interrupt &&
                           closings < closings_for_one_start_max;
    if (may_close && co_await close_for_room(c, claimed->quota)) continue;
    registry_.stats.refused_by_quota.add();
    work->failure = quota_failure(*claimed);
    c->failure_kind = work->failure->fault.kind;
    co_return StartMachine::StepFailed{work->failure->reason};
  }
}

void Lifecycle::take_claim(Conversation& c, Work& work, store::ConversationRow& row) {
  c.epoch = row.epoch;
  work.is_new = work.is_new && c.created_at == row.created_at;  // else the store knew it before
  c.created_at = row.created_at;
  c.units = row.units;
  c.is_remembered = c.is_held = true;
  c.is_elsewhere = false;
  // What was frozen has the key that it was started with in its memory.
  std::optional<Secret> own;
  if (work.before == RuntimeState::paused && c.has_own_key) own = c.session_key.clone();
  registry_.take_key(c, std::move(own), row.key_generation);
  if (work.configuration.empty() && !row.configuration_json.empty()) {
    auto stored = nested::parse_configuration(row.configuration_json);
    if (stored) work.configuration = std::move(*stored);
  }
  work.wish = parse_wish(row.wish_json);
  c.image = work.wish.image;
  c.about = parse_about(row.about_json);
  c.dialect = nested::Dialect::unknown;
  c.left_behind = false;
  c.note_restart();
}

// By real use, as the proxy measured it.
Task<bool> Lifecycle::close_for_room(ConversationPtr c, store::QuotaKind kind) {
  for (auto const& used : co_await registry_.publisher().activity()) {
    auto const known = registry_.find(used.id);
    if (!known || used.last_traffic == Clock::time_point{}) continue;
    auto const ago = std::chrono::duration_cast<SystemClock::duration>(Clock::now() - used.last_traffic);
    known->last_act_at = std::max(known->last_act_at, SystemClock::now() - ago);
  }
  ConversationPtr victim;
  registry_.for_each([&](ConversationPtr const& other) {
    bool const may_go =
        other != c && other->origin == Origin::managed && !other->is_elsewhere && other->is_idle_in(RuntimeState::running);
    bool const helps = kind == store::QuotaKind::all || (kind == store::QuotaKind::owner && other->owner == c->owner) ||
                       (kind == store::QuotaKind::organisation && other->organisation == c->organisation);
    if (may_go && helps && (!victim || other->last_act_at < victim->last_act_at)) victim = other;
  });
  if (!victim) co_return false;
  registry_.stats.closed_for_room.add();
  begin_end(victim, Closed::for_room);
  auto ended = co_await registry_.until_idle(victim);
  co_return ended.has_value();
}

Task<Outcome<>> Lifecycle::create(ConversationPtr c, WorkPtr work) {
  NESTGATE_CO_TRY(instance, co_await make_instance(c, work));
  c->was_made = true;
  c->endpoint = instance.endpoint;
  c->handle = std::move(instance.handle);
  c->ports.clear();
  for (auto& port : instance.ports) c->ports.push_back(DeclaredPort{std::move(port.name), port.number, port.endpoint});
  if (instance.session_key) registry_.take_key(*c, std::move(instance.session_key));
  if (instance.boot_key) work->boot_key = std::move(instance.boot_key);
  co_return co_await registry_.save(c);
}

Task<Outcome<runtime::Instance>> Lifecycle::make_instance(ConversationPtr c, WorkPtr work) {
  auto const by = Deadline::in(settings_.ready_time_max);
  auto const spec = [&] {
    runtime::Spec out{c->id, c->epoch, c->session_key.clone(), c->owner};
    out.wish = work->wish.clone();
    return out;
  };
  if (work->before == RuntimeState::paused) {
    auto resumed = co_await provider_.resume(spec(), by);
    bool const is_gone = !resumed && (resumed.error().fault.kind == FaultKind::not_found ||
                                      resumed.error().fault.kind == FaultKind::conflict);
    if (!is_gone) co_return resumed;
    work->is_frozen = false;
    registry_.take_key(*c, std::nullopt);
  }
  bool const may_be_warm = work->is_new && settings_.warm_runtimes > 0 && wish_json(work->wish).empty();
  if (may_be_warm) {
    auto warm = co_await warm_.take(spec());
    if (warm) {
      work->boot_key = std::move(warm->boot_key);
      co_return std::move(warm->instance);
    }
    if (c->interrupt) co_return fail(FaultKind::cancelled, "conversation.create", "create: cancelled");
  }
  auto made = co_await provider_.create(spec(), by);
  // A conflict says that something is there.
  work->left_nothing = !made && made.error().fault.kind != FaultKind::conflict;
  co_return made;
}

Task<Outcome<>> Lifecycle::wait_ready(ConversationPtr c, WorkPtr work) {
  auto const by = Deadline::in(settings_.ready_time_max);
  if (work->boot_key) co_return co_await awaken(c, std::move(*work->boot_key), by);
  NESTGATE_CO_TRY_VOID(co_await provider_.wait_ready(c->id, by));
  if (provider_.traits().needs_server_start) NESTGATE_CO_TRY_VOID(co_await start_server(c, std::move(work), by));
  nested::Client client(c->endpoint, c->session_key.clone());
  co_return co_await client.wait_alive(by);
}

Task<Outcome<>> Lifecycle::awaken(ConversationPtr c, Secret boot_key, Deadline by) {
  nested::Initialisation told;
  told.session_key = c->session_key.clone();
  if (!settings_.internal_url.empty()) told.webhook_base_url = settings_.internal_url + "/api/v1/webhooks";
  nested::Client dormant(c->endpoint, std::move(boot_key));
  NESTGATE_CO_TRY_VOID(co_await dormant.wait_alive(by));
  co_return co_await dormant.initialise(told, by);
}

// In an empty sandbox: what the client wishes for, else the action server (nested_server.md 5.1). Its key is in the
// environment that the sandbox was made with.
Task<Outcome<>> Lifecycle::start_server(ConversationPtr c, WorkPtr work, Deadline by) {
  constexpr std::string_view log_file = "/tmp/nested-server.log";
  auto command = work->wish.command;
  if (command.empty()) {
    nested::ActionServerCommand wanted;
    wanted.prefix = nested::runtime_image_prefix();
    wanted.port = c->endpoint.port();
    if (!work->wish.working_dir.empty()) wanted.working_dir = work->wish.working_dir;
    command = nested::start_command(wanted);
  }
  auto in_background = nested::in_background(std::move(command), log_file);
  NESTGATE_CO_TRY(result, co_await provider_.execute(c->id, std::move(in_background), by));
  if (result.exit_code == 0) co_return Outcome<>{};
  co_return fail(FaultKind::upstream, "conversation.server",
                 "ready: the server's start command exited with status " + std::to_string(result.exit_code));
}

Task<Outcome<>> Lifecycle::configure(ConversationPtr c, WorkPtr work) {
  if (work->configuration.empty()) co_return Outcome<>{};
  nested::Client client(c->endpoint, c->session_key.clone());
  NESTGATE_CO_TRY(dialect, co_await client.configure(work->configuration, settings_.configure_step_time_max));
  c->dialect = dialect;
  c->refresh_at = credentials_.first_refresh_at(work->configuration.git_tokens);
  co_return Outcome<>{};
}

// An older server gets its conversation made by us, as its manager did; an agent server only where it was asked for. One
// that knows it already is not told its first message again.
Task<Outcome<>> Lifecycle::begin_conversation(ConversationPtr c, WorkPtr work) {
  auto const by = Deadline::in(settings_.configure_step_time_max);
  nested::Client client(c->endpoint, c->session_key.clone());
  bool is_due = !work->configuration.conversation_json.empty();
  if (!is_due && c->dialect == nested::Dialect::older && c->purpose == Purpose::conversation) {
    NESTGATE_CO_TRY(is_owed, co_await client.has_managed_conversations(by));
    is_due = is_owed;
  }
  if (is_due && !work->is_new) {
    NESTGATE_CO_TRY(is_known, co_await client.knows_conversation(c->id, by));
    is_due = !is_known;
  }
  if (!is_due) co_return Outcome<>{};
  co_return co_await client.begin_conversation(c->id, work->configuration, c->dialect, by);
}

// Remembered first: a conversation that runs and that nobody would find again is worse than one that does not.
Task<Outcome<>> Lifecycle::go_up(ConversationPtr c, WorkPtr) {
  NESTGATE_CO_TRY_VOID(co_await registry_.save(c, store::Phase::running));
  registry_.change(*c, RuntimeState::running);
  c->has_run = true;
  c->last_act_at = SystemClock::now();
  co_await registry_.publish(c);
  co_return Outcome<>{};
}

Task<> Lifecycle::settle(ConversationPtr c, WorkPtr work, StartMachine::Settle outcome) {
  using As = StartMachine::Settle::As;
  if (outcome.as == As::running) co_return;
  if (outcome.as == As::elsewhere) co_return co_await settle_elsewhere(std::move(c), std::move(work));
  if (outcome.as == As::error || outcome.as == As::refused) registry_.stats.start_failures.add();
  if (outcome.as == As::refused || (outcome.as == As::stopped && !c->was_made && work->is_new))
    co_return co_await settle_refused(std::move(c), std::move(work), std::move(outcome.reason));
  if (work->is_frozen && outcome.as == As::error)
    co_return co_await settle_refused(std::move(c), std::move(work), std::move(outcome.reason));
  c->left_behind = outcome.left_behind;
  // Stopped before it got as far as its runtime, which is frozen still.
  if (outcome.as == As::stopped && work->before == RuntimeState::paused)
    c->left_behind = !co_await release(c->id, runtime::Leftovers::keep);
  bool const is_error = outcome.as == As::error;
  c->closed = is_error ? Closed::no : Closed::by_request;
  registry_.change(*c, is_error ? RuntimeState::error : RuntimeState::stopped, std::move(outcome.reason));
  // A new id for which nothing could be made: its client is told by the start, and would only leave it behind.
  if (is_error && !c->was_made && work->is_new && !c->left_behind && !c->is_announced) {
    c->refusal = work->failure;
    registry_.forget(*c);
    co_return co_await abandon(std::move(c));
  }
  co_await save_and_publish(std::move(c));
}

// As well as it can be done now: whether it is frozen or runs is what the reconciler looks at.
Task<> Lifecycle::freeze_again(ConversationPtr c, WorkPtr work) {
  auto frozen = co_await provider_.pause(c->id);
  work->is_frozen = frozen || frozen.error().fault.kind != FaultKind::not_found;
}

// Nothing came of it and nothing was made: it is what it was before.
Task<> Lifecycle::settle_refused(ConversationPtr c, WorkPtr work, std::string reason) {
  auto stopped = fail(FaultKind::conflict, "conversation.start", "it was stopped while it started");
  c->refusal = work->failure    ? *work->failure
               : reason.empty() ? stopped
                                : fail(c->failure_kind, "conversation.start", reason);
  take_back(*c, *work);
  if (work->is_new) {
    registry_.forget(*c);
    co_return co_await abandon(std::move(c));
  }
  co_await save_and_publish(std::move(c));
}

void Lifecycle::take_back(Conversation& c, Work& work) {
  registry_.change(c, work.before, std::move(work.reason_before));
  c.closed = work.closed_before;
}

// What the other gateway does of it is seen by who follows the store.
Task<> Lifecycle::settle_elsewhere(ConversationPtr c, WorkPtr work) {
  auto row = co_await registry_.store().find(c->id);
  if (row && *row) {
    c->is_elsewhere = true;
    registry_.load(*c, **row);
    registry_.change(*c, state_of((*row)->phase), (*row)->reason);
    co_return co_await registry_.publish(std::move(c));
  }
  c->refusal = row ? unknown_conversation() : row.error();
  take_back(*c, *work);
  if (!row && !work->is_new) co_return;
  registry_.forget(*c);
  co_await registry_.withdraw(std::move(c));
}

Task<> Lifecycle::save_and_publish(ConversationPtr c) {
  // What the store did not take, the next gateway finds by what really runs.
  if (c->is_remembered) [[maybe_unused]]
    auto saved = co_await registry_.save(c);
  co_await registry_.publish(std::move(c));
}

Task<Outcome<View>> Lifecycle::resume(ConversationId id) { return resume_until(std::move(id), Until::settled); }
Task<Outcome<View>> Lifecycle::begin_resume(ConversationId id) { return resume_until(std::move(id), Until::admitted); }

Task<Outcome<View>> Lifecycle::resume_until(ConversationId id, Until until) {
  NESTGATE_CO_TRY(c, registry_.find_managed(id));
  StartRequest request;
  request.id = std::move(id);
  request.by = {"resume", identity::Role::admin, c->owner, c->organisation};
  NESTGATE_CO_TRY(started, co_await start_until(std::move(request), until));
  co_return std::move(started.view);
}

}  // namespace nestgate::conversation
