#include "nestgate/conversation/manager.hpp"

#include <algorithm>
#include <tuple>

#include "interruptible.hpp"
#include "nestgate/upstream/random.hpp"

namespace nestgate::conversation {
namespace {

using asio::ip::tcp;
using upstream::fail;
using SystemClock = std::chrono::system_clock;

Failure unknown_conversation() { return fail(FaultKind::not_found, "conversation.find", "there is no such conversation"); }

Failure closing() { return fail(FaultKind::unavailable, "conversation.start", "the gateway is shutting down"); }

Failure static_runtime() {
  return fail(FaultKind::conflict, "conversation.stop", "this runtime comes from the settings; whoever runs it ends it");
}

// A server that listens on every address has both, one that listens on one mostly has the first kind.
tcp::endpoint preferred(upstream::Endpoints const& found) {
  auto const v4 = std::find_if(found.begin(), found.end(), [](auto const& at) { return at.address().is_v4(); });
  return v4 == found.end() ? found.front() : *v4;
}

ConversationId made_id() {
  auto id = ConversationId::parse(upstream::random_uuid_hex());
  NESTGATE_INVARIANT(id, "a UUID is an id");
  return std::move(*id);
}

}  // namespace

struct Manager::Conversation {
  Conversation(Executor executor, ConversationId i)
      : id(std::move(i)), idle(executor, Clock::time_point::max()), trip(executor, Clock::time_point::max()) {}

  // Why a start is to end early; looked at when `trip` goes.
  struct Interrupt {
    enum class Why : std::uint8_t { died, stop_asked, closing } why;
    std::string reason;  // of a death
  };
  // The first reason counts: a runtime that is told to stop dies, and one that died needs no telling.
  void interrupt_start(Interrupt why) {
    if (!interrupt) interrupt.emplace(std::move(why));
    trip.cancel();
  }

  ConversationId id;
  Origin origin = Origin::managed;
  std::string owner;
  RuntimeState state = RuntimeState::stopped;
  std::string reason;
  Epoch epoch{0};
  SystemClock::time_point created_at = SystemClock::now();
  SystemClock::time_point changed_at = created_at;
  tcp::endpoint endpoint;
  std::vector<DeclaredPort> ports;
  Secret session_key;
  bool has_own_key = false;  // a static runtime's, which no secret derives
  unsigned puts = 0;         // of a static runtime: only the latest counts
  nested::Dialect dialect = nested::Dialect::unknown;
  std::optional<Interrupt> interrupt;
  FaultKind failure_kind = FaultKind::upstream;  // of state error: what a starter is told
  bool is_busy = false;                          // a task starts, ends or removes it; the only one
  bool was_made = false;                         // the provider made a runtime for it at least once
  bool has_run = false;                          // and it ran: it may hold somebody's work
  bool is_forgotten = false;
  std::optional<Failure> removal_failure;  // of the last removal, until the next start
  Timer idle;                              // cancelled when the task is done and what it published is known to every core
  Timer trip;                              // cancelled to end a start

