#include "nestgate/store/store.hpp"

#include <array>
#include <filesystem>

#include "check_file.hpp"
#include "check_sealed.hpp"
#include "open_backend.hpp"
#include "probe.hpp"
#include "sql_store.hpp"
#include "sqlite_backend.hpp"

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

namespace {

constexpr std::string_view in_memory = ":memory:";

Outcome<std::string> file_of(std::string_view url) {
  constexpr std::string_view scheme = "sqlite:";
  auto const path = url.substr(std::min(scheme.size(), url.size()));
  if (!url.starts_with(scheme) || path.empty())
    return upstream::fail(FaultKind::bad_input, "store.open",
                          "store: '" + std::string(url) + "' is none of: sqlite:PATH, sqlite::memory:");
  // SQLite takes some relative paths for URIs.
  return path == in_memory ? std::string(path) : std::filesystem::absolute(path).string();
}

Failure with_file(Failure failure, std::string const& file) {
  constexpr std::string_view what = "store: ";
  if (failure.reason.starts_with(what)) failure.reason.insert(what.size(), file + ": ");
  return failure;
}

}  // namespace

Outcome<std::unique_ptr<Backend>> open_backend(std::string_view url, Preparation const& prepare, Executor) {
  NESTGATE_TRY(file, file_of(url));
  try {
    return std::unique_ptr<Backend>(std::make_unique<SqliteBackend>(file, prepare));
  } catch (Unusable const& unusable) {
    return with_file(unusable.failure, file);
  }
}

Outcome<std::unique_ptr<Store>> open_store(std::string_view url, std::vector<Secret> keys, Executor control) {
  Sealer const sealer(keys);
  auto const prepare = [&sealer](Sql& sql) { return renew_probe(sql, sealer); };
  NESTGATE_TRY(backend, open_backend(url, prepare, control));
  return std::unique_ptr<Store>(std::make_unique<SqlStore>(std::move(backend), keys));
}

Outcome<> check_store(std::string_view url, std::vector<Secret> const& keys) {
  NESTGATE_TRY(file, file_of(url));
  Sealer const sealer(keys);
  auto const inspect = [&sealer](Sql& sql, std::size_t version) { return check_sealed(sql, sealer, version); };
  try {
    if (file != in_memory) check_file(file, inspect);
    return Outcome<>{};
  } catch (Unusable const& unusable) {
    return with_file(unusable.failure, file);
  }
}

}  // namespace nestgate::store
