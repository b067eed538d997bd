#include "registry.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

#include "nestgate/identity/digest.hpp"
#include "stored.hpp"

namespace nestgate::conversation {

using upstream::fail;
using SystemClock = std::chrono::system_clock;

namespace {

// Who is shown that it runs may use it at once: what the cores are only being told still starts.
RuntimeState shown_state(Conversation const& c) noexcept {
  return c.state == RuntimeState::running && c.is_busy ? RuntimeState::starting : c.state;
}

std::string digest_of(std::string_view key) { return std::string(identity::as_text(identity::sha256({key}))); }

std::string_view dialect_text(nested::Dialect dialect) noexcept {
  switch (dialect) {
    case nested::Dialect::unknown: return "";
    case nested::Dialect::older: return "older";
    case nested::Dialect::agent_server: return "agent_server";
  }
  return "";
}

nested::Dialect parse_dialect(std::string_view text) noexcept {
  for (auto const dialect : {nested::Dialect::older, nested::Dialect::agent_server})
    if (text == dialect_text(dialect)) return dialect;
  return nested::Dialect::unknown;
}

Purpose parse_purpose(std::string_view text) noexcept {
  for (auto const purpose : {Purpose::sandbox, Purpose::runtime})
    if (text == to_string(purpose)) return purpose;
  return Purpose::conversation;
}

}  // namespace

std::string_view to_string(Purpose purpose) noexcept {
  switch (purpose) {
    case Purpose::conversation: return "conversation";
    case Purpose::sandbox: return "sandbox";
    case Purpose::runtime: return "runtime";
  }
  return "";
}

Failure unknown_conversation() { return fail(FaultKind::not_found, "conversation.find", "there is no such conversation"); }

Failure closing_failure() { return fail(FaultKind::unavailable, "conversation.start", "the gateway is shutting down"); }

Failure unknown_runtime_failure() {
  return fail(FaultKind::unavailable, "conversation.recover",
              "what runs of it is not known yet: since the gateway started, what keeps the runtimes has not answered");
}

Failure static_runtime_failure() {
  return fail(FaultKind::conflict, "conversation.stop", "this runtime is a static one; whoever runs it ends it");
}

Conversation::Conversation(Executor executor, ConversationId i)
    : id(std::move(i)),
      idle(executor, Clock::time_point::max()),
      trip(executor, Clock::time_point::max()),
      changed(executor, Clock::time_point::max()) {}

void Conversation::interrupt_start(Interrupt why) {
  if (!interrupt) interrupt.emplace(std::move(why));
  trip.cancel();
}

void Conversation::note_restart() {
  if (!death) return;
  ++restarts.count;
  if (restarts.reasons.size() == Restarts::reasons_max) restarts.reasons.erase(restarts.reasons.begin());
  restarts.reasons.push_back(*std::exchange(death, std::nullopt));
}

bool Conversation::wakes() const noexcept {
  if (origin != Origin::managed) return false;
  if (state == RuntimeState::paused) return true;  // also elsewhere: its gateway resumes it
  if (is_elsewhere) return false;
  if (state == RuntimeState::stopping) return is_busy && closed == Closed::when_idle;  // once it has stopped
  return state == RuntimeState::stopped && closed != Closed::for_room && closed != Closed::by_request;
}

Registry::Registry(Executor control, DirectoryPublisher& publisher, store::Store& store,
                   std::shared_ptr<identity::KeyRing const> keys, std::string gateway,
                   std::shared_ptr<ClientTls const> nested_tls)
    : control_(control),
      publisher_(publisher),
      store_(store),
      keys_(std::move(keys)),
      gateway_(std::move(gateway)),
      nested_tls_(std::move(nested_tls)) {}

ConversationPtr Registry::find(ConversationId const& id) const {
  auto const found = by_id_.find(id.canonical());
  return found == by_id_.end() ? nullptr : found->second;
}

// How long it takes to look for a digest tells nobody of a key.
ConversationPtr Registry::find_by_key(std::string_view session_key) const {
  auto const found = session_key.empty() ? by_key_.end() : by_key_.find(digest_of(session_key));
  return found == by_key_.end() ? nullptr : find(found->second->id);
}

Outcome<ConversationPtr> Registry::find_managed(ConversationId const& id) const {
  auto c = find(id);
  if (!c) return unknown_conversation();
  if (c->origin == Origin::fixed) return static_runtime_failure();
  return c;
}

ConversationPtr Registry::add(ConversationId id, Origin origin) {
  auto c = std::make_shared<Conversation>(control_, std::move(id));
  c->origin = origin;
  stats.runtimes[static_cast<std::size_t>(c->state)].add();
  by_id_.emplace(c->id.canonical(), c);
  if (origin == Origin::managed) ++managed_;
  return c;
}

void Registry::forget(Conversation& c) {
  stats.runtimes[static_cast<std::size_t>(c.state)].sub();
  c.is_forgotten = true;
  if (c.origin == Origin::managed) --managed_;
  note_changed(c);
  unindex_keys(c);
  by_id_.erase(c.id.canonical());
}

std::vector<ConversationPtr> Registry::all() const {
  std::vector<ConversationPtr> out;
  out.reserve(by_id_.size());
  for (auto const& [id, c] : by_id_) out.push_back(c);
  return out;
}

void Registry::change(Conversation& c, RuntimeState state, std::string reason) {
  stats.runtimes[static_cast<std::size_t>(c.state)].sub();
  stats.runtimes[static_cast<std::size_t>(state)].add();
  c.state = state;
  c.reason = std::move(reason);
  c.progress.clear();
  if (state == RuntimeState::starting || state == RuntimeState::running) c.closed = Closed::no;
  if (state == RuntimeState::running) c.refusal.reset();
  if (state != RuntimeState::running) {
    c.nested_status = {};
    c.status_at = {};
    c.refresh_at.reset();
  }
  c.changed_at = SystemClock::now();
  note_changed(c);
  if (on_change) on_change(c.id, state, c.reason);
}

void Registry::note_progress(Conversation& c, std::string_view progress) {
  if (c.progress == progress) return;
  c.progress = progress;
  note_changed(c);
}

void Registry::note_changed(Conversation& c) {
  ++c.version;
  c.changed.cancel();
}

void Registry::take_key(Conversation& c, std::optional<Secret> own, std::optional<std::uint64_t> generation) {
  unindex_keys(c);  // by the generation that they were indexed with
  c.key_generation = generation.value_or(c.key_generation);
  c.has_own_key = own.has_value();
  c.session_key = own ? std::move(*own) : keys_->derive(c.id, c.key_generation);
  index_keys(c);
}

void Registry::withdraw_client_key(Conversation& c) {
  unindex_keys(c);
  c.has_own_key = true;  // the running server keeps the key that it was started with; only clients are given another
  ++c.key_generation;
  index_keys(c);
  note_changed(c);
}

// What a conversation may show to the gateway's own routes. A key that was withdrawn opens nothing, though the server that
// was started with it still has it.
template <class Visit>
void Registry::for_each_key(Conversation const& c, Visit&& visit) const {
  if (c.session_key.empty()) return;
  if (c.key_generation == 0) visit(c.session_key);
  if (c.origin == Origin::fixed) return;
  for (auto const& key : keys_->accepted(c.id, c.key_generation))
    if (c.key_generation != 0 || !(key == c.session_key)) visit(key);
}

void Registry::index_keys(Conversation& c) {
  for_each_key(c, [&](Secret const& key) { by_key_.emplace(digest_of(key.reveal()), &c); });
}

void Registry::unindex_keys(Conversation const& c) {
  for_each_key(c, [&](Secret const& key) {
    auto [at, end] = by_key_.equal_range(digest_of(key.reveal()));
    while (at != end) at = at->second == &c ? by_key_.erase(at) : std::next(at);
  });
}

// Clients show the key of the newest generation. The server's own is one of theirs only while none was withdrawn.
RuntimeRecordPtr Registry::record_of(Conversation const& c) const {
  auto record = std::make_shared<RuntimeRecord>(RuntimeRecord{c.id, c.epoch, c.state, c.owner, {}, {}, {}, {}});
  if (record->is_up()) {
    record->endpoint = c.endpoint;
    record->ports = c.ports;
  }
  record->closed = c.closed;
  record->wakes = c.wakes() || (c.origin == Origin::managed && c.state == RuntimeState::starting);
  record->progress = c.progress;
  if (c.refusal) record->progress = c.refusal->reason;
  record->session_key = c.session_key.clone();
  if (!c.has_own_key || c.origin == Origin::managed) record->accepted_keys = keys_->accepted(c.id, c.key_generation);
  bool const has_it = std::any_of(record->accepted_keys.begin(), record->accepted_keys.end(),
                                  [&c](Secret const& key) { return key == c.session_key; });
  if (!has_it && c.key_generation == 0 && !c.session_key.empty()) record->accepted_keys.push_back(c.session_key.clone());
  return record;
}

Task<> Registry::publish(ConversationPtr c) { co_await publisher_.publish(record_of(*c)); }

Task<> Registry::withdraw(ConversationPtr c) { co_await publisher_.withdraw(c->id, c->epoch); }

store::ConversationRow Registry::row_of(Conversation const& c, std::optional<store::Phase> phase) const {
  store::ConversationRow row{c.id};
  row.owner = c.owner;
  row.organisation = c.organisation;
  row.purpose = to_string(c.purpose);
  row.phase = phase.value_or(phase_of(c.state));
  row.reason = c.reason;
  row.closed = to_string(c.closed);
  row.epoch = c.epoch;
  row.key_generation = c.key_generation;
  row.units = c.units;
  row.handle = c.handle;
  row.endpoint = place_text(c.endpoint);
  row.ports_json = ports_json(c.ports);
  row.spec_id = c.spec_id;
  row.dialect = dialect_text(c.dialect);
  if (c.has_own_key) row.session_key = c.session_key.clone();
  row.about_json = about_json(c.about);
  row.created_at = c.created_at;
  row.changed_at = c.changed_at;
  row.last_act_at = c.last_act_at;
  row.holder = gateway_;
  return row;
}

Task<Outcome<>> Registry::save(ConversationPtr c, std::optional<store::Phase> phase) {
  if (!c->is_held) {
    NESTGATE_CO_TRY(taken, co_await store_.take(c->id, gateway_));
    if (!taken) co_return fail(FaultKind::conflict, "conversation.save", "another gateway works on it");
    c->is_held = true;
  }
  auto row = row_of(*c, phase);
  bool const is_let_go = store::is_over(row.phase);
  NESTGATE_CO_TRY_VOID(co_await store_.save(std::move(row)));
  if (is_let_go) c->is_held = false;
  co_return Outcome<>{};
}

void Registry::load(Conversation& c, store::ConversationRow& row) {
  c.refusal.reset();  // of another time
  c.is_unknown = false;
  c.owner = row.owner;
  c.organisation = row.organisation;
  c.purpose = parse_purpose(row.purpose);
  c.epoch = row.epoch;
  c.units = row.units;
  c.handle = row.handle;
  c.endpoint = parse_place(row.endpoint, nested_tls_).value_or(upstream::Place());
  c.ports = parse_ports(row.ports_json, nested_tls_);
  c.spec_id = row.spec_id;
  c.dialect = parse_dialect(row.dialect);
  c.created_at = row.created_at;
  c.last_act_at = row.last_act_at;
  c.image = parse_wish(row.wish_json).image;
  c.about = parse_about(row.about_json);
  c.is_remembered = true;
  std::optional<Secret> own;
  if (!row.session_key.empty()) own = row.session_key.clone();
  take_key(c, std::move(own), row.key_generation);
}

Task<Outcome<>> Registry::until_idle(ConversationPtr c) { return until_over(std::move(c), &Conversation::is_busy); }
Task<Outcome<>> Registry::until_told(ConversationPtr c) { return until_over(std::move(c), &Conversation::is_being_told); }

Task<Outcome<>> Registry::until_over(ConversationPtr c, bool Conversation::* goes_on) {
  while (*c.*goes_on) {
    if (is_closing_) co_return closing_failure();
    auto const woken = co_await until_woken(c->idle);
    if (!woken) co_return upstream::failed("wait", woken.error());
  }
  co_return Outcome<>{};
}

Task<Outcome<>> Registry::until_changed(ConversationPtr c, std::uint64_t seen, Deadline by) {
  auto const is_as_seen = [seen](Conversation const& known) { return known.version == seen; };
  return until_changed_from(std::move(c), is_as_seen, by);
}

Task<Outcome<>> Registry::until_next(ConversationPtr c, Deadline by) {
  auto const is_as_now = [version = c->version, is_busy = c->is_busy](Conversation const& known) {
    return known.version == version && known.is_busy == is_busy;
  };
  return until_changed_from(std::move(c), is_as_now, by);
}

// `holds`: while it does, nothing has changed.
template <class Holds>
Task<Outcome<>> Registry::until_changed_from(ConversationPtr c, Holds holds, Deadline by) {
  auto const wait = [](ConversationPtr waited, Holds is_same) -> Task<Result<>> {
    while (is_same(*waited)) {
      auto woken = co_await until_woken(waited->changed);
      if (!woken) co_return woken;
    }
    co_return Result<>{};
  };
  if (is_closing_) co_return closing_failure();
  auto waited = co_await with_deadline(by, wait(c, holds));
  if (is_closing_) co_return closing_failure();
  if (!waited) co_return upstream::failed("wait", waited.error());
  co_return Outcome<>{};
}

// Also a change: who waits for what becomes of a task looks at whether it still works.
void Registry::done(Conversation& c) {
  c.is_busy = false;
  c.idle.cancel();
  note_changed(c);
}

Secret Registry::client_key_of(Conversation const& c) const {
  bool const is_servers = c.key_generation == 0 && !c.session_key.empty();
  return is_servers ? c.session_key.clone() : keys_->derive(c.id, c.key_generation);
}

View Registry::view_of(Conversation const& c) const {
  View view{c.id, c.origin, shown_state(c), c.reason, c.owner, c.epoch, c.created_at, c.changed_at, {}, {}};
  view.organisation = c.organisation;
  view.purpose = c.purpose;
  view.closed = c.closed;
  view.progress = c.progress;
  view.spec_id = c.spec_id;
  view.image = c.image;
  view.handle = c.handle;
  view.dialect = c.dialect;
  view.last_act_at = c.last_act_at;
  view.version = c.version;
  view.restarts = c.restarts;
  view.about = c.about;
  if (view.state != RuntimeState::running) return view;
  view.endpoint = c.endpoint;
  view.ports = c.ports;
  view.session_key = c.session_key.clone();
  view.client_key = client_key_of(c);
  view.nested_status = c.nested_status;
  c.status_is_wanted = true;
  return view;
}

// Only the page is sorted and copied: there may be thousands, and each has a key.
Page Registry::list(identity::Principal const& by, std::size_t limit, std::optional<Position> const& after,
                    Filter const& filter) const {
  auto const position = [](Conversation const& c) { return std::tie(c.created_at, c.id.canonical()); };
  auto const matches = [&](Conversation const& c) {
    if (filter.origin && c.origin != *filter.origin) return false;
    if (filter.purpose && (c.purpose != *filter.purpose || c.origin == Origin::fixed)) return false;
    if (filter.state && shown_state(c) != *filter.state) return false;
    if (!filter.owner.empty() && c.owner != filter.owner) return false;
    return by.may_use(c.owner);
  };
  std::vector<Conversation const*> found;
  for (auto const& [id, c] : by_id_) {
    bool const is_behind = !after || position(*c) < std::tie(after->created_at, after->canonical_id);
    if (is_behind && matches(*c)) found.push_back(c.get());
  }
  auto const newer = [&](Conversation const* a, Conversation const* b) { return position(*a) > position(*b); };
  auto const size = std::min(limit, found.size());
  std::partial_sort(found.begin(), found.begin() + static_cast<std::ptrdiff_t>(size), found.end(), newer);
  Page page;
  page.has_more = found.size() > size;
  page.views.reserve(size);
  for (std::size_t i = 0; i < size; ++i) page.views.push_back(view_of(*found[i]));
  return page;
}

void Registry::close() {
  is_closing_ = true;
  for (auto const& [id, c] : by_id_) {
    if (c->starts()) c->interrupt_start({Conversation::Interrupt::Why::closing, {}});
    c->idle.cancel();
    note_changed(*c);
  }
}

void Registry::use_keys(std::shared_ptr<identity::KeyRing const> keys) {
  for (auto const& [id, c] : by_id_) unindex_keys(*c);
  keys_ = std::move(keys);
  for (auto const& [id, c] : by_id_) index_keys(*c);
}

}  // namespace nestgate::conversation
