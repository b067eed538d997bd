#include "nestgate/http/head.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "http/lists.hpp"
#include "http/scan.hpp"
#include "nestgate/http/websocket.hpp"

namespace nestgate::http {
namespace {

constexpr std::size_t method_length_max = 32;
constexpr std::string_view line_end = "\r\n";

// Where a piece of the grammar ended: behind its last byte, or nowhere with a reason; without one more bytes are needed.
struct Cut {
  char const* at = nullptr;
  Refusal why = Refusal::none;
};

constexpr Cut more_needed{};
constexpr Cut refused(Refusal why) noexcept { return {nullptr, why}; }

constexpr std::uint64_t bit(FieldId id) noexcept { return std::uint64_t{1} << static_cast<unsigned>(id); }

std::string_view between(char const* first, char const* last) noexcept {
  return {first, static_cast<std::size_t>(last - first)};
}

// The CRLF that must stand at `p`, the first control byte of a line.
Cut take_line_end(char const* p, char const* end, Refusal otherwise) noexcept {
  if (p == end) return more_needed;
  if (*p == '\n') return refused(Refusal::bare_line_feed);
  if (*p != '\r') return refused(otherwise);
  if (end - p == 1) return more_needed;
  if (p[1] != '\n') return refused(otherwise);
  return {p + 2};
}

Refusal fault_of_name(char const* name, char const* stop) noexcept {
  if (stop != name && scan::is_white_space(*stop)) return Refusal::space_before_colon;
  if (stop != name && *stop == '\n') return Refusal::bare_line_feed;
  return Refusal::bad_field_name;
}

// The field lines and the blank line behind them.
Cut take_fields(char const* p, char const* end, std::uint32_t fields_max, Head& head, std::uint64_t& repeated) noexcept {
  std::size_t const capacity = std::min<std::size_t>(fields_max, fields_capacity);
  std::size_t count = 0;
  for (;;) {
    if (p == end) return more_needed;
    if (*p == '\r') {
      Cut const blank = take_line_end(p, end, Refusal::bad_field_value);
      head.field_count = static_cast<std::uint16_t>(count);
      head.fields_end = p;
      return blank;
    }
    if (*p == '\n') return refused(Refusal::bare_line_feed);
    if (scan::is_white_space(*p)) return refused(Refusal::obsolete_fold);

    char const* const colon = scan::find_non_token(p, end);
    if (colon == end) return more_needed;
    if (*colon != ':' || colon == p) return refused(fault_of_name(p, colon));
    char const* value = colon + 1;
    while (value != end && scan::is_white_space(*value)) ++value;
    char const* stop = scan::find_control(value, end);
    Cut const line = take_line_end(stop, end, Refusal::bad_field_value);
    if (line.at == nullptr) return line;
    if (count == capacity) return refused(Refusal::too_many_fields);
    while (stop != value && scan::is_white_space(stop[-1])) --stop;

    Field& field = head.field_storage[count];
    field.name = between(p, colon);
    field.value = between(value, stop);
    field.id = field_id(field.name);
    std::uint64_t const seen = bit(field.id);
    if ((head.ids_present & seen) != 0) {
      repeated |= seen;
    } else {
      head.ids_present |= seen;
      head.first_of[static_cast<std::size_t>(field.id)] = static_cast<std::uint8_t>(count);
    }
    ++count;
    p = line.at;
  }
}

void reset(Head& head) noexcept {
  head.version = Version::http_1_1;
  head.body = BodyKind::none;
  head.content_length = 0;
  head.keep_alive = true;
  head.connection_close = false;
  head.connection_upgrade = false;
  head.has_nominated_fields = false;
  head.field_count = 0;
  head.ids_present = 0;
  head.fields_end = nullptr;
}

template <class Take>
bool for_each_of(Head const& head, FieldId id, Take&& take) {
  if (!head.has(id)) return true;
  for (Field const& field : head.fields()) {
    if (field.id == id && !take(field.value)) return false;
  }
  return true;
}

// Without these the message would mean something else behind us, and they are never meant for one hop.
bool may_be_nominated(std::string_view name) noexcept {
  FieldId const id = field_id(name);
  return id != FieldId::host && id != FieldId::content_length;
}

// RFC 9110 section 7.6.1.
Refusal read_connection(Head& head) noexcept {
  bool keep_alive_asked = false;
  auto take = [&](std::string_view name) {
    if (name.empty()) return true;
    if (equals_ignoring_case(name, "keep-alive")) {
      keep_alive_asked = true;
    } else if (equals_ignoring_case(name, "close")) {
      head.connection_close = true;
    } else if (equals_ignoring_case(name, "upgrade")) {
      head.connection_upgrade = true;
    } else {
      head.has_nominated_fields = true;
      return is_token(name) && may_be_nominated(name);
    }
    return true;
  };
  auto take_list = [&](std::string_view list) { return for_each_element(list, take); };
  if (!for_each_of(head, FieldId::connection, take_list)) return Refusal::bad_connection;
  head.keep_alive = !head.connection_close && (head.version == Version::http_1_1 || keep_alive_asked);
  return Refusal::none;
}

Refusal read_content_length(std::string_view value, std::uint64_t& length) noexcept {
  constexpr std::uint64_t max = std::numeric_limits<std::int64_t>::max();  // what any peer can count
  if (value.find(',') != value.npos) return Refusal::two_content_lengths;
  if (value.empty()) return Refusal::bad_content_length;
  std::uint64_t sum = 0;
  for (char c : value) {
    if (!scan::is_digit(c)) return Refusal::bad_content_length;
    auto const digit = static_cast<std::uint64_t>(c - '0');
    if (sum > (max - digit) / 10) return Refusal::bad_content_length;
    sum = sum * 10 + digit;
  }
  length = sum;
  return Refusal::none;
}

Refusal read_transfer_encoding(Head const& head) noexcept {
  unsigned chunked = 0;
  Refusal why = Refusal::none;
  auto take = [&](std::string_view coding) {
    if (equals_ignoring_case(coding, "chunked")) {
      ++chunked;
    } else {
      why = is_token(coding) ? Refusal::unknown_transfer_coding : Refusal::bad_transfer_encoding;
    }
    return why == Refusal::none;
  };
  auto take_list = [&](std::string_view list) { return for_each_element(list, take); };
  if (!for_each_of(head, FieldId::transfer_encoding, take_list)) return why;
  bool const plain = chunked == 1 && head.version == Version::http_1_1;
  return plain ? Refusal::none : Refusal::bad_transfer_encoding;
}

// RFC 9112 section 6.3, what the fields say; the strict reading of every choice that it leaves.
Refusal read_framing(Head& head, std::uint64_t repeated) noexcept {
  bool const length = head.has(FieldId::content_length);
  bool const encoding = head.has(FieldId::transfer_encoding);
  if (!length && !encoding) return Refusal::none;
  if (length && encoding) return Refusal::length_and_chunked;
  if (encoding) {
    head.body = BodyKind::chunked;
    return read_transfer_encoding(head);
  }
  if ((repeated & bit(FieldId::content_length)) != 0) return Refusal::two_content_lengths;
  head.body = BodyKind::length;
  return read_content_length(head.value(FieldId::content_length), head.content_length);
}

Method method_of(std::string_view text) noexcept {
  switch (text.size()) {
    case 3:
      if (text == "GET") return Method::get;
      if (text == "PUT") return Method::put;
      break;
    case 4:
      if (text == "POST") return Method::post;
      if (text == "HEAD") return Method::head;
      break;
    case 5:
      if (text == "PATCH") return Method::patch;
      if (text == "TRACE") return Method::trace;
      break;
    case 6:
      if (text == "DELETE") return Method::delete_;
      break;
    case 7:
      if (text == "OPTIONS") return Method::options;
      if (text == "CONNECT") return Method::connect;
      break;
    default: break;
  }
  return Method::other;
}

// "HTTP/" and the number behind it. `otherwise` for text that is no version at all.
Refusal read_version(std::string_view text, Refusal otherwise, Version& version) noexcept {
  if (text == "HTTP/1.1") {
    version = Version::http_1_1;
    return Refusal::none;
  }
  if (text == "HTTP/1.0") {
    version = Version::http_1_0;
    return Refusal::none;
  }
  bool const is_version =
      text.size() == 8 && text.starts_with("HTTP/") && scan::is_digit(text[5]) && text[6] == '.' && scan::is_digit(text[7]);
  return is_version ? Refusal::bad_version : otherwise;
}

// `method SP target SP version CRLF`; the target only as bytes. Empty lines before it: one (RFC 9112 section 2.2).
Cut take_request_line(char const* p, char const* end, RequestHead& head, std::string_view& target) noexcept {
  if (p != end && *p == '\r') {
    Cut const empty = take_line_end(p, end, Refusal::bad_request_line);
    if (empty.at == nullptr) return empty;
    p = empty.at;
  }
  char const* const method_end = scan::find_non_token(p, end);
  if (static_cast<std::size_t>(method_end - p) > method_length_max) return refused(Refusal::bad_method);
  if (method_end == end) return more_needed;
  if (method_end == p || *method_end != ' ') {
    bool const ends_here = *method_end == '\r' || *method_end == '\n' || method_end == p;
    return refused(ends_here ? Refusal::bad_request_line : Refusal::bad_method);
  }
  head.method_text = between(p, method_end);
  head.method = method_of(head.method_text);

  char const* const start = method_end + 1;
  char const* const stop = scan::find_non_visible(start, end);
  if (stop == end) return more_needed;
  if (stop == start || *stop == '\r') return refused(Refusal::bad_request_line);
  if (*stop == '\n') return refused(Refusal::bare_line_feed);
  if (*stop != ' ') return refused(Refusal::bad_target);
  target = between(start, stop);

  char const* const version = stop + 1;
  char const* const version_end = scan::find_control(version, end);
  Cut const line = take_line_end(version_end, end, Refusal::bad_request_line);
  if (line.at == nullptr) return line;
  Refusal const why = read_version(between(version, version_end), Refusal::bad_request_line, head.version);
  if (why != Refusal::none) return refused(why);
  return line;
}

bool is_host_name_char(char c) noexcept {
  return scan::is_digit(c) || (scan::to_lower(c) >= 'a' && scan::to_lower(c) <= 'z') || c == '-' || c == '.' || c == '_' ||
         c == '~';
}

bool is_port(std::string_view text) noexcept {
  std::uint32_t port = 0;
  for (char c : text) {
    if (!scan::is_digit(c)) return false;
    port = port * 10 + static_cast<std::uint32_t>(c - '0');
    if (port > 65535) return false;
  }
  return true;  // `name:` is the default port (RFC 3986 section 3.2.3)
}

struct Authority {
  std::string_view name;
  std::string_view port;
};

// `name[:port]` or `[v6][:port]`, without user information, percent-encoding and sub-delimiters (RFC 3986 section 3.2).
bool read_authority(std::string_view text, Authority& out) noexcept {
  std::size_t cut = 0;
  if (text.starts_with('[')) {
    cut = text.find(']');
    if (cut == text.npos || cut < 3) return false;
    auto in_address = [](char c) { return scan::hex_value(c) >= 0 || c == ':' || c == '.'; };
    if (!std::all_of(text.begin() + 1, text.begin() + static_cast<std::ptrdiff_t>(cut), in_address)) return false;
    ++cut;
  } else {
    while (cut < text.size() && is_host_name_char(text[cut])) ++cut;
    if (cut == 0) return false;
  }
  out.name = text.substr(0, cut);
  out.port = {};
  if (cut == text.size()) return true;
  out.port = text.substr(cut + 1);
  return text[cut] == ':' && is_port(out.port);
}

std::string_view port_or(std::string_view port, std::string_view otherwise) noexcept {
  while (port.size() > 1 && port.front() == '0') port.remove_prefix(1);
  return port.empty() ? otherwise : port;
}

// Splits an absolute target into its authority and the rest (RFC 9112 section 3.2.2).
Refusal read_absolute(std::string_view target, RequestHead& head, Authority& authority,
                      std::string_view& default_port) noexcept {
  constexpr std::string_view plain = "http://", secure = "https://";
  std::string_view rest;
  if (equals_ignoring_case(target.substr(0, plain.size()), plain)) {
    rest = target.substr(plain.size());
    default_port = "80";
  } else if (equals_ignoring_case(target.substr(0, secure.size()), secure)) {
    rest = target.substr(secure.size());
    default_port = "443";
  } else {
    return Refusal::bad_target;
  }
  auto const cut = std::min(rest.find_first_of("/?"), rest.size());
  head.authority = rest.substr(0, cut);
  if (!read_authority(head.authority, authority)) return Refusal::bad_target;
  head.target = rest.substr(cut);
  if (head.target.empty()) head.target = head.method == Method::options ? "*" : "/";
  // It would need a "/" put in front, and is nothing that a client sends.
  return head.target.starts_with('?') ? Refusal::bad_target : Refusal::none;
}

Refusal read_host(RequestHead& head, std::uint64_t repeated, Authority& host) noexcept {
  if (!head.has(FieldId::host)) return head.version == Version::http_1_1 ? Refusal::missing_host : Refusal::none;
  if ((repeated & bit(FieldId::host)) != 0) return Refusal::two_hosts;
  head.authority = head.value(FieldId::host);
  return read_authority(head.authority, host) ? Refusal::none : Refusal::bad_host;
}

Refusal read_target_and_host(std::string_view target, std::uint64_t repeated, RequestHead& head) noexcept {
  if (head.method == Method::connect) return Refusal::bad_method;
  Authority host;
  Authority asked;
  std::string_view default_port;
  bool const absolute = !target.starts_with('/') && target != "*";
  if (target.find('#') != target.npos || (target == "*" && head.method != Method::options)) return Refusal::bad_target;
  if (absolute) {
    Refusal const why = read_absolute(target, head, asked, default_port);
    if (why != Refusal::none) return why;
  } else {
    head.target = target;
  }
  Refusal const why = read_host(head, repeated, host);
  if (why != Refusal::none) return why;
  if (absolute && head.has(FieldId::host)) {
    bool const same =
        equals_ignoring_case(asked.name, host.name) && port_or(asked.port, default_port) == port_or(host.port, default_port);
    if (!same) return Refusal::host_contradicts_target;
  }
  auto const question = head.target.find('?');
  head.path = head.target.substr(0, question);
  head.has_query = question != head.target.npos;
  if (head.has_query) head.query = head.target.substr(question + 1);
  return Refusal::none;
}

bool has_body(Head const& head) noexcept {
  return head.body == BodyKind::chunked || head.body == BodyKind::until_close || head.content_length > 0;
}

// RFC 6455 section 4.2.1. Any other protocol is not upgraded to, and HTTP/1.0 cannot ask (RFC 9110 section 7.8).
Refusal read_upgrade(RequestHead& head, std::uint64_t repeated) noexcept {
  if (!head.has(FieldId::upgrade) || head.version == Version::http_1_0) return Refusal::none;
  if ((repeated & bit(FieldId::upgrade)) != 0 || !equals_ignoring_case(head.value(FieldId::upgrade), "websocket")) {
    return Refusal::none;
  }
  constexpr std::uint64_t handshake = bit(FieldId::sec_websocket_key) | bit(FieldId::sec_websocket_version);
  if (!head.connection_upgrade || head.method != Method::get || has_body(head) || (repeated & handshake) != 0) {
    return Refusal::bad_upgrade;
  }
  if (head.value(FieldId::sec_websocket_version) != "13") return Refusal::bad_websocket_version;
  if (!is_websocket_key(head.value(FieldId::sec_websocket_key))) return Refusal::bad_upgrade;
  head.websocket_upgrade = true;
  return Refusal::none;
}

// RFC 9110 section 10.1.1.
Refusal read_expect(RequestHead& head) noexcept {
  if (!head.has(FieldId::expect) || head.version == Version::http_1_0) return Refusal::none;
  auto is_continue = [](std::string_view value) { return equals_ignoring_case(value, "100-continue"); };
  if (!for_each_of(head, FieldId::expect, is_continue)) return Refusal::bad_expect;
  head.expect_continue = has_body(head);
  return Refusal::none;
}

Cut take_request(char const* p, char const* end, std::uint32_t fields_max, RequestHead& head) noexcept {
  std::string_view target;
  std::uint64_t repeated = 0;
  Cut const line = take_request_line(p, end, head, target);
  if (line.at == nullptr) return line;
  Cut const fields = take_fields(line.at, end, fields_max, head, repeated);
  if (fields.at == nullptr) return fields;
  Refusal why = read_target_and_host(target, repeated, head);
  if (why == Refusal::none) why = read_connection(head);
  if (why == Refusal::none) why = read_framing(head, repeated);
  if (why == Refusal::none) why = read_upgrade(head, repeated);
  if (why == Refusal::none) why = read_expect(head);
  if (why != Refusal::none) return refused(why);
  return fields;
}

// `version SP 3DIGIT [SP reason] CRLF`: the last space is often missing, and nothing depends on it.
Cut take_status_line(char const* p, char const* end, ResponseHead& head) noexcept {
  char const* const stop = scan::find_control(p, end);
  Cut const line = take_line_end(stop, end, Refusal::bad_status_line);
  if (line.at == nullptr) return line;
  std::string_view const text = between(p, stop);
  if (read_version(text.substr(0, 8), Refusal::bad_status_line, head.version) != Refusal::none) {
    return refused(Refusal::bad_status_line);
  }
  if (text.size() < 12 || text[8] != ' ' || (text.size() > 12 && text[12] != ' ')) return refused(Refusal::bad_status_line);
  unsigned status = 0;
  for (char c : text.substr(9, 3)) {
    if (!scan::is_digit(c)) return refused(Refusal::bad_status_line);
    status = status * 10 + static_cast<unsigned>(c - '0');
  }
  if (status < 100 || status > 599) return refused(Refusal::bad_status_line);
  head.status = static_cast<std::uint16_t>(status);
  if (text.size() > 13) head.reason = text.substr(13);
  return line;
}

// RFC 9112 section 6.3, what the status and the request's method say.
void settle_response_body(Method request_method, ResponseHead& head) noexcept {
  bool const never = head.status < 200 || head.status == 204;
  if (never && has_body(head)) head.keep_alive = false;
  if (never || head.status == 304 || request_method == Method::head) {
    head.body = BodyKind::none;
  } else if (head.body == BodyKind::none) {
    head.body = BodyKind::until_close;
    head.keep_alive = false;
  }
}

Cut take_response(char const* p, char const* end, std::uint32_t fields_max, Method request_method,
                  ResponseHead& head) noexcept {
  std::uint64_t repeated = 0;
  Cut const line = take_status_line(p, end, head);
  if (line.at == nullptr) return line;
  Cut const fields = take_fields(line.at, end, fields_max, head, repeated);
  if (fields.at == nullptr) return fields;
  Refusal why = read_connection(head);
  if (why == Refusal::none) why = read_framing(head, repeated);
  if (why != Refusal::none) return refused(why);
  settle_response_body(request_method, head);
  return fields;
}

// Whether something stands behind `scanned` that a parse would come to a verdict on: the blank line, or a bare LF. Saves
// parsing again what is still incomplete.
bool worth_parsing(std::string_view bytes, std::size_t scanned) noexcept {
  for (std::size_t at = bytes.find('\n', scanned); at != bytes.npos; at = bytes.find('\n', at + 1)) {
    if (at == 0 || bytes[at - 1] != '\r') return true;
    if (at >= 3 && bytes.substr(at - 3, 2) == line_end) return true;
  }
  return false;
}

template <class Take>
HeadParse parse(std::string_view bytes, HeadLimits limits, std::size_t& scanned, Take&& take) noexcept {
  std::string_view const window = bytes.substr(0, limits.bytes_max);
  bool const full = window.size() == limits.bytes_max;
  if (scanned > 0 && !full && !worth_parsing(window, scanned)) {
    scanned = window.size();
    return {};
  }
  Cut const head = take(window.data(), window.data() + window.size());
  if (head.at != nullptr) {
    return {HeadParse::State::complete, static_cast<std::uint32_t>(head.at - window.data()), Refusal::none};
  }
  if (head.why != Refusal::none) return {HeadParse::State::refused, 0, head.why};
  if (full) {
    bool const in_first_line = window.find('\n', line_end.size()) == window.npos;
    return {HeadParse::State::refused, 0, in_first_line ? Refusal::target_too_long : Refusal::head_too_large};
  }
  scanned = window.size();
  return {};
}

}  // namespace

bool Head::nominated(std::string_view name) const noexcept {
  auto differs = [name](std::string_view nominee) { return !equals_ignoring_case(nominee, name); };
  auto none_in = [&](std::string_view list) { return for_each_element(list, differs); };
  return has_nominated_fields && !for_each_of(*this, FieldId::connection, none_in);
}

HeadParse parse_request_head(std::string_view bytes, HeadLimits limits, RequestHead& out, std::size_t& scanned) noexcept {
  return parse(bytes, limits, scanned, [&](char const* p, char const* end) {
    reset(out);
    out.method = Method::other;
    out.method_text = out.target = out.path = out.query = out.authority = {};
    out.has_query = out.expect_continue = out.websocket_upgrade = false;
    return take_request(p, end, limits.fields_max, out);
  });
}

HeadParse parse_response_head(std::string_view bytes, HeadLimits limits, Method request_method, ResponseHead& out,
                              std::size_t& scanned) noexcept {
  HeadParse result = parse(bytes, limits, scanned, [&](char const* p, char const* end) {
    reset(out);
    out.status = 0;
    out.reason = {};
    return take_response(p, end, limits.fields_max, request_method, out);
  });
  if (result.why == Refusal::target_too_long) result.why = Refusal::head_too_large;
  return result;
}

}  // namespace nestgate::http
