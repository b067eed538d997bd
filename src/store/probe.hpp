#pragma once

#include "seal.hpp"
#include "sql.hpp"

namespace nestgate::store {

// A value that says by which secret the installation seals, so that a gateway with other secrets is refused at its start and
// not at the first row that it needs.
inline constexpr std::size_t probe_since = 4;  // the version of the database

// Unusable when none of the secrets opens it; nothing when there is none yet.
Task<> check_probe(Sql& sql, Sealer const& sealer);
// As check_probe, and seals it with the first of the secrets.
Task<> renew_probe(Sql& sql, Sealer const& sealer);

}  // namespace nestgate::store
