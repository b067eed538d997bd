#pragma once

#include "nestgate/store/store.hpp"
#include "seal.hpp"
#include "sqlite.hpp"

namespace nestgate::store {

// Users with their settings and secrets, and API keys. As Store says; everything may throw Unusable.
class IdentityRows {
 public:
  // Both outlive this.
  IdentityRows(Database& database, Sealer const& sealer) : database_(database), sealer_(sealer) {}

  void put_user(UserRow const& user);
  std::vector<UserRow> users();
  Secret settings(std::string const& user);
  void put_settings(std::string const& user, Secret const& json);
  void put_secret(std::string const& user, UserSecretRow const& secret);
  void remove_secret(std::string const& user, std::string const& name);
  std::vector<UserSecretRow> secrets(std::string const& user);
  Outcome<> add_api_key(ApiKeyRow const& key);
  Outcome<> revoke_api_key(std::string const& id_or_name);
  std::vector<ApiKeyRow> api_keys();
  std::uint64_t version();

 private:
  void note_change();
  Outcome<> check_owner(std::string const& owner);

  Database& database_;
  Sealer const& sealer_;
};

}  // namespace nestgate::store
