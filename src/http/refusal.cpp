#include "nestgate/http/head.hpp"

namespace nestgate::http {
namespace {

struct Told {
  unsigned status;
  std::string_view code;
  std::string_view text;
};

// No `default:`, so the compiler names the refusal somebody forgot.
constexpr Told told(Refusal why) noexcept {
  switch (why) {
    case Refusal::none: return {200, "none", "Nothing is wrong."};
    case Refusal::bad_request_line:
      return {400, "bad_request_line", "The request line is not `METHOD SP target SP HTTP/1.1 CRLF`."};
    case Refusal::bad_method:
      return {400, "bad_method", "The method is not a token of at most 32 characters, or is CONNECT."};
    case Refusal::bad_target:
      return {400, "bad_target",
              "The request target is not a path, an http URL, or `*` with OPTIONS, in visible ASCII without `#`."};
    case Refusal::bad_version: return {505, "bad_version", "The version is neither HTTP/1.1 nor HTTP/1.0."};
    case Refusal::bad_field_name: return {400, "bad_field_name", "A field name is empty or not a token."};
    case Refusal::space_before_colon:
      return {400, "space_before_colon", "White space stands between a field name and its colon."};
    case Refusal::bad_field_value: return {400, "bad_field_value", "A field value has a control byte or a CR without LF."};
    case Refusal::bare_line_feed: return {400, "bare_line_feed", "A line of the head ends with LF without CR."};
    case Refusal::obsolete_fold: return {400, "obsolete_fold", "A line of the head starts with white space."};
    case Refusal::head_too_large: return {431, "head_too_large", "The head is larger than its limit."};
    case Refusal::target_too_long: return {414, "target_too_long", "The request line is longer than the limit of the head."};
    case Refusal::too_many_fields: return {431, "too_many_fields", "The head has more fields than its limit."};
    case Refusal::missing_host: return {400, "missing_host", "Host is missing."};
    case Refusal::two_hosts: return {400, "two_hosts", "Host is there more than once."};
    case Refusal::bad_host: return {400, "bad_host", "Host is not `name[:port]`."};
    case Refusal::host_contradicts_target:
      return {400, "host_contradicts_target", "Host and the target's authority differ."};
    case Refusal::bad_content_length:
      return {400, "bad_content_length", "Content-Length is not a decimal number below 2^63."};
    case Refusal::two_content_lengths: return {400, "two_content_lengths", "Content-Length is there more than once."};
    case Refusal::length_and_chunked:
      return {400, "length_and_chunked", "Content-Length and Transfer-Encoding are both there."};
    case Refusal::bad_transfer_encoding:
      return {400, "bad_transfer_encoding", "Transfer-Encoding is not exactly one `chunked`, or came with HTTP/1.0."};
    case Refusal::unknown_transfer_coding:
      return {501, "unknown_transfer_coding", "Transfer-Encoding names a coding other than `chunked`."};
    case Refusal::bad_connection:
      return {400, "bad_connection", "Connection is not a list of tokens, or names Host or Content-Length."};
    case Refusal::bad_upgrade:
      return {
          400, "bad_upgrade",
          "The upgrade to websocket is not a GET without body, with `Connection: upgrade` and one valid Sec-WebSocket-Key."};
    case Refusal::bad_websocket_version: return {426, "bad_websocket_version", "Sec-WebSocket-Version is not 13."};
    case Refusal::bad_expect: return {417, "bad_expect", "Expect is not `100-continue`."};
    case Refusal::bad_chunk_size: return {400, "bad_chunk_size", "A chunk's size is not 1 to 16 hexadecimal digits."};
    case Refusal::bad_chunk_extension:
      return {400, "bad_chunk_extension", "A chunk extension is malformed, or the extensions are larger than their limit."};
    case Refusal::bad_chunk_end: return {400, "bad_chunk_end", "A chunk does not end with CRLF."};
    case Refusal::bad_trailer:
      return {400, "bad_trailer", "A trailer is malformed, or is a field that frames, routes or authenticates."};
    case Refusal::trailer_too_large: return {431, "trailer_too_large", "The trailers are larger than their limit."};
    case Refusal::bad_status_line:
      return {502, "bad_status_line", "The status line is not `HTTP/1.1 SP 3DIGIT SP reason CRLF`."};
  }
  return {500, "unknown", "Unknown."};
}

}  // namespace

unsigned status_for(Refusal why) noexcept { return told(why).status; }
std::string_view code_for(Refusal why) noexcept { return told(why).code; }
std::string_view text_for(Refusal why) noexcept { return told(why).text; }

std::string_view fields_for(Refusal why) noexcept {
  return why == Refusal::bad_websocket_version ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" : std::string_view{};
}

}  // namespace nestgate::http
