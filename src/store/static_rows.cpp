#include "static_rows.hpp"

#include "counters.hpp"
#include "sealed_column.hpp"

namespace nestgate::store {
namespace {

constexpr std::string_view versions = "static_runtime";  // the counter of changes
Tombstones const removed_ones("removed_static_runtime");

Place place_of_key(StaticRow const& row) { return {"static_runtime", "session_key", row.id}; }

Task<> remove(Sql& sql, std::vector<std::string> const& ids, std::uint64_t version) {
  std::vector<std::vector<SqlValue>> rows;
  rows.reserve(ids.size());
  for (auto const& id : ids) rows.push_back({Sql::as_value(id)});
  auto const done = co_await sql.execute_each("DELETE FROM static_runtime WHERE id = ?1", std::move(rows));
  std::vector<std::string> gone;
  for (std::size_t i = 0; i < ids.size(); ++i)
    if (done[i].changed() != 0) gone.push_back(ids[i]);
  co_await removed_ones.put(sql, gone, version);
}

}  // namespace

Task<std::uint64_t> StaticRows::change(Sql& sql, std::vector<StaticRow> const& put,
                                       std::vector<std::string> const& removed) const {
  co_await sql.stand_in(Line::statics);
  auto const version = co_await note_change(sql, versions);
  co_await remove(sql, removed, version);
  std::vector<std::vector<SqlValue>> rows;
  std::vector<std::string> ids;
  for (auto const& row : put) {
    Blob key;
    if (row.session_key) key.bytes = sealer_.seal(place_of_key(row), row.session_key->reveal());
    rows.push_back({Sql::as_value(row.id), Sql::as_value(row.url), Sql::as_value(row.ports_json), Sql::as_value(key),
                    Sql::as_value(version)});
    ids.push_back(row.id);
  }
  co_await sql.execute_each(
      "INSERT INTO static_runtime (id, url, ports_json, session_key, version) VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (id) "
      "DO UPDATE SET url = excluded.url, ports_json = excluded.ports_json, session_key = excluded.session_key, version = "
      "excluded.version",
      std::move(rows));
  co_await removed_ones.take_back(sql, ids);
  co_return version;
}

Task<Store::StaticChanges> StaticRows::since(Sql& sql, std::uint64_t version) const {
  Store::StaticChanges changes;
  changes.version = co_await counter(sql, versions);
  bool const is_known = co_await removed_ones.know_since(sql, version);
  // A version that is not reached yet is another database's.
  changes.is_all = version == 0 || version > changes.version || !is_known;
  if (version == changes.version && !changes.is_all) co_return changes;
  constexpr std::string_view changed =
      "SELECT id, url, ports_json, session_key FROM static_runtime WHERE version > ?1 OR ?1 = 0 ORDER BY id";
  auto const after = changes.is_all ? 0 : version;
  auto rows = co_await sql.query(changed, after);
  while (rows.step()) {
    StaticRow row;
    row.id = rows.text();
    row.url = rows.text();
    row.ports_json = rows.text();
    auto const key = rows.blob();
    if (key.bytes) row.session_key = open_column(sealer_, place_of_key(row), *key.bytes);
    changes.rows.push_back(std::move(row));
  }
  if (!changes.is_all) changes.removed = co_await removed_ones.since(sql, version);
  co_return changes;
}

}  // namespace nestgate::store
