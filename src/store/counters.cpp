#include "counters.hpp"

namespace nestgate::store {
namespace {

constexpr std::int64_t tombstones_max = 10'000;

}  // namespace

std::uint64_t counter(Database& database, std::string_view name) {
  auto query = database.query("SELECT value FROM counter WHERE name = ?1", name);
  query.step();
  return query.count();
}

std::uint64_t count_up(Database& database, std::string_view name) {
  database.run("UPDATE counter SET value = value + 1 WHERE name = ?1", name);
  return counter(database, name);
}

Tombstones::Tombstones(Database& database, std::string_view table)
    : database_(database),
      table_(table),
      insert_("INSERT OR REPLACE INTO " + table_ + " (id, version) VALUES (?1, ?2)"),
      remove_("DELETE FROM " + table_ + " WHERE id = ?1"),
      list_("SELECT id FROM " + table_ + " WHERE version > ?1 ORDER BY version"),
      oldest_("UPDATE counter SET value = version FROM (SELECT version FROM " + table_ +
              " ORDER BY version DESC LIMIT 1 OFFSET ?1) WHERE name = ?2"),
      drop_("DELETE FROM " + table_ + " WHERE version <= ?1") {}

void Tombstones::put(std::string_view id, std::uint64_t version) { database_.run(insert_, id, version); }

void Tombstones::drop_oldest() {
  if (database_.run(oldest_, tombstones_max, table_) != 0) database_.run(drop_, counter(database_, table_));
}

void Tombstones::take_back(std::string_view id) { database_.run(remove_, id); }

bool Tombstones::know_since(std::uint64_t version) const { return version >= counter(database_, table_); }

std::vector<std::string> Tombstones::since(std::uint64_t version) const {
  std::vector<std::string> ids;
  auto query = database_.query(list_, version);
  while (query.step()) ids.push_back(query.text());
  return ids;
}

}  // namespace nestgate::store
