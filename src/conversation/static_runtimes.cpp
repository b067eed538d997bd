#include "static_runtimes.hpp"

#include <algorithm>
#include <set>

#include "nestgate/upstream/http_client.hpp"
#include "nestgate/upstream/resolve.hpp"
#include "stored.hpp"

namespace nestgate::conversation {
namespace {

using asio::ip::tcp;
using upstream::fail;

// They are reached as the server itself is.
std::vector<DeclaredPort> ports_of(StaticRuntime const& fixed, upstream::Place const& place) {
  std::vector<DeclaredPort> out;
  out.reserve(fixed.ports.size());
  auto url = upstream::url_of(place);
  for (auto const& [name, number] : fixed.ports) {
    url.port = number;
    tcp::endpoint const at(place.at.address(), number);
    out.push_back({name, number, upstream::place_of(url, at, place.tls, upstream::Naming::over_tls)});
  }
  return out;
}

bool same_ports(std::vector<DeclaredPort> const& a, std::vector<DeclaredPort> const& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](DeclaredPort const& x, DeclaredPort const& y) {
    return x.name == y.name && x.number == y.number && x.endpoint == y.endpoint;
  });
}

Failure is_started() { return fail(FaultKind::conflict, "runtime.static", "id: belongs to a started conversation"); }

// Whether the routes API may change it.
Outcome<> check_routed(Conversation const& c) {
  if (c.origin != Origin::fixed) return is_started();
  if (!c.is_routed) return fail(FaultKind::conflict, "runtime.static", "id: comes from the settings");
  return Outcome<>{};
}

store::StaticRow row_of(StaticRuntime const& fixed) {
  store::StaticRow row;
  row.id = fixed.id.text();
  row.url = fixed.url;
  std::vector<DeclaredPort> ports = ports_of(fixed, tcp::endpoint(asio::ip::address_v4::loopback(), 1));
  row.ports_json = ports_json(ports);
  if (fixed.session_key) row.session_key = fixed.session_key->clone();
  return row;
}

std::optional<StaticRuntime> parse_row(store::StaticRow& row) {
  auto id = ConversationId::parse(row.id);
  if (!id) return std::nullopt;
  StaticRuntime out{std::move(*id), std::move(row.url), std::move(row.session_key), {}};
  for (auto const& port : parse_ports(row.ports_json, nullptr)) out.ports.emplace_back(port.name, port.number);
  return out;
}

}  // namespace

StaticRuntimes::StaticRuntimes(Executor control, Registry& registry, ManagerSettings const& settings)
    : registry_(registry), settings_(settings), look_ups_(control) {}

Outcome<upstream::Url> StaticRuntimes::checked_url(StaticRuntime const& fixed) const {
  auto url = upstream::parse_url(fixed.url);
  if (!url || !(url->path.empty() || url->path == "/") || !url->query.empty())
    return fail(FaultKind::bad_input, "runtime.static",
                "url: must be http://host:port or https://host:port, without a path or a query");
  auto const c = registry_.find(fixed.id);
  if (c && c->origin != Origin::fixed) return is_started();
  return std::move(*url);
}

// Before any look-up, so that the id is taken.
ConversationPtr StaticRuntimes::add_or_find(ConversationId const& id) {
  auto known = registry_.find(id);
  return known ? known : registry_.add(id, Origin::fixed);
}

Task<Outcome<>> StaticRuntimes::put(StaticRuntime fixed) {
  NESTGATE_CO_TRY(url, checked_url(fixed));
  auto c = add_or_find(fixed.id);
  c->is_routed = false;
  auto const turn = ++c->puts;
  auto found = co_await look_up(url);
  if (!is_latest(*c, turn)) co_return fail(FaultKind::cancelled, "runtime.static", "it was replaced or removed meanwhile");
  if (found) {
    place(*c, fixed, place_at(url, upstream::preferred(*found)));
    co_await registry_.publish(c);
    co_return Outcome<>{};
  }
  auto failure = upstream::failed("url: " + url.host, found.error());
  if (c->epoch.get() == 0) {
    c->epoch = registry_.next_static_epoch();
    take_key(*c, fixed);
    registry_.change(*c, RuntimeState::starting, failure.reason);
    co_await registry_.publish(c);
  }
  look_ups_.spawn("conversation.resolve", place_once_found(c, std::move(fixed), url, turn, First::after_a_pause));
  co_return failure;
}

