#include "authentication.hpp"

#include "nestgate/http/head.hpp"

namespace nestgate::api {
namespace {

bool is_local(proxy::ApiRequest const& request, Secret const* local_key) noexcept {
  auto const* const shown = shown_key(request);
  return shown != nullptr && !shown->empty() && local_key != nullptr && !local_key->empty() && *shown == *local_key;
}

bool has_session_cookie(proxy::ApiRequest const& request) {
  auto const cookies = request.cookie.reveal();  // tidy-ok(reveal): only whether one is there
  return !http::cookie_value(cookies, "keycloak_auth").empty();
}

std::string_view why_nobody(proxy::ApiRequest const& request) {
  auto const* const shown = shown_key(request);
  if (shown != nullptr && shown->empty()) return "Empty API key";
  if (shown != nullptr) return "Invalid API key";
  // Nobody here knows the sessions of a Cloud.
  if (has_session_cookie(request)) return "Invalid or expired session cookie";
  return "Authentication required: provide Bearer token, X-Session-API-Key header, or keycloak_auth cookie";
}

}  // namespace

Secret const* shown_key(proxy::ApiRequest const& request) noexcept {
  if (request.authorization_scheme == "Bearer") return &request.bearer;
  return request.session_key.empty() ? nullptr : &request.session_key;
}

Authentication authenticate(proxy::ApiRequest const& request, Secret const* local_key) {
  if (is_local(request, local_key)) return {automation::local_caller(), {}};
  if (request.principal) return {automation::caller_of(*request.principal), {}};
  return {std::nullopt, why_nobody(request)};
}

bool is_known(proxy::ApiRequest const& request, Secret const* local_key) noexcept {
  return request.principal.has_value() || is_local(request, local_key);
}

}  // namespace nestgate::api
