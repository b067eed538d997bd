#include "nestgate/identity/api_key.hpp"

#include <openssl/crypto.h>

#include <algorithm>

#include "identity/digest.hpp"

namespace nestgate::identity {
namespace {

constexpr std::string_view api_key_label{"nestgate api key v1\0", 20};
constexpr std::string_view hash_prefix = "sha256:";
constexpr std::size_t hash_length = hash_prefix.size() + 64;

constexpr char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

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
  auto const digest = sha256({api_key_label, key});
  std::string out;
  out.reserve(hash_length);
  out.append(hash_prefix);
  append_hex(out, as_text(digest));
  return out;
}

bool is_api_key_hash(std::string_view hash) {
  auto const is_digit = [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); };
  return hash.size() == hash_length && hash.starts_with(hash_prefix) &&
         std::all_of(hash.begin() + hash_prefix.size(), hash.end(), is_digit);
}

ApiKeys::ApiKeys(std::vector<ApiKeyEntry> entries) : entries_(std::move(entries)) {}

Principal const* ApiKeys::find(std::string_view presented) const {
  auto const hash = hash_api_key(presented);
  Principal const* found = nullptr;
  for (auto const& entry : entries_) {  // no early end: the time must not tell which entry it was
    bool const same = entry.hash.size() == hash.size() && CRYPTO_memcmp(entry.hash.data(), hash.data(), hash.size()) == 0;
    found = same ? &entry.principal : found;
  }
  return found;
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
