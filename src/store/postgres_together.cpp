#include "postgres_together.hpp"

#include <algorithm>
#include <cctype>

namespace nestgate::store {
namespace {

std::string joined(std::vector<std::string> const& words) {
  std::string out;
  for (auto const& word : words) out.append(out.empty() ? "" : ", ").append(word);
  return out;
}

// The columns of several rows, as they are sent and as a statement names them.
struct Given {
  explicit Given(std::span<std::vector<SqlValue> const> rows) {
    for (std::size_t column = 0; column < rows.front().size(); ++column) add(array_of(rows, column));
  }
  // "unnest(?1, ?2) AS given (c1, c2)"
  std::string table() const { return "unnest(" + joined(parameters) + ") AS given (" + joined(names) + ")"; }

  std::vector<ArrayOut> arrays;
  std::vector<std::string> values;  // of each column, "c2" or "NULL"

 private:
  // The server knows what type a bare NULL is of, but not an array of nothing else.
  void add(std::optional<ArrayOut> array) {
    if (!array) {
      values.emplace_back("NULL");
      return;
    }
    arrays.push_back(std::move(*array));
    auto const number = std::to_string(arrays.size());
    parameters.push_back("?" + number);
    names.push_back("c" + number);
    values.push_back(names.back());
  }

  std::vector<std::string> parameters, names;
};

// "a = ?2" with what stands for its parameters; it holds no question marks but theirs.
std::string with_values(std::string_view text, std::vector<std::string> const& values) {
  std::string out;
  while (!text.empty()) {
    auto const mark = std::min(text.find('?'), text.size());
    out += text.substr(0, mark);
    text.remove_prefix(mark);
    if (text.empty()) break;
    std::size_t number = 0;
    for (text.remove_prefix(1); !text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) != 0;
         text.remove_prefix(1))
      number = number * 10 + static_cast<std::size_t>(text.front() - '0');
    out += values.at(number - 1);
  }
  return out;
}

}  // namespace

Together in_one_statement(Insertion const& insertion, std::span<std::vector<SqlValue> const> rows) {
  Given given(rows);
  auto statement = "INSERT INTO " + insertion.table + " (" + insertion.columns + ") SELECT " + joined(given.values) +
                   " FROM " + given.table() + " ON CONFLICT DO NOTHING RETURNING " + insertion.key;
  return {std::move(statement), std::move(given.arrays)};
}

Together in_one_statement(RowUpdate const& update, std::span<std::vector<SqlValue> const> rows) {
  Given given(rows);
  auto statement = "UPDATE " + with_values(update.set, given.values) + " FROM " + given.table() + " WHERE " +
                   with_values(update.where, given.values) + " RETURNING " + given.values.front();
  return {std::move(statement), std::move(given.arrays)};
}

}  // namespace nestgate::store
