#include "check_sealed.hpp"

#include "probe.hpp"
#include "sealed_column.hpp"

namespace nestgate::store {
namespace {

struct SealedColumn {
  std::string_view table, column, key, subkey;  // subkey "": the key has one part
  std::size_t since;                            // the version of the database
  std::string statement{};
};

// One value of each secret: it begins with the name of that.
SealedColumn with_statement(SealedColumn at) {
  std::string const key = "\"" + std::string(at.key) + "\"", column(at.column);
  std::string const subkey = at.subkey.empty() ? "''" : std::string(at.subkey);
  at.statement = "SELECT first_key, first_subkey, first_value FROM (SELECT " + key + " AS first_key, " + subkey +
                 " AS first_subkey, " + column + " AS first_value, row_number() OVER (PARTITION BY substr(" + column +
                 ", 1, " + std::to_string(Sealer::header_bytes) + ") ORDER BY " + key + ") AS place FROM " +
                 std::string(at.table) + " WHERE " + column + " IS NOT NULL) AS numbered WHERE place = 1";
  return at;
}

SealedColumn const sealed_columns[] = {
    with_statement({"conversation", "session_key", "id", "", 1}),
    with_statement({"conversation", "wish", "id", "", 1}),
    with_statement({"conversation", "configuration", "id", "", 1}),
    with_statement({"conversation", "about", "id", "", 3}),
    with_statement({"static_runtime", "session_key", "id", "", 1}),
    with_statement({"user_settings", "settings", "user", "", 1}),
    with_statement({"user_secret", "value", "user", "name", 1}),
    with_statement({"automation", "callback", "id", "", 5}),
    with_statement({"automation_run_input", "wish", "run_id", "", 5}),
    with_statement({"webhook", "secret", "id", "", 5}),
    with_statement({"webhook", "previous_secret", "id", "", 5}),
    with_statement({"endpoint", "secrets", "id", "", 5}),
    with_statement({"delivery", "callback", "id", "", 5}),
    with_statement({"automation_kv", "document", "automation_id", "", 5}),
    with_statement({"service_metadata", "value", "key", "", 5}),
};

Task<> check_column(Sql& sql, Sealer const& sealer, SealedColumn const& at) {
  auto rows = co_await sql.query(at.statement);
  while (rows.step()) {
    auto const key = rows.text();
    auto const subkey = rows.text();
    auto const value = rows.blob();
    open_column(sealer, Place{at.table, at.column, key, subkey}, value.bytes.value_or(""));
  }
}

}  // namespace

Task<> check_sealed(Sql& sql, Sealer const& sealer, std::size_t version) {
  if (version >= probe_since) co_await check_probe(sql, sealer);
  for (auto const& column : sealed_columns)
    if (column.since <= version) co_await check_column(sql, sealer, column);
}

}  // namespace nestgate::store
