#include "nestgate/upstream/url.hpp"

#include <algorithm>
#include <boost/asio/ip/address_v6.hpp>
#include <charconv>

namespace nestgate::upstream {
namespace {

constexpr Fault bad_url{FaultKind::bad_input, {}, "url"};

bool is_host_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

bool is_url_text(std::string_view text) {
  for (char c : text)
    if (c <= ' ' || c == 0x7f || c == '"' || c == '<' || c == '>' || c == '\\') return false;
  return true;
}

}  // namespace

std::string Url::authority() const {
  std::string out = host.find(':') == host.npos ? host : "[" + host + "]";
  if (port != (scheme == "https" ? 443 : 80)) out += ":" + std::to_string(port);
  return out;
}

std::string Url::text() const {
  std::string out = scheme + "://" + authority() + path;
  if (!query.empty()) out += "?" + query;
  return out;
}

Url Url::at(std::string_view path_below, std::string_view new_query) const {
  Url out = *this;
  while (out.path.ends_with('/')) out.path.pop_back();
  out.path += path_below;
  out.query = new_query;
  return out;
}

Result<Url> parse_url(std::string_view text) {
  Url url;
  auto const scheme_end = text.find("://");
  if (scheme_end == text.npos) return bad_url;
  for (char c : text.substr(0, scheme_end)) url.scheme += static_cast<char>(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
  if (url.scheme != "http" && url.scheme != "https") return bad_url;
  text.remove_prefix(scheme_end + 3);
  if (!is_url_text(text) || text.find('#') != text.npos) return bad_url;

  auto const authority_end = std::min(text.find_first_of("/?"), text.size());
  std::string_view authority = text.substr(0, authority_end);
  text.remove_prefix(authority_end);
  std::string_view port;
  if (authority.starts_with('[')) {
    auto const close = authority.find(']');
    if (close == authority.npos) return bad_url;
    url.host = authority.substr(1, close - 1);
    boost::system::error_code ec;
    boost::asio::ip::make_address_v6(url.host, ec);
    if (ec) return bad_url;
    port = authority.substr(close + 1);
  } else {
    auto const colon = std::min(authority.find(':'), authority.size());
    url.host = authority.substr(0, colon);
    for (char c : url.host)
      if (!is_host_char(c)) return bad_url;  // also '@': user info has no place here
    port = authority.substr(colon);
  }
  if (url.host.empty()) return bad_url;
  url.port = url.scheme == "https" ? 443 : 80;
  if (!port.empty()) {
    unsigned number = 0;
    auto const [end, ec] = std::from_chars(port.data() + 1, port.data() + port.size(), number);
    if (port.front() != ':' || ec != std::errc{} || end != port.data() + port.size() || number == 0 || number > 65535)
      return bad_url;
    url.port = static_cast<std::uint16_t>(number);
  }
  auto const question = std::min(text.find('?'), text.size());
  url.path = text.substr(0, question);
  if (question < text.size()) url.query = text.substr(question + 1);
  return url;
}

}  // namespace nestgate::upstream
