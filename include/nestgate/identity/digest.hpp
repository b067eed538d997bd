#pragma once

#include <openssl/types.h>

#include <array>
#include <initializer_list>
#include <string>
#include <string_view>

namespace nestgate::identity {

using Sha256 = std::array<unsigned char, 32>;

// Fetched once for the process: an implicit fetch costs more than hashing a short text.
EVP_MD const* sha256_algorithm();

// SHA-256 over the parts, one after the other. Thread-safe; allocates nothing after a thread's first call.
Sha256 sha256(std::initializer_list<std::string_view> parts);

// HMAC-SHA-256 (RFC 2104) over the parts, one after the other. Thread-safe.
Sha256 hmac_sha256(std::string_view key, std::initializer_list<std::string_view> parts);

// Whether they are the same; how long that takes depends on the lengths alone.
bool equal_in_constant_time(std::string_view a, std::string_view b) noexcept;

// Appends lower-case hex digits, two a byte.
void append_hex(std::string& out, std::string_view bytes);
// Appends base64url without padding (RFC 4648 section 5).
void append_base64url(std::string& out, Sha256 const& bytes);

// The UUID of a name in the DNS namespace, version 5 (RFC 9562 section 5.5), with dashes.
std::string dns_uuid(std::string_view name);

inline std::string_view as_text(Sha256 const& bytes) { return {reinterpret_cast<char const*>(bytes.data()), bytes.size()}; }

}  // namespace nestgate::identity
