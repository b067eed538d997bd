#pragma once

#include <sqlite3.h>
#include <sys/types.h>

#include <chrono>
#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "sql.hpp"

// A thin layer over SQLite. One thread at a time uses a Database and what it handed out.
namespace nestgate::store {

// One run of a prepared statement. Columns are read in their order, each once.
class Query {
 public:
  // Parameters are ?1, ?2, … in the order of `values`.
  template <class... Values>
  explicit Query(sqlite3_stmt* statement, Values const&... values) : statement_(statement) {
    int index = 0;
    (bind(++index, values), ...);
  }
  Query(Query const&) = delete;
  Query& operator=(Query const&) = delete;
  ~Query();

  // Whether there is a row, or a further one.
  bool step();

  std::int64_t integer() { return sqlite3_column_int64(statement_, column_++); }
  std::uint64_t count() { return static_cast<std::uint64_t>(integer()); }
  std::string text();
  Blob blob();
  Time time() { return Time(Time::duration(integer())); }
  std::optional<Time> optional_time();

 private:
  void bind(int index, std::string_view text);
  void bind(int index, std::integral auto number) { bind_integer(index, static_cast<std::int64_t>(number)); }
  void bind(int index, Blob const& blob);
  void bind(int index, Time time) { bind_integer(index, time.time_since_epoch().count()); }
  void bind(int index, std::optional<Time> const& time);
  void bind_integer(int index, std::int64_t number);
  void check(int code);

  sqlite3_stmt* statement_;
  int column_ = 0;
};

// An open file with its prepared statements. Everything here throws Unusable.
class Database {
 public:
  // Creates the file where none is, for its owner alone; ":memory:" is one without a file.
  explicit Database(std::string path);
  // Of a file that is there, to be read only: what is beside it is used where a gateway has it open, and nothing is made.
  static Database look_into(std::string path);
  // Of a file that is known to be ours: the write-ahead log, and nobody but its owner may read it.
  void make_ours();

  // `sql` is prepared once and kept. Parameters are ?1, ?2, … in the order of `values`.
  template <class... Values>
  Query query(std::string_view sql, Values const&... values) {
    return Query(prepared(sql), values...);
  }
  // A statement that returns no rows; how many it changed.
  template <class... Values>
  int run(std::string_view sql, Values const&... values) {
    Query(prepared(sql), values...).step();
    return sqlite3_changes(handle_.get());
  }
  // Any number of statements, without parameters.
  void execute(char const* sql);
  // Of one that was made ours: that its file still is what others open by its path.
  void check_file() const;

 private:
  Database(std::string path, std::string const& name, int flags);
  struct Close {
    void operator()(sqlite3* handle) const noexcept { sqlite3_close_v2(handle); }
  };
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
  };
  sqlite3_stmt* prepared(std::string_view sql);
  bool log_ahead();

  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  std::unique_ptr<sqlite3, Close> handle_;
  std::map<std::string, std::unique_ptr<sqlite3_stmt, Finalize>, std::less<>> statements_;
};

// Undone when it dies uncommitted.
class Transaction {
 public:
  // read: one state of the file throughout. write: besides, nobody else writes meanwhile, in any process.
  enum class Kind : std::uint8_t { read, write };
  Transaction(Database& database, Kind kind);
  Transaction(Transaction const&) = delete;
  Transaction& operator=(Transaction const&) = delete;
  ~Transaction();
  void commit();

 private:
  Database& database_;
  bool is_open_ = true;
};

}  // namespace nestgate::store
