#include "seal.hpp"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <memory>
#include <span>

#include "nestgate/base/invariant.hpp"
#include "nestgate/base/wiped_string.hpp"
#include "nestgate/identity/digest.hpp"
#include "nestgate/upstream/random.hpp"

namespace nestgate::store {
namespace {

constexpr std::string_view key_label = "nestgate store seal v1";
constexpr char format_version = 1;
constexpr std::size_t key_id_size = 8;
constexpr std::size_t key_size = 32;
constexpr std::size_t nonce_size = 12;
constexpr std::size_t tag_size = 16;
constexpr std::size_t header_size = 1 + key_id_size;
static_assert(header_size == Sealer::header_bytes);
constexpr std::size_t overhead = header_size + nonce_size + tag_size;

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const noexcept {
    Free(object);
  }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, Freed<EVP_CIPHER_CTX_free>>;

unsigned char const* bytes_of(std::string_view text) { return reinterpret_cast<unsigned char const*>(text.data()); }
unsigned char* bytes_of(std::string& text) { return reinterpret_cast<unsigned char*>(text.data()); }

EVP_CIPHER const* algorithm() {
  static EVP_CIPHER const* const cipher = EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr);
  NESTGATE_INVARIANT(cipher != nullptr, "every provider of OpenSSL 3 has AES-256-GCM");
  return cipher;
}

// HKDF-SHA256 (RFC 5869) without salt.
Secret derive(Secret const& secret) {
  std::unique_ptr<EVP_KDF, Freed<EVP_KDF_free>> const hkdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  std::unique_ptr<EVP_KDF_CTX, Freed<EVP_KDF_CTX_free>> const context(EVP_KDF_CTX_new(hkdf.get()));
  std::string digest = "SHA256";
  std::string label(key_label);
  auto const input = secret.reveal();
  // OpenSSL takes parameters as void*, but only reads them.
  std::array<OSSL_PARAM, 4> const parameters{
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), digest.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, const_cast<char*>(input.data()), input.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, label.data(), label.size()), OSSL_PARAM_construct_end()};
  std::string key(key_size, '\0');
  bool const ok = context && EVP_KDF_derive(context.get(), bytes_of(key), key.size(), parameters.data()) == 1;
  NESTGATE_INVARIANT(ok, "HKDF of bytes in memory cannot fail");
  return Secret(std::move(key));
}

// Each part with its length before it, so that no two places read the same.
std::string additional_data(std::string_view header, Place const& place) {
  std::string out(header);
  for (auto const part : {place.table, place.column, place.key, place.subkey}) {
    for (int shift = 56; shift >= 0; shift -= 8) out += static_cast<char>(part.size() >> shift & 0xff);
    out += part;
  }
  return out;
}

// GCM takes lengths as int.
int length(std::string_view text) {
  NESTGATE_INVARIANT(text.size() <= std::size_t{1} << 30, "what the store keeps came through an API that bounds it");
  return static_cast<int>(text.size());
}

}  // namespace

std::string_view to_string(SealProblem problem) noexcept {
  switch (problem) {
    case SealProblem::malformed: return "it is no sealed value, or one of a later format";
    case SealProblem::other_key: return "it was sealed with a secret that is not among those of the settings";
    case SealProblem::tampered: return "it was changed, or moved from another place";
  }
  return "";
}

Sealer::Sealer(std::vector<Secret> const& secrets) {
  NESTGATE_INVARIANT(!secrets.empty(), "settings without a secret do not load");
  keys_.reserve(secrets.size());
  for (auto const& secret : secrets) {
    Secret key = derive(secret);
    auto const digest = identity::sha256({key.reveal()});
    keys_.push_back({std::string(identity::as_text(digest).substr(0, key_id_size)), std::move(key)});
  }
}

std::string Sealer::seal(Place const& place, std::string_view plain) const {
  auto const& key = keys_.front();
  std::string out;
  out.reserve(plain.size() + overhead);
  out += format_version;
  out += key.id;
  auto const additional = additional_data(out, place);
  out.resize(plain.size() + overhead);
  auto* const nonce = bytes_of(out) + header_size;
  auto* const text = nonce + nonce_size;
  auto* const tag = text + plain.size();
  upstream::fill_random(std::span(nonce, nonce_size));
  Cipher const cipher(EVP_CIPHER_CTX_new());
  int size = 0;
  bool const ok = cipher &&
                  EVP_EncryptInit_ex2(cipher.get(), algorithm(), bytes_of(key.bytes.reveal()), nonce, nullptr) == 1 &&
                  EVP_EncryptUpdate(cipher.get(), nullptr, &size, bytes_of(additional), length(additional)) == 1 &&
                  EVP_EncryptUpdate(cipher.get(), text, &size, bytes_of(plain), length(plain)) == 1 &&
                  EVP_EncryptFinal_ex(cipher.get(), tag, &size) == 1 &&
                  EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, tag_size, tag) == 1;
  NESTGATE_INVARIANT(ok, "AES-GCM of bytes in memory cannot fail");
  return out;
}

Opened<Secret> Sealer::open(Place const& place, std::string_view sealed) const {
  if (sealed.size() < overhead || sealed.front() != format_version) return SealProblem::malformed;
  auto const header = sealed.substr(0, header_size);
  auto const nonce = sealed.substr(header_size, nonce_size);
  auto const text = sealed.substr(header_size + nonce_size, sealed.size() - overhead);
  std::string tag(sealed.substr(sealed.size() - tag_size));
  auto const key =
      std::find_if(keys_.begin(), keys_.end(), [&header](Key const& known) { return header.substr(1) == known.id; });
  if (key == keys_.end()) return SealProblem::other_key;
  auto const additional = additional_data(header, place);
  WipedString plain(text.size(), '\0');  // what does not prove true is wiped, too
  auto* const out = reinterpret_cast<unsigned char*>(plain.data());
  Cipher const cipher(EVP_CIPHER_CTX_new());
  int size = 0;
  bool const ok =
      cipher &&
      EVP_DecryptInit_ex2(cipher.get(), algorithm(), bytes_of(key->bytes.reveal()), bytes_of(nonce), nullptr) == 1 &&
      EVP_DecryptUpdate(cipher.get(), nullptr, &size, bytes_of(additional), length(additional)) == 1 &&
      EVP_DecryptUpdate(cipher.get(), out, &size, bytes_of(text), length(text)) == 1 &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, tag_size, tag.data()) == 1 &&
      EVP_DecryptFinal_ex(cipher.get(), out + size, &size) == 1;
  if (!ok) return SealProblem::tampered;
  return Secret(std::string(plain));
}

}  // namespace nestgate::store
