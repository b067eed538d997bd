#pragma once

#include <sqlite3.h>
#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "sql.hpp"

// A thin layer over SQLite.
namespace nestgate::store {

// An open file with its prepared statements. One thread at a time uses it. Everything here throws Unusable.
class Database {
 public:
  // Creates the file where none is, for its owner alone; ":memory:" is one without a file.
  explicit Database(std::string path);
  // Of a file that is there, to be read only: what is beside it is used where a gateway has it open, and nothing is made.
  static Database look_into(std::string path);
  bool has_file() const;
  // A second connection to the file of one that was made ours, which reads only.
  Database reader() const;
  // Of a file that is known to be ours: the write-ahead log, each commit written through to the disk, and nobody but its
  // owner may read it.
  void make_ours();

  // One statement; `sql` is prepared once and kept. Parameters are ?1, ?2, … in the order of `values`.
  Rows run(std::string_view sql, std::span<SqlValue const> values = {});
  // The same for several `values`.
  std::vector<Rows> run_each(std::string_view sql, std::span<std::vector<SqlValue> const> values);
  // Any number of statements, without parameters.
  void execute(char const* sql);
  // Whether a transaction is open: some faults end it.
  bool in_transaction() const noexcept { return sqlite3_get_autocommit(handle_.get()) == 0; }
  // Of one that was made ours: that its file still is what others open by its path.
  void check_file() const;
  // Of one that was made ours: the pages that its log had after the last commit here. They go into the file when it is
  // closed, and by `checkpoint`, which does so far as it can at once.
  int log_pages() const noexcept { return *log_pages_; }
  void checkpoint() noexcept;

 private:
  Database(std::string path, std::string const& name, int flags);
  struct Close {
    void operator()(sqlite3* handle) const noexcept { sqlite3_close_v2(handle); }
  };
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const noexcept { sqlite3_finalize(statement); }
  };
  sqlite3_stmt* prepared(std::string_view sql);
  Rows run(sqlite3_stmt* statement, std::span<SqlValue const> values);
  bool log_ahead();
  void check(int code) const;

  std::string path_;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  std::unique_ptr<int> log_pages_ = std::make_unique<int>(0);  // SQLite writes it
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

// The statements of the open transaction. Its calls are done when they return: a coroutine that awaits nothing else never
// waits.
class SqliteSql final : public Sql {
 public:
  // The database outlives this.
  explicit SqliteSql(Database& database) : database_(database) {}
  Task<> stand_in(Line line) override;
  Task<std::vector<Rows>> execute_each(std::string_view statement, std::vector<std::vector<SqlValue>> values) override;
  Task<std::vector<bool>> insert_each(Insertion const& insertion, std::vector<std::vector<SqlValue>> rows) override;
  Task<std::vector<bool>> update_each(RowUpdate const& update, std::vector<std::vector<SqlValue>> rows) override;
  Task<> execute_unseen(std::string_view statement, std::vector<SqlValue> values) override;
  Task<Rows> execute(std::string_view statement, std::vector<SqlValue> values) override;
  Task<> notify() override;

 private:
  Database& database_;
};

// Runs to its end, here, what awaits nothing but such statements.
void run_here(Task<> task);

}  // namespace nestgate::store
