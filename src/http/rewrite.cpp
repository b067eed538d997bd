#include "nestgate/http/rewrite.hpp"

#include <array>
#include <charconv>

#include "http/lists.hpp"

namespace nestgate::http {
namespace {

// A set of field ids: one word, so that whether a field is dropped costs a shift.
class FieldSet {
 public:
  template <class... Ids>
  constexpr explicit FieldSet(Ids... ids) noexcept : bits_((bit(ids) | ... | 0)) {}
  constexpr void add(FieldId id) noexcept { bits_ |= bit(id); }
  constexpr bool has(FieldId id) const noexcept { return (bits_ >> static_cast<unsigned>(id) & 1) != 0; }

 private:
  static constexpr std::uint64_t bit(FieldId id) noexcept { return std::uint64_t{1} << static_cast<unsigned>(id); }
  std::uint64_t bits_;
};

// Of one connection (RFC 9110 section 7.6.1), or written anew: the framing by what was parsed, the key and the id by ours.
constexpr FieldSet dropped_from_requests{FieldId::connection,
                                         FieldId::keep_alive,
                                         FieldId::proxy_connection,
                                         FieldId::te,
                                         FieldId::upgrade,
                                         FieldId::transfer_encoding,
                                         FieldId::content_length,
                                         FieldId::expect,
                                         FieldId::proxy_authenticate,
                                         FieldId::proxy_authorization,
                                         FieldId::x_request_id,
                                         FieldId::x_session_api_key,
                                         FieldId::shadow};

constexpr FieldSet dropped_from_responses{
    FieldId::connection,        FieldId::keep_alive,     FieldId::proxy_connection,   FieldId::te,    FieldId::upgrade,
    FieldId::transfer_encoding, FieldId::content_length, FieldId::proxy_authenticate, FieldId::server};

template <class... Texts>
void append_line(std::string& out, Texts... texts) {
  ((out += texts), ...);
  out += "\r\n";
}

void append_number(std::string& out, std::uint64_t number) {
  std::array<char, 20> digits;
  auto const end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append(digits.data(), static_cast<std::size_t>(end - digits.data()));
}

void append_content_length(std::string& out, std::uint64_t length) {
  out += "Content-Length: ";
  append_number(out, length);
  out += "\r\n";
}

// X-Forwarded-Server, -Ssl, -User and whatever else a server may believe.
bool is_forwarding_claim(Field const& field) noexcept {
  constexpr std::string_view prefix = "x-forwarded-";
  return field.id == FieldId::other && field.name.size() > prefix.size() && (field.name[0] | 0x20) == 'x' &&
         equals_ignoring_case(field.name.substr(0, prefix.size()), prefix);
}

// Appends the lines that `dropped` does not name, as they came: neighbours go in one copy. `replace` may write something
// in the place of a line that is kept, and says so.
template <class IsDropped, class Replace>
void append_kept(std::string& out, Head const& head, IsDropped&& is_dropped, Replace&& replace) {
  auto const fields = head.fields();
  if (fields.empty()) return;
  char const* run = fields.front().name.data();
  for (std::size_t i = 0; i < fields.size(); ++i) {
    bool const gone = is_dropped(fields[i]) || (head.has_nominated_fields && head.nominated(fields[i].name));
    if (!gone && !replace.wants(fields[i])) continue;
    char const* const line = fields[i].name.data();
    out.append(run, static_cast<std::size_t>(line - run));
    run = i + 1 < fields.size() ? fields[i + 1].name.data() : head.fields_end;
    if (!gone) replace.append(out, fields[i]);
  }
  out.append(run, static_cast<std::size_t>(head.fields_end - run));
}

struct NothingReplaced {
  bool wants(Field const&) const noexcept { return false; }
  void append(std::string&, Field const&) const {}
};

bool is_kept(Head const& head, FieldId id) noexcept {
  Field const* const field = head.find(id);
  return field != nullptr && !head.nominated(field->name);
}

void append_forwarded_for(std::string& out, RequestHead const& head, RequestRewrite const& rewrite) {
  out += "X-Forwarded-For: ";
  if (rewrite.trust == ForwardedTrust::append && is_kept(head, FieldId::x_forwarded_for)) {
    for (Field const& field : head.fields()) {
      if (field.id != FieldId::x_forwarded_for || field.value.empty()) continue;
      out += field.value;
      out += ", ";
    }
  }
  append_line(out, rewrite.peer_address);
}

void append_forwarding(std::string& out, RequestHead const& head, RequestRewrite const& rewrite) {
  bool const believed = rewrite.trust == ForwardedTrust::append;
  auto theirs = [&](FieldId id) { return believed && is_kept(head, id); };
  if (!rewrite.peer_address.empty()) append_forwarded_for(out, head, rewrite);
  if (!theirs(FieldId::x_forwarded_proto)) append_line(out, "X-Forwarded-Proto: ", rewrite.scheme);
  if (!theirs(FieldId::x_forwarded_host) && !head.authority.empty()) append_line(out, "X-Forwarded-Host: ", head.authority);
  if (rewrite.forwarded_prefix.empty()) return;
  // A proxy before us stripped its own prefix; the two together are what the client sees.
  std::string_view const outer = theirs(FieldId::x_forwarded_prefix) ? head.value(FieldId::x_forwarded_prefix) : "";
  append_line(out, "X-Forwarded-Prefix: ", outer.ends_with('/') ? outer.substr(0, outer.size() - 1) : outer,
              rewrite.forwarded_prefix);
}

FieldSet dropped_fields(RequestHead const& head, RequestRewrite const& rewrite) noexcept {
  FieldSet dropped = dropped_from_requests;
  if (head.body != BodyKind::chunked) dropped.add(FieldId::trailer);
  if (!rewrite.host.empty()) dropped.add(FieldId::host);
  if (rewrite.drop_authorization) dropped.add(FieldId::authorization);
  if (rewrite.drop_api_key) dropped.add(FieldId::x_api_key);
  if (rewrite.drop_websocket_extensions) dropped.add(FieldId::sec_websocket_extensions);
  if (!rewrite.traceparent.empty()) dropped.add(FieldId::traceparent);
  if (!rewrite.peer_address.empty()) dropped.add(FieldId::x_forwarded_for);
  if (!rewrite.forwarded_prefix.empty()) dropped.add(FieldId::x_forwarded_prefix);
  if (rewrite.trust == ForwardedTrust::append) return dropped;
  for (FieldId id : {FieldId::forwarded, FieldId::x_forwarded_for, FieldId::x_forwarded_host, FieldId::x_forwarded_port,
                     FieldId::x_forwarded_prefix, FieldId::x_forwarded_proto, FieldId::x_real_ip}) {
    dropped.add(id);
  }
  return dropped;
}

// Puts `location_prefix` before the paths that the nested server made without knowing of it.
class PrefixedPaths {
 public:
  explicit PrefixedPaths(std::string_view prefix) noexcept : prefix_(prefix) {}

