#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "nestgate/base/secret.hpp"
#include "nestgate/base/wiped_string.hpp"
#include "nestgate/http/head.hpp"
#include "nestgate/http/route.hpp"
#include "nestgate/identity/api_key.hpp"
#include "nestgate/net/net.hpp"

namespace nestgate::proxy {

// A request to one of the gateway's own routes, whole: the session read its body under the limit.
struct ApiRequest {
  http::OwnRoute route = http::OwnRoute::none;
  http::Method method = http::Method::other;
  std::string path;
  std::string mount;  // what stood before `path`, where the automation API has a prefix of its own
  std::string query;
  std::string content_type;
  std::string prefer;                                       // the Prefer header (RFC 7240)
  std::vector<std::pair<std::string, std::string>> fields;  // the others of its head, names in lower case, no credentials
  std::string authorization_scheme;                         // as the client wrote it; "" without the field
  WipedString body;
  std::optional<identity::Principal> principal;  // the API key's; nothing only where `admits_without_api_key`
  Secret bearer;                                 // the token as sent, for run tokens
  Secret session_key;                            // X-Session-API-Key as sent: what it opens is the handler's to find out
  std::string origin;                            // scheme://authority as the client wrote it, for URLs in answers
  std::string domain;                            // host routing's; empty: URLs carry the prefix /runtime/{id}
  Secret cookie;                                 // the Cookie header
  std::string request_id;

  // The first of that name (in lower case); "" when it is not there.
  std::string_view field(std::string_view name) const noexcept;
};

// What a route takes of a body.
struct BodyLimit {
  std::size_t bytes_max = 0;
  // Whom nobody has recognised yet: their bodies are bounded by `limits.callback_body_bytes_max` besides.
  enum class From : bool { known, strangers } from = From::strangers;
  std::string_view refusal = {};  // a literal: what a longer one is told; "": the gateway's own words
};

// An answer's body that comes piece by piece (SSE). On the control core; the session awaits each piece and writes it as a
// chunk. Destroyed there too, when it ended or its client left.
class ApiStream {
 public:
  virtual ~ApiStream() = default;
  // Empty: the end. Cancelled when the client leaves or the gateway drains.
  virtual Task<std::string> next() = 0;
};

struct ApiResponse {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // besides those of every answer (Cache-Control: no-store)
  enum class Challenge : bool { no, yes } challenge = Challenge::yes;  // whether a 401 has WWW-Authenticate
  std::shared_ptr<ApiStream> stream;                                   // set: follows `body`, which may be empty
};

// The control API behind the proxy. `handle` runs on the control core; a session on another core awaits it there.
class OwnRoutes {
 public:
  virtual ~OwnRoutes() = default;
  // Whether this route checks a credential of its own (a run's token) instead of an API key. Pure; any core.
  virtual bool admits_without_api_key(http::Method method, std::string_view path) const noexcept = 0;
  // What the route takes of this request's body, of which only the head is there; `limits.api_body_bytes_max` holds
  // besides. Pure; any core.
  virtual BodyLimit body_limit(ApiRequest const& request) const noexcept = 0;
  virtual Task<ApiResponse> handle(ApiRequest request) = 0;
};

}  // namespace nestgate::proxy
