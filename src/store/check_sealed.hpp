#pragma once

#include "seal.hpp"
#include "sql.hpp"

namespace nestgate::store {

// Throws Unusable when the secrets do not open the probe, or one value of each secret that something was sealed with; only
// looks. `version`: of the database, not later than ours.
Task<> check_sealed(Sql& sql, Sealer const& sealer, std::size_t version);

}  // namespace nestgate::store
