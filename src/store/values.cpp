#include "values.hpp"

#include <algorithm>

namespace nestgate::store {
namespace {

std::size_t size_of(std::string_view columns) { return 1 + static_cast<std::size_t>(std::ranges::count(columns, ',')); }

}  // namespace

std::string placeholders(std::string_view columns) {
  std::string out;
  for (std::size_t i = 1; i <= size_of(columns); ++i) out.append(i == 1 ? "?" : ", ?").append(std::to_string(i));
  return out;
}

std::string assignments(std::string_view columns) {
  std::string out;
  for (std::size_t i = 1; !columns.empty(); ++i) {
    auto const end = std::min(columns.find(", "), columns.size());
    if (i != 1) out += ", ";
    out.append(columns.substr(0, end)).append(" = ?").append(std::to_string(i));
    columns.remove_prefix(std::min(end + 2, columns.size()));
  }
  return out;
}

std::string placeholder_behind(std::string_view columns, std::size_t nth) {
  return "?" + std::to_string(size_of(columns) + nth);
}

Insertion::Insertion(std::string_view into, std::string_view of)
    : table(into),
      columns(of),
      key(of.substr(0, of.find(','))),
      statement("INSERT INTO " + table + " (" + columns + ") VALUES (" + placeholders(of) + ") ON CONFLICT DO NOTHING") {}

RowUpdate::RowUpdate(std::string_view what, std::string_view of)
    : set(what), where(of), statement("UPDATE " + set + " WHERE " + where) {}

std::vector<bool> which_changed(std::span<Rows const> answers) {
  std::vector<bool> which;
  which.reserve(answers.size());
  for (auto const& answer : answers) which.push_back(answer.changed() != 0);
  return which;
}

Task<Time> store_now(Sql& sql) {
  auto row = co_await sql.query("SELECT nestgate_now()");
  row.step();
  co_return row.time();
}

Task<std::uint64_t> count_of(Sql& sql, std::string_view statement, Values parameters) {
  auto row = co_await sql.execute(statement, std::move(parameters));
  row.step();
  co_return row.count();
}

}  // namespace nestgate::store
