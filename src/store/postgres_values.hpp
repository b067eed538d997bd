#pragma once

#include <libpq-fe.h>

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "sql.hpp"

// Values as PostgreSQL's binary forms, both ways. Pure.
namespace nestgate::store {

// Of a text or bytes, as long as `value` lives; nothing: it is NULL or a number.
std::optional<std::string_view> bytes_in(SqlValue const& value);

// Of parameters; 0 for monostate: the server finds it.
std::vector<Oid> types_of(std::span<SqlValue const> values);

// A column of several rows as one parameter.
struct ArrayOut {
  Oid type = 0;
  std::string bytes;
};
// Of rows of equal length, whose values in a column are of one type or NULL; none of a column that has nothing but NULL.
std::optional<ArrayOut> array_of(std::span<std::vector<SqlValue> const> rows, std::size_t column);

// What libpq is handed for parameters, which outlive it.
class ValuesOut {
 public:
  explicit ValuesOut(std::span<SqlValue const> values);
  explicit ValuesOut(std::span<ArrayOut const> arrays);
  ValuesOut(ValuesOut const&) = delete;
  ValuesOut& operator=(ValuesOut const&) = delete;

  int count() const noexcept { return static_cast<int>(values_.size()); }
  char const* const* values() const noexcept { return values_.data(); }
  int const* lengths() const noexcept { return lengths_.data(); }
  int const* formats() const noexcept { return formats_.data(); }

 private:
  void add_number(std::uint64_t bits);
  void add_text(std::string_view text);

  std::vector<std::uint64_t> numbers_;  // most significant byte first
  std::vector<char const*> values_;     // null: NULL
  std::vector<int> lengths_;
  std::vector<int> formats_;
};

// Of an answer in binary form. Throws Unusable for a type that the store has none of.
Rows rows_of(PGresult const& result);

}  // namespace nestgate::store