  bool starts() const noexcept { return is_busy && (state == RuntimeState::starting || state == RuntimeState::running); }
};

Manager::Manager(Executor control, std::unique_ptr<runtime::RuntimeProvider> provider, DirectoryPublisher& publisher,
                 std::shared_ptr<identity::KeyRing const> keys, ManagerSettings settings)
    : provider_(std::move(provider)),
      publisher_(publisher),
      keys_(std::move(keys)),
      settings_(settings),
      tasks_(control),
      look_ups_(control) {
  provider_->on_end(
      [this](ConversationId const& id, Epoch epoch, std::string reason) { runtime_ended(id, epoch, std::move(reason)); });
}

Manager::~Manager() = default;

Task<Outcome<Started>> Manager::start(StartRequest request) {
  auto what = Started::What::made;
  for (;;) {
    if (is_closing_) co_return closing();
    NESTGATE_CO_TRY(c, admit(request));
    if (c->epoch.get() != 0) what = Started::What::joined;
    if (c->is_busy && !c->starts()) {  // it ends first, and may be forgotten then
      NESTGATE_CO_TRY_VOID(co_await until_idle(c));
      continue;
    }
    if (!c->is_busy && c->state != RuntimeState::running) begin(c, std::move(request.configuration));
    NESTGATE_CO_TRY_VOID(co_await until_idle(c));
    if (c->state == RuntimeState::running) co_return Started{what, view_of(*c)};
    if (c->state == RuntimeState::error) co_return fail(c->failure_kind, "conversation.start", c->reason);
    co_return fail(FaultKind::conflict, "conversation.start", "it was stopped while it started");
  }
}

Outcome<Manager::ConversationPtr> Manager::admit(StartRequest& request) {
  if (!request.id) request.id = made_id();
  if (auto known = lookup(*request.id)) {
    if (!request.by.may_use(known->owner))
      return fail(FaultKind::conflict, "conversation.start", "conversation_id: belongs to someone else");
    return known;
  }
  if (conversations_.size() >= settings_.conversations_max && !make_room())
    return fail(
        FaultKind::overloaded, "conversation.start",
        "all " + std::to_string(settings_.conversations_max) + " conversations are in use; delete some that are stopped");
  auto c = std::make_shared<Conversation>(tasks_.executor(), *request.id);
  c->owner = request.by.owner;
  stats_.runtimes[static_cast<std::size_t>(c->state)].add();
  conversations_.emplace(c->id.canonical(), c);
  return c;
}

// What failed before it ever ran holds nothing that anybody would miss: the oldest of these goes.
bool Manager::make_room() {
  ConversationPtr oldest;
  for (auto const& [id, c] : conversations_) {
    bool const failed_to_start = c->state == RuntimeState::error && !c->has_run && !c->removal_failure;
    bool const may_go = c->origin == Origin::managed && !c->is_busy && failed_to_start;
    if (may_go && (!oldest || c->changed_at < oldest->changed_at)) oldest = c;
  }
  if (!oldest) return false;
  forget(*oldest);
  tasks_.spawn("conversation.forget", publisher_.withdraw(oldest->id, oldest->epoch));
  return true;
}

// The table's part of it; the cores are the caller's business.
void Manager::forget(Conversation& c) {
  stats_.runtimes[static_cast<std::size_t>(c.state)].sub();
  c.is_forgotten = true;
  conversations_.erase(c.id.canonical());
}

void Manager::begin(ConversationPtr c, nested::Configuration configuration) {
  c->epoch = Epoch{++epochs_};
  c->session_key = keys_->derive(c->id);
  c->interrupt.reset();
  c->removal_failure.reset();
  c->is_busy = true;
  c->dialect = nested::Dialect::unknown;
  stats_.starts.add();
  change(*c, RuntimeState::starting);
  tasks_.spawn("conversation.start", drive(std::move(c), std::move(configuration)));
}

Task<> Manager::drive(ConversationPtr c, nested::Configuration configuration) {
  co_await publish(c);  // so that clients that come early are told to wait instead of 404
  StartMachine machine;
  StartMachine::Event event = StartMachine::Begun{};
  for (;;) {
    auto action = machine.on(std::move(event));
    if (auto* settle = std::get_if<StartMachine::Settle>(&action)) {
      bool const is_error = settle->as == StartMachine::Settle::As::error;
      if (is_error) stats_.start_failures.add();
      if (settle->as != StartMachine::Settle::As::running) {
        change(*c, is_error ? RuntimeState::error : RuntimeState::stopped, std::move(settle->reason));
        // A new id for which nothing could be made: its client was told, and would only leave it behind.
        if (is_error && !c->was_made) {
          co_await publisher_.withdraw(c->id, c->epoch);
          forget(*c);
        } else {
          co_await publish(c);
        }
      }
      done(*c);
      co_return;
    }
    if (std::holds_alternative<StartMachine::Release>(action)) {
      [[maybe_unused]] auto ended = co_await provider_->destroy(c->id, runtime::Leftovers::keep);
      event = StartMachine::Released{};
      continue;
    }
    auto next = co_await perform(std::get<StartMachine::Perform>(action).step, c, configuration);
    event = std::move(next);
  }
}

Task<StartMachine::Event> Manager::perform(StartStep step, ConversationPtr c, nested::Configuration const& configuration) {
  std::optional<Outcome<>> done = Outcome<>{};
  if (!c->interrupt) {
    switch (step) {
      case StartStep::create: done = co_await unless_tripped(c->trip, create(c)); break;
      case StartStep::ready: done = co_await unless_tripped(c->trip, wait_ready(c)); break;
      case StartStep::configure: done = co_await unless_tripped(c->trip, configure(c, configuration)); break;
      case StartStep::publish:
        change(*c, RuntimeState::running);
        c->has_run = true;
        co_await publish(c);
        break;
    }
  }
  if (c->interrupt) {
    using Why = Conversation::Interrupt::Why;
    if (c->interrupt->why == Why::stop_asked) co_return StartMachine::StopAsked{};
    if (c->interrupt->why == Why::closing) {
      c->failure_kind = FaultKind::unavailable;
      co_return StartMachine::StepFailed{closing().reason};
    }
    c->failure_kind = FaultKind::upstream;
    co_return StartMachine::Died{std::string(to_string(step)) + ": the runtime " + c->interrupt->reason};
  }
  NESTGATE_INVARIANT(done, "only an interrupt ends a step early");
  if (!*done) {
    c->failure_kind = done->error().fault.kind;
    co_return StartMachine::StepFailed{done->error().reason};
  }
  co_return StartMachine::StepDone{};
}

Task<Outcome<>> Manager::create(ConversationPtr c) {
  runtime::Spec spec{c->id, c->epoch, c->session_key.clone(), c->owner};
  NESTGATE_CO_TRY(instance, co_await provider_->create(std::move(spec), Deadline::in(settings_.ready_time_max)));
  c->was_made = true;
  c->endpoint = instance.endpoint;
  c->ports.clear();
  for (auto& port : instance.ports) c->ports.push_back(DeclaredPort{std::move(port.name), port.number, port.endpoint});
  co_return Outcome<>{};
}

Task<Outcome<>> Manager::wait_ready(ConversationPtr c) {
  nested::Client client(c->endpoint, c->session_key.clone());
  co_return co_await client.wait_alive(Deadline::in(settings_.ready_time_max));
}

Task<Outcome<>> Manager::configure(ConversationPtr c, nested::Configuration const& configuration) {
  nested::Client client(c->endpoint, c->session_key.clone());
  NESTGATE_CO_TRY(dialect, co_await client.configure(configuration, settings_.configure_step_time_max));
  c->dialect = dialect;
  co_return Outcome<>{};
}

Task<Outcome<>> Manager::put_static(StaticRuntime fixed) {
  auto const url = upstream::parse_url(fixed.url);
  if (!url || url->scheme != "http" || !(url->path.empty() || url->path == "/") || !url->query.empty())
    co_return fail(FaultKind::bad_input, "runtime.static", "url: must be http://host:port");
  auto c = lookup(fixed.id);
  if (c && c->origin != Origin::fixed)
    co_return fail(FaultKind::conflict, "runtime.static", "id: belongs to a started conversation");
  if (!c) {
    c = std::make_shared<Conversation>(tasks_.executor(), fixed.id);
    c->origin = Origin::fixed;
    conversations_.emplace(c->id.canonical(), c);  // before the look-up, so that the id is taken
    stats_.runtimes[static_cast<std::size_t>(c->state)].add();
  }
  auto const turn = ++c->puts;
  auto found = co_await look_up(*url);
  if (!is_latest(*c, turn)) co_return fail(FaultKind::cancelled, "runtime.static", "it was replaced or removed meanwhile");
  if (found) {
    co_await place(c, std::move(fixed), *found);
    co_return Outcome<>{};
  }
  auto failure = upstream::failed("url: " + url->host, found.error());
  if (c->epoch.get() == 0) {
    c->epoch = Epoch{++epochs_};
    take_key(*c, fixed);
    change(*c, RuntimeState::starting, failure.reason);
    co_await publish(c);
  }
  look_ups_.spawn("conversation.resolve", place_once_found(c, std::move(fixed), *url, turn));
  co_return failure;
}

Task<Result<upstream::Endpoints>> Manager::look_up(upstream::Url const& url) {
  co_return co_await with_deadline(Deadline::in(settings_.resolve_time_max), upstream::resolve(url.host, url.port));
}

Task<> Manager::place_once_found(ConversationPtr c, StaticRuntime fixed, upstream::Url url, unsigned turn) {
  while (is_latest(*c, turn)) {
    auto waited = co_await pause_for(settings_.resolve_pause);
    if (!waited) co_return;
    auto found = co_await look_up(url);
    if (!found || !is_latest(*c, turn)) continue;
    co_await place(c, std::move(fixed), *found);
    co_return;
  }
}

Task<> Manager::place(ConversationPtr c, StaticRuntime fixed, upstream::Endpoints found) {
  c->epoch = Epoch{++epochs_};
  take_key(*c, fixed);
  c->endpoint = preferred(found);
  c->ports.clear();
  for (auto& [name, number] : fixed.ports) {
    tcp::endpoint const at(c->endpoint.address(), number);
    c->ports.push_back(DeclaredPort{std::move(name), number, at});
  }
  change(*c, RuntimeState::running);
  co_await publish(c);
}

void Manager::take_key(Conversation& c, StaticRuntime const& fixed) const {
  c.has_own_key = fixed.session_key.has_value();
  c.session_key = c.has_own_key ? fixed.session_key->clone() : keys_->derive(c.id);
}

// Neither removed nor put anew since.
bool Manager::is_latest(Conversation const& c, unsigned turn) const { return lookup(c.id).get() == &c && c.puts == turn; }

Task<> Manager::remove_static(ConversationId id) {
  auto c = lookup(id);
  if (!c || c->origin != Origin::fixed) co_return;
  stats_.runtimes[static_cast<std::size_t>(c->state)].sub();
  conversations_.erase(c->id.canonical());
  co_await publisher_.withdraw(c->id, c->epoch);
}

Task<Outcome<View>> Manager::stop(ConversationId id) {
  auto c = lookup(id);
  if (!c) co_return unknown_conversation();
  if (c->origin == Origin::fixed) co_return static_runtime();
  if (c->starts()) c->interrupt_start({Conversation::Interrupt::Why::stop_asked, {}});
  NESTGATE_CO_TRY_VOID(co_await until_idle(c));
  if (!c->is_busy && c->state == RuntimeState::running) begin_end(c);
  NESTGATE_CO_TRY_VOID(co_await until_idle(c));
  co_return view_of(*c);
}

void Manager::begin_end(ConversationPtr c) {
  c->is_busy = true;
  change(*c, RuntimeState::stopping);
  tasks_.spawn("conversation.stop", end_running(std::move(c)));
}

Task<> Manager::end_running(ConversationPtr c) {
  co_await publish(c);
  if (c->dialect == nested::Dialect::older) {
    nested::Client client(c->endpoint, c->session_key.clone());
    // The SIGTERM that follows stops it too; this only lets the server say so to its clients first.
    [[maybe_unused]] auto told = co_await client.stop_conversation(c->id.text(), Deadline::in(settings_.stop_call_time_max));
  }
  [[maybe_unused]] auto ended = co_await provider_->destroy(c->id, runtime::Leftovers::keep);
  change(*c, RuntimeState::stopped);
  co_await publish(c);
  done(*c);
}

Task<Outcome<>> Manager::remove(ConversationId id) {
  for (;;) {
    NESTGATE_CO_TRY_VOID(co_await stop(id));
    auto c = lookup(id);
    if (!c) co_return Outcome<>{};  // somebody else removed it meanwhile
    if (!c->is_busy) {
      c->is_busy = true;
      change(*c, RuntimeState::stopping);
      tasks_.spawn("conversation.remove", bury(c));
    }
    NESTGATE_CO_TRY_VOID(co_await until_idle(c));
    if (c->is_forgotten) co_return Outcome<>{};
    if (c->removal_failure) co_return *c->removal_failure;  // else it was started again before we came
  }
}

Task<> Manager::bury(ConversationPtr c) {
  c->endpoint = {};  // others may listen there by now
  c->ports.clear();
  auto removed = co_await provider_->destroy(c->id, runtime::Leftovers::remove);
  if (!removed) {
    c->failure_kind = removed.error().fault.kind;
    c->removal_failure = removed.error();
    change(*c, RuntimeState::error, removed.error().reason);
    co_await publish(c);
    done(*c);
    co_return;
  }
  co_await publisher_.withdraw(c->id, c->epoch);
  change(*c, RuntimeState::stopped);
  forget(*c);
  done(*c);
}

Task<> Manager::replace_keys(std::shared_ptr<identity::KeyRing const> keys) {
  keys_ = std::move(keys);
  std::vector<ConversationPtr> all;
  all.reserve(conversations_.size());
  for (auto const& [id, c] : conversations_) all.push_back(c);
  for (auto const& c : all)
    if (!c->has_own_key && c->epoch.get() != 0 && !c->is_forgotten) co_await publish(c);
}

void Manager::begin_closing() {
  is_closing_ = true;
  look_ups_.stop();
  for (auto const& [id, c] : conversations_) {
    if (c->starts()) c->interrupt_start({Conversation::Interrupt::Why::closing, {}});
    c->idle.cancel();
  }
}

Task<> Manager::stop_all() {
  begin_closing();
  for (auto const& [id, c] : conversations_)
    if (c->origin == Origin::managed && !c->is_busy && c->state == RuntimeState::running) begin_end(c);
  auto joined = co_await look_ups_.join();
  joined = co_await tasks_.join();
  if (!joined) {
    tasks_.stop();
    joined = co_await tasks_.join();
  }
  co_await provider_->close();
  joined = co_await tasks_.join();
}

std::optional<View> Manager::find(ConversationId const& id) const {
  auto const c = lookup(id);
  if (!c) return std::nullopt;
  return view_of(*c);
}

std::optional<RuntimeState> Manager::state_of(ConversationId const& id, Epoch epoch) const {
  auto const c = lookup(id);
  if (!c || c->epoch != epoch) return std::nullopt;
  return c->state;
}

bool Manager::knows(ConversationId const& id, identity::Principal const& by) const {
  auto const c = lookup(id);
  return c && by.may_use(c->owner);
}

// Only the page is sorted and copied: there may be thousands, and each has a key.
Page Manager::list(identity::Principal const& by, std::size_t limit, std::optional<Position> const& after) const {
  auto const position = [](Conversation const& c) { return std::tie(c.created_at, c.id.canonical()); };
  std::vector<Conversation const*> found;
  for (auto const& [id, c] : conversations_) {
    bool const is_behind = !after || position(*c) < std::tie(after->created_at, after->canonical_id);
    if (is_behind && by.may_use(c->owner)) found.push_back(c.get());
  }
  auto const newer = [&](Conversation const* a, Conversation const* b) { return position(*a) > position(*b); };
  auto const size = std::min(limit, found.size());
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(size), found.end(), newer);
  Page page;
  page.has_more = found.size() > size;
  for (std::size_t i = 0; i < size; ++i) page.views.push_back(view_of(*found[i]));
  return page;
}

