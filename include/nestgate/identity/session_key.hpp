#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "nestgate/base/conversation_id.hpp"
#include "nestgate/base/secret.hpp"

namespace nestgate::identity {

// sha256: base64url without padding of SHA-256(secret + ":" + id), 43 characters; what existing installations use
// (nested_server.md 1.9). hmac_sha256: "ngk1_" + 8 hex digits that name the secret + "_" + base64url of HMAC-SHA-256
// over a domain-separating label and the id; for those who start fresh.
enum class Derivation : std::uint8_t { sha256, hmac_sha256 };

inline constexpr std::size_t secret_bytes_min = 32;

// `id` is the text the runtime was created with, any bytes. Pure: the same on every core and replica.
Secret derive_session_key(Derivation derivation, Secret const& secret, std::string_view id);

// The secrets of an installation: the first derives, all verify. Immutable; replaced as a whole on reload.
class KeyRing {
 public:
  KeyRing(Derivation derivation, std::vector<Secret> secrets);

  // The key a new runtime gets. `generation` counts the keys of `id` that were withdrawn; 0 is the contract's own
  // derivation, a later one derives from `id "~" generation`, which is no id.
  Secret derive(ConversationId const& id, std::uint64_t generation = 0) const;
  // Every key that is accepted for `id`: by each secret, newest first.
  std::vector<Secret> accepted(ConversationId const& id, std::uint64_t generation = 0) const;

  // What the script of a run reports with: "nrt_" + base64url of HMAC-SHA-256 over a label and the run's id. Nothing of it
  // is stored.
  Secret run_token(std::string_view run_id) const;
  // Whether it is that run's, by any of the secrets; in constant time.
  bool opens_run(std::string_view run_id, std::string_view presented) const;

 private:
  Secret derive_at(std::size_t index, ConversationId const& id, std::uint64_t generation) const;

  Derivation derivation_;
  std::vector<Secret> secrets_;
  std::vector<std::string> secret_ids_;  // 8 hex digits of a domain-separated hash name a secret without telling it
};

}  // namespace nestgate::identity
