#include "conversation_rows.hpp"

#include "sealed_column.hpp"

namespace nestgate::store {
namespace {

using Kind = Transaction::Kind;
using upstream::fail;

constexpr std::string_view table = "conversation";
constexpr std::string_view warm = "warm";  // a purpose: nobody's yet, so in nobody's quota

// The columns in the order of `read` and `put`.
std::string const select_rows =
    "SELECT id_text, owner, organisation, purpose, phase, reason, closed, epoch, key_generation, units, provider, "
    "handle, endpoint, ports_json, spec_id, dialect, session_key, wish, configuration, about, "
    "created_at, changed_at, last_act_at, asked, holder "
    "FROM conversation ";
std::string const select_one = select_rows + "WHERE id = ?1";
std::string const select_changed = select_rows + "WHERE version > ?1 ORDER BY version";
// A wish, a configuration and an about stay where none is given.
constexpr std::string_view replace_row =
    "INSERT INTO conversation (id_text, owner, organisation, purpose, phase, reason, closed, epoch, "
    "key_generation, units, provider, handle, endpoint, ports_json, spec_id, dialect, session_key, wish, "
    "configuration, about, created_at, changed_at, last_act_at, asked, holder, id, version) VALUES (?1, ?2, ?3, ?4, "
    "?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27) "
    "ON CONFLICT (id) DO UPDATE SET id_text = excluded.id_text, owner = excluded.owner, organisation = "
    "excluded.organisation, purpose = excluded.purpose, phase = excluded.phase, reason = excluded.reason, "
    "closed = excluded.closed, epoch = excluded.epoch, key_generation = excluded.key_generation, units = "
    "excluded.units, provider = excluded.provider, handle = excluded.handle, endpoint = excluded.endpoint, "
    "ports_json = excluded.ports_json, spec_id = excluded.spec_id, dialect = excluded.dialect, session_key = "
    "excluded.session_key, wish = coalesce(excluded.wish, wish), configuration = "
    "coalesce(excluded.configuration, configuration), about = coalesce(excluded.about, about), created_at = "
    "excluded.created_at, changed_at = "
    "excluded.changed_at, last_act_at = excluded.last_act_at, asked = excluded.asked, holder = "
    "excluded.holder, version = excluded.version";

// ?1: an id that does not count; ?2: one more phase that does, or one of these again.
std::string const count_all =
    "SELECT count(*), coalesce(sum(units), 0) FROM conversation WHERE phase IN ('starting', 'running', 'stopping', ?2) AND "
    "purpose <> 'warm' AND "
    "id <> ?1";
std::string const count_of_owner = count_all + " AND owner = ?3";
std::string const count_of_organisation = count_all + " AND organisation = ?3";

Secret either(Secret wanted, Secret known) { return wanted.empty() ? std::move(known) : std::move(wanted); }

void inherit(ConversationRow& wanted, ConversationRow& known) {
  wanted.created_at = known.created_at;
  wanted.key_generation = known.key_generation;
  wanted.configuration_json = either(std::move(wanted.configuration_json), std::move(known.configuration_json));
  wanted.wish_json = either(std::move(wanted.wish_json), std::move(known.wish_json));
  wanted.about_json = either(std::move(wanted.about_json), std::move(known.about_json));
  if (!wanted.handle.empty()) return;
  wanted.handle = std::move(known.handle);
  if (wanted.provider.empty()) wanted.provider = std::move(known.provider);
}

Claim answer(Claim::What what, ConversationRow row) { return Claim{what, std::move(row)}; }

}  // namespace

void ConversationRows::renew(std::string const& gateway, std::chrono::milliseconds for_time) {
  auto const now = std::chrono::system_clock::now();
  Transaction transaction(database_, Kind::write);
  bool const is_known =
      database_.run("UPDATE gateway SET alive_until = ?2 WHERE name = ?1", gateway, Time(now + for_time)) != 0;
  if (!is_known) {
    database_.run("INSERT INTO gateway (name, alive_until) VALUES (?1, ?2)", gateway, Time(now + for_time));
    // Dead is who is not there, too: each start of a gateway clears away the earlier ones.
    database_.run("DELETE FROM gateway WHERE alive_until <= ?1 AND name <> ?2", now, gateway);
  }
  transaction.commit();
}

void ConversationRows::leave(std::string const& gateway) {
  Transaction transaction(database_, Kind::write);
  database_.run("UPDATE conversation SET holder = '', version = ?2 WHERE holder = ?1", gateway,
                count_up(database_, "version"));
  database_.run("DELETE FROM gateway WHERE name = ?1", gateway);
  transaction.commit();
}

Outcome<Claim> ConversationRows::claim(ConversationRow wanted, std::string const& gateway, Quota const& quota) {
  Transaction transaction(database_, Kind::write);
  auto known = find(wanted.id);
  if (known) {
    if (known->owner != wanted.owner) return fail(FaultKind::conflict, "store.claim", "this id belongs to someone else");
    if (is_held_elsewhere(*known, gateway)) return answer(Claim::What::elsewhere, std::move(*known));
    if (known->phase == Phase::removing) return fail(FaultKind::conflict, "store.claim", "it is being removed");
    bool const is_idle = is_over(known->phase) || known->phase == Phase::paused;
    if (known->holder == gateway && !is_idle) return answer(Claim::What::up, std::move(*known));
  }
  if (auto const full = full_quota(wanted, quota))
    return Claim{Claim::What::refused, std::move(wanted), full->kind, full->by_units, full->limit, full->current};
  auto const now = std::chrono::system_clock::now();
  if (known) {
    inherit(wanted, *known);
  } else if (wanted.created_at == Time{}) {
    wanted.created_at = now;
  }
  wanted.phase = Phase::starting;
  wanted.epoch = Epoch(count_up(database_, "epoch"));
  wanted.changed_at = now;
  wanted.asked.clear();
  wanted.holder = gateway;
  put(wanted);
  transaction.commit();
  return answer(Claim::What::taken, std::move(wanted));
}

// Who asks is alive, whatever the table says.
bool ConversationRows::is_held_elsewhere(ConversationRow const& row, std::string const& gateway) {
  if (row.holder.empty() || row.holder == gateway || is_over(row.phase)) return false;
  auto query = database_.query("SELECT 1 FROM gateway WHERE name = ?1 AND alive_until > ?2", row.holder,
                               Time(std::chrono::system_clock::now()));
  return query.step();
}

std::optional<ConversationRows::Full> ConversationRows::full_quota(ConversationRow const& wanted, Quota const& quota) {
  if (wanted.purpose == warm) return std::nullopt;
  auto const& id = wanted.id.canonical();
  auto const further_phase = to_string(quota.paused_counts ? Phase::paused : Phase::running);
  struct Limits {
    std::uint32_t count, units;
  };
  auto const full = [&](QuotaKind kind, Limits limits, auto const&... counting) -> std::optional<Full> {
    if (limits.count == 0 && limits.units == 0) return std::nullopt;
    auto query = database_.query(counting...);
    query.step();
    auto const current = static_cast<std::uint32_t>(query.integer());
    auto const units = static_cast<std::uint32_t>(query.integer());
    if (limits.count != 0 && current >= limits.count) return Full{kind, limits.count, current, false};
    if (limits.units != 0 && units + wanted.units > limits.units) return Full{kind, limits.units, units, true};
    return std::nullopt;
  };
  std::optional<Full> found;
  if (!wanted.owner.empty())
    found = full(QuotaKind::owner, {quota.of_owner, quota.units_of_owner}, count_of_owner, id, further_phase, wanted.owner);
  if (!found && !wanted.organisation.empty())
    found = full(QuotaKind::organisation, {quota.of_organisation, quota.units_of_organisation}, count_of_organisation, id,
                 further_phase, wanted.organisation);
  if (!found) found = full(QuotaKind::all, {quota.in_all, quota.units_in_all}, count_all, id, further_phase);
  return found;
}

std::optional<ConversationRow> ConversationRows::take(ConversationId const& id, std::string const& gateway) {
  Transaction transaction(database_, Kind::write);
  auto row = find(id);
  if (!row || is_held_elsewhere(*row, gateway)) return std::nullopt;
  if (row->holder == gateway) return row;
  row->holder = gateway;
  database_.run("UPDATE conversation SET holder = ?2, version = ?3 WHERE id = ?1", id.canonical(), gateway,
                count_up(database_, "version"));
  transaction.commit();
  return row;
}

Outcome<> ConversationRows::save(ConversationRow const& row) {
  Transaction transaction(database_, Kind::write);
  std::string asked;
  {
    auto query = database_.query("SELECT holder, epoch, asked FROM conversation WHERE id = ?1", row.id.canonical());
    bool const is_held = query.step() && query.text() == row.holder && query.count() == row.epoch.get();
    if (!is_held) return fail(FaultKind::conflict, "store.save", "another gateway has this conversation");
    asked = query.text();
  }
  put(row);
  // Whoever asked may have done so after the holder read its row.
  database_.run("UPDATE conversation SET asked = ?2 WHERE id = ?1", row.id.canonical(), asked);
  transaction.commit();
  return Outcome<>{};
}

Outcome<> ConversationRows::forget(ConversationId const& id, std::string const& gateway, Epoch epoch) {
  Transaction transaction(database_, Kind::write);
  {
    auto query = database_.query("SELECT holder, epoch, phase FROM conversation WHERE id = ?1", id.canonical());
    if (!query.step()) return Outcome<>{};
    auto const holder = query.text();
    bool const is_that_life = query.count() == epoch.get();
    auto const phase = parse_phase(query.text());
    bool const is_nobodys = holder.empty() || holder == gateway || (phase && is_over(*phase));
    if (!is_that_life || !is_nobodys)
      return fail(FaultKind::conflict, "store.forget", "another gateway has this conversation");
  }
  database_.run("DELETE FROM conversation WHERE id = ?1", id.canonical());
  forgotten_.put(id.canonical(), count_up(database_, "version"));
  forgotten_.drop_oldest();
  transaction.commit();
  return Outcome<>{};
}

std::optional<ConversationRow> ConversationRows::find(ConversationId const& id) {
  auto query = database_.query(select_one, id.canonical());
  if (!query.step()) return std::nullopt;
  return read(query);
}

std::vector<ConversationRow> ConversationRows::all() {
  auto query = database_.query(select_rows);
  return read_all(query);
}

Store::Changes ConversationRows::changes_since(std::uint64_t version) {
  Transaction const transaction(database_, Kind::read);
  Store::Changes changes;
  changes.version = counter(database_, "version");
  // A version that is not reached yet is another file's.
  changes.is_all = version == 0 || version > changes.version || !forgotten_.know_since(version);
  if (version == changes.version && !changes.is_all) return changes;
  auto const since = changes.is_all ? 0 : version;
  auto query = database_.query(select_changed, since);
  changes.rows = read_all(query);
  if (changes.is_all) return changes;
  changes.forgotten = forgotten_.since(since);
  return changes;
}

Outcome<> ConversationRows::ask_holder(ConversationId const& id, std::string const& wish) {
  Transaction transaction(database_, Kind::write);
  auto const asked = database_.run("UPDATE conversation SET asked = ?2, version = ?3 WHERE id = ?1", id.canonical(), wish,
                                   count_up(database_, "version"));
  if (asked == 0) return fail(FaultKind::not_found, "store.ask_holder", "no such conversation");
  transaction.commit();
  return Outcome<>{};
}

void ConversationRows::put(ConversationRow const& row) {
  database_.run(replace_row, row.id.text(), row.owner, row.organisation, row.purpose, to_string(row.phase), row.reason,
                row.closed, row.epoch.get(), row.key_generation, row.units, row.provider, row.handle, row.endpoint,
                row.ports_json, row.spec_id, row.dialect, sealed(row, "session_key", row.session_key),
                sealed(row, "wish", row.wish_json), sealed(row, "configuration", row.configuration_json),
                sealed(row, "about", row.about_json), row.created_at, row.changed_at, row.last_act_at, row.asked, row.holder,
                row.id.canonical(), count_up(database_, "version"));
  forgotten_.take_back(row.id.canonical());
}

ConversationRow ConversationRows::read(Query& query) const {
  auto const text = query.text();
  auto id = ConversationId::parse(text);
  if (!id) give_up("conversation " + text + ": this is no id");
  ConversationRow row{std::move(*id)};
  row.owner = query.text();
  row.organisation = query.text();
  row.purpose = query.text();
  auto const phase = parse_phase(query.text());
  if (!phase) give_up("conversation " + text + ": its phase is none");
  row.phase = *phase;
  row.reason = query.text();
  row.closed = query.text();
  row.epoch = Epoch(query.count());
  row.key_generation = query.count();
  row.units = static_cast<std::uint32_t>(query.count());
  row.provider = query.text();
  row.handle = query.text();
  row.endpoint = query.text();
  row.ports_json = query.text();
  row.spec_id = query.text();
  row.dialect = query.text();
  row.session_key = opened(row, "session_key", query.blob());
  row.wish_json = opened(row, "wish", query.blob());
  row.configuration_json = opened(row, "configuration", query.blob());
  row.about_json = opened(row, "about", query.blob());
  row.created_at = query.time();
  row.changed_at = query.time();
  row.last_act_at = query.time();
  row.asked = query.text();
  row.holder = query.text();
  return row;
}

std::vector<ConversationRow> ConversationRows::read_all(Query& query) const {
  std::vector<ConversationRow> rows;
  while (query.step()) rows.push_back(read(query));
  return rows;
}

Blob ConversationRows::sealed(ConversationRow const& row, std::string_view column, Secret const& value) const {
  if (value.empty()) return {};
  return {sealer_.seal(Place{table, column, row.id.canonical()}, value.reveal())};
}

Secret ConversationRows::opened(ConversationRow const& row, std::string_view column, Blob const& value) const {
  if (!value.bytes) return {};
  return open_column(sealer_, Place{table, column, row.id.canonical()}, *value.bytes);
}

}  // namespace nestgate::store
