#include "sqlite.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "nestgate/base/invariant.hpp"
#include "nestgate/base/text.hpp"

namespace nestgate::store {
namespace {

constexpr std::string_view in_memory = ":memory:";
constexpr int busy_ms_max = 10'000;  // how long another process may write before a call fails

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

}  // namespace

Query::~Query() {
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

bool Query::step() {
  column_ = 0;
  int const code = sqlite3_step(statement_);
  if (code != SQLITE_ROW && code != SQLITE_DONE) check(code);
  return code == SQLITE_ROW;
}

std::string Query::text() {
  auto const* const begin = reinterpret_cast<char const*>(sqlite3_column_text(statement_, column_));
  auto const size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column_++));
  return begin == nullptr ? std::string() : std::string(begin, size);
}

Blob Query::blob() {
  if (sqlite3_column_type(statement_, column_) == SQLITE_NULL) {
    ++column_;
    return {};
  }
  auto const* const begin = static_cast<char const*>(sqlite3_column_blob(statement_, column_));
  auto const size = static_cast<std::size_t>(sqlite3_column_bytes(statement_, column_++));
  return {begin == nullptr ? std::string() : std::string(begin, size)};
}

std::optional<Time> Query::optional_time() {
  if (sqlite3_column_type(statement_, column_) != SQLITE_NULL) return time();
  ++column_;
  return std::nullopt;
}

void Query::bind(int index, std::string_view text) {
  check(sqlite3_bind_text64(statement_, index, text.data() ? text.data() : "", text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}

void Query::bind(int index, Blob const& blob) {
  if (!blob.bytes) return check(sqlite3_bind_null(statement_, index));
  check(sqlite3_bind_blob64(statement_, index, blob.bytes->data(), blob.bytes->size(), SQLITE_TRANSIENT));
}

void Query::bind(int index, std::optional<Time> const& time) {
  if (time) return bind(index, *time);
  check(sqlite3_bind_null(statement_, index));
}

void Query::bind_integer(int index, std::int64_t number) { check(sqlite3_bind_int64(statement_, index, number)); }

void Query::check(int code) {
  if (code == SQLITE_OK) return;
  give_up(sqlite3_errmsg(sqlite3_db_handle(statement_)));
}

// Without SQLite's own mutex: one thread at a time.
Database::Database(std::string path, std::string const& name, int flags) : path_(std::move(path)) {
  sqlite3* opened = nullptr;
  int const code = sqlite3_open_v2(name.c_str(), &opened, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE, nullptr);
  handle_.reset(opened);
  if (code != SQLITE_OK) give_up(sqlite3_errstr(code));
  sqlite3_busy_timeout(handle_.get(), busy_ms_max);
  execute("PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF");
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

void Database::make_ours() {
  if (path_ == in_memory) return;
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
  execute("PRAGMA synchronous = NORMAL");
}

// Fails at once, whatever the busy timeout, while somebody else reads or writes a file that has no log yet.
bool Database::log_ahead() {
  int const code = sqlite3_exec(handle_.get(), "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr);
  if ((code & 0xff) == SQLITE_BUSY) return false;
  if (code != SQLITE_OK) give_up(sqlite3_errmsg(handle_.get()));
  auto mode = query("PRAGMA journal_mode");
  mode.step();
  if (mode.text() != "wal") give_up("its file system cannot hold a write-ahead log");
  return true;
}

void Database::execute(char const* sql) {
  if (sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK) give_up(sqlite3_errmsg(handle_.get()));
}

// A process that has it open goes on writing into what nobody will ever read again.
void Database::check_file() const {
  if (path_ == in_memory) return;
  struct stat now{};
  if (::stat(path_.c_str(), &now) != 0 || now.st_dev != device_ || now.st_ino != inode_)
    give_up("its file was removed or replaced; restart nestgate");
}

sqlite3_stmt* Database::prepared(std::string_view sql) {
  auto const known = statements_.find(sql);
  if (known != statements_.end()) {
    NESTGATE_INVARIANT(!sqlite3_stmt_busy(known->second.get()), "a statement is run by one query at a time");
    return known->second.get();
  }
  sqlite3_stmt* made = nullptr;
  int const code =
      sqlite3_prepare_v3(handle_.get(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT, &made, nullptr);
  if (code != SQLITE_OK) give_up(sqlite3_errmsg(handle_.get()));
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

}  // namespace nestgate::store
