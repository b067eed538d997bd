#pragma once

#include "counters.hpp"
#include "nestgate/store/store.hpp"
#include "seal.hpp"
#include "sqlite.hpp"

namespace nestgate::store {

// Static runtimes. As Store says; everything may throw Unusable.
class StaticRows {
 public:
  // Both outlive this.
  StaticRows(Database& database, Sealer const& sealer)
      : database_(database), sealer_(sealer), removed_(database, "removed_static_runtime") {}

  std::uint64_t change(std::vector<StaticRow> const& put, std::vector<std::string> const& removed);
  Store::StaticChanges since(std::uint64_t version);

 private:
  Database& database_;
  Sealer const& sealer_;
  Tombstones removed_;
};

}  // namespace nestgate::store
