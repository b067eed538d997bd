#pragma once

#include <span>
#include <string>

#include "backend.hpp"
#include "postgres_connection.hpp"

namespace nestgate::store {

// Brings the database to the version that `steps` lead to and does `preparation`, in one transaction that no other gateway's
// upgrade is beside. Throws Unusable: it is later, or something else's.
Task<> upgrade_postgres(PostgresConnection& connection, std::vector<std::string> steps, Preparation preparation);

// Within a transaction that only reads: throws as upgrade_postgres would, and what `inspection` throws, which is not asked
// where there is nothing yet.
Task<> inspect_postgres_schema(PostgresConnection& connection, std::size_t newest, Inspection inspection);

}  // namespace nestgate::store
