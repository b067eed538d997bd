#include "cors.hpp"

#include <algorithm>
#include <array>

#include "nestgate/http/field.hpp"

namespace nestgate::api {
namespace {

using proxy::ApiRequest;

constexpr std::string_view methods = "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT";

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

bool asks_to_show_a_key(std::string_view names) {
  while (!names.empty()) {
    auto const end = std::min(names.find(','), names.size());
    auto const name = trimmed(names.substr(0, end));
    if (http::equals_ignoring_case(name, "authorization") || http::equals_ignoring_case(name, "x-session-api-key"))
      return true;
    names.remove_prefix(std::min(end + 1, names.size()));
  }
  return false;
}

bool shows_a_key(ApiRequest const& request) {
  return http::equals_ignoring_case(request.authorization_scheme, "bearer") || !request.session_key.empty();
}

bool is_among(std::vector<std::string> const& origins, std::string_view origin) {
  return std::find(origins.begin(), origins.end(), origin) != origins.end();
}

bool is_known_method(std::string_view method) {
  constexpr std::array<std::string_view, 7> all = {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"};
  return std::find(all.begin(), all.end(), method) != all.end();
}

}  // namespace

std::optional<proxy::ApiResponse> answer_preflight(ApiRequest const& request, std::vector<std::string> const& origins) {
  auto const origin = request.field("origin");
  auto const method = request.field("access-control-request-method");
  if (request.method != http::Method::options || origin.empty() || method.empty()) return std::nullopt;
  auto const names = request.field("access-control-request-headers");
  bool const is_for_all = shows_a_key(request) || asks_to_show_a_key(names);
  std::string wrong;
  if (!is_for_all && !is_among(origins, origin)) wrong = "origin";
  if (!is_known_method(method)) wrong += wrong.empty() ? "method" : ", method";
  proxy::ApiResponse response;
  response.status = wrong.empty() ? 200 : 400;
  response.content_type = "text/plain; charset=utf-8";
  response.body = wrong.empty() ? "OK" : "Disallowed CORS " + wrong;
  auto& headers = response.headers;
  headers.emplace_back("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers");
  headers.emplace_back("Access-Control-Allow-Methods", methods);
  headers.emplace_back("Access-Control-Max-Age", "600");
  if (!names.empty()) headers.emplace_back("Access-Control-Allow-Headers", names);
  if (wrong.empty()) headers.emplace_back("Access-Control-Allow-Origin", is_for_all ? std::string_view("*") : origin);
  if (!is_for_all) headers.emplace_back("Access-Control-Allow-Credentials", "true");
  return response;
}

std::vector<std::pair<std::string, std::string>> cross_origin_headers(ApiRequest const& request,
                                                                      std::vector<std::string> const& origins) {
  std::vector<std::pair<std::string, std::string>> headers;
  auto const origin = request.field("origin");
  if (origin.empty()) return headers;
  headers.emplace_back("Vary", "Origin");
  if (shows_a_key(request)) {
    headers.emplace_back("Access-Control-Allow-Origin", "*");
    return headers;
  }
  if (is_among(origins, origin)) headers.emplace_back("Access-Control-Allow-Origin", origin);
  headers.emplace_back("Access-Control-Allow-Credentials", "true");
  return headers;
}

}  // namespace nestgate::api
