#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "nestgate/store/maintenance.hpp"
#include "postgres_address.hpp"
#include "schema.hpp"
#include "sqlite_schema.hpp"
#include "store_url.hpp"

namespace nestgate::store {
namespace {

// Closed when it dies.
class Descriptor {
 public:
  Descriptor(std::filesystem::path const& path, int flags)
      : fd_(::open(path.c_str(), flags | O_CLOEXEC, S_IRUSR | S_IWUSR)) {}
  Descriptor(Descriptor const&) = delete;
  Descriptor& operator=(Descriptor const&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  bool is_open() const noexcept { return fd_ >= 0; }
  void write_through() const {
    if (fd_ < 0 || ::fsync(fd_) != 0) give_up(std::string("cannot be written through to the disk: ") + std::strerror(errno));
  }

 private:
  int fd_;
};

// SQLite copies into an empty file that is there, with its rights.
void make_target(std::filesystem::path const& target) {
  Descriptor const made(target, O_CREAT | O_EXCL | O_WRONLY);
  if (made.is_open()) return;
  auto const kind = errno == EEXIST ? FaultKind::conflict : FaultKind::unavailable;
  throw Unusable{upstream::fail(kind, "store.backup", "store: " + target.string() + ": " + std::strerror(errno))};
}

void back_up_file(std::string const& file, std::filesystem::path const& target) {
  if (!std::filesystem::is_regular_file(file)) give_up("there is no such file");
  Database database(file);
  version_of(database, schema_steps().size());
  make_target(target);
  try {
    SqlValue const to = target.string();
    database.run("VACUUM INTO ?1", std::span(&to, 1));
    Descriptor(target, O_RDONLY).write_through();
    Descriptor(std::filesystem::absolute(target).parent_path(), O_RDONLY | O_DIRECTORY).write_through();
  } catch (Unusable const&) {
    std::error_code ignored;
    std::filesystem::remove(target, ignored);
    throw;
  }
}

}  // namespace

Outcome<> back_up_store(std::string_view url, std::filesystem::path const& target) {
  if (is_postgres_url(url))
    return upstream::fail(FaultKind::bad_input, "store.backup",
                          "store: a PostgreSQL database is backed up by pg_dump, or as its server is");
  NESTGATE_TRY(file, sqlite_file_of(url));
  if (file == sqlite_in_memory)
    return upstream::fail(FaultKind::bad_input, "store.backup",
                          "store: sqlite::memory: keeps nothing; a path is needed here");
  try {
    back_up_file(file, target);
    return Outcome<>{};
  } catch (Unusable const& unusable) {
    return unusable.failure;
  }
}

}  // namespace nestgate::store
