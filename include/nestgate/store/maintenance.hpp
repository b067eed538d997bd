#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/store/store.hpp"

// What operators do with a store as a whole. Urls as for open_store; each call blocks, and starts no thread.
namespace nestgate::store {

struct CopiedTable {
  std::string name;
  std::uint64_t rows = 0;
};

// Everything that `from` holds, as it is there at one moment, into `to`, in one transaction: all of it, or nothing. Sealed
// values stay sealed as they are, so the same secrets open them. `from` is upgraded first, as opening it would; `to` is
// made, and holds nothing yet. Faults: bad_input (a url, or one that keeps nothing), conflict (a gateway lives on `from`:
// what it writes meanwhile would be lost), unavailable.
Outcome<std::vector<CopiedTable>> copy_store(std::string_view from, std::string_view to);

// One moment of an SQLite store as a new file, for its owner alone; gateways go on meanwhile. Faults: bad_input (a url of
// another kind: its server has tools for that), conflict (`target` is there), unavailable.
Outcome<> back_up_store(std::string_view url, std::filesystem::path const& target);

// Whether a url holds a password: what stands on a command line is no secret.
bool has_password(std::string_view url);

}  // namespace nestgate::store
