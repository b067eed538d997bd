#include "nestgate/identity/digest.hpp"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <memory>

#include "nestgate/base/invariant.hpp"
#include "nestgate/base/text.hpp"

namespace nestgate::identity {
namespace {

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
  void operator()(EVP_MAC_CTX* context) const noexcept { EVP_MAC_CTX_free(context); }
};

// Fetched once for the process, as the hash is.
EVP_MAC* hmac_algorithm() {
  static EVP_MAC* const algorithm = EVP_MAC_fetch(nullptr, "HMAC", nullptr);
  NESTGATE_INVARIANT(algorithm != nullptr, "every provider of OpenSSL 3 has HMAC");
  return algorithm;
}

Sha256 sha256_of_parts(std::initializer_list<std::string_view> parts) {
  thread_local std::unique_ptr<EVP_MD_CTX, FreeContext> const context(EVP_MD_CTX_new());
  Sha256 out;
  bool ok = context && EVP_DigestInit_ex2(context.get(), sha256_algorithm(), nullptr) == 1;
  for (auto part : parts) ok = ok && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
  ok = ok && EVP_DigestFinal_ex(context.get(), out.data(), nullptr) == 1;
  NESTGATE_INVARIANT(ok, "SHA-256 of bytes in memory cannot fail");
  return out;
}

}  // namespace

EVP_MD const* sha256_algorithm() {
  static EVP_MD const* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  NESTGATE_INVARIANT(algorithm != nullptr, "every provider of OpenSSL 3 has SHA-256");
  return algorithm;
}

Sha256 sha256(std::initializer_list<std::string_view> parts) {
  // Short parts are put together first: one update is cheaper than several.
  std::array<char, 256> together;
  std::size_t size = 0;
  for (auto part : parts) size += part.size();
  if (size <= together.size()) {
    auto* end = together.data();
    for (auto part : parts) end = std::copy(part.begin(), part.end(), end);
    auto const digest = sha256_of_parts({{together.data(), size}});
    OPENSSL_cleanse(together.data(), size);
    return digest;
  }
  return sha256_of_parts(parts);
}

Sha256 hmac_sha256(std::string_view key, std::initializer_list<std::string_view> parts) {
  std::unique_ptr<EVP_MAC_CTX, FreeContext> const context(EVP_MAC_CTX_new(hmac_algorithm()));
  std::array<char, 7> digest{"SHA256"};
  std::array<OSSL_PARAM, 2> const parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest.data(), digest.size() - 1), OSSL_PARAM_construct_end()};
  auto const bytes_of = [](std::string_view text) { return reinterpret_cast<unsigned char const*>(text.data()); };
  // An empty key is a key; none at all would mean that of the last time.
  if (key.data() == nullptr) key = "";
  Sha256 out;
  std::size_t size = 0;
  bool ok = context && EVP_MAC_init(context.get(), bytes_of(key), key.size(), parameters.data()) == 1;
  for (auto part : parts) ok = ok && EVP_MAC_update(context.get(), bytes_of(part), part.size()) == 1;
  ok = ok && EVP_MAC_final(context.get(), out.data(), &size, out.size()) == 1 && size == out.size();
  NESTGATE_INVARIANT(ok, "HMAC of bytes in memory cannot fail");
  return out;
}

bool equal_in_constant_time(std::string_view a, std::string_view b) noexcept {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void append_hex(std::string& out, std::string_view bytes) {
  constexpr std::string_view digits = "0123456789abcdef";
  for (char const c : bytes) {
    auto const byte = static_cast<unsigned char>(c);
    out.push_back(digits[byte >> 4]);
    out.push_back(digits[byte & 15]);
  }
}

void append_base64url(std::string& out, Sha256 const& bytes) {
  constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  static_assert(std::tuple_size_v<Sha256> % 3 == 2, "the last two bytes make three characters");
  constexpr std::size_t length = 43;
  out.resize(out.size() + length);
  auto* put = out.data() + out.size() - length;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    unsigned const last = i + 2 < bytes.size() ? bytes[i + 2] : 0;
    unsigned const group = static_cast<unsigned>(bytes[i]) << 16 | static_cast<unsigned>(bytes[i + 1]) << 8 | last;
    *put++ = alphabet[group >> 18];
    *put++ = alphabet[group >> 12 & 63];
    *put++ = alphabet[group >> 6 & 63];
    if (i + 2 < bytes.size()) *put++ = alphabet[group & 63];
  }
}

std::string dns_uuid(std::string_view name) {
  constexpr std::array<unsigned char, 16> dns{0x6b, 0xa7, 0xb8, 0x10, 0x9d, 0xad, 0x11, 0xd1,
                                              0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8};
  std::string hashed(dns.begin(), dns.end());
  hashed += name;
  std::array<unsigned char, 20> digest{};
  bool const ok = EVP_Q_digest(nullptr, "SHA1", nullptr, hashed.data(), hashed.size(), digest.data(), nullptr) == 1;
  NESTGATE_INVARIANT(ok, "SHA-1 of bytes in memory cannot fail");
  digest[6] = static_cast<unsigned char>((digest[6] & 0x0f) | 0x50);
  digest[8] = static_cast<unsigned char>((digest[8] & 0x3f) | 0x80);
  std::string hex;
  append_hex(hex, {reinterpret_cast<char const*>(digest.data()), 16});
  return dashed_uuid(hex);
}

}  // namespace nestgate::identity
