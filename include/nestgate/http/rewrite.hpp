#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "nestgate/http/head.hpp"

namespace nestgate::http {

// Whose forwarding fields are believed. `replace`: the client's are dropped and ours written; `append`: the client is a
// trusted proxy, its X-Forwarded-For gets the peer's address appended and the rest is kept.
enum class ForwardedTrust : std::uint8_t { replace, append };

// What becomes of a request on its way. The texts go into the head as they are: the caller vouches that they have no CR
// and no LF, which holds for whatever a parsed head had.
struct RequestRewrite {
  std::string_view target;            // for the request line (prefix stripped, key taken out of the query); "/" is put
                                      // before one that starts with its query
  std::string_view host;              // for Host; empty: the client's passes on
  std::string_view session_key;       // injected as X-Session-API-Key; empty: none is sent
  std::string_view peer_address;      // for X-Forwarded-For, without port
  std::string_view scheme;            // "http" or "https", for X-Forwarded-Proto
  std::string_view forwarded_prefix;  // "/runtime/abc", or empty
  std::string_view request_id;        // always sent
  std::string_view traceparent;       // empty: the client's passes on
  ForwardedTrust trust = ForwardedTrust::replace;
  bool drop_authorization = false;         // it was the gateway's, not the nested server's
  bool drop_api_key = false;               // the same of X-API-Key
  bool drop_websocket_extensions = false;  // a socket whose first frame was read
  bool keep_upgrade = false;               // Connection: Upgrade and Upgrade pass
};

// Appends the request head for the nested server to `out`, blank line included. Dropped first, then ours added: fields
// that Connection nominates, hop-by-hop fields (RFC 9110 section 7.6.1), every X-Session-API-Key of the client and what a
// server may take for it (FieldId::shadow), Expect (100-continue is the gateway's own answer). Everything else passes in
// order, byte for byte; Host too where the rewrite names none ("localhost" for an HTTP/1.0 client that named none either);
// X-Forwarded-Host says the client's in any case. The body's framing is written once, from what was parsed. The connection
// to the nested server is always HTTP/1.1 and kept alive.
void append_request_head(std::string& out, RequestHead const& head, RequestRewrite const& rewrite);

struct ResponseRewrite {
  std::string_view request_id;          // X-Request-Id on every answer; the nested server's own is replaced
  bool close = false;                   // Connection: close
  bool keep_alive_1_0 = false;          // Connection: keep-alive, for an HTTP/1.0 client that asked for it
  bool drop_transfer_encoding = false;  // chunks are taken apart for an HTTP/1.0 client
  std::string_view location_prefix;     // put before a path-absolute Location and a Set-Cookie's Path, or empty
};

// Appends the status line and fields of the nested server's answer for the client: hop-by-hop and nominated fields
// dropped; Server is dropped (operator.md "Over the wire"), Date kept. Content-Length is left out of 1xx and 204. For a 101
// Upgrade and Connection: Upgrade are kept.
void append_response_head(std::string& out, ResponseHead const& head, ResponseRewrite const& rewrite);

// `text` without the query parameter `name`, appended to `out` ("?" included only when something is left).
// The rest keeps its bytes and order.
void append_target_without(std::string& out, std::string_view path, std::string_view query, std::string_view name);
// As above with the parameter's value replaced in place by `value`, percent-encoded, and further copies of it dropped, or
// added at the end.
void append_target_with(std::string& out, std::string_view path, std::string_view query, std::string_view name,
                        std::string_view value);

// `target` as it may be logged. "***" stands for the value of each parameter whose name (decoded, in any case) looks like
// that of a secret, for a value or path segment that has such a name and a '=' in it, one that says `api_key` at all, one
// that is a URL with user information, and one that is one of `credentials`.
void append_redacted_target(std::string& out, std::string_view target, std::span<std::string_view const> credentials);

}  // namespace nestgate::http
