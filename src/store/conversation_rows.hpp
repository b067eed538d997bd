#pragma once

#include "counters.hpp"
#include "nestgate/store/store.hpp"
#include "seal.hpp"
#include "sqlite.hpp"

namespace nestgate::store {

// The conversations, who holds them, and what changed. As Store says; everything may throw Unusable.
class ConversationRows {
 public:
  // Both outlive this.
  ConversationRows(Database& database, Sealer const& sealer)
      : database_(database), sealer_(sealer), forgotten_(database, "forgotten") {}

  void renew(std::string const& gateway, std::chrono::milliseconds for_time);
  void leave(std::string const& gateway);
  Outcome<Claim> claim(ConversationRow wanted, std::string const& gateway, Quota const& quota);
  std::optional<ConversationRow> take(ConversationId const& id, std::string const& gateway);
  Outcome<> save(ConversationRow const& row);
  Outcome<> forget(ConversationId const& id, std::string const& gateway, Epoch epoch);
  std::optional<ConversationRow> find(ConversationId const& id);
  std::vector<ConversationRow> all();
  Store::Changes changes_since(std::uint64_t version);
  Outcome<> ask_holder(ConversationId const& id, std::string const& wish);

 private:
  struct Full {
    QuotaKind kind;
    std::uint32_t limit, current;
    bool by_units;
  };
  bool is_held_elsewhere(ConversationRow const& row, std::string const& gateway);
  std::optional<Full> full_quota(ConversationRow const& wanted, Quota const& quota);
  void put(ConversationRow const& row);
  ConversationRow read(Query& query) const;
  std::vector<ConversationRow> read_all(Query& query) const;
  Blob sealed(ConversationRow const& row, std::string_view column, Secret const& value) const;
  Secret opened(ConversationRow const& row, std::string_view column, Blob const& value) const;

  Database& database_;
  Sealer const& sealer_;
  Tombstones forgotten_;
};

}  // namespace nestgate::store
