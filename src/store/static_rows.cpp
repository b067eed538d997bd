#include "static_rows.hpp"

#include "sealed_column.hpp"

namespace nestgate::store {
namespace {

Place place_of_key(StaticRow const& row) { return {"static_runtime", "session_key", row.id}; }

}  // namespace

std::uint64_t StaticRows::change(std::vector<StaticRow> const& put, std::vector<std::string> const& removed) {
  Transaction transaction(database_, Transaction::Kind::write);
  auto const version = count_up(database_, "static_runtime");
  for (auto const& id : removed) {
    if (database_.run("DELETE FROM static_runtime WHERE id = ?1", id) != 0) removed_.put(id, version);
  }
  removed_.drop_oldest();
  for (auto const& row : put) {
    Blob key;
    if (row.session_key) key.bytes = sealer_.seal(place_of_key(row), row.session_key->reveal());
    constexpr std::string_view replace =
        "INSERT OR REPLACE INTO static_runtime (id, url, ports_json, session_key, version) VALUES (?1, ?2, ?3, ?4, ?5)";
    database_.run(replace, row.id, row.url, row.ports_json, key, version);
    removed_.take_back(row.id);
  }
  transaction.commit();
  return version;
}

Store::StaticChanges StaticRows::since(std::uint64_t version) {
  Transaction const transaction(database_, Transaction::Kind::read);
  Store::StaticChanges changes;
  changes.version = counter(database_, "static_runtime");
  // A version that is not reached yet is another file's.
  changes.is_all = version == 0 || version > changes.version || !removed_.know_since(version);
  if (version == changes.version && !changes.is_all) return changes;
  constexpr std::string_view changed =
      "SELECT id, url, ports_json, session_key FROM static_runtime WHERE version > ?1 OR ?1 = 0 ORDER BY id";
  auto query = database_.query(changed, changes.is_all ? 0 : version);
  while (query.step()) {
    StaticRow row;
    row.id = query.text();
    row.url = query.text();
    row.ports_json = query.text();
    auto const key = query.blob();
    if (key.bytes) row.session_key = open_column(sealer_, place_of_key(row), *key.bytes);
    changes.rows.push_back(std::move(row));
  }
  if (!changes.is_all) changes.removed = removed_.since(version);
  return changes;
}

}  // namespace nestgate::store
