#include "urls.hpp"

#include <algorithm>

namespace nestgate::api {
namespace {

constexpr std::size_t label_bytes_max = 63;  // RFC 1123

// Its own, so it must not read as `{port}-{id}`.
bool is_own_label(std::string_view text) {
  auto const digits = text.find_first_not_of("0123456789");
  bool const reads_as_port = digits != text.npos && digits > 0 && text[digits] == '-';
  return !reads_as_port;
}

bool is_host_label(std::string_view text) {
  if (text.empty() || text.size() > label_bytes_max || text.front() == '-' || text.back() == '-') return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
}

std::optional<std::string> url_of_label(std::string_view label, std::string_view origin, std::string_view domain) {
  auto const scheme_end = origin.find("://");
  if (domain.empty() || scheme_end == origin.npos || !is_host_label(label)) return std::nullopt;
  std::string_view const authority = origin.substr(scheme_end + 3);
  auto const host_end = authority.rfind(']') == authority.npos ? 0 : authority.rfind(']');
  auto const colon = authority.find(':', host_end);
  std::string out(origin.substr(0, scheme_end + 3));
  out.append(label).append(".").append(domain);
  if (colon != authority.npos) out += authority.substr(colon);
  return out;
}

}  // namespace

std::optional<std::string> host_url(std::string_view label, std::string_view origin, std::string_view domain) {
  if (!is_own_label(label)) return std::nullopt;
  return url_of_label(label, origin, domain);
}

std::string agent_server_url(ConversationId const& id, std::string_view origin, std::string_view domain) {
  return host_url(id.canonical(), origin, domain).value_or(std::string(origin));
}

std::string port_url(ConversationId const& id, std::uint16_t number, std::string_view origin, std::string_view domain) {
  auto const digits = std::to_string(number);
  if (auto url = url_of_label(digits + "-" + id.canonical(), origin, domain)) return *std::move(url);
  return std::string(origin) + "/runtime/" + digits;
}

}  // namespace nestgate::api
