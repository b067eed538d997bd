#include "client_address.hpp"

#include <boost/asio/ip/address.hpp>

namespace nestgate::proxy {
namespace {

namespace ip = boost::asio::ip;

// "1.2.3.4", "1.2.3.4:80", "[::1]", "[::1]:80" or "::1", with white space around.
std::string_view address_in(std::string_view text) {
  constexpr std::string_view white_space = " \t";
  text.remove_prefix(std::min(text.find_first_not_of(white_space), text.size()));
  text = text.substr(0, text.find_last_not_of(white_space) + 1);
  if (text.starts_with('[')) return text.substr(1, text.find(']') - 1);
  auto const colon = text.find(':');
  bool const has_port = colon != text.npos && text.find(':', colon + 1) == text.npos;
  return has_port ? text.substr(0, colon) : text;
}

}  // namespace

bool is_trusted_proxy(Config const& config, std::string_view text) {
  if (config.trusted_proxies_v4.empty() && config.trusted_proxies_v6.empty()) return false;
  boost::system::error_code ec;
  auto const address = ip::make_address(text, ec);
  if (ec) return false;
  if (address.is_v4()) {
    for (auto const& network : config.trusted_proxies_v4) {
      if (ip::network_v4(address.to_v4(), network.prefix_length()).network() == network.network()) return true;
    }
    return false;
  }
  for (auto const& network : config.trusted_proxies_v6) {
    if (ip::network_v6(address.to_v6(), network.prefix_length()).network() == network.network()) return true;
  }
  return false;
}

std::string_view forwarded_client(Config const& config, http::RequestHead const& head) {
  std::string_view farthest;
  auto const fields = head.fields();
  for (auto field = fields.rbegin(); field != fields.rend(); ++field) {
    if (field->id != http::FieldId::x_forwarded_for || head.nominated(field->name)) continue;
    auto rest = field->value;
    while (!rest.empty()) {
      auto const comma = rest.rfind(',');
      auto const address = address_in(comma == rest.npos ? rest : rest.substr(comma + 1));
      rest = rest.substr(0, comma == rest.npos ? 0 : comma);
      if (address.empty()) continue;
      if (!is_trusted_proxy(config, address)) return address;
      farthest = address;
    }
  }
  return farthest;
}

}  // namespace nestgate::proxy
