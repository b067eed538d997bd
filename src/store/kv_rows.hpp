#pragma once

#include "nestgate/store/automation_store.hpp"
#include "values.hpp"

namespace nestgate::store {

// Key-value documents of automations, and small settings of the service. Each call within a transaction; everything may
// throw Unusable.
class KvRows {
 public:
  // It outlives this.
  explicit KvRows(Sealer const& sealer) : sealer_(sealer) {}

  Task<KvDocument> document(Sql& sql, std::string const& automation_id) const;
  Task<Outcome<>> change(Sql& sql, std::string const& automation_id, KvJudge const& judge) const;
  Task<Secret> metadata(Sql& sql, std::string const& key) const;
  Task<> put_metadata(Sql& sql, std::string const& key, Secret const& value) const;

 private:
  struct Kept {
    KvDocument document;
    std::uint64_t version = 0;
  };
  Task<Kept> read(Sql& sql, std::string const& automation_id) const;
  Task<bool> write(Sql& sql, std::string const& automation_id, Kept const& kept, KvDecision const& decision) const;

  Sealer const& sealer_;
};

}  // namespace nestgate::store
