#pragma once

#include <memory>
#include <string_view>

#include "backend.hpp"
#include "postgres_connection.hpp"

namespace nestgate::store {

struct PostgresLimits {
  PostgresTimes times;
  std::chrono::milliseconds outage_max{10'000};  // a call waits so long for a server that is away, then it is a fault
  std::uint32_t readers_max = 4;                 // connections for reads; one more writes, one more listens
  std::uint32_t group_max = 64;                  // transactions committed together
  std::uint32_t waiting_max = 10'000;            // calls; beyond it they are faults
};

// `url`: "postgresql://…". Creates and upgrades the schema, then does `preparation`, on a connection of its own: blocks, at
// most for the limits' times. Connections of the calls are made when they are needed. Faults: bad_input (the url),
// unavailable (with the reason).
Outcome<std::unique_ptr<Backend>> open_postgres_backend(std::string_view url, Executor control, Preparation preparation,
                                                        PostgresLimits limits = {});

// Whether open_postgres_backend would open it, and `inspection` is content. Writes nothing; blocks. Version 0: nothing of
// ours is there yet. Faults as open_postgres_backend.
Outcome<> inspect_postgres(std::string_view url, Inspection inspection, PostgresLimits limits = {});

// The same on the loop of who awaits them, for who needs a single transaction: one that writes (at the end of the upgrade),
// one that only reads. They throw Unusable.
Task<> write_postgres(PostgresUrl url, Preparation preparation, PostgresLimits limits = {});
Task<> read_postgres(PostgresUrl url, Inspection inspection, PostgresLimits limits = {});

}  // namespace nestgate::store