  bool wants(Field const& field) const noexcept {
    return !prefix_.empty() && (field.id == FieldId::location || field.id == FieldId::set_cookie);
  }
  void append(std::string& out, Field const& field) const {
    out += field.name;
    out += ": ";
    if (field.id == FieldId::location) {
      append_path(out, field.value, Root::kept);
    } else {
      append_cookie(out, field.value);
    }
    out += "\r\n";
  }

 private:
  enum class Root : bool { kept, dropped };

  bool is_inside(std::string_view path) const noexcept {
    return path.starts_with(prefix_) &&
           (path.size() == prefix_.size() || std::string_view("/?#").find(path[prefix_.size()]) != std::string_view::npos);
  }
  void append_path(std::string& out, std::string_view path, Root root) const {
    bool const own = path.starts_with('/') && !path.starts_with("//") && !is_inside(path);
    if (own) out += prefix_;
    if (own && path == "/" && root == Root::dropped) return;  // Path=/p/ would leave out /p itself (RFC 6265 section 5.1.4)
    out += path;
  }
  void append_cookie(std::string& out, std::string_view cookie) const {
    for (bool first = true;; first = false) {
      auto const cut = cookie.find(';');
      std::string_view const attribute = cookie.substr(0, cut);
      auto const equals = attribute.find('=');
      bool const is_path = !first && equals != attribute.npos &&
                           equals_ignoring_case(without_white_space(attribute.substr(0, equals)), "path");
      if (is_path) {
        out += attribute.substr(0, equals + 1);
        append_path(out, without_white_space(attribute.substr(equals + 1)), Root::dropped);
      } else {
        out += attribute;
      }
      if (cut == cookie.npos) return;
      out += ';';
      cookie.remove_prefix(cut + 1);
    }
  }

