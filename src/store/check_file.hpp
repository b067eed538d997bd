#pragma once

#include <string>

#include "seal.hpp"

namespace nestgate::store {

// Throws Unusable with what would keep a gateway from opening the file, or from making it; only looks.
void check_file(std::string const& path, Sealer const& sealer);

}  // namespace nestgate::store