// Remembered first: what cannot be is not in force either.
Task<Outcome<StaticsChanged>> StaticRuntimes::change(std::vector<StaticRuntime> put, std::vector<ConversationId> removed) {
  StaticsChanged changed;
  std::vector<store::StaticRow> rows;
  // All of them: what this gateway knows of the others' routes may be a moment old.
  for (auto const& fixed : put)
    if (check_put(fixed)) rows.push_back(row_of(fixed));
  std::vector<std::string> gone;
  changed.removed.reserve(removed.size());
  for (auto const& id : removed) {
    auto const c = registry_.find(id);
    changed.removed.push_back(c ? check_routed(*c) : Outcome<>{});
    if (changed.removed.back()) gone.push_back(c ? c->id.text() : id.text());
  }
  auto const version = co_await registry_.store().put_statics(std::move(rows), gone);
  if (!version) co_return version.error();
  if (*version == store_version_ + 1) store_version_ = *version;  // nobody else's lies between
  std::vector<std::pair<ConversationId, Epoch>> withdrawn;
  for (auto const& id : gone)
    if (auto const c = registry_.find(ConversationId::parse(id).value()); c && c->is_routed) withdrawn.push_back(forget(*c));
  auto placed = place_all(put);
  changed.put = std::move(placed.outcomes);
  for (auto const& fixed : put)
    if (auto const c = registry_.find(fixed.id); c && c->is_routed) c->is_remembered = true;
  co_await registry_.publisher().apply(std::move(placed.records), std::move(withdrawn));
  co_return changed;
}

StaticRuntimes::Placed StaticRuntimes::place_all(std::vector<StaticRuntime>& put) {
  Placed placed;
  placed.outcomes.reserve(put.size());
  for (auto& fixed : put) placed.outcomes.push_back(place_routed(fixed, placed));
  return placed;
}

Outcome<upstream::Url> StaticRuntimes::check_put(StaticRuntime const& fixed) const {
  NESTGATE_TRY(url, checked_url(fixed));
  if (auto const c = registry_.find(fixed.id)) NESTGATE_TRY_VOID(check_routed(*c));
  return std::move(url);
}

Outcome<> StaticRuntimes::place_routed(StaticRuntime& fixed, Placed& placed) {
  NESTGATE_TRY(url, check_put(fixed));
  auto const c = add_or_find(fixed.id);
  c->is_routed = true;
  c->url = fixed.url;
  error_code not_literal;
  auto const address = asio::ip::make_address(url.host, not_literal);
  auto const at = place_at(url, tcp::endpoint(address, url.port));
  if (!not_literal && is_as_before(*c, fixed, at)) return Outcome<>{};
  auto const turn = ++c->puts;
  if (!not_literal) {
    place(*c, fixed, at);
    placed.records.push_back(registry_.record_of(*c));
    return Outcome<>{};
  }
  if (c->epoch.get() == 0) {
    c->epoch = registry_.next_static_epoch();
    take_key(*c, fixed);
    registry_.change(*c, RuntimeState::starting, "its name is being looked up");
    placed.records.push_back(registry_.record_of(*c));
  }
  look_ups_.spawn("conversation.resolve", place_once_found(c, std::move(fixed), url, turn, First::now));
  return Outcome<>{};
}

