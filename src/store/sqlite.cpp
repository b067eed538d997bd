#include "sqlite.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "nestgate/base/invariant.hpp"
#include "nestgate/base/text.hpp"
#include "values.hpp"

namespace nestgate::store {
namespace {

constexpr std::string_view in_memory = ":memory:";
constexpr int busy_ms_max = 10'000;  // how long another process may write before a call fails
// What is read again and again stays in the process: SQLite's own 2 MiB do not hold the indexes of a few thousand runs.
constexpr int cache_kib_max = 32 * 1024;

// SQLite would create it for everybody to read; what it puts beside it gets the same rights.
std::string const& create_private(std::string const& path) {
  int const created = ::open(path.c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, S_IRUSR | S_IWUSR);
  if (created >= 0) {
    ::close(created);
  } else if (errno != EEXIST) {
    give_up(std::string("cannot be created: ") + std::strerror(errno));
  }
  return path;
}

void make_private(std::string const& path) {
  struct stat status{};
  bool const is_known = ::stat(path.c_str(), &status) == 0;
  if (is_known && (status.st_mode & (S_IRWXG | S_IRWXO)) == 0) return;
  if (!is_known || ::chmod(path.c_str(), S_IRUSR | S_IWUSR) != 0)
    give_up(std::string("cannot be made its owner's alone: ") + std::strerror(errno));
}

// Parameters of one run. What is bound is not copied, so it is unbound in the end.
class Binding {
 public:
  Binding(sqlite3_stmt* statement, std::span<SqlValue const> values) : statement_(statement) {
    for (std::size_t i = 0; i < values.size(); ++i) bind(static_cast<int>(i) + 1, values[i]);
  }
  Binding(Binding const&) = delete;
  Binding& operator=(Binding const&) = delete;
  ~Binding() {
    sqlite3_reset(statement_);
    sqlite3_clear_bindings(statement_);
  }

 private:
  void bind(int index, SqlValue const& value) {
    int const code = std::visit([this, index](auto const& v) { return bind_one(index, v); }, value);
    if (code != SQLITE_OK) give_up(sqlite3_errmsg(sqlite3_db_handle(statement_)));
  }
  int bind_one(int index, std::monostate) { return sqlite3_bind_null(statement_, index); }
  int bind_one(int index, std::int64_t number) { return sqlite3_bind_int64(statement_, index, number); }
  int bind_one(int index, double number) { return sqlite3_bind_double(statement_, index, number); }
  int bind_one(int index, std::string_view text) {
    return sqlite3_bind_text64(statement_, index, text.data(), text.size(), SQLITE_STATIC, SQLITE_UTF8);
  }
  int bind_one(int index, Blob const& blob) {
    if (!blob.bytes) return sqlite3_bind_null(statement_, index);
    return sqlite3_bind_blob64(statement_, index, blob.bytes->data(), blob.bytes->size(), SQLITE_STATIC);
  }

  sqlite3_stmt* statement_;
};

std::string bytes_of(void const* begin, int size) {
  if (begin == nullptr) return {};
  return std::string(static_cast<char const*>(begin), static_cast<std::size_t>(size));
}

SqlValue column_of(sqlite3_stmt* statement, int column) {
  switch (sqlite3_column_type(statement, column)) {
    case SQLITE_INTEGER: return sqlite3_column_int64(statement, column);
    case SQLITE_FLOAT: return sqlite3_column_double(statement, column);
    case SQLITE_TEXT: {
      auto const* const begin = sqlite3_column_text(statement, column);
      return bytes_of(begin, sqlite3_column_bytes(statement, column));
    }
    case SQLITE_BLOB: {
      auto const* const begin = sqlite3_column_blob(statement, column);
      return Blob{bytes_of(begin, sqlite3_column_bytes(statement, column))};
    }
    default: return std::monostate{};
  }
}

// Before anything else of SQLite is called. Nobody asks how much memory it has; counting it is a lock at each allocation.
// What would undo one write of a group stays in memory: it would go into a file beyond a limit, and as much as the limit is
// would be allocated each time.
void configure_library() {
  [[maybe_unused]] static int const once =
      sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) + sqlite3_config(SQLITE_CONFIG_STMTJRNL_SPILL, -1);
}

void now(sqlite3_context* context, int, sqlite3_value**) {
  auto const since = std::chrono::system_clock::now().time_since_epoch();
  sqlite3_result_int64(context, Time::duration(since).count());
}

int note_log_pages(void* pages, sqlite3*, char const*, int count) {
  *static_cast<int*>(pages) = count;
  return SQLITE_OK;
}

}  // namespace

