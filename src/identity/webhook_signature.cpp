#include "nestgate/identity/webhook_signature.hpp"

#include <algorithm>
#include <charconv>

#include "nestgate/identity/base64.hpp"
#include "nestgate/identity/digest.hpp"

namespace nestgate::identity {
namespace {

constexpr std::string_view secret_prefix = "whsec_";
constexpr std::string_view version = "v1,";
constexpr std::size_t key_bytes_min = 24;
constexpr std::size_t key_bytes_max = 64;

std::string_view without(std::string_view prefix, std::string_view text) {
  if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
  return text;
}

std::string standard_mac(Secret const& key, std::string_view id, std::string_view timestamp, std::string_view payload) {
  auto const mac = hmac_sha256(key.reveal(), {id, ".", timestamp, ".", payload});
  return encode_base64(as_text(mac));
}

std::string hex_mac(Secret const& key, std::initializer_list<std::string_view> parts) {
  std::string out;
  append_hex(out, as_text(hmac_sha256(key.reveal(), parts)));
  return out;
}

}  // namespace

std::optional<Secret> parse_webhook_secret(std::string_view text) {
  auto key = decode_base64(without(secret_prefix, text));
  if (!key || key->size() < key_bytes_min || key->size() > key_bytes_max) return std::nullopt;
  return Secret(std::move(*key));
}

Secret webhook_key_of(Secret const& text) {
  if (auto key = parse_webhook_secret(text.reveal())) return *std::move(key);
  auto key = decode_base64url(without(secret_prefix, text.reveal()));
  if (!key || key->size() < key_bytes_min || key->size() > key_bytes_max) return text.clone();
  return Secret(std::move(*key));
}

Secret webhook_secret_of(std::span<unsigned char const, 32> random) {
  std::string out(secret_prefix);
  out += encode_base64url({reinterpret_cast<char const*>(random.data()), random.size()});
  return Secret(std::move(out));
}

std::string webhook_signature(std::vector<Secret> const& keys, std::string_view id, std::int64_t timestamp,
                              std::string_view payload) {
  std::string out;
  for (auto const& key : keys) {
    if (!out.empty()) out += ' ';
    out.append(version).append(standard_mac(key, id, std::to_string(timestamp), payload));
  }
  return out;
}

bool is_fresh(std::string_view timestamp, FreshWithin const& fresh) {
  std::int64_t seconds = 0;
  auto const* end = timestamp.data() + timestamp.size();
  auto const [at, error] = std::from_chars(timestamp.data(), end, seconds);
  if (error != std::errc{} || at != end) return false;
  auto const now = std::chrono::floor<std::chrono::seconds>(fresh.now).time_since_epoch().count();
  return seconds >= now - fresh.tolerance.count() && seconds <= now + fresh.tolerance.count();
}

bool verify_webhook(std::vector<Secret> const& keys, SignedHeaders const& headers, std::string_view payload,
                    FreshWithin const& fresh) {
  if (headers.id.empty() || !is_fresh(headers.timestamp, fresh)) return false;
  bool verified = false;
  for (auto const& key : keys) {
    auto const expected = standard_mac(key, headers.id, headers.timestamp, payload);
    auto rest = headers.signature;
    while (!rest.empty()) {
      auto const word = rest.substr(0, rest.find(' '));
      rest.remove_prefix(std::min(rest.size(), word.size() + 1));
      if (word.starts_with(version)) verified |= equal_in_constant_time(word.substr(version.size()), expected);
    }
  }
  return verified;
}

bool verify_slack_webhook(std::vector<Secret> const& keys, SignedHeaders const& headers, std::string_view payload,
                          FreshWithin const& fresh) {
  if (!is_fresh(headers.timestamp, fresh)) return false;
  bool verified = false;
  for (auto const& key : keys) {
    auto const expected = "v0=" + hex_mac(key, {"v0:", headers.timestamp, ":", payload});
    verified |= equal_in_constant_time(headers.signature, expected);
  }
  return verified;
}

bool verify_hex_signature(std::vector<Secret> const& keys, std::string_view signature, std::string_view payload) {
  bool verified = false;
  for (auto const& key : keys) verified |= equal_in_constant_time(without("sha256=", signature), hex_mac(key, {payload}));
  return verified;
}

}  // namespace nestgate::identity
