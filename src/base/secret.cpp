#include "nestgate/base/secret.hpp"

#include <openssl/crypto.h>

namespace nestgate {

Secret& Secret::operator=(Secret&& other) noexcept {
  if (this == &other) return *this;
  wipe();
  value_ = std::move(other.value_);
  other.wipe();
  return *this;
}

bool Secret::equals(std::string_view other) const noexcept {
  return value_.size() == other.size() && CRYPTO_memcmp(value_.data(), other.data(), other.size()) == 0;
}

void Secret::wipe() noexcept {
  value_.resize(value_.capacity());  // also the short-string buffer that a move leaves behind
  OPENSSL_cleanse(value_.data(), value_.size());
  value_.clear();
}

}  // namespace nestgate
