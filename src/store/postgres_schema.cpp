#include "postgres_schema.hpp"

#include <exception>

#include "postgres_transaction.hpp"
#include "schema.hpp"

namespace nestgate::store {
namespace {

constexpr std::int64_t upgrade_lock = 100;  // beside those of the lines

// The clock of the server, so that gateways on several machines agree about who lives.
constexpr char const* make_clock = R"sql(
CREATE OR REPLACE FUNCTION nestgate_now() RETURNS BIGINT LANGUAGE sql VOLATILE
  AS 'SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) * 1000';
CREATE TABLE nestgate_schema (version BIGINT NOT NULL);
INSERT INTO nestgate_schema VALUES (0);
)sql";

Task<bool> has_table(Sql& sql, std::string_view name) {
  auto rows = co_await sql.query("SELECT to_regclass(?1) IS NOT NULL", name);
  rows.step();
  co_return rows.flag();
}

// 0: there is nothing of ours.
Task<std::size_t> version_of(Sql& sql, std::size_t newest) {
  if (!co_await has_table(sql, "nestgate_schema")) {
    // One of the first step's; where it is, the step cannot be done.
    if (co_await has_table(sql, "conversation")) give_up("is another program's database");
    auto rows = co_await sql.query("SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)");
    rows.step();
    if (!rows.flag()) give_up("the user may create no tables in the database's schema");
    co_return 0;
  }
  auto rows = co_await sql.query("SELECT version FROM nestgate_schema");
  if (rows.size() != 1) give_up("its schema is half made");
  rows.step();
  auto const version = rows.count();
  check_version(version, newest);
  co_return version;
}

Task<> upgrade(PostgresConnection& connection, Sql& sql, std::vector<std::string> const& steps) {
  auto version = co_await version_of(sql, steps.size());
  if (version == steps.size()) co_return;
  if (version == 0) co_await connection.run_script(make_clock);
  for (; version < steps.size(); ++version) co_await connection.run_script(steps[version]);
  co_await sql.query("UPDATE nestgate_schema SET version = ?1", steps.size());
}

}  // namespace

// What throws loses the connection, and with it what was begun.
Task<> upgrade_postgres(PostgresConnection& connection, std::vector<std::string> steps, Preparation preparation) {
  PostgresTransaction transaction(connection, PostgresTransaction::Access::write);
  Sql& sql = transaction;
  co_await sql.query(lock_statement, lock_space, upgrade_lock);
  co_await upgrade(connection, sql, steps);
  co_await preparation(sql);
  co_await transaction.commit();
}

Task<> inspect_postgres_schema(PostgresConnection& connection, std::size_t newest, Inspection inspection) {
  PostgresTransaction transaction(connection, PostgresTransaction::Access::read);
  auto const version = co_await version_of(transaction, newest);
  if (version != 0) co_await inspection(transaction, version);
  co_await transaction.roll_back();
}

}  // namespace nestgate::store
