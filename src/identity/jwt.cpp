#include "nestgate/identity/jwt.hpp"

#include <stdexcept>

#include "nestgate/identity/base64.hpp"
#include "nestgate/identity/digest.hpp"

namespace nestgate::identity {
namespace {

constexpr std::string_view header = R"({"alg":"HS256","typ":"JWT"})";

}  // namespace

std::string_view to_string(JwtFault fault) noexcept {
  switch (fault) {
    case JwtFault::segments: return "Not enough segments";
    case JwtFault::header: return "Invalid header padding";
    case JwtFault::claims: return "Invalid payload padding";
    case JwtFault::signature: return "Invalid crypto padding";
    case JwtFault::key: return "Signature verification failed";
  }
  return "";
}

void throw_exception_from_error(JwtFault fault, boost::source_location const&) {
  throw std::logic_error("value() of a token that is none: " + std::string(to_string(fault)));
}

Secret make_jwt(Secret const& key, std::string_view claims) {
  auto token = encode_base64url(header);
  token.append(1, '.').append(encode_base64url(claims));
  auto const mac = hmac_sha256(key.reveal(), {token});
  token += '.';
  append_base64url(token, mac);
  return Secret(std::move(token));
}

boost::system::result<std::string, JwtFault> verify_jwt(Secret const& key, Secret const& shown) {
  auto const token = shown.reveal();
  auto const first = token.find('.');
  auto const last = token.rfind('.');
  if (first == last) return JwtFault::segments;
  if (!decode_base64url(token.substr(0, first))) return JwtFault::header;
  auto claims = decode_base64url(token.substr(first + 1, last - first - 1));
  if (!claims) return JwtFault::claims;
  auto const signature = decode_base64url(token.substr(last + 1));
  if (!signature) return JwtFault::signature;
  auto const mac = hmac_sha256(key.reveal(), {token.substr(0, last)});
  if (!equal_in_constant_time(as_text(mac), *signature)) return JwtFault::key;
  return *std::move(claims);
}

}  // namespace nestgate::identity
