#include "sqlite_schema.hpp"

#include "schema.hpp"

namespace nestgate::store {
namespace {

constexpr std::int64_t application_id = 0x4e475354;  // "NGST": what `file` and we know a store by

std::int64_t ask(Database& database, std::string_view sql) {
  auto row = database.run(sql);
  row.step();
  return row.integer();
}

}  // namespace

std::size_t version_of(Database& database, std::size_t newest) {
  auto const version = static_cast<std::size_t>(ask(database, "PRAGMA user_version"));
  bool const is_ours = ask(database, "PRAGMA application_id") == application_id;
  bool const is_empty = ask(database, "SELECT count(*) FROM sqlite_schema") == 0;
  if (!is_ours && !is_empty) give_up("is another program's database");
  check_version(version, newest);
  return version;
}

void upgrade(Database& database, std::span<char const* const> steps) {
  auto const version = version_of(database, steps.size());
  if (version == steps.size()) return;
  for (auto const* const step : steps.subspan(version)) database.execute(step);
  database.execute(("PRAGMA application_id = " + std::to_string(application_id)).c_str());
  database.execute(("PRAGMA user_version = " + std::to_string(steps.size())).c_str());
}

}  // namespace nestgate::store