// Without SQLite's own mutex: one thread at a time.
Database::Database(std::string path, std::string const& name, int flags) : path_(std::move(path)) {
  configure_library();
  sqlite3* opened = nullptr;
  int const code = sqlite3_open_v2(name.c_str(), &opened, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  handle_.reset(opened);
  if (code != SQLITE_OK) give_up(sqlite3_errstr(code));
  sqlite3_busy_timeout(handle_.get(), busy_ms_max);
  // A name that is quoted is a name: a misspelt one is no text.
  check(sqlite3_db_config(handle_.get(), SQLITE_DBCONFIG_DQS_DML, 0, nullptr));
  check(sqlite3_db_config(handle_.get(), SQLITE_DBCONFIG_DQS_DDL, 0, nullptr));
  check(sqlite3_create_function_v2(handle_.get(), "nestgate_now", 0, SQLITE_UTF8, nullptr, now, nullptr, nullptr, nullptr));
  execute("PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF");
  execute(("PRAGMA cache_size = -" + std::to_string(cache_kib_max)).c_str());
}

Database::Database(std::string path)
    : Database(path == in_memory ? path : create_private(path), path, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE) {}

// Beside a file without a log SQLite would make one.
Database Database::look_into(std::string path) {
  bool const has_log = ::access((path + "-wal").c_str(), F_OK) == 0 && ::access((path + "-shm").c_str(), F_OK) == 0;
  std::string name = "file:";
  append_percent_encoded(name, path);
  name += has_log ? "?mode=ro&readonly_shm=1" : "?mode=ro&immutable=1";
  return Database(std::move(path), name, SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
}

bool Database::has_file() const { return path_ != in_memory; }

Database Database::reader() const {
  Database reader(path_, path_, SQLITE_OPEN_READONLY);
  reader.device_ = device_;
  reader.inode_ = inode_;
  return reader;
}

void Database::make_ours() {
  if (!has_file()) return;
  make_private(path_);
  struct stat made{};
  if (::stat(path_.c_str(), &made) != 0) give_up(std::strerror(errno));
  device_ = made.st_dev;
  inode_ = made.st_ino;
  auto const by = Deadline::in(std::chrono::milliseconds(busy_ms_max));
  while (!log_ahead()) {
    if (by.passed()) give_up("others use it without a pause");
    Transaction const after_the_others(*this, Transaction::Kind::write);
  }
  execute("PRAGMA synchronous = FULL");
  sqlite3_wal_hook(handle_.get(), note_log_pages, log_pages_.get());  // instead of SQLite's own, which works within a commit
}

// Fails at once, whatever the busy timeout, while somebody else reads or writes a file that has no log yet.
bool Database::log_ahead() {
  int const code = sqlite3_exec(handle_.get(), "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr);
  if ((code & 0xff) == SQLITE_BUSY) return false;
  check(code);
  auto mode = run("PRAGMA journal_mode");
  mode.step();
  if (mode.text() != "wal") give_up("its file system cannot hold a write-ahead log");
  return true;
}

Rows Database::run(std::string_view sql, std::span<SqlValue const> values) { return run(prepared(sql), values); }

std::vector<Rows> Database::run_each(std::string_view sql, std::span<std::vector<SqlValue> const> values) {
  std::vector<Rows> done;
  done.reserve(values.size());
  if (values.empty()) return done;
  auto* const statement = prepared(sql);
  for (auto const& one : values) done.push_back(run(statement, one));
  return done;
}

Rows Database::run(sqlite3_stmt* statement, std::span<SqlValue const> values) {
  Binding const binding(statement, values);
  int const columns = sqlite3_column_count(statement);
  std::vector<SqlValue> cells;
  int code = sqlite3_step(statement);
  if (code == SQLITE_ROW) cells.reserve(static_cast<std::size_t>(columns));
  for (; code == SQLITE_ROW; code = sqlite3_step(statement))
    for (int i = 0; i < columns; ++i) cells.push_back(column_of(statement, i));
  if (code != SQLITE_DONE) check(code);
  auto const changed = sqlite3_stmt_readonly(statement) != 0 ? 0 : sqlite3_changes64(handle_.get());
  return Rows(std::move(cells), static_cast<std::size_t>(columns), changed);
}

void Database::execute(char const* sql) { check(sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr)); }

void Database::check(int code) const {
  if (code != SQLITE_OK) give_up(sqlite3_errmsg(handle_.get()));
}

// What stays in the log goes with a later one: also what could not be written.
void Database::checkpoint() noexcept {
  *log_pages_ = 0;
  sqlite3_wal_checkpoint_v2(handle_.get(), nullptr, SQLITE_CHECKPOINT_PASSIVE, nullptr, nullptr);
}

// A process that has it open goes on writing into what nobody will ever read again.
void Database::check_file() const {
  if (!has_file()) return;
  struct stat now{};
  if (::stat(path_.c_str(), &now) != 0 || now.st_dev != device_ || now.st_ino != inode_)
    give_up("its file was removed or replaced; restart nestgate");
}

sqlite3_stmt* Database::prepared(std::string_view sql) {
  auto const known = statements_.find(sql);
  if (known != statements_.end()) return known->second.get();
  sqlite3_stmt* made = nullptr;
  check(sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &made,
                           nullptr));
  return statements_.emplace(sql, made).first->second.get();
}

Transaction::Transaction(Database& database, Kind kind) : database_(database) {
  database_.run(kind == Kind::write ? "BEGIN IMMEDIATE" : "BEGIN");
}

Transaction::~Transaction() {
  if (!is_open_) return;
  try {
    database_.run("ROLLBACK");
  } catch (Unusable const&) {
    // SQLite rolled back by itself when it failed; there is nothing left to undo.
    return;
  }
}

void Transaction::commit() {
  database_.run("COMMIT");
  is_open_ = false;
}

// Nobody writes beside a transaction that writes, in any process.
Task<> SqliteSql::stand_in(Line) { co_return; }

Task<std::vector<Rows>> SqliteSql::execute_each(std::string_view statement, std::vector<std::vector<SqlValue>> values) {
  co_return database_.run_each(statement, values);
}

Task<std::vector<bool>> SqliteSql::insert_each(Insertion const& insertion, std::vector<std::vector<SqlValue>> rows) {
  co_return which_changed(database_.run_each(insertion.statement, rows));
}

Task<std::vector<bool>> SqliteSql::update_each(RowUpdate const& update, std::vector<std::vector<SqlValue>> rows) {
  co_return which_changed(database_.run_each(update.statement, rows));
}

Task<> SqliteSql::execute_unseen(std::string_view statement, std::vector<SqlValue> values) {
  database_.run(statement, values);
  co_return;
}

Task<Rows> SqliteSql::execute(std::string_view statement, std::vector<SqlValue> values) {
  co_return database_.run(statement, values);
}

// Nothing wakes another process over a file.
Task<> SqliteSql::notify() { co_return; }

void run_here(Task<> task) {
  asio::io_context loop(1);
  std::exception_ptr thrown;
  bool is_done = false;
  auto on_end = [&thrown, &is_done](std::exception_ptr e) {
    thrown = e;
    is_done = true;
  };
  asio::co_spawn(loop.get_executor(), std::move(task), std::move(on_end));
  loop.run();
  NESTGATE_INVARIANT(is_done, "it waits for nothing but SQLite");
  if (thrown) std::rethrow_exception(thrown);
}

}  // namespace nestgate::store
