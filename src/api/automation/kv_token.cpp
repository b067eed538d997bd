#include "kv_token.hpp"

#include <simdjson.h>

#include <stdexcept>

#include "model.hpp"
#include "nestgate/identity/jwt.hpp"

namespace nestgate::api {
namespace {

KvTokenFault invalid(std::string_view why) { return {true, "Invalid token: " + std::string(why)}; }

// Seconds of 1970, whole or with a fraction.
std::optional<double> seconds_in(simdjson::dom::object const& claims, std::string_view name) {
  double seconds = 0;
  if (claims[name].get_double().get(seconds)) return std::nullopt;
  return seconds;
}

}  // namespace

void throw_exception_from_error(KvTokenFault const& fault, boost::source_location const&) {
  throw std::logic_error("value() of a token that opens nothing: " + fault.detail);
}

boost::system::result<KvToken, KvTokenFault> read_kv_token(Secret const& key, Secret const& token,
                                                           std::chrono::system_clock::time_point now) {
  auto const text = identity::verify_jwt(key, token);
  if (!text) {
    auto fault = invalid(to_string(text.error()));
    fault.is_token = text.error() != identity::JwtFault::segments;
    return fault;
  }
  simdjson::dom::parser parser;
  simdjson::dom::object claims;
  if (parser.parse(*text).get_object().get(claims)) return invalid("Invalid payload string");
  auto const now_s = std::chrono::duration<double>(now.time_since_epoch()).count();
  auto const ends = seconds_in(claims, "exp");
  if (!ends) return invalid("Token is missing the \"exp\" claim");
  if (*ends <= now_s) return KvTokenFault{true, "Token has expired"};
  if (auto const made = seconds_in(claims, "iat"); made && *made > now_s + 60)
    return invalid("The token is not yet valid (iat)");
  std::string_view id;
  if (claims["automation_id"].get_string().get(id) || id.empty())
    return KvTokenFault{true, "Token missing automation_id claim"};
  Faults faults;
  auto uuid_text = path_uuid(faults, "automation_id", id);
  if (!faults.empty()) return KvTokenFault{true, "Invalid automation_id format: badly formed hexadecimal UUID string"};
  return KvToken{std::move(uuid_text)};
}

}  // namespace nestgate::api