  std::string_view prefix_;
};

}  // namespace

void append_request_head(std::string& out, RequestHead const& head, RequestRewrite const& rewrite) {
  append_line(out, head.method_text, rewrite.target.starts_with('?') ? " /" : " ", rewrite.target, " HTTP/1.1");
  if (!rewrite.host.empty()) {
    append_line(out, "Host: ", rewrite.host);
  } else if (!head.has(FieldId::host)) {
    append_line(out, "Host: ", head.authority.empty() ? "localhost" : head.authority);
  }

  FieldSet const dropped = dropped_fields(head, rewrite);
  bool const replace = rewrite.trust == ForwardedTrust::replace;
  auto is_dropped = [&](Field const& field) { return dropped.has(field.id) || (replace && is_forwarding_claim(field)); };
  append_kept(out, head, is_dropped, NothingReplaced{});

  if (head.body == BodyKind::chunked) out += "Transfer-Encoding: chunked\r\n";
  if (head.body == BodyKind::length) append_content_length(out, head.content_length);
  if (rewrite.keep_upgrade) append_line(out, "Connection: Upgrade\r\nUpgrade: ", head.value(FieldId::upgrade));
  append_forwarding(out, head, rewrite);
  append_line(out, "X-Request-Id: ", rewrite.request_id);
  if (!rewrite.traceparent.empty()) append_line(out, "traceparent: ", rewrite.traceparent);
  if (!rewrite.session_key.empty()) append_line(out, "X-Session-API-Key: ", rewrite.session_key);
  out += "\r\n";
}

void append_response_head(std::string& out, ResponseHead const& head, ResponseRewrite const& rewrite) {
  out += "HTTP/1.1 ";
  append_number(out, head.status);
  append_line(out, " ", head.reason);

  bool const chunked = head.body == BodyKind::chunked && !rewrite.drop_transfer_encoding;
  bool const counts = head.status >= 200 && head.status != 204;  // RFC 9110 section 8.6
  FieldSet dropped = dropped_from_responses;
  if (!chunked) dropped.add(FieldId::trailer);
  if (!rewrite.request_id.empty()) dropped.add(FieldId::x_request_id);
  auto is_dropped = [&](Field const& field) { return dropped.has(field.id); };
  append_kept(out, head, is_dropped, PrefixedPaths(rewrite.location_prefix));

  if (chunked) out += "Transfer-Encoding: chunked\r\n";
  if (counts && head.has(FieldId::content_length)) append_content_length(out, head.content_length);
  if (head.status == 101) append_line(out, "Connection: Upgrade\r\nUpgrade: ", head.value(FieldId::upgrade));
  if (rewrite.close) out += "Connection: close\r\n";
  if (rewrite.keep_alive_1_0) out += "Connection: keep-alive\r\n";
  if (!rewrite.request_id.empty()) append_line(out, "X-Request-Id: ", rewrite.request_id);
  out += "\r\n";
}

}  // namespace nestgate::http
