#pragma once

#include "seal.hpp"
#include "sql.hpp"

namespace nestgate::store {

// Static runtimes. As Store says, each call within a transaction of its own; everything may throw Unusable.
class StaticRows {
 public:
  // It outlives this.
  explicit StaticRows(Sealer const& sealer) : sealer_(sealer) {}

  Task<std::uint64_t> change(Sql& sql, std::vector<StaticRow> const& put, std::vector<std::string> const& removed) const;
  Task<Store::StaticChanges> since(Sql& sql, std::uint64_t version) const;

 private:
  Sealer const& sealer_;
};

}  // namespace nestgate::store
