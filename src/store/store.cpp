#include "nestgate/store/store.hpp"

#include <array>
#include <filesystem>

#include "sqlite_store.hpp"

namespace nestgate::store {

std::string_view to_string(Phase phase) noexcept {
  switch (phase) {
    case Phase::starting: return "starting";
    case Phase::running: return "running";
    case Phase::paused: return "paused";
    case Phase::stopping: return "stopping";
    case Phase::stopped: return "stopped";
    case Phase::error: return "error";
    case Phase::removing: return "removing";
  }
  return "error";
}

std::optional<Phase> parse_phase(std::string_view text) {
  for (auto const phase :
       {Phase::starting, Phase::running, Phase::paused, Phase::stopping, Phase::stopped, Phase::error, Phase::removing}) {
    if (text == to_string(phase)) return phase;
  }
  return std::nullopt;
}

std::string_view to_string(QuotaKind kind) noexcept {
  switch (kind) {
    case QuotaKind::owner: return "owner";
    case QuotaKind::organisation: return "organisation";
    case QuotaKind::all: return "all";
  }
  return "all";
}

Outcome<std::unique_ptr<Store>> open_store(std::string_view url, std::vector<Secret> keys, Executor) {
  constexpr std::string_view scheme = "sqlite:";
  constexpr std::string_view in_memory = ":memory:";
  auto const path = url.substr(std::min(scheme.size(), url.size()));
  if (!url.starts_with(scheme) || path.empty())
    return upstream::fail(FaultKind::bad_input, "store.open",
                          "store: '" + std::string(url) + "' is none of: sqlite:PATH, sqlite::memory:");
  try {
    // SQLite takes some relative paths for URIs.
    auto file = path == in_memory ? std::string(path) : std::filesystem::absolute(path).string();
    return std::unique_ptr<Store>(new SqliteStore(std::move(file), keys));
  } catch (Unusable const& unusable) {
    return unusable.failure;
  }
}

}  // namespace nestgate::store
