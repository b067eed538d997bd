#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "nestgate/http/field.hpp"

namespace nestgate::http {

enum class Method : std::uint8_t { get, head, post, put, delete_, connect, options, trace, patch, other };
enum class Version : std::uint8_t { http_1_0, http_1_1 };
enum class BodyKind : std::uint8_t { none, length, chunked, until_close };

// Why a head (or a chunk, a trailer) was refused. `status_for` and `text_for` say what the client is told.
enum class Refusal : std::uint8_t {
  none,
  bad_request_line,
  bad_method,
  bad_target,
  bad_version,             // 505
  bad_field_name,
  space_before_colon,
  bad_field_value,         // control bytes, NUL, bare CR
  bare_line_feed,
  obsolete_fold,
  head_too_large,          // 431
  target_too_long,         // 414
  too_many_fields,         // 431
  missing_host,
  two_hosts,
  bad_host,
  host_contradicts_target,
  bad_content_length,
  two_content_lengths,     // differing, or listed
  length_and_chunked,
  bad_transfer_encoding,   // unknown, doubled, not final, or with HTTP/1.0: 501 for unknown codings, 400 else
  unknown_transfer_coding,
  bad_connection,
  bad_upgrade,             // an upgrade with a body, without Connection: upgrade, …
  bad_expect,              // 417
  bad_chunk_size,
  bad_chunk_extension,
  bad_chunk_end,
  bad_trailer,
  trailer_too_large,
  bad_status_line,         // answers of nested servers only
};

unsigned status_for(Refusal why) noexcept;
std::string_view code_for(Refusal why) noexcept;  // snake_case, for the JSON error's `code` and the metric's label
std::string_view text_for(Refusal why) noexcept;  // one sentence that names the field

struct HeadLimits {
  std::uint32_t bytes_max;
  std::uint32_t fields_max;
};

inline constexpr std::size_t fields_capacity = 256;  // no setting goes beyond it

// Where a head ended, or that more bytes are needed, or why it was refused.
struct HeadParse {
  enum class State : std::uint8_t { complete, incomplete, refused };
  State state = State::incomplete;
  std::uint32_t bytes = 0;  // complete: the head's length, blank line included
  Refusal why = Refusal::none;
};

// What both heads share. Views point into the parsed bytes and live as long as those.
struct Head {
  Version version = Version::http_1_1;
  BodyKind body = BodyKind::none;
  std::uint64_t content_length = 0;
  bool keep_alive = true;         // by version and Connection
  bool connection_close = false;
  bool connection_upgrade = false;
  bool has_nominated_fields = false;  // Connection names something besides close, keep-alive and upgrade
  std::uint16_t field_count = 0;
  std::array<Field, fields_capacity> field_storage;

  std::span<Field const> fields() const noexcept { return {field_storage.data(), field_count}; }
  // The first field of that id, or nullptr.
  Field const* find(FieldId id) const noexcept;
  std::string_view value(FieldId id) const noexcept;  // empty when it is not there
  // Whether Connection nominates this field as hop-by-hop (RFC 9110 section 7.6.1).
  bool nominated(std::string_view name) const noexcept;
};

struct RequestHead : Head {
  Method method = Method::other;
  std::string_view method_text;
  std::string_view target;     // origin form, as sent: never normalised; for an absolute target the part behind the authority ("/" if empty)
  std::string_view path;       // target up to '?'
  std::string_view query;      // behind '?', without it
  bool has_query = false;
  std::string_view authority;  // Host's value (equal to an absolute target's authority)
  bool expect_continue = false;
  bool websocket_upgrade = false;  // GET, HTTP/1.1, Upgrade: websocket, Connection: upgrade, no body
};

struct ResponseHead : Head {
  std::uint16_t status = 0;
  std::string_view reason;
};

// Strict RFC 9112 parsers of `bytes`, which start at the head. Nothing is allocated. Call again with more bytes after
// `incomplete`; `scanned` (in/out, 0 at first) remembers how far the end was looked for, so that a head that comes byte
// by byte costs linear time. Refused besides what the RFC demands: bare LF, obs-fold, any control byte, both framings,
// two framings of a kind, an upgrade with a body, targets that contradict Host, versions other than 1.0 and 1.1,
// CONNECT, and empty lines before the request line beyond one CRLF.
HeadParse parse_request_head(std::string_view bytes, HeadLimits limits, RequestHead& out, std::size_t& scanned) noexcept;

// `request_method` decides whether there is a body (RFC 9112 section 6.3). A 101 has none.
HeadParse parse_response_head(std::string_view bytes, HeadLimits limits, Method request_method, ResponseHead& out,
                              std::size_t& scanned) noexcept;

// The value of a query parameter, percent-decoding left to the caller; nothing if it is not there.
// `found` false keeps "absent" apart from "empty".
struct QueryValue {
  bool found = false;
  std::string_view value;
};
QueryValue query_value(std::string_view query, std::string_view name) noexcept;
// The value of a cookie (RFC 6265 section 4.2), quotes removed.
std::string_view cookie_value(std::string_view cookie_field, std::string_view name) noexcept;

}  // namespace nestgate::http
