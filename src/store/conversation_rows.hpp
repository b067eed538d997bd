#pragma once

#include "counters.hpp"
#include "seal.hpp"
#include "sql.hpp"

namespace nestgate::store {

// The conversations, who holds them, and what changed. As Store says, each call within a transaction of its own; everything
// may throw Unusable.
class ConversationRows {
 public:
  // It outlives this.
  explicit ConversationRows(Sealer const& sealer) : sealer_(sealer) {}

  Task<> renew(Sql& sql, std::string const& gateway, std::chrono::milliseconds for_time) const;
  Task<> leave(Sql& sql, std::string const& gateway) const;
  Task<std::vector<std::string>> gateways(Sql& sql) const;
  Task<Outcome<Claim>> claim(Sql& sql, ConversationRow const& wanted, std::string const& gateway, Quota const& quota) const;
  Task<std::optional<ConversationRow>> take(Sql& sql, ConversationId const& id, std::string const& gateway) const;
  Task<Outcome<>> save(Sql& sql, ConversationRow const& row) const;
  Task<Outcome<>> forget(Sql& sql, ConversationId const& id, std::string const& gateway, Epoch epoch) const;
  Task<std::optional<ConversationRow>> find(Sql& sql, ConversationId const& id) const;
  Task<std::vector<ConversationRow>> all(Sql& sql) const;
  Task<Store::Changes> changes_since(Sql& sql, std::uint64_t version) const;
  Task<Outcome<>> ask_holder(Sql& sql, ConversationId const& id, std::string const& wish) const;

 private:
  Task<> put(Sql& sql, ConversationRow const& row, std::string const& asked) const;
  ConversationRow read(Rows& rows) const;
  std::vector<ConversationRow> read_all(Rows& rows) const;
  Blob sealed(ConversationRow const& row, std::string_view column, Secret const& value) const;
  Secret opened(ConversationRow const& row, std::string_view column, Blob const& value) const;

  Sealer const& sealer_;
};

}  // namespace nestgate::store
