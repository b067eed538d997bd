#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/identity/digest.hpp"

namespace nestgate::identity {

// admin: everything; user: what its owner owns; automation: the automation API (operator.md).
enum class Role : std::uint8_t { admin, user, automation };
std::optional<Role> parse_role(std::string_view text);
std::string_view to_string(Role role) noexcept;

// Who calls. `owner` may be empty for an admin key.
struct Principal {
  std::string name;
  Role role = Role::user;
  std::string owner;
  std::string organisation = {};  // the owner's, where the store knows it

  // Whether what `resource_owner` owns may be seen and used.
  bool may_use(std::string_view resource_owner) const noexcept;
};

struct ApiKeyEntry {
  Principal principal;
  std::string hash;  // as printed by `nestgate apikey hash`
};

// "sha256:" + 64 hex digits of SHA-256 over a domain-separating label and the key. API keys are long and random, so one
// fast hash is enough and the request path can afford it.
std::string hash_api_key(std::string_view key);
// Whether `hash` has that form.
bool is_api_key_hash(std::string_view hash);

// The gateway's API keys, found by their hashes: how long it takes to look for one tells of a hash, which leads nobody to a
// key. What is found is compared in constant time.
class ApiKeys {
 public:
  // Who has no well-formed hash is never found.
  explicit ApiKeys(std::vector<ApiKeyEntry> entries);
  // Nothing for an unknown key. The pointer lives as long as this object.
  Principal const* find(std::string_view presented) const;
  // Whom the key that was `before` in `earlier` names here; nothing when that key is gone or names another.
  Principal const* find_again(ApiKeys const& earlier, Principal const& before) const noexcept;

 private:
  struct Key {
    Sha256 digest;
    Principal principal;
  };
  Key const* find_digest(Sha256 const& digest) const noexcept;
  std::vector<Key> keys_;  // by digest
};

// The token of `Authorization: Bearer TOKEN` (scheme case-insensitive), or empty.
std::string_view bearer_token(std::string_view authorization) noexcept;

}  // namespace nestgate::identity
