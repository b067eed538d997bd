#pragma once

#include <span>

#include "sqlite.hpp"

namespace nestgate::store {

// Of the file; 0: it is empty. Throws Unusable: it is later than `newest`, or something else's database.
std::size_t version_of(Database& database, std::size_t newest);

// Within a transaction that writes: brings the file to the version that `steps` lead to. Throws Unusable as version_of.
void upgrade(Database& database, std::span<char const* const> steps);

}  // namespace nestgate::store
