#pragma once

#include "nestgate/store/store.hpp"
#include "seal.hpp"
#include "sqlite.hpp"

namespace nestgate::store {

// Static runtimes. As Store says; everything may throw Unusable.
class StaticRows {
 public:
  // Both outlive this.
  StaticRows(Database& database, Sealer const& sealer) : database_(database), sealer_(sealer) {}

  void change(std::vector<StaticRow> const& put, std::vector<std::string> const& removed);
  std::vector<StaticRow> all();

 private:
  Database& database_;
  Sealer const& sealer_;
};

}  // namespace nestgate::store
