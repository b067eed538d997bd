#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "nestgate/base/secret.hpp"
#include "sql.hpp"

namespace nestgate::store {

// "postgres://…" or "postgresql://…" as libpq takes it. It may hold a password, so it is kept as one.
using PostgresUrl = std::shared_ptr<Secret const>;

bool is_postgres_url(std::string_view url);
// Fault bad_input, with a sentence that repeats nothing of it.
Outcome<PostgresUrl> parse_postgres_url(std::string_view url);

// What libpq is told beside the url: keyword and value. Its own look-up of a name blocks, so names are looked up here,
// on this loop. Throws Unusable where nobody knows the name, or does not say so until the deadline.
using PostgresParameters = std::vector<std::pair<char const*, std::string>>;
Task<PostgresParameters> places_of(PostgresUrl url, Deadline by);

}  // namespace nestgate::store
