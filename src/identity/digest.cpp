#include "identity/digest.hpp"

#include <memory>

#include "nestgate/base/invariant.hpp"

namespace nestgate::identity {
namespace {

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

}  // namespace

EVP_MD const* sha256_algorithm() {
  static EVP_MD const* const algorithm = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  NESTGATE_INVARIANT(algorithm != nullptr, "every provider of OpenSSL 3 has SHA-256");
  return algorithm;
}

Sha256 sha256(std::initializer_list<std::string_view> parts) {
  thread_local std::unique_ptr<EVP_MD_CTX, FreeContext> const context(EVP_MD_CTX_new());
  Sha256 out;
  bool ok = context && EVP_DigestInit_ex2(context.get(), sha256_algorithm(), nullptr) == 1;
  for (auto part : parts) ok = ok && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
  ok = ok && EVP_DigestFinal_ex(context.get(), out.data(), nullptr) == 1;
  NESTGATE_INVARIANT(ok, "SHA-256 of bytes in memory cannot fail");
  return out;
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
  static constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  static_assert(std::tuple_size_v<Sha256> % 3 == 2, "the last two bytes make three characters");
  auto put = [&out](unsigned bits, int characters) {
    for (int shift = 18; characters > 0; --characters, shift -= 6) out.push_back(alphabet[(bits >> shift) & 63]);
  };
  std::size_t i = 0;
  for (; i + 3 <= bytes.size(); i += 3) {
    put(static_cast<unsigned>(bytes[i]) << 16 | static_cast<unsigned>(bytes[i + 1]) << 8 | bytes[i + 2], 4);
  }
  put(static_cast<unsigned>(bytes[i]) << 16 | static_cast<unsigned>(bytes[i + 1]) << 8, 3);
}

}  // namespace nestgate::identity
