#include "counters.hpp"

namespace nestgate::store {
namespace {

constexpr std::int64_t tombstones_max = 10'000;

}  // namespace

Task<std::uint64_t> counter(Sql& sql, std::string_view name) {
  auto row = co_await sql.query("SELECT value FROM counter WHERE name = ?1", name);
  if (!row.step()) give_up("it has lost the counter " + std::string(name));
  co_return row.count();
}

Task<std::uint64_t> count_up(Sql& sql, std::string_view name) { return count_up(sql, name, 1); }

Task<std::uint64_t> count_up(Sql& sql, std::string_view name, std::uint64_t by) {
  co_return (co_await count_up_now(sql, name, by)).first;
}

Task<CountedUp> count_up_now(Sql& sql, std::string_view name, std::uint64_t by) {
  auto row =
      co_await sql.query("UPDATE counter SET value = value + ?2 WHERE name = ?1 RETURNING value, nestgate_now()", name, by);
  if (!row.step()) give_up("it has lost the counter " + std::string(name));
  CountedUp counted;
  counted.first = row.count() - by + 1;
  counted.at = row.time();
  co_return counted;
}

Task<std::uint64_t> note_change(Sql& sql, std::string_view name) {
  auto const version = co_await count_up(sql, name);
  co_await sql.notify();
  co_return version;
}

Tombstones::Tombstones(std::string_view table)
    : table_(table),
      insert_("INSERT INTO " + table_ +
              " (id, version) VALUES (?1, ?2) ON CONFLICT (id) DO UPDATE SET version = "
              "excluded.version"),
      remove_("DELETE FROM " + table_ + " WHERE id = ?1"),
      list_("SELECT id FROM " + table_ + " WHERE version > ?1 ORDER BY version"),
      oldest_("UPDATE counter SET value = oldest.version FROM (SELECT version FROM " + table_ +
              " ORDER BY version DESC LIMIT 1 OFFSET ?1) AS oldest WHERE name = ?2 RETURNING value"),
      drop_("DELETE FROM " + table_ + " WHERE version <= ?1") {}

Task<> Tombstones::put(Sql& sql, std::vector<std::string> const& ids, std::uint64_t version) const {
  if (ids.empty()) co_return;
  std::vector<std::vector<SqlValue>> rows;
  rows.reserve(ids.size());
  for (auto const& id : ids) rows.push_back({Sql::as_value(id), Sql::as_value(version)});
  co_await sql.execute_each(insert_, std::move(rows));
  auto dropped = co_await sql.query(oldest_, tombstones_max, table_);
  if (dropped.step()) co_await sql.query(drop_, dropped.integer());
}

Task<> Tombstones::take_back(Sql& sql, std::vector<std::string> const& ids) const {
  std::vector<std::vector<SqlValue>> rows;
  rows.reserve(ids.size());
  for (auto const& id : ids) rows.push_back({Sql::as_value(id)});
  co_await sql.execute_each(remove_, std::move(rows));
}

Task<bool> Tombstones::know_since(Sql& sql, std::uint64_t version) const {
  auto const dropped = co_await counter(sql, table_);
  co_return version >= dropped;
}

Task<std::vector<std::string>> Tombstones::since(Sql& sql, std::uint64_t version) const {
  std::vector<std::string> ids;
  auto rows = co_await sql.query(list_, version);
  while (rows.step()) ids.push_back(rows.text());
  co_return ids;
}

}  // namespace nestgate::store
