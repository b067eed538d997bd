#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <boost/system/result.hpp>

#include "nestgate/base/secret.hpp"

// JSON web tokens that one secret signs: JWS compact (RFC 7515) with HS256, and nothing else. What the claims say is their
// reader's. Pure.
namespace nestgate::identity {

// `claims` is a JSON object.
Secret make_jwt(Secret const& key, std::string_view claims);

// Why a token is none of ours.
enum class JwtFault : std::uint8_t { segments, header, claims, signature, key };
// As libraries of other languages say it, for whoever sent the token.
std::string_view to_string(JwtFault fault) noexcept;
// Found by boost::system::result: value() on a fault is our bug.
[[noreturn]] void throw_exception_from_error(JwtFault fault, boost::source_location const& at);

// The claims of a token that was made with the key. `segments`: it is no such token at all, maybe a key of another kind. The
// algorithm that its header names is not believed.
boost::system::result<std::string, JwtFault> verify_jwt(Secret const& key, Secret const& token);

}  // namespace nestgate::identity
