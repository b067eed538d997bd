#pragma once

#include "seal.hpp"
#include "sql.hpp"

namespace nestgate::store {

// Users with their settings and secrets, and API keys. As Store says, each call within a transaction of its own; everything
// may throw Unusable.
class IdentityRows {
 public:
  // It outlives this.
  explicit IdentityRows(Sealer const& sealer) : sealer_(sealer) {}

  Task<> put_user(Sql& sql, UserRow const& user) const;
  Task<std::vector<UserRow>> users(Sql& sql) const;
  Task<Secret> settings(Sql& sql, std::string const& user) const;
  Task<> put_settings(Sql& sql, std::string const& user, Secret const& json) const;
  Task<> put_secret(Sql& sql, std::string const& user, UserSecretRow const& secret) const;
  Task<> remove_secret(Sql& sql, std::string const& user, std::string const& name) const;
  Task<std::vector<UserSecretRow>> secrets(Sql& sql, std::string const& user) const;
  Task<Outcome<>> add_api_key(Sql& sql, ApiKeyRow const& key) const;
  Task<Outcome<>> revoke_api_key(Sql& sql, std::string const& id_or_name) const;
  Task<std::vector<ApiKeyRow>> api_keys(Sql& sql) const;
  Task<std::uint64_t> version(Sql& sql) const;

 private:
  Sealer const& sealer_;
};

}  // namespace nestgate::store
