#include "nestgate/store/store.hpp"

#include "check_file.hpp"
#include "check_sealed.hpp"
#include "open_backend.hpp"
#include "postgres_backend.hpp"
#include "probe.hpp"
#include "sql_store.hpp"
#include "sqlite_backend.hpp"
#include "store_url.hpp"

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

Failure with_file(Failure failure, std::string const& file) {
  constexpr std::string_view what = "store: ";
  if (failure.reason.starts_with(what)) failure.reason.insert(what.size(), file + ": ");
  return failure;
}

}  // namespace

Outcome<std::unique_ptr<Backend>> open_backend(std::string_view url, Preparation const& prepare, Executor control,
                                               OpenOptions options) {
  PostgresLimits limits;
  limits.readers_max = options.connections;
  if (is_postgres_url(url)) return open_postgres_backend(url, control, prepare, limits);
  NESTGATE_TRY(file, sqlite_file_of(url));
  try {
    return std::unique_ptr<Backend>(std::make_unique<SqliteBackend>(file, prepare));
  } catch (Unusable const& unusable) {
    return with_file(unusable.failure, file);
  }
}

Outcome<std::unique_ptr<Store>> open_store(std::string_view url, std::vector<Secret> keys, Executor control,
                                           OpenOptions options) {
  Sealer const sealer(keys);
  auto const prepare = [&sealer](Sql& sql) { return renew_probe(sql, sealer); };
  NESTGATE_TRY(backend, open_backend(url, prepare, control, options));
  return std::unique_ptr<Store>(std::make_unique<SqlStore>(std::move(backend), keys));
}

Outcome<> check_store(std::string_view url, std::vector<Secret> const& keys) {
  Sealer const sealer(keys);
  auto const inspect = [&sealer](Sql& sql, std::size_t version) { return check_sealed(sql, sealer, version); };
  if (is_postgres_url(url)) return inspect_postgres(url, inspect);
  NESTGATE_TRY(file, sqlite_file_of(url));
  try {
    if (file != sqlite_in_memory) check_file(file, inspect);
    return Outcome<>{};
  } catch (Unusable const& unusable) {
    return with_file(unusable.failure, file);
  }
}

}  // namespace nestgate::store
