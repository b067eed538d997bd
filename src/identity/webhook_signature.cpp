#include "nestgate/identity/webhook_signature.hpp"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>

#include "nestgate/identity/base64.hpp"

namespace nestgate::identity {
namespace {

constexpr std::string_view secret_prefix = "whsec_";
constexpr std::size_t key_bytes_min = 24;
constexpr std::size_t key_bytes_max = 64;

}  // namespace

std::optional<Secret> parse_webhook_secret(std::string_view text) {
  if (text.starts_with(secret_prefix)) text.remove_prefix(secret_prefix.size());
  auto key = decode_base64(text);
  if (!key || key->size() < key_bytes_min || key->size() > key_bytes_max) return std::nullopt;
  return Secret(std::move(*key));
}

std::string webhook_signature(std::vector<Secret> const& keys, std::string_view id, std::int64_t timestamp,
                              std::string_view payload) {
  std::string content(id);
  content.append(".").append(std::to_string(timestamp)).append(".").append(payload);
  std::string out;
  for (auto const& key : keys) {
    std::array<unsigned char, EVP_MAX_MD_SIZE> mac;
    unsigned size = 0;
    HMAC(EVP_sha256(), key.reveal().data(), static_cast<int>(key.size()),
         reinterpret_cast<unsigned char const*>(content.data()), content.size(), mac.data(), &size);
    if (!out.empty()) out += ' ';
    out += "v1,";
    out += encode_base64({reinterpret_cast<char const*>(mac.data()), size});
  }
  return out;
}

}  // namespace nestgate::identity