void Manager::runtime_ended(ConversationId const& id, Epoch epoch, std::string reason) {
  auto const c = lookup(id);
  if (!c || c->epoch != epoch) return;
  if (c->starts()) {
    c->interrupt_start({Conversation::Interrupt::Why::died, std::move(reason)});
  } else if (c->state == RuntimeState::running) {
    stats_.deaths.add();
    change(*c, RuntimeState::error, "the runtime " + reason);
    tasks_.spawn("conversation.died", publish(c));
  }
}

// The record is made anew for each call, so that the last one always says what is so now.
Task<> Manager::publish(ConversationPtr c) {
  auto record = std::make_shared<RuntimeRecord>(RuntimeRecord{c->id, c->epoch, c->state, c->owner, {}, {}, {}, {}});
  if (record->is_up()) {
    record->endpoint = c->endpoint;
    record->ports = c->ports;
  }
  record->session_key = c->session_key.clone();
  if (!c->has_own_key) record->accepted_keys = keys_->accepted(c->id);
  bool const has_it = std::any_of(record->accepted_keys.begin(), record->accepted_keys.end(),
                                  [&c](Secret const& key) { return key == c->session_key; });
  if (!has_it && !c->session_key.empty()) record->accepted_keys.push_back(c->session_key.clone());
  co_await publisher_.publish(std::move(record));
}

