#include <algorithm>
#include <filesystem>

#include "nestgate/net/task_group.hpp"
#include "nestgate/store/maintenance.hpp"
#include "postgres_backend.hpp"
#include "run_blocking.hpp"
#include "schema.hpp"
#include "sqlite_schema.hpp"
#include "store_url.hpp"

namespace nestgate::store {
namespace {

constexpr std::int64_t batch_rows_max = 200;
constexpr std::size_t batch_bytes_wanted = 4 * 1024 * 1024;

// Thrown here: another than `unavailable`.
[[noreturn]] void refuse(FaultKind kind, std::string reason) {
  throw Unusable{upstream::fail(kind, "store.copy", std::move(reason))};
}

template <class T>
T value_or_throw(Outcome<T> outcome) {
  if (!outcome) throw Unusable{outcome.error()};
  return std::move(*outcome);
}

// A database whose transactions run on the loop of who awaits them.
class Side {
 public:
  explicit Side(std::string_view url) {
    if (is_postgres_url(url)) {
      url_ = value_or_throw(parse_postgres_url(url));
      return;
    }
    auto file = value_or_throw(sqlite_file_of(url));
    if (file == sqlite_in_memory)
      refuse(FaultKind::bad_input, "store: sqlite::memory: keeps nothing; a path is needed here");
    file_ = std::move(file);
  }

  bool is_there() const { return url_ || std::filesystem::exists(file_); }
  Task<> write(Preparation work) const {
    if (url_) return write_postgres(url_, std::move(work));
    return write_file(file_, std::move(work));
  }
  Task<> read(Inspection work) const {
    if (url_) return read_postgres(url_, std::move(work));
    return read_file(file_, std::move(work));
  }
  // ?1: a table; its columns in their order.
  std::string_view columns_statement() const {
    if (!url_) return "SELECT name FROM pragma_table_info(?1) ORDER BY cid";
    return "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(quote_ident(?1)) AND attnum > 0 AND NOT "
           "attisdropped ORDER BY attnum";
  }

 private:
  static Task<> write_file(std::string file, Preparation work) {
    Database database(file);
    {
      Transaction transaction(database, Transaction::Kind::write);
      upgrade(database, schema_steps());
      SqliteSql sql(database);
      co_await work(sql);
      transaction.commit();
    }
    database.make_ours();
  }
  static Task<> read_file(std::string file, Inspection work) {
    Database database(file);
    Transaction const one_moment(database, Transaction::Kind::read);
    SqliteSql sql(database);
    co_await work(sql, version_of(database, schema_steps().size()));
  }

  PostgresUrl url_;  // null: a file
  std::string file_;
};

// Where a copy stands; what went wrong there is said with it.
struct Copy {
  Side from, to;
  std::string at;
  std::vector<CopiedTable> tables;
};

Task<> nothing_more(Sql&) { co_return; }

Task<> need_no_gateway(Sql& sql) {
  auto rows = co_await sql.query("SELECT name FROM gateway WHERE alive_until > nestgate_now()");
  if (rows.step()) refuse(FaultKind::conflict, "store: the gateway " + rows.text() + " runs on it; stop it first");
}

Task<> need_empty(Sql& sql) {
  for (auto const& table : schema_tables()) {
    if (table.name == "counter") continue;  // has its rows from the beginning
    auto const any = "SELECT 1 FROM \"" + std::string(table.name) + "\" LIMIT 1";
    auto rows = co_await sql.query(any);
    if (rows.step()) refuse(FaultKind::conflict, "store: is not empty: there is something in " + std::string(table.name));
  }
}

std::size_t bytes_of(SqlValue const& value) {
  auto const* const text = std::get_if<std::string>(&value);
  auto const* const blob = std::get_if<Blob>(&value);
  if (blob) return blob->bytes ? blob->bytes->size() : 0;
  return text ? text->size() : sizeof(std::int64_t);
}

// How many rows are taken at once: some are a few bytes, others tarballs.
class BatchSize {
 public:
  std::int64_t rows() const noexcept { return rows_; }
  void note(std::vector<std::vector<SqlValue>> const& batch) {
    std::size_t bytes = 0;
    for (auto const& row : batch)
      for (auto const& value : row) bytes += bytes_of(value);
    rows_ = bytes > batch_bytes_wanted ? std::max<std::int64_t>(rows_ / 4, 1) : std::min(rows_ * 2, batch_rows_max);
  }

