#pragma once

#include <string>

#include "backend.hpp"

namespace nestgate::store {

// Throws Unusable with what would keep a gateway from opening the file, or from making it, and what `inspect` throws; only
// looks.
void check_file(std::string const& path, Inspection const& inspect);

}  // namespace nestgate::store
