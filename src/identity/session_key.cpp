#include "nestgate/identity/session_key.hpp"

#include <openssl/crypto.h>

#include "nestgate/base/invariant.hpp"
#include "nestgate/identity/digest.hpp"

namespace nestgate::identity {
namespace {

// Each use of a secret hashes under a label of its own, so that no output of one can serve as another.
constexpr std::string_view secret_id_label{"nestgate secret id v1\0", 22};
constexpr std::string_view session_key_label{"nestgate session key v1\0", 24};
constexpr std::string_view run_token_label{"nestgate run token v1\0", 22};
constexpr std::string_view run_token_prefix = "nrt_";
constexpr std::string_view hmac_key_prefix = "ngk1_";
constexpr std::size_t base64url_sha256_length = 43;
constexpr std::size_t secret_id_bytes = 4;

std::string secret_id_of(Secret const& secret) {
  auto const digest = sha256({secret_id_label, secret.reveal()});
  std::string id;
  append_hex(id, as_text(digest).substr(0, secret_id_bytes));
  return id;
}

Secret derive_sha256(Secret const& secret, std::string_view id) {
  auto digest = sha256({secret.reveal(), ":", id});
  std::string key;
  key.reserve(base64url_sha256_length);
  append_base64url(key, digest);
  OPENSSL_cleanse(digest.data(), digest.size());
  return Secret(std::move(key));
}

// `prefix` and base64url of the HMAC over label and text.
Secret labelled_hmac(Secret const& secret, std::string_view label, std::string_view text, std::string_view prefix) {
  auto mac = hmac_sha256(secret.reveal(), {label, text});
  std::string key;
  key.reserve(prefix.size() + base64url_sha256_length);
  key.append(prefix);
  append_base64url(key, mac);
  OPENSSL_cleanse(mac.data(), mac.size());
  return Secret(std::move(key));
}

Secret derive_hmac_sha256(Secret const& secret, std::string_view secret_id, std::string_view id) {
  std::string const prefix = std::string(hmac_key_prefix).append(secret_id) + "_";
  return labelled_hmac(secret, session_key_label, id, prefix);
}

}  // namespace

Secret derive_session_key(Derivation derivation, Secret const& secret, std::string_view id) {
  switch (derivation) {
    case Derivation::sha256: return derive_sha256(secret, id);
    case Derivation::hmac_sha256: return derive_hmac_sha256(secret, secret_id_of(secret), id);
  }
  return {};
}

KeyRing::KeyRing(Derivation derivation, std::vector<Secret> secrets)
    : derivation_(derivation), secrets_(std::move(secrets)) {
  NESTGATE_INVARIANT(!secrets_.empty(), "settings without a secret are refused before a key ring is made");
  secret_ids_.reserve(secrets_.size());
  for (auto const& secret : secrets_) secret_ids_.push_back(secret_id_of(secret));
}

Secret KeyRing::derive(ConversationId const& id, std::uint64_t generation) const { return derive_at(0, id, generation); }

std::vector<Secret> KeyRing::accepted(ConversationId const& id, std::uint64_t generation) const {
  std::vector<Secret> keys;
  keys.reserve(secrets_.size());
  for (std::size_t i = 0; i < secrets_.size(); ++i) keys.push_back(derive_at(i, id, generation));
  return keys;
}

Secret KeyRing::run_token(std::string_view run_id) const {
  return labelled_hmac(secrets_.front(), run_token_label, run_id, run_token_prefix);
}

bool KeyRing::opens_run(std::string_view run_id, std::string_view presented) const {
  bool opens = false;
  for (auto const& secret : secrets_) {
    bool const is_it = labelled_hmac(secret, run_token_label, run_id, run_token_prefix).equals(presented);
    opens = opens || is_it;
  }
  return opens;
}

Secret KeyRing::derive_at(std::size_t index, ConversationId const& id, std::uint64_t generation) const {
  std::string later;
  if (generation != 0) later = id.text() + "~" + std::to_string(generation);
  std::string const& text = generation == 0 ? id.text() : later;
  if (derivation_ == Derivation::sha256) return derive_sha256(secrets_[index], text);
  return derive_hmac_sha256(secrets_[index], secret_ids_[index], text);
}

}  // namespace nestgate::identity
