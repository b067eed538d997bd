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
  bad_method,  // not a token of at most 32 characters, or CONNECT: a gateway is no tunnel to anywhere
  bad_target,
  bad_version,  // 505
  bad_field_name,
  space_before_colon,
  bad_field_value,  // control bytes, NUL, bare CR
  bare_line_feed,
  obsolete_fold,
  head_too_large,   // 431
  target_too_long,  // 414
  too_many_fields,  // 431
  missing_host,
  two_hosts,
  bad_host,
  host_contradicts_target,
  bad_content_length,
  two_content_lengths,  // two fields or a list, also of equal values
  length_and_chunked,
  bad_transfer_encoding,    // `chunked` doubled, with parameters, or with HTTP/1.0
  unknown_transfer_coding,  // 501: any coding besides `chunked`
  bad_connection,           // not a list of tokens, or one that names Host or the body's framing
  bad_upgrade,              // to websocket: with a body, without Connection: upgrade, not by GET, a bad key
  bad_websocket_version,    // 426; `fields_for` says which version is spoken
  bad_expect,               // 417
  bad_chunk_size,
  bad_chunk_extension,
  bad_chunk_end,
  bad_trailer,
  trailer_too_large,
  bad_status_line,  // answers of nested servers only
};

unsigned status_for(Refusal why) noexcept;
std::string_view code_for(Refusal why) noexcept;  // snake_case, for the JSON error's `code` and the metric's label
std::string_view text_for(Refusal why) noexcept;  // one sentence that names the field
// Fields that the refusal's answer must carry, as lines with their CRLF: Upgrade and Sec-WebSocket-Version with a 426
// (RFC 9110 section 15.5.22, RFC 6455 section 4.4). Empty for the others.
std::string_view fields_for(Refusal why) noexcept;

struct HeadLimits {
  std::uint32_t bytes_max;
  std::uint32_t fields_max;
};

inline constexpr std::size_t fields_capacity = 256;  // no setting goes beyond it
inline constexpr std::size_t field_ids = static_cast<std::size_t>(FieldId::shadow) + 1;
static_assert(field_ids <= 64, "the ids of a head fit into one word");

// Where a head ended, or that more bytes are needed, or why it was refused.
struct HeadParse {
  enum class State : std::uint8_t { complete, incomplete, refused };
  State state = State::incomplete;
  std::uint32_t bytes = 0;  // complete: the head's length, blank line included
  Refusal why = Refusal::none;
};

// What both heads share. Views point into the parsed bytes and live as long as those. 10 KiB: keep one and parse into it
// again, do not make one for each message.
struct Head {
  Version version = Version::http_1_1;
  BodyKind body = BodyKind::none;
  std::uint64_t content_length = 0;
  bool keep_alive = true;  // by version and Connection
  bool connection_close = false;
  bool connection_upgrade = false;
  bool has_nominated_fields = false;  // Connection names something besides close, keep-alive and upgrade
  std::uint16_t field_count = 0;
  std::uint64_t ids_present = 0;                 // a bit for each FieldId
  char const* fields_end = nullptr;              // behind the last field's CRLF; lines follow each other without a gap
  std::array<std::uint8_t, field_ids> first_of;  // index of an id's first field, where its bit is set
  std::array<Field, fields_capacity> field_storage;

  std::span<Field const> fields() const noexcept { return {field_storage.data(), field_count}; }
  bool has(FieldId id) const noexcept { return (ids_present >> static_cast<unsigned>(id) & 1) != 0; }
  // The first field of that id, or nullptr.
  Field const* find(FieldId id) const noexcept {
    return has(id) ? &field_storage[first_of[static_cast<std::size_t>(id)]] : nullptr;
  }
  // Of the first field of that id; empty when it is not there.
  std::string_view value(FieldId id) const noexcept { return has(id) ? find(id)->value : std::string_view{}; }
  // Whether Connection nominates this field as hop-by-hop (RFC 9110 section 7.6.1).
  bool nominated(std::string_view name) const noexcept;
};

struct RequestHead : Head {
  Method method = Method::other;
  std::string_view method_text;
  // Origin form, as sent: never normalised. Of an absolute target the part behind the authority; if that is empty "/",
  // or "*" for OPTIONS (RFC 9112 section 3.2.4).
  std::string_view target;
  std::string_view path;   // target up to '?'
  std::string_view query;  // behind '?', without it
  bool has_query = false;
  std::string_view authority;      // Host's value (equal to an absolute target's authority); empty only with HTTP/1.0
  bool expect_continue = false;    // the client waits for a 100 before it sends its body
  bool websocket_upgrade = false;  // GET, HTTP/1.1, Upgrade: websocket, Connection: upgrade, no body
};

struct ResponseHead : Head {
  std::uint16_t status = 0;
  std::string_view reason;
};

// Strict RFC 9112 parsers of `bytes`, which start at the head. Nothing is allocated. Call again with more bytes after
// `incomplete`; `scanned` (in/out, 0 at first) remembers how far the end was looked for, so that a head that comes byte
// by byte costs linear time. A fault may be told before the head's end is there; `out` means something only when the
// parse is complete. A head may have at most `bytes_max` bytes, blank line included.
//
// Refused besides what the RFC demands: bare LF, obs-fold, any control byte, both framings, two framings of a kind (equal
// ones too), any coding besides `chunked`, an upgrade to websocket with a body, two or contradicting authorities, an empty
// Host, percent-encoding or sub-delimiters in Host, `#` and bytes outside of visible ASCII in the target, an absolute
// target with a query and no path, versions other than 1.0 and 1.1, CONNECT, and empty lines before the request line
// beyond one CRLF. Upgrades to anything but websocket are ignored, as RFC 9110 section 7.8 allows.
HeadParse parse_request_head(std::string_view bytes, HeadLimits limits, RequestHead& out, std::size_t& scanned) noexcept;

// `request_method` decides whether there is a body (RFC 9112 section 6.3). A 101 has none. A 1xx or 204 that claims a body
// is taken without one, and `keep_alive` is false then: what follows cannot be trusted.
HeadParse parse_response_head(std::string_view bytes, HeadLimits limits, Method request_method, ResponseHead& out,
                              std::size_t& scanned) noexcept;

// The value of the first query parameter of that name, percent-decoding of the value left to the caller. A
// percent-encoded name is found too, since a nested server decodes it. `found` keeps "absent" apart from "empty".
struct QueryValue {
  bool found = false;
  std::string_view value;
};
QueryValue query_value(std::string_view query, std::string_view name) noexcept;
// A query's value as a server reads it: percent-decoded once, `+` a space. `raw` itself where nothing is encoded, or what
// is does not fit into `out`.
std::string_view decode_query_value(std::string_view raw, std::span<char> out) noexcept;
// The value of the first cookie of that name (RFC 6265 section 4.2), quotes removed; empty when it is not there.
std::string_view cookie_value(std::string_view cookie_field, std::string_view name) noexcept;

}  // namespace nestgate::http