Task<Outcome<>> StaticRuntimes::follow() {
  NESTGATE_CO_TRY(changes, co_await registry_.store().statics_since(store_version_));
  store_version_ = changes.version;
  std::set<std::string> kept;
  std::vector<StaticRuntime> changed;
  changed.reserve(changes.rows.size());
  for (auto& row : changes.rows) {
    auto fixed = parse_row(row);
    if (!fixed) continue;
    kept.insert(fixed->id.canonical());
    auto const c = registry_.find(fixed->id);
    bool const is_known = c && c->is_routed && is_same_route(*c, *fixed);
    if (is_known) c->is_remembered = true;
    if (!is_known) changed.push_back(std::move(*fixed));
  }
  auto placed = place_all(changed);
  for (auto const& fixed : changed)
    if (auto const c = registry_.find(fixed.id); c && c->is_routed) c->is_remembered = true;
  std::vector<ConversationPtr> gone;
  for (auto const& id : changes.removed)
    if (auto const parsed = ConversationId::parse(id)) gone.push_back(registry_.find(*parsed));
  if (changes.is_all) {
    registry_.for_each([&](ConversationPtr const& c) {
      if (c->is_remembered && !kept.contains(c->id.canonical())) gone.push_back(c);
    });
  }
  std::vector<std::pair<ConversationId, Epoch>> withdrawn;
  for (auto const& c : gone)
    if (c && c->is_routed) withdrawn.push_back(forget(*c));
  co_await registry_.publisher().apply(std::move(placed.records), std::move(withdrawn));
  co_return Outcome<>{};
}

std::pair<ConversationId, Epoch> StaticRuntimes::forget(Conversation& c) {
  std::pair<ConversationId, Epoch> out{c.id, c.epoch};
  registry_.forget(c);
  return out;
}

Task<Result<upstream::Endpoints>> StaticRuntimes::look_up(upstream::Url const& url) {
  co_return co_await with_deadline(Deadline::in(settings_.resolve_time_max), upstream::resolve(url.host, url.port));
}

Task<> StaticRuntimes::place_once_found(ConversationPtr c, StaticRuntime fixed, upstream::Url url, unsigned turn,
                                        First first) {
  bool waits = first == First::after_a_pause;
  while (is_latest(*c, turn)) {
    if (std::exchange(waits, true)) {
      auto waited = co_await pause_for(settings_.resolve_pause);
      if (!waited) co_return;
    }
    auto found = co_await look_up(url);
    if (!is_latest(*c, turn)) co_return;
    if (!found && found.error().kind == FaultKind::cancelled) co_return;
    if (!found) continue;
    place(*c, fixed, place_at(url, upstream::preferred(*found)));
    co_await registry_.publish(c);
    co_return;
  }
}

upstream::Place StaticRuntimes::place_at(upstream::Url const& url, tcp::endpoint const& at) const {
  return upstream::place_of(url, at, settings_.nested_tls, upstream::Naming::over_tls);
}

void StaticRuntimes::place(Conversation& c, StaticRuntime const& fixed, upstream::Place at) {
  c.epoch = registry_.next_static_epoch();
  take_key(c, fixed);
  c.ports = ports_of(fixed, at);
  c.endpoint = std::move(at);
  registry_.change(c, RuntimeState::running);
}

bool StaticRuntimes::has_same_key(Conversation const& c, StaticRuntime const& fixed) {
  return fixed.session_key ? c.has_own_key && c.session_key == *fixed.session_key : !c.has_own_key;
}

bool StaticRuntimes::is_as_before(Conversation const& c, StaticRuntime const& fixed, upstream::Place const& at) const {
  return c.is_remembered && c.state == RuntimeState::running && c.endpoint == at && has_same_key(c, fixed) &&
         same_ports(c.ports, ports_of(fixed, at));
}

// Wherever its name leads by now.
bool StaticRuntimes::is_same_route(Conversation const& c, StaticRuntime const& fixed) const {
  return c.url == fixed.url && has_same_key(c, fixed) && same_ports(c.ports, ports_of(fixed, c.endpoint));
}

void StaticRuntimes::take_key(Conversation& c, StaticRuntime const& fixed) {
  std::optional<Secret> own;
  if (fixed.session_key) own = fixed.session_key->clone();
  registry_.take_key(c, std::move(own));
}

// Neither removed nor put anew since.
bool StaticRuntimes::is_latest(Conversation const& c, unsigned turn) const {
  return registry_.find(c.id).get() == &c && c.puts == turn;
}

Task<> StaticRuntimes::remove(ConversationId id) {
  auto c = registry_.find(id);
  if (!c || c->origin != Origin::fixed || c->is_routed) co_return;
  registry_.forget(*c);
  co_await registry_.withdraw(std::move(c));
}

Task<> StaticRuntimes::join() {
  stop_looking();
  [[maybe_unused]] auto joined = co_await look_ups_.join();
}

}  // namespace nestgate::conversation
