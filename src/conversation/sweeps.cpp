#include "sweeps.hpp"

#include <algorithm>

#include "gateway_name.hpp"
#include "idle_verdict.hpp"
#include "nestgate/net/interruptible.hpp"
#include "recovery.hpp"
#include "stored.hpp"

namespace nestgate::conversation {
namespace {

using runtime::Presence;
using upstream::fail;
using SystemClock = std::chrono::system_clock;

constexpr std::size_t statuses_at_once_max = 64;
constexpr std::chrono::seconds adopted_alive_max{10};

bool is_up(runtime::Found const& found) {
  return found.presence == Presence::running || found.presence == Presence::starting;
}

bool is_there(runtime::Found const& found) { return is_up(found) || found.presence == Presence::paused; }

// Of a provider's failure: it says nothing of the runtime.
bool is_for_now(FaultKind kind) {
  return kind == FaultKind::upstream || kind == FaultKind::timed_out || kind == FaultKind::unavailable;
}

std::set<std::string> ids_of(std::vector<store::ConversationRow> const& rows) {
  std::set<std::string> out;
  for (auto const& row : rows) out.insert(row.id.canonical());
  return out;
}

}  // namespace

Sweeps::Sweeps(Executor control, Registry& registry, Lifecycle& lifecycle, StaticRuntimes& statics,
               runtime::RuntimeProvider& provider, WarmPool& warm, ManagerSettings const& settings)
    : registry_(registry),
      lifecycle_(lifecycle),
      statics_(statics),
      provider_(provider),
      warm_(warm),
      settings_(settings),
      tasks_(control) {}

Task<Outcome<>> Sweeps::recover() {
  NESTGATE_CO_TRY_VOID(co_await registry_.store().renew(registry_.gateway(), settings_.lease_time));
  NESTGATE_CO_TRY_VOID(co_await bury_the_dead());
  auto found = co_await look();
  // A provider's server that is away for now is asked again by the reconciler.
  if (!found) co_return co_await show_rows();
  co_return co_await recover_all(*found);
}

// What really runs is not known yet: nothing is served or begun, but whoever asks hears that it is known.
Task<Outcome<>> Sweeps::show_rows() {
  NESTGATE_CO_TRY(rows, co_await registry_.store().conversations());
  std::vector<RuntimeRecordPtr> shown;
  for (auto& row : rows) {
    if (row.purpose == "warm" || registry_.find(row.id)) continue;
    auto const c = registry_.add(row.id, Origin::managed);
    show(*c, row);
    shown.push_back(registry_.record_of(*c));
  }
  co_await registry_.publisher().apply(std::move(shown), {});
  co_return Outcome<>{};
}

void Sweeps::show(Conversation& c, store::ConversationRow& row) {
  bool const is_over = store::is_over(row.phase);
  registry_.load(c, row);
  c.has_run = true;
  c.is_elsewhere = c.is_unknown = !is_over;
  registry_.change(c, is_over ? state_of(row.phase) : RuntimeState::starting, row.reason);
  if (is_over) c.closed = parse_closed(row.closed);
}

void Sweeps::begin() {
  tasks_.spawn("sweep.lease", renew_forever());
  tasks_.spawn("sweep.follow", follow_forever());
  tasks_.spawn("sweep.reconcile", reconcile_forever());
  tasks_.spawn("sweep.idle", idle_forever());
  tasks_.spawn("sweep.status", statuses_forever());
  warm_.refill();
}

Task<> Sweeps::end() {
  tasks_.stop();
  [[maybe_unused]] auto joined = co_await tasks_.join();
}

Task<Outcome<Sweeps::Found>> Sweeps::look() {
  NESTGATE_CO_TRY(list, co_await provider_.list());
  Found found;
  for (auto& runtime : list) {
    auto canonical = runtime.id.canonical();
    found.insert_or_assign(std::move(canonical), std::move(runtime));
  }
  co_return found;
}

// What nobody works on is only shown, all of it in one batch; the rest gets a task each.
Task<Outcome<>> Sweeps::recover_all(Found const& found) {
  NESTGATE_CO_TRY(changes, co_await registry_.store().changes_since(0));
  store_version_ = changes.version;
  auto known = ids_of(changes.rows);
  std::vector<RuntimeRecordPtr> shown;
  for (auto& row : changes.rows) {
    auto c = registry_.find(row.id);
    if (c && (c->is_busy || c->is_held || c->origin == Origin::fixed)) continue;  // begun since, or somebody else's id
    if (row.purpose == "warm" && warm_.is_busy_with(row.id)) continue;
    auto const at = found.find(row.id.canonical());
    auto const* runtime = at == found.end() ? nullptr : &at->second;
    if (is_at_rest(row, runtime)) {
      if (!c) c = registry_.add(row.id, Origin::managed);
      show(*c, row);
      shown.push_back(registry_.record_of(*c));
      continue;
    }
    NESTGATE_CO_TRY(taken, co_await registry_.store().take(row.id, registry_.gateway()));
    if (!taken) {
      see(std::move(row));
      continue;
    }
    std::optional<runtime::Found> unlisted;
    if (!runtime) {  // taken on from somebody else, it is in no list
      auto inspected = co_await provider_.inspect(row.id);
      if (!inspected) {  // asked for again by the reconciler
        if (!c) c = registry_.add(row.id, Origin::managed);
        show(*c, row);
        shown.push_back(registry_.record_of(*c));
        continue;
      }
      unlisted = std::move(*inspected);
      runtime = unlisted ? &*unlisted : nullptr;
    }
    co_await recover_one(std::move(*taken), runtime);
  }
  co_await registry_.publisher().apply(std::move(shown), {});
  co_await forget_others(std::move(known));
  is_recovered_ = true;
  co_await settle_orphans(found);
  co_return Outcome<>{};
}

// What was remembered, and is in no row any more.
Task<> Sweeps::forget_others(std::set<std::string> known) {
  for (auto const& c : registry_.all())
    if (!known.contains(c->id.canonical())) co_await forget_gone(c);
}

Task<> Sweeps::forget_gone(ConversationPtr c) {
  if (c->origin == Origin::fixed || c->is_held || c->is_busy || !c->is_remembered || c->is_forgotten) co_return;
  registry_.forget(*c);
  co_await registry_.withdraw(std::move(c));
}

bool Sweeps::is_at_rest(store::ConversationRow const& row, runtime::Found const* found) const {
  auto const presence = found ? std::optional(found->presence) : std::nullopt;
  return store::is_over(row.phase) && recovery_of(row.phase, presence, provider_.traits()) == Recovery::mark_stopped;
}

Task<> Sweeps::recover_one(store::ConversationRow row, runtime::Found const* found) {
  registry_.stats.recovered.add();
  if (row.purpose == "warm") {
    tasks_.spawn("recover.warm", clean_up_warm(std::move(row)));
    co_return;
  }
  auto c = registry_.find(row.id);
  if (c && c->is_busy) co_return;  // started since
  if (!c) c = registry_.add(row.id, Origin::managed);
  registry_.load(*c, row);
  c->is_held = true;
  c->is_elsewhere = false;
  c->has_run = true;
  c->closed = parse_closed(row.closed);
  auto const presence = found ? std::optional(found->presence) : std::nullopt;
  switch (recovery_of(row.phase, presence, provider_.traits())) {
    case Recovery::adopt:
      c->is_busy = true;
      c->interrupt.reset();
      registry_.change(*c, RuntimeState::starting);
      tasks_.spawn("recover.adopt", adopt(c, TakenOn::anew, parse_wish(row.wish_json)));
      co_return;
    case Recovery::start: lifecycle_.begin_restart(c); co_return;
    case Recovery::end:
      c->is_busy = true;
      registry_.change(*c, RuntimeState::stopping, row.reason);
      tasks_.spawn("recover.end", clean_up(c, runtime::Leftovers::keep));
      co_return;
    case Recovery::remove: lifecycle_.begin_removal(c); co_return;
    case Recovery::mark_paused: registry_.change(*c, RuntimeState::paused); break;
    case Recovery::mark_stopped:
      registry_.change(*c, row.phase == store::Phase::error ? RuntimeState::error : RuntimeState::stopped, row.reason);
      // Who paused it was told that an act wakes it.
      if (row.phase == store::Phase::paused && c->closed == Closed::by_request) c->closed = Closed::when_idle;
      break;
  }
  [[maybe_unused]] auto saved = co_await registry_.save(c);
  co_await registry_.publish(c);
}

// The provider takes on what it does not know by the same call that would make it.
Task<Outcome<runtime::Instance>> Sweeps::take_on(ConversationPtr c, TakenOn how, runtime::Wish wish, Deadline by) {
  runtime::Spec spec{c->id, c->epoch, c->session_key.clone(), c->owner};
  spec.wish = std::move(wish);
  if (how == TakenOn::from_pause) co_return co_await provider_.resume(std::move(spec), by);
  auto const gone = fail(FaultKind::not_found, "conversation.adopt", "the runtime is gone");
  NESTGATE_CO_TRY(found, co_await provider_.inspect(c->id));
  if (!found) co_return gone;
  NESTGATE_CO_TRY(instance, co_await provider_.create(std::move(spec), by));
  if (!instance.existed) co_return gone;  // between the two: what was made instead is not configured
  co_return std::move(instance);
}

Task<Outcome<>> Sweeps::adopt_instance(ConversationPtr c, TakenOn how, runtime::Wish wish) {
  auto const by = Deadline::in(adopted_alive_max);
  auto taken_on = co_await take_on(c, how, std::move(wish), by);
  c->is_unknown = !taken_on && is_for_now(taken_on.error().fault.kind);
  if (!taken_on) co_return taken_on.error();
  auto& instance = *taken_on;
  c->was_made = true;
  c->endpoint = instance.endpoint;
  c->handle = std::move(instance.handle);
  c->ports.clear();
  for (auto& port : instance.ports) c->ports.push_back({std::move(port.name), port.number, port.endpoint});
  if (instance.session_key) registry_.take_key(*c, std::move(instance.session_key));
  if (instance.boot_key) co_return co_await lifecycle_.awaken(c, std::move(*instance.boot_key), by);
  nested::Client client(c->endpoint, c->session_key.clone());
  co_return co_await client.wait_alive(by);
}

Task<> Sweeps::adopt(ConversationPtr c, TakenOn how, runtime::Wish wish) {
  using Why = Conversation::Interrupt::Why;
  co_await registry_.publish(c);
  std::optional<Outcome<>> alive = Outcome<>{};
  if (!c->interrupt) alive = co_await unless_tripped(c->trip, adopt_instance(c, how, std::move(wish)));
  // The gateway closes: what runs is the next one's to adopt, by the row as it is.
  if (registry_.is_closing() && !(alive && *alive)) co_return registry_.done(*c);
  bool const has_died = c->interrupt && c->interrupt->why == Why::died;
  if (has_died) {
    alive = upstream::fail(FaultKind::upstream, "conversation.adopt", "the runtime " + c->interrupt->reason);
  } else if (!alive) {
    alive = Outcome<>{};  // to be stopped: whoever asked for it ends what runs
  }
  // It may run well: the reconciler asks for it again.
  if (!*alive && !has_died && c->is_unknown) {
    bool const was_paused = how == TakenOn::from_pause;
    c->is_elsewhere = c->is_unknown = !was_paused;
    c->is_held = was_paused;
    registry_.change(*c, was_paused ? RuntimeState::paused : RuntimeState::starting, alive->error().reason);
    co_await registry_.publish(c);
    co_return registry_.done(*c);
  }
  c->is_unknown = false;
  if (*alive) {
    registry_.change(*c, RuntimeState::running);
    auto row = co_await registry_.store().find(c->id);
    if (row && *row) lifecycle_.refresh_soon(*c, (*row)->configuration_json);
  } else if (alive->error().fault.kind == FaultKind::not_found) {
    c->left_behind = !co_await lifecycle_.release(c->id, runtime::Leftovers::keep);
    registry_.change(*c, RuntimeState::stopped, alive->error().reason);
  } else {
    c->failure_kind = alive->error().fault.kind;
    c->left_behind = !has_died;
    registry_.change(*c, RuntimeState::error, "after a restart of the gateway: " + alive->error().reason);
  }
  [[maybe_unused]] auto saved = co_await registry_.save(c);
  co_await registry_.publish(c);
  registry_.done(*c);
}

// Its row says so first: from then on no other gateway starts it, and one that has done so already keeps it.
Task<> Sweeps::clean_up(ConversationPtr c, runtime::Leftovers leftovers) {
  auto const held = co_await registry_.save(c, store::Phase::stopping);
  if (!held && held.error().fault.kind == FaultKind::conflict) co_return registry_.done(*c);
  auto released = co_await lifecycle_.release(c->id, leftovers);
  c->left_behind = !released;
  if (released) {
    registry_.change(*c, c->reason.empty() ? RuntimeState::stopped : RuntimeState::error, c->reason);
  } else {
    registry_.change(*c, RuntimeState::error, "stop: " + released.error().reason);
  }
  [[maybe_unused]] auto saved = co_await registry_.save(c);
  co_await registry_.publish(c);
  registry_.done(*c);
}

Task<> Sweeps::clean_up_warm(store::ConversationRow row) {
  auto released = co_await lifecycle_.release(row.id, runtime::Leftovers::remove);
  if (released) [[maybe_unused]]
    auto forgotten = co_await registry_.store().forget(std::move(row.id), registry_.gateway(), row.epoch);
}

// Whatever they held, runs of automations, too: nobody waits for the leases of processes that are gone.
Task<Outcome<>> Sweeps::bury_the_dead() {
  NESTGATE_CO_TRY(names, co_await registry_.store().gateways());
  for (auto& name : names)
    if (is_known_dead(name)) NESTGATE_CO_TRY_VOID(co_await registry_.store().leave(std::move(name)));
  co_return Outcome<>{};
}

Task<> Sweeps::renew_forever() {
  for (;;) {
    auto waited = co_await pause_for(settings_.lease_time / 3);
    if (!waited) co_return;
    auto renewed = co_await registry_.store().renew(registry_.gateway(), settings_.lease_time);
    store_problem_.clear();
    if (!renewed) store_problem_ = renewed.error().reason;
    [[maybe_unused]] auto buried = co_await bury_the_dead();  // else at the next time
  }
}

Task<> Sweeps::follow_forever() {
  for (;;) {
    auto waited = co_await pause_for(settings_.follow_pause);
    if (!waited) co_return;
    co_await follow();
    [[maybe_unused]] auto followed = co_await statics_.follow();  // what the store does not tell now it tells next time
  }
}

Task<> Sweeps::follow() {
  if (!is_recovered_) co_return;  // rows of a gateway that is gone are for the recovery
  auto changes = co_await registry_.store().changes_since(store_version_);
  if (!changes) co_return;
  store_version_ = changes->version;
  if (changes->is_all) co_await forget_others(ids_of(changes->rows));
  auto const late = std::exchange(late_, {});
  for (auto& row : changes->rows) follow_row(std::move(row));
  for (auto const& canonical : late) {
    auto const id = ConversationId::parse(canonical);
    if (!id || late_.contains(canonical)) continue;
    auto row = co_await registry_.store().find(*id);
    if (row && *row) follow_row(std::move(**row));
  }
  for (auto const& canonical : changes->forgotten) {
    auto const id = ConversationId::parse(canonical);
    auto c = id ? registry_.find(*id) : nullptr;
    if (c) co_await forget_gone(std::move(c));
  }
}

void Sweeps::follow_row(store::ConversationRow row) {
  auto const c = registry_.find(row.id);
  bool const is_ours = row.holder == registry_.gateway();
  if (is_ours && (!c || row.asked.empty())) return;
  if (c && c->is_busy) late_.insert(row.id.canonical());
  if (is_ours) {
    heed(c, row.asked);
  } else {
    see(std::move(row));
  }
}

// What another gateway asks of one that is held here.
void Sweeps::heed(ConversationPtr const& c, std::string const& asked) {
  if (asked == "stop" && c->starts()) c->interrupt_start({Conversation::Interrupt::Why::stop_asked, {}});
  if (c->is_busy) return;  // it comes again when that is over
  if (asked == "stop" && (c->state == RuntimeState::running || c->state == RuntimeState::paused))
    lifecycle_.begin_end(c, Closed::by_request);
  if (asked == "pause" && c->state == RuntimeState::running) lifecycle_.begin_pause(c, Closed::by_request);
  if (asked == "resume" && c->state == RuntimeState::paused) lifecycle_.begin_restart(c);
  tasks_.spawn("sweep.heeded", take_back_wish(c->id));
}

Task<> Sweeps::take_back_wish(ConversationId id) {
  [[maybe_unused]] auto taken_back = co_await registry_.store().ask_holder(std::move(id), "");
}

// What another gateway wrote. What is worked on here is not touched: a claim that comes too late is refused by the store.
void Sweeps::see(store::ConversationRow row) {
  if (row.purpose == "warm") return;
  auto c = registry_.find(row.id);
  if (c && (c->is_busy || c->origin == Origin::fixed)) return;
  bool const is_over = store::is_over(row.phase);
  if (!c) c = registry_.add(row.id, Origin::managed);
  if (is_over && !c->is_elsewhere && c->epoch == row.epoch && c->state == state_of(row.phase) &&
      c->key_generation == row.key_generation)
    return;  // our own
  // Lost while this gateway was held up: what it runs of it is nobody's any more.
  bool const is_left_over = c->is_held && c->epoch != row.epoch && !provider_.traits().outlives_gateway;
  if (is_left_over) tasks_.spawn("sweep.lost", release_lost(c->id));
  registry_.load(*c, row);
  c->asked = row.asked;
  c->is_elsewhere = !is_over;  // also of one that nobody holds: it is to be taken over
  c->is_held = false;
  c->has_run = true;
  registry_.change(*c, state_of(row.phase), row.reason);
  c->closed = parse_closed(row.closed);
  tasks_.spawn("sweep.publish", registry_.publish(c));
}

Task<> Sweeps::release_lost(ConversationId id) {
  [[maybe_unused]] auto released = co_await lifecycle_.release(std::move(id), runtime::Leftovers::keep);
}

Task<> Sweeps::reconcile_forever() {
  for (;;) {
    auto waited = co_await pause_for(settings_.reconcile_pause);
    if (!waited) co_return;
    co_await reconcile();
    warm_.refill();
  }
}

Task<> Sweeps::reconcile() {
  co_await take_from_the_dead();
  auto const began = SystemClock::now();
  auto found = co_await look();
  if (!found) co_return;
  if (!is_recovered_) {
    [[maybe_unused]] auto recovered = co_await recover_all(*found);
    co_return;
  }
  for (auto const& c : registry_.all()) {
    bool const is_ours = c->origin == Origin::managed && !c->is_elsewhere && !c->is_busy && !c->is_forgotten;
    if (!is_ours || c->changed_at >= began) continue;
    co_await reconcile_one(c, *found);
  }
  co_await settle_orphans(*found);
}

Task<> Sweeps::reconcile_one(ConversationPtr c, Found& found) {
  auto at = found.find(c->id.canonical());
  bool const should_be_there = c->state == RuntimeState::running || c->state == RuntimeState::paused;
  if (at == found.end() && should_be_there) {  // taken on from somebody else, it is in no list
    auto const version = c->version;
    auto unlisted = co_await provider_.inspect(c->id);
    if (!unlisted || c->version != version || c->is_busy) co_return;
    if (*unlisted) at = found.emplace(c->id.canonical(), std::move(**unlisted)).first;
  }
  auto const* const runtime = at == found.end() ? nullptr : &at->second;
  bool const there = runtime && is_there(*runtime);
  bool const is_frozen = runtime && runtime->presence == Presence::paused;
  bool const is_over = c->state == RuntimeState::stopped || c->state == RuntimeState::error;
  bool const is_to_end =
      there && (c->left_behind || recovery_of(phase_of(c->state), runtime->presence, provider_.traits()) == Recovery::end);
  if (c->state == RuntimeState::running && is_frozen) {
    registry_.change(*c, RuntimeState::paused, "it was paused from outside");
    [[maybe_unused]] auto saved = co_await registry_.save(c);
    co_await registry_.publish(c);
  } else if (should_be_there && !there) {
    lifecycle_.runtime_ended(c, runtime && !runtime->reason.empty() ? runtime->reason : "is gone");
  } else if (c->state == RuntimeState::paused && !is_frozen) {
    c->is_busy = true;
    registry_.change(*c, RuntimeState::starting);
    c->interrupt.reset();
    tasks_.spawn("reconcile.adopt", adopt(c, TakenOn::from_pause, {}));
  } else if (is_over && is_to_end) {
    c->is_busy = true;
    tasks_.spawn("reconcile.end", clean_up(c, runtime::Leftovers::keep));
  } else if (c->left_behind && !there) {
    c->left_behind = false;
  }
}

Task<> Sweeps::take_from_the_dead() {
  [[maybe_unused]] auto buried = co_await bury_the_dead();
  for (auto const& c : registry_.all()) {
    if (!c->is_elsewhere || c->is_busy) continue;
    auto row = co_await registry_.store().find(c->id);
    if (!row || !*row || store::is_over((*row)->phase)) continue;  // nobody's: the table hears of it
    auto taken = co_await registry_.store().take(c->id, registry_.gateway());
    if (!taken || !*taken || c->is_busy) continue;
    auto found = co_await provider_.inspect(c->id);
    if (!found || c->is_forgotten || c->is_busy) continue;
    runtime::Found const* const runtime = *found ? &**found : nullptr;
    co_await recover_one(std::move(**taken), runtime);
  }
}

// Up, of this installation, and no conversation's: neither in the table nor, by another gateway, in the store.
Task<> Sweeps::settle_orphans(Found const& found) {
  std::set<std::string> orphans;
  for (auto const& [canonical, runtime] : found) {
    if (!is_there(runtime) || registry_.find(runtime.id)) continue;
    auto row = co_await registry_.store().find(runtime.id);
    if (!row || registry_.find(runtime.id)) continue;
    if (*row) {
      co_await clean_up_left_warm(std::move(**row));
      continue;
    }
    orphans.insert(canonical);
    if (settings_.remove_orphans) {
      auto removed = co_await lifecycle_.release(runtime.id, runtime::Leftovers::remove);
      if (removed) registry_.stats.orphans_removed.add();
    } else if (!known_orphans_.contains(canonical) && registry_.on_change) {
      registry_.on_change(runtime.id, RuntimeState::error, "a runtime that no conversation has");
    }
  }
  registry_.stats.orphans.add(static_cast<std::int64_t>(orphans.size()) - registry_.stats.orphans.read());
  known_orphans_ = std::move(orphans);
}

// Of a gateway that died, or one that could not be ended before; nobody else has such a row in the table.
Task<> Sweeps::clean_up_left_warm(store::ConversationRow row) {
  if (!WarmPool::is_warm_id(row.id) || warm_.is_busy_with(row.id)) co_return;
  auto taken = co_await registry_.store().take(row.id, registry_.gateway());
  if (taken && *taken) tasks_.spawn("recover.warm", clean_up_warm(std::move(**taken)));
}

Task<> Sweeps::idle_forever() {
  for (;;) {
    auto waited = co_await pause_for(settings_.idle_sweep);
    if (!waited) co_return;
    co_await note_activity();
    for (auto const& c : registry_.all()) close_idle(c);
    refresh_due_tokens();
  }
}

Task<> Sweeps::note_activity() {
  auto const now = Clock::now();
  for (auto const& used : co_await registry_.publisher().activity()) {
    auto const c = registry_.find(used.id);
    if (!c || used.last_act == Clock::time_point{}) continue;
    auto const ago = std::chrono::duration_cast<SystemClock::duration>(now - used.last_act);
    c->last_act_at = std::max(c->last_act_at, SystemClock::now() - ago);
  }
}

void Sweeps::close_idle(ConversationPtr const& c) {
  bool const may_go = settings_.when_idle != WhenIdle::nothing && c->origin == Origin::managed && !c->is_elsewhere &&
                      c->is_idle_in(RuntimeState::running);
  if (!may_go || SystemClock::now() - std::max(c->last_act_at, c->changed_at) < settings_.idle_time_max) return;
  tasks_.spawn("idle.ask", ask_before_closing(c));
}

Task<> Sweeps::ask_before_closing(ConversationPtr c) {
  auto const epoch = c->epoch;
  auto const act = c->last_act_at;
  bool const answers = co_await ask_status(c);
  co_await note_activity();  // what was forwarded meanwhile counts
  if (c->epoch != epoch || c->last_act_at != act || !c->is_idle_in(RuntimeState::running)) co_return;
  auto const unused_for = SystemClock::now() - std::max(c->last_act_at, c->changed_at);
  auto const verdict = idle_verdict(std::chrono::duration_cast<std::chrono::milliseconds>(unused_for),
                                    settings_.idle_time_max, answers ? &c->nested_status : nullptr);
  if (verdict == IdleVerdict::works) c->last_act_at = SystemClock::now();
  if (verdict != IdleVerdict::close) co_return;
  registry_.stats.closed_when_idle.add();
  if (settings_.when_idle == WhenIdle::pause) {
    lifecycle_.begin_pause(c, Closed::when_idle);
  } else {
    lifecycle_.begin_end(c, Closed::when_idle);
  }
}

void Sweeps::refresh_due_tokens() {
  auto const now = SystemClock::now();
  registry_.for_each([&](ConversationPtr const& c) {
    if (c->refresh_at && *c->refresh_at <= now && c->is_idle_in(RuntimeState::running)) lifecycle_.begin_refresh(c);
  });
}

// Only those that somebody was shown since the last look.
Task<> Sweeps::statuses_forever() {
  for (;;) {
    auto waited = co_await pause_for(settings_.status_age_max);
    if (!waited) co_return;
    for (auto const& c : registry_.all()) {
      if (!std::exchange(c->status_is_wanted, false) || !c->is_idle_in(RuntimeState::running)) continue;
      if (c->origin == Origin::fixed || c->is_elsewhere) continue;
      while (tasks_.size() > statuses_at_once_max) {
        auto slot = co_await pause_for(std::chrono::milliseconds(1));
        if (!slot) co_return;
      }
      tasks_.spawn("status.ask", note_status(c));
    }
  }
}

Task<> Sweeps::note_status(ConversationPtr c) { [[maybe_unused]] bool const answered = co_await ask_status(std::move(c)); }

Task<bool> Sweeps::ask_status(ConversationPtr c) {
  auto const epoch = c->epoch;
  nested::Client client(c->endpoint, c->session_key.clone());
  auto status = co_await client.status(c->id, c->dialect, Deadline::in(settings_.status_time_max));
  if (!status || c->epoch != epoch || c->state != RuntimeState::running) co_return false;
  c->nested_status = std::move(*status);
  c->status_at = Clock::now();
  co_return true;
}

}  // namespace nestgate::conversation
