#include "check_file.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "probe.hpp"
#include "schema.hpp"
#include "sealed_column.hpp"

namespace nestgate::store {
namespace {

struct SealedColumn {
  std::string_view table, column, key, subkey;  // subkey "": the key has one part
  std::size_t since;                            // the version of the file
};
constexpr SealedColumn sealed_columns[] = {
    {"conversation", "session_key", "id", "", 1},   {"conversation", "wish", "id", "", 1},
    {"conversation", "configuration", "id", "", 1}, {"conversation", "about", "id", "", 3},
    {"static_runtime", "session_key", "id", "", 1}, {"user_settings", "settings", "user", "", 1},
    {"user_secret", "value", "user", "name", 1},
};

void need(std::string const& path, int mode, std::string_view otherwise) {
  if (::access(path.c_str(), mode) == 0) return;
  give_up(std::string(otherwise) + ": " + std::strerror(errno));
}

// One of each secret that it was sealed with: the value begins with the name of that.
void check_sealed(Database& database, Sealer const& sealer, SealedColumn const& at) {
  std::string sql = "SELECT ";
  sql.append(at.key).append(", ").append(at.subkey.empty() ? "''" : at.subkey).append(", ").append(at.column);
  sql.append(" FROM ").append(at.table).append(" WHERE ").append(at.column).append(" IS NOT NULL GROUP BY substr(");
  sql.append(at.column).append(", 1, ").append(std::to_string(Sealer::header_bytes)).append(")");
  auto query = database.query(sql);
  while (query.step()) {
    auto const key = query.text();
    auto const subkey = query.text();
    auto const value = query.blob();
    open_column(sealer, Place{at.table, at.column, key, subkey}, value.bytes.value_or(""));
  }
}

}  // namespace

void check_file(std::string const& path, Sealer const& sealer) {
  auto const folder = std::filesystem::path(path).parent_path().string();
  std::error_code ignored;
  auto const status = std::filesystem::status(path, ignored);
  if (!std::filesystem::exists(status)) return need(folder, R_OK | W_OK | X_OK, "cannot be created in its folder");
  if (!std::filesystem::is_regular_file(status)) give_up("is no file");
  need(path, R_OK | W_OK, "cannot be opened");
  need(folder, R_OK | W_OK | X_OK, "its log cannot be created in its folder");
  auto database = Database::look_into(path);
  auto const version = version_of(database, schema_steps().size());
  if (version >= probe_since) check_probe(database, sealer);
  for (auto const& column : sealed_columns)
    if (column.since <= version) check_sealed(database, sealer, column);
}

}  // namespace nestgate::store
