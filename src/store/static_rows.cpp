#include "static_rows.hpp"

#include "sealed_column.hpp"

namespace nestgate::store {
namespace {

Place place_of_key(StaticRow const& row) { return {"static_runtime", "session_key", row.id}; }

}  // namespace

void StaticRows::change(std::vector<StaticRow> const& put, std::vector<std::string> const& removed) {
  Transaction transaction(database_, Transaction::Kind::write);
  for (auto const& id : removed) database_.run("DELETE FROM static_runtime WHERE id = ?1", id);
  for (auto const& row : put) {
    Blob key;
    if (row.session_key) key.bytes = sealer_.seal(place_of_key(row), row.session_key->reveal());
    database_.run("INSERT OR REPLACE INTO static_runtime (id, url, ports_json, session_key) VALUES (?1, ?2, ?3, ?4)", row.id,
                  row.url, row.ports_json, key);
  }
  transaction.commit();
}

std::vector<StaticRow> StaticRows::all() {
  std::vector<StaticRow> rows;
  auto query = database_.query("SELECT id, url, ports_json, session_key FROM static_runtime ORDER BY id");
  while (query.step()) {
    StaticRow row;
    row.id = query.text();
    row.url = query.text();
    row.ports_json = query.text();
    auto const key = query.blob();
    if (key.bytes) row.session_key = open_column(sealer_, place_of_key(row), *key.bytes);
    rows.push_back(std::move(row));
  }
  return rows;
}

}  // namespace nestgate::store