Task<Outcome<>> Manager::until_idle(ConversationPtr c) {
  while (c->is_busy) {
    if (is_closing_) co_return closing();
    auto [ec] = co_await c->idle.async_wait(no_throw);
    auto const state = co_await asio::this_coro::cancellation_state;
    if (state.cancelled() != asio::cancellation_type::none)
      co_return upstream::failed("wait", Fault{FaultKind::cancelled, ec, "conversation.wait"});
  }
  co_return Outcome<>{};
}

void Manager::done(Conversation& c) {
  c.is_busy = false;
  c.idle.cancel();
}

void Manager::change(Conversation& c, RuntimeState state, std::string reason) {
  stats_.runtimes[static_cast<std::size_t>(c.state)].sub();
  stats_.runtimes[static_cast<std::size_t>(state)].add();
  c.state = state;
  c.reason = std::move(reason);
  c.changed_at = SystemClock::now();
  if (on_change_) on_change_(c.id, state, c.reason);
}

View Manager::view_of(Conversation const& c) const {
  View view{c.id, c.origin, c.state, c.reason, c.owner, c.epoch, c.created_at, c.changed_at, {}, {}};
  if (c.state == RuntimeState::running) {
    view.endpoint = c.endpoint;
    view.session_key = c.session_key.clone();
  }
  return view;
}

Manager::ConversationPtr Manager::lookup(ConversationId const& id) const {
  auto const found = conversations_.find(id.canonical());
  return found == conversations_.end() ? nullptr : found->second;
}

}  // namespace nestgate::conversation
