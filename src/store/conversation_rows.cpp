#include "conversation_rows.hpp"

#include "sealed_column.hpp"

namespace nestgate::store {
namespace {

using upstream::fail;

constexpr std::string_view table = "conversation";
constexpr std::string_view versions = "version";  // the counter of changes
constexpr std::string_view warm = "warm";         // a purpose: nobody's yet, so in nobody's quota

Tombstones const forgotten("forgotten");

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
    "excluded.session_key, wish = coalesce(excluded.wish, conversation.wish), configuration = "
    "coalesce(excluded.configuration, conversation.configuration), about = coalesce(excluded.about, conversation.about), "
    "created_at = "
    "excluded.created_at, changed_at = "
    "excluded.changed_at, last_act_at = excluded.last_act_at, asked = excluded.asked, holder = "
    "excluded.holder, version = excluded.version";

// ?1: an id that does not count; ?2: one more phase that does, or one of these again.
std::string const count_all =
    "SELECT count(*), CAST(coalesce(sum(units), 0) AS BIGINT) FROM conversation WHERE phase IN ('starting', 'running', "
    "'stopping', ?2) AND "
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

// A claim may be tried again, so what is wanted stays as it is.
ConversationRow clone(ConversationRow const& row) {
  ConversationRow copy{row.id};
  copy.owner = row.owner;
  copy.organisation = row.organisation;
  copy.purpose = row.purpose;
  copy.phase = row.phase;
  copy.reason = row.reason;
  copy.closed = row.closed;
  copy.epoch = row.epoch;
  copy.key_generation = row.key_generation;
  copy.units = row.units;
  copy.provider = row.provider;
  copy.handle = row.handle;
  copy.endpoint = row.endpoint;
  copy.ports_json = row.ports_json;
  copy.spec_id = row.spec_id;
  copy.dialect = row.dialect;
  copy.session_key = row.session_key.clone();
  copy.wish_json = row.wish_json.clone();
  copy.configuration_json = row.configuration_json.clone();
  copy.about_json = row.about_json.clone();
  copy.created_at = row.created_at;
  copy.changed_at = row.changed_at;
  copy.last_act_at = row.last_act_at;
  copy.asked = row.asked;
  copy.holder = row.holder;
  return copy;
}

// Who asks is alive, whatever the table says.
Task<bool> is_held_elsewhere(Sql& sql, ConversationRow const& row, std::string const& gateway) {
  if (row.holder.empty() || row.holder == gateway || is_over(row.phase)) co_return false;
  auto alive = co_await sql.query("SELECT 1 FROM gateway WHERE name = ?1 AND alive_until > nestgate_now()", row.holder);
  co_return alive.step();
}

struct Limits {
  std::uint32_t count, units;
};

struct Full {
  QuotaKind kind;
  std::uint32_t limit, current;
  bool by_units;
};

std::optional<Full> full_of(QuotaKind kind, Limits limits, std::uint32_t wanted_units, Rows in_use) {
  in_use.step();
  auto const current = static_cast<std::uint32_t>(in_use.integer());
  auto const units = static_cast<std::uint32_t>(in_use.integer());
  if (limits.count != 0 && current >= limits.count) return Full{kind, limits.count, current, false};
  if (limits.units != 0 && units + wanted_units > limits.units) return Full{kind, limits.units, units, true};
  return std::nullopt;
}

bool is_any(Limits const& limits) { return limits.count != 0 || limits.units != 0; }

Task<std::optional<Full>> full_quota(Sql& sql, ConversationRow const& wanted, Quota const& quota) {
  if (wanted.purpose == warm) co_return std::nullopt;
  auto const& id = wanted.id.canonical();
  auto const further_phase = to_string(quota.paused_counts ? Phase::paused : Phase::running);
  std::optional<Full> full;
  Limits const of_owner{quota.of_owner, quota.units_of_owner};
  if (is_any(of_owner) && !wanted.owner.empty()) {
    auto in_use = co_await sql.query(count_of_owner, id, further_phase, wanted.owner);
    full = full_of(QuotaKind::owner, of_owner, wanted.units, std::move(in_use));
  }
  Limits const of_organisation{quota.of_organisation, quota.units_of_organisation};
  if (!full && is_any(of_organisation) && !wanted.organisation.empty()) {
    auto in_use = co_await sql.query(count_of_organisation, id, further_phase, wanted.organisation);
    full = full_of(QuotaKind::organisation, of_organisation, wanted.units, std::move(in_use));
  }
  Limits const in_all{quota.in_all, quota.units_in_all};
  if (!full && is_any(in_all)) {
    auto in_use = co_await sql.query(count_all, id, further_phase);
    full = full_of(QuotaKind::all, in_all, wanted.units, std::move(in_use));
  }
  co_return full;
}

}  // namespace

// Every transaction that writes conversations stands in their line first: what it reads then stays true until it is over,
// and versions can be seen in their order.

Task<> ConversationRows::renew(Sql& sql, std::string const& gateway, std::chrono::milliseconds for_time) const {
  auto const alive_for = Time::duration(for_time).count();
  auto known =
      co_await sql.query("UPDATE gateway SET alive_until = nestgate_now() + ?2 WHERE name = ?1", gateway, alive_for);
  if (known.changed() != 0) co_return;
  co_await sql.query("INSERT INTO gateway (name, alive_until) VALUES (?1, nestgate_now() + ?2)", gateway, alive_for);
  // Dead is who is not there, too: each start of a gateway clears away the earlier ones.
  co_await sql.query("DELETE FROM gateway WHERE alive_until <= nestgate_now() AND name <> ?1", gateway);
}

Task<> ConversationRows::leave(Sql& sql, std::string const& gateway) const {
  co_await sql.stand_in(Line::conversations);
  auto const version = co_await note_change(sql, versions);
  co_await sql.query("UPDATE conversation SET holder = '', version = ?2 WHERE holder = ?1", gateway, version);
  co_await sql.query("DELETE FROM gateway WHERE name = ?1", gateway);
  co_await sql.notify();  // what it held is anybody's
}

Task<std::vector<std::string>> ConversationRows::gateways(Sql& sql) const {
  auto rows = co_await sql.query("SELECT name FROM gateway");
  std::vector<std::string> names;
  while (rows.step()) names.push_back(rows.text());
  co_return names;
}

Task<Outcome<Claim>> ConversationRows::claim(Sql& sql, ConversationRow const& wanted, std::string const& gateway,
                                             Quota const& quota) const {
  co_await sql.stand_in(Line::conversations);
  auto known = co_await find(sql, wanted.id);
  if (known) {
    if (known->owner != wanted.owner) co_return fail(FaultKind::conflict, "store.claim", "this id belongs to someone else");
    bool const is_elsewhere = co_await is_held_elsewhere(sql, *known, gateway);
    if (is_elsewhere) co_return answer(Claim::What::elsewhere, std::move(*known));
    if (known->phase == Phase::removing) co_return fail(FaultKind::conflict, "store.claim", "it is being removed");
    bool const is_idle = is_over(known->phase) || known->phase == Phase::paused;
    if (known->holder == gateway && !is_idle) co_return answer(Claim::What::up, std::move(*known));
  }
  auto row = clone(wanted);
  auto const full = co_await full_quota(sql, wanted, quota);
  if (full) co_return Claim{Claim::What::refused, std::move(row), full->kind, full->by_units, full->limit, full->current};
  auto const now = std::chrono::system_clock::now();
  if (known) {
    inherit(row, *known);
  } else if (row.created_at == Time{}) {
    row.created_at = now;
  }
  auto const epoch = co_await count_up(sql, "epoch");
  row.phase = Phase::starting;
  row.epoch = Epoch(epoch);
  row.changed_at = now;
  row.asked.clear();
  row.holder = gateway;
  co_await put(sql, row, row.asked);
  std::vector<std::string> const back{row.id.canonical()};
  if (!known) co_await forgotten.take_back(sql, back);
  co_return answer(Claim::What::taken, std::move(row));
}

Task<std::optional<ConversationRow>> ConversationRows::take(Sql& sql, ConversationId const& id,
                                                            std::string const& gateway) const {
  co_await sql.stand_in(Line::conversations);
  auto row = co_await find(sql, id);
  if (!row) co_return std::nullopt;
  bool const is_elsewhere = co_await is_held_elsewhere(sql, *row, gateway);
  if (is_elsewhere) co_return std::nullopt;
  if (row->holder == gateway) co_return row;
  row->holder = gateway;
  auto const version = co_await note_change(sql, versions);
  co_await sql.query("UPDATE conversation SET holder = ?2, version = ?3 WHERE id = ?1", id.canonical(), gateway, version);
  co_return row;
}

Task<Outcome<>> ConversationRows::save(Sql& sql, ConversationRow const& row) const {
  co_await sql.stand_in(Line::conversations);
  auto known = co_await sql.query("SELECT holder, epoch, asked FROM conversation WHERE id = ?1", row.id.canonical());
  bool const is_held = known.step() && known.text() == row.holder && known.count() == row.epoch.get();
  if (!is_held) co_return fail(FaultKind::conflict, "store.save", "another gateway has this conversation");
  // Whoever asked may have done so after the holder read its row.
  auto const asked = known.text();
  co_await put(sql, row, asked);
  co_return Outcome<>{};
}

Task<Outcome<>> ConversationRows::forget(Sql& sql, ConversationId const& id, std::string const& gateway, Epoch epoch) const {
  co_await sql.stand_in(Line::conversations);
  auto known = co_await sql.query("SELECT holder, epoch, phase FROM conversation WHERE id = ?1", id.canonical());
  if (!known.step()) co_return Outcome<>{};
  auto const holder = known.text();
  bool const is_that_life = known.count() == epoch.get();
  auto const phase = parse_phase(known.text());
  bool const is_nobodys = holder.empty() || holder == gateway || (phase && is_over(*phase));
  if (!is_that_life || !is_nobodys)
    co_return fail(FaultKind::conflict, "store.forget", "another gateway has this conversation");
  co_await sql.query("DELETE FROM conversation WHERE id = ?1", id.canonical());
  auto const version = co_await note_change(sql, versions);
  std::vector<std::string> const gone{id.canonical()};
  co_await forgotten.put(sql, gone, version);
  co_return Outcome<>{};
}

Task<std::optional<ConversationRow>> ConversationRows::find(Sql& sql, ConversationId const& id) const {
  auto rows = co_await sql.query(select_one, id.canonical());
  if (!rows.step()) co_return std::nullopt;
  co_return read(rows);
}

Task<std::vector<ConversationRow>> ConversationRows::all(Sql& sql) const {
  auto rows = co_await sql.query(select_rows);
  co_return read_all(rows);
}

Task<Store::Changes> ConversationRows::changes_since(Sql& sql, std::uint64_t version) const {
  Store::Changes changes;
  changes.version = co_await counter(sql, versions);
  bool const is_known = co_await forgotten.know_since(sql, version);
  // A version that is not reached yet is another database's.
  changes.is_all = version == 0 || version > changes.version || !is_known;
  if (version == changes.version && !changes.is_all) co_return changes;
  auto const since = changes.is_all ? 0 : version;
  auto rows = co_await sql.query(select_changed, since);
  changes.rows = read_all(rows);
  if (!changes.is_all) changes.forgotten = co_await forgotten.since(sql, since);
  co_return changes;
}

Task<Outcome<>> ConversationRows::ask_holder(Sql& sql, ConversationId const& id, std::string const& wish) const {
  co_await sql.stand_in(Line::conversations);
  auto const version = co_await note_change(sql, versions);
  auto asked =
      co_await sql.query("UPDATE conversation SET asked = ?2, version = ?3 WHERE id = ?1", id.canonical(), wish, version);
  if (asked.changed() == 0) co_return fail(FaultKind::not_found, "store.ask_holder", "no such conversation");
  co_return Outcome<>{};
}

Task<> ConversationRows::put(Sql& sql, ConversationRow const& row, std::string const& asked) const {
  auto const session_key = sealed(row, "session_key", row.session_key);
  auto const wish = sealed(row, "wish", row.wish_json);
  auto const configuration = sealed(row, "configuration", row.configuration_json);
  auto const about = sealed(row, "about", row.about_json);
  auto const version = co_await note_change(sql, versions);
  co_await sql.query(replace_row, row.id.text(), row.owner, row.organisation, row.purpose, to_string(row.phase), row.reason,
                     row.closed, row.epoch.get(), row.key_generation, row.units, row.provider, row.handle, row.endpoint,
                     row.ports_json, row.spec_id, row.dialect, session_key, wish, configuration, about, row.created_at,
                     row.changed_at, row.last_act_at, asked, row.holder, row.id.canonical(), version);
}

ConversationRow ConversationRows::read(Rows& rows) const {
  auto const text = rows.text();
  auto id = ConversationId::parse(text);
  if (!id) give_up("conversation " + text + ": this is no id");
  ConversationRow row{std::move(*id)};
  row.owner = rows.text();
  row.organisation = rows.text();
  row.purpose = rows.text();
  auto const phase = parse_phase(rows.text());
  if (!phase) give_up("conversation " + text + ": its phase is none");
  row.phase = *phase;
  row.reason = rows.text();
  row.closed = rows.text();
  row.epoch = Epoch(rows.count());
  row.key_generation = rows.count();
  row.units = static_cast<std::uint32_t>(rows.count());
  row.provider = rows.text();
  row.handle = rows.text();
  row.endpoint = rows.text();
  row.ports_json = rows.text();
  row.spec_id = rows.text();
  row.dialect = rows.text();
  row.session_key = opened(row, "session_key", rows.blob());
  row.wish_json = opened(row, "wish", rows.blob());
  row.configuration_json = opened(row, "configuration", rows.blob());
  row.about_json = opened(row, "about", rows.blob());
  row.created_at = rows.time();
  row.changed_at = rows.time();
  row.last_act_at = rows.time();
  row.asked = rows.text();
  row.holder = rows.text();
  return row;
}

std::vector<ConversationRow> ConversationRows::read_all(Rows& rows) const {
  std::vector<ConversationRow> all;
  all.reserve(rows.size());
  while (rows.step()) all.push_back(read(rows));
  return all;
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
