#pragma once

#include <span>
#include <string>
#include <string_view>

namespace nestgate::store {

// What makes version n+1 out of version n; the first makes version 1 out of nothing. A step never changes once it was
// released: what changes is a new step. Each is a text of several statements as SQLite has them.
std::span<char const* const> schema_steps();

// The same step as PostgreSQL has it. Texts are compared by their bytes in both.
std::string for_postgres(std::string_view step);

// A table that the steps lead to, and the columns of its key.
struct SchemaTable {
  std::string_view name;
  std::string_view key;  // "a", or "a, b", as a statement has them
};
// All of them, those that others refer to first.
std::span<SchemaTable const> schema_tables();

// Throws Unusable: `version` is later than `newest`, so written by a later nestgate.
void check_version(std::size_t version, std::size_t newest);

}  // namespace nestgate::store
