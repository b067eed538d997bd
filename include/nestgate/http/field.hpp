#pragma once

#include <cstdint>
#include <string_view>

namespace nestgate::http {

// The fields that the gateway looks at. Any other is `other` and passes as it is.
enum class FieldId : std::uint8_t {
  other,
  accept,
  authorization,
  connection,
  content_length,
  content_type,
  cookie,
  date,
  expect,
  forwarded,
  host,
  keep_alive,
  location,
  origin,
  proxy_authenticate,
  proxy_authorization,
  proxy_connection,
  sec_websocket_accept,
  sec_websocket_extensions,
  sec_websocket_key,
  sec_websocket_protocol,
  sec_websocket_version,
  server,
  set_cookie,
  te,
  traceparent,
  tracestate,
  trailer,
  transfer_encoding,
  upgrade,
  user_agent,
  x_api_key,
  x_forwarded_for,
  x_forwarded_host,
  x_forwarded_port,
  x_forwarded_prefix,
  x_forwarded_proto,
  x_real_ip,
  x_request_id,
  x_session_api_key,
  // A name with '_' that is one of the above once '_' is read as '-': CGI-like servers take X_Session_API_Key for
  // X-Session-API-Key, so requests lose such fields.
  shadow,
};

// Case-insensitive; `other` for a name that is not listed.
FieldId field_id(std::string_view name) noexcept;

// RFC 9110 section 5.6.2: at least one of `!#$%&'*+-.^_`|~`, digits and letters.
bool is_token(std::string_view text) noexcept;
// ASCII letters only.
bool equals_ignoring_case(std::string_view a, std::string_view b) noexcept;

// One line of a head. Both views point into the bytes that were parsed; `value` has no white space around it.
struct Field {
  std::string_view name;
  std::string_view value;
  FieldId id = FieldId::other;
};

}  // namespace nestgate::http
