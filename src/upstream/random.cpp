#include "nestgate/upstream/random.hpp"

#include <openssl/crypto.h>
#include <openssl/rand.h>

#include <array>

#include "nestgate/base/invariant.hpp"

namespace nestgate::upstream {

void fill_random(std::span<unsigned char> out) {
  NESTGATE_INVARIANT(RAND_bytes(out.data(), static_cast<int>(out.size())) == 1, "without randomness there are no tokens");
}

std::string random_hex(std::size_t bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes * 2);
  std::array<unsigned char, 64> piece;
  while (out.size() < bytes * 2) {
    std::size_t const n = std::min(piece.size(), bytes - out.size() / 2);
    fill_random(std::span(piece).first(n));
    for (std::size_t i = 0; i < n; ++i) {
      out += digits[piece[i] >> 4];
      out += digits[piece[i] & 15];
    }
  }
  OPENSSL_cleanse(piece.data(), piece.size());
  return out;
}

Secret random_token(std::size_t bytes) { return Secret(random_hex(bytes)); }

std::string random_uuid_hex() {
  std::string id = random_hex(16);
  id[12] = '4';
  id[16] = "89ab"[static_cast<unsigned>(id[16]) & 3];
  return id;
}

std::uint64_t random_number() {
  std::array<unsigned char, sizeof(std::uint64_t)> bytes;
  fill_random(bytes);
  std::uint64_t number = 0;
  for (auto const byte : bytes) number = number << 8 | byte;
  return number;
}

std::string timed_uuid_hex(std::chrono::system_clock::time_point now) {
  constexpr std::string_view digits = "0123456789abcdef";
  auto hex = random_uuid_hex();
  auto ms =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count());
  for (std::size_t at = 12; at > 0; ms >>= 4) hex[--at] = digits[ms & 15];
  hex[12] = '7';
  return hex;
}

}  // namespace nestgate::upstream
