#include "nestgate/identity/api_key.hpp"

#include <openssl/crypto.h>

#include <algorithm>

namespace nestgate::identity {
namespace {

constexpr std::string_view api_key_label{"nestgate api key v1\0", 20};
constexpr std::string_view hash_prefix = "sha256:";
constexpr std::size_t hash_length = hash_prefix.size() + 64;

constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

Sha256 digest_of(std::string_view key) { return sha256({api_key_label, key}); }

constexpr int digit_value(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// The bytes that a hash was printed from.
std::optional<Sha256> parse_hash(std::string_view hash) {
  if (hash.size() != hash_length || !hash.starts_with(hash_prefix)) return std::nullopt;
  hash.remove_prefix(hash_prefix.size());
  Sha256 digest;
  for (std::size_t i = 0; i < digest.size(); ++i) {
    int const high = digit_value(hash[2 * i]);
    int const low = digit_value(hash[2 * i + 1]);
    if (high < 0 || low < 0) return std::nullopt;
    digest[i] = static_cast<unsigned char>(high << 4 | low);
  }
  return digest;
}

}  // namespace

std::optional<Role> parse_role(std::string_view text) {
  for (auto role : {Role::admin, Role::user, Role::automation}) {
    if (text == to_string(role)) return role;
  }
  return std::nullopt;
}

std::string_view to_string(Role role) noexcept {
  switch (role) {
    case Role::admin: return "admin";
    case Role::user: return "user";
    case Role::automation: return "automation";
  }
  return "user";
}

bool Principal::may_use(std::string_view resource_owner) const noexcept {
  return role == Role::admin || (!owner.empty() && owner == resource_owner);
}

std::string hash_api_key(std::string_view key) {
  auto const digest = digest_of(key);
  std::string out;
  out.reserve(hash_length);
  out.append(hash_prefix);
  append_hex(out, as_text(digest));
  return out;
}

bool is_api_key_hash(std::string_view hash) { return parse_hash(hash).has_value(); }

ApiKeys::ApiKeys(std::vector<ApiKeyEntry> entries) {
  keys_.reserve(entries.size());
  for (auto& entry : entries) {
    if (auto const digest = parse_hash(entry.hash)) keys_.push_back({*digest, std::move(entry.principal)});
  }
  std::sort(keys_.begin(), keys_.end(), [](Key const& a, Key const& b) { return a.digest < b.digest; });
}

ApiKeys::Key const* ApiKeys::find_digest(Sha256 const& digest) const noexcept {
  auto const at = std::lower_bound(keys_.begin(), keys_.end(), digest,
                                   [](Key const& key, Sha256 const& wanted) { return key.digest < wanted; });
  if (at == keys_.end() || CRYPTO_memcmp(at->digest.data(), digest.data(), digest.size()) != 0) return nullptr;
  return &*at;
}

Principal const* ApiKeys::find(std::string_view presented) const {
  auto const* const key = find_digest(digest_of(presented));
  return key ? &key->principal : nullptr;
}

Principal const* ApiKeys::find_again(ApiKeys const& earlier, Principal const& before) const noexcept {
  // They stand in a row, so their addresses are in order too.
  auto const at = std::lower_bound(earlier.keys_.begin(), earlier.keys_.end(), &before,
                                   [](Key const& key, auto* wanted) { return std::less<>{}(&key.principal, wanted); });
  if (at == earlier.keys_.end() || &at->principal != &before) return nullptr;
  auto const* const key = find_digest(at->digest);
  return key && key->principal.name == before.name ? &key->principal : nullptr;
}

std::string_view bearer_token(std::string_view authorization) noexcept {
  constexpr std::string_view scheme = "bearer";
  if (authorization.size() <= scheme.size()) return {};
  auto const matches = [](char wanted, char given) { return wanted == lower(given); };
  if (!std::equal(scheme.begin(), scheme.end(), authorization.begin(), matches)) return {};
  auto token = authorization.substr(scheme.size());
  if (token.front() != ' ') return {};
  token.remove_prefix(std::min(token.find_first_not_of(' '), token.size()));
  while (!token.empty() && (token.back() == ' ' || token.back() == '\t')) token.remove_suffix(1);
  // One token only (RFC 6750 section 2.1).
  return token.find_first_of(" \t,") == token.npos ? token : std::string_view{};
}

}  // namespace nestgate::identity
