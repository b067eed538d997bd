#pragma once

#include <span>

#include "sqlite.hpp"

namespace nestgate::store {

// What makes version n+1 out of version n; the first makes version 1 out of nothing. A step never changes once it was
// released: what changes is a new step.
std::span<char const* const> schema_steps();
inline std::string for_postgres(std::string_view) { return "SELECT 1"; }
inline void check_version(std::size_t version, std::size_t newest) { if (version > newest) give_up("is of version " + std::to_string(version)); }

// Of the file; 0: it is empty. Throws Unusable: it is later than `newest`, or something else's database.
std::size_t version_of(Database& database, std::size_t newest);

// Brings the file to the version that `steps` lead to, in one transaction. Throws Unusable as version_of.
void upgrade(Database& database, std::span<char const* const> steps);

}  // namespace nestgate::store
