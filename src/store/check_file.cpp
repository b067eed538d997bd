#include "check_file.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "schema.hpp"
#include "sqlite_schema.hpp"

namespace nestgate::store {
namespace {

void need(std::string const& path, int mode, std::string_view otherwise) {
  if (::access(path.c_str(), mode) == 0) return;
  give_up(std::string(otherwise) + ": " + std::strerror(errno));
}

}  // namespace

void check_file(std::string const& path, Inspection const& inspect) {
  auto const folder = std::filesystem::path(path).parent_path().string();
  std::error_code ignored;
  auto const status = std::filesystem::status(path, ignored);
  if (!std::filesystem::exists(status)) return need(folder, R_OK | W_OK | X_OK, "cannot be created in its folder");
  if (!std::filesystem::is_regular_file(status)) give_up("is no file");
  need(path, R_OK | W_OK, "cannot be opened");
  need(folder, R_OK | W_OK | X_OK, "its log cannot be created in its folder");
  auto database = Database::look_into(path);
  auto const version = version_of(database, schema_steps().size());
  SqliteSql sql(database);
  run_here(inspect(sql, version));
}

}  // namespace nestgate::store
