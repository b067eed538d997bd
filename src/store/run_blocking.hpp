#pragma once

#include "sql.hpp"

namespace nestgate::store {

// Does `work` on a loop of its own, here; Unusable is its fault.
Outcome<> run_blocking(Task<> work);

}  // namespace nestgate::store