 private:
  std::int64_t rows_ = 1;
};

// The statements that one table is copied with. `first` and `next` end with a parameter: how many rows.
struct TableStatements {
  std::string first, next, insert;
  std::vector<std::size_t> key;  // which columns
};

std::string parameters(std::size_t count) {
  std::string list;
  for (std::size_t i = 1; i <= count; ++i) list.append(i == 1 ? "?" : ", ?").append(std::to_string(i));
  return list;
}

TableStatements statements_of(SchemaTable const& table, std::vector<std::string> const& columns) {
  TableStatements made;
  std::string list;
  std::string key = ", " + std::string(table.key) + ",";
  std::erase(key, '"');
  for (std::size_t i = 0; i < columns.size(); ++i) {
    list.append(i == 0 ? "\"" : ", \"").append(columns[i]).append("\"");
    if (key.find(", " + columns[i] + ",") != key.npos) made.key.push_back(i);
  }
  auto const name = "\"" + std::string(table.name) + "\"";
  auto const select = "SELECT " + list + " FROM " + name;
  auto const order = " ORDER BY " + std::string(table.key) + " LIMIT ?";
  made.first = select + order + "1";
  made.next = select + " WHERE (" + std::string(table.key) + ") > (" + parameters(made.key.size()) + ")" + order +
              std::to_string(made.key.size() + 1);
  made.insert = "INSERT INTO " + name + " (" + list + ") VALUES (" + parameters(columns.size()) + ")";
  return made;
}

Task<std::vector<std::string>> columns_of(Sql& sql, std::string_view statement, std::string_view table) {
  auto rows = co_await sql.query(statement, table);
  std::vector<std::string> columns;
  while (rows.step()) columns.push_back(rows.text());
  co_return columns;
}

Task<CopiedTable> copy_table(Sql& from, Sql& to, SchemaTable table, std::string_view columns_statement) {
  CopiedTable copied{std::string(table.name)};
  auto const columns = co_await columns_of(from, columns_statement, table.name);
  auto const statements = statements_of(table, columns);
  BatchSize size;
  auto rows = co_await from.query(statements.first, size.rows());
  while (rows.size() != 0) {
    std::vector<std::vector<SqlValue>> batch;
    while (rows.step()) {
      auto& row = batch.emplace_back();
      for (std::size_t i = 0; i < columns.size(); ++i) row.push_back(rows.value());
    }
    copied.rows += batch.size();
    size.note(batch);
    std::vector<SqlValue> last;
    last.reserve(statements.key.size() + 1);
    for (auto const column : statements.key) last.push_back(batch.back()[column]);
    last.emplace_back(size.rows());
    co_await to.execute_each(statements.insert, std::move(batch));
    rows = co_await from.execute(statements.next, std::move(last));
  }
  co_return copied;
}

Task<> copy_tables(Copy& copy, Sql& from, Sql& to) {
  copy.at = "the source";
  co_await need_no_gateway(from);
  co_await to.query("DELETE FROM counter");
  for (auto const& table : schema_tables()) {
    copy.at = "copying " + std::string(table.name);
    copy.tables.push_back(co_await copy_table(from, to, table, copy.from.columns_statement()));
  }
}

Task<> fill(Copy& copy, Sql& to) {
  co_await need_empty(to);
  copy.at = "the source";
  auto const work = [&copy, &to](Sql& from, std::size_t) { return copy_tables(copy, from, to); };
  co_await copy.from.read(work);
  copy.at = "the target";
}

Task<> copy_all(Copy& copy) {
  copy.at = "the source";
  if (!copy.from.is_there()) give_up("there is no such file");
  co_await copy.from.write(nothing_more);
  copy.at = "the target";
  auto const work = [&copy](Sql& to) { return fill(copy, to); };
  co_await copy.to.write(work);
}

}  // namespace

Outcome<std::vector<CopiedTable>> copy_store(std::string_view from, std::string_view to) {
  std::string at = "the source";
  try {
    Side source(from);
    at = "the target";
    Copy copy{std::move(source), Side(to), at, {}};
    auto const done = run_blocking(copy_all(copy));
    if (done) return std::move(copy.tables);
    at = std::move(copy.at);
    throw Unusable{done.error()};
  } catch (Unusable const& unusable) {
    auto failure = unusable.failure;
    failure.reason = at + ": " + failure.reason;
    return failure;
  }
}

}  // namespace nestgate::store
