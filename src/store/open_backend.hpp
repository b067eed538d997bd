#pragma once

#include "backend.hpp"

namespace nestgate::store {

// The database that `url` names (open_store says which there are), upgraded and prepared; blocks. `control`: where its calls
// are awaited. Faults: bad_input (the url), unavailable.
Outcome<std::unique_ptr<Backend>> open_backend(std::string_view url, Preparation const& prepare, Executor control,
                                               OpenOptions options = {});

}  // namespace nestgate::store
