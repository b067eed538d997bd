#include "store_url.hpp"

#include <algorithm>
#include <filesystem>

namespace nestgate::store {

// The url is not repeated: one of another kind may hold a password.
Outcome<std::string> sqlite_file_of(std::string_view url) {
  constexpr std::string_view scheme = "sqlite:";
  auto const path = url.substr(std::min(scheme.size(), url.size()));
  if (!url.starts_with(scheme) || path.empty())
    return upstream::fail(FaultKind::bad_input, "store.open",
                          "store: the url is none of: sqlite:PATH, sqlite::memory:, postgresql://USER@HOST/DATABASE");
  // SQLite takes some relative paths for URIs.
  return path == sqlite_in_memory ? std::string(path) : std::filesystem::absolute(path).string();
}

}  // namespace nestgate::store
