#include "app/settings_values.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace nestgate::app {
namespace {

struct Suffix {
  std::string_view text;
  std::int64_t factor;
};
// Largest first: what prints picks the first that divides.
constexpr std::array<Suffix, 4> byte_units{{{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"", 1}}};
constexpr std::array<Suffix, 4> time_units{{{"h", 3'600'000}, {"m", 60'000}, {"s", 1'000}, {"ms", 1}}};

std::optional<std::int64_t> parse_with(std::array<Suffix, 4> const& units, std::string_view text) {
  std::int64_t number = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || number < 0) return std::nullopt;
  auto const rest = text.substr(static_cast<std::size_t>(end - text.data()));
  auto const unit = std::find_if(units.begin(), units.end(), [rest](Suffix const& u) { return u.text == rest; });
  if (unit == units.end() || number > std::numeric_limits<std::int64_t>::max() / unit->factor) return std::nullopt;
  return number * unit->factor;
}

std::string print_with(std::array<Suffix, 4> const& units, std::int64_t number) {
  auto const unit = std::find_if(units.begin(), units.end(), [number](Suffix const& u) { return number % u.factor == 0; });
  return std::to_string(number / unit->factor).append(unit->text);
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return port;
}

// A registered name as resolvers take it (RFC 1123 section 2.1), an IPv4 address included; underscores are seen in
// container networks.
bool is_host_name(std::string_view text) {
  auto const allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
  };
  return !text.empty() && text.size() <= 253 && std::all_of(text.begin(), text.end(), allowed);
}

}  // namespace

std::optional<std::int64_t> parse_count(std::string_view text) {
  std::int64_t number = 0;
  auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<std::int64_t> parse_bytes(std::string_view text) { return parse_with(byte_units, text); }

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  if (text == "0") return std::chrono::milliseconds{0};
  auto const number = parse_with(time_units, text);
  if (!number) return std::nullopt;
  return std::chrono::milliseconds{*number};
}

std::string print_bytes(std::int64_t bytes) { return bytes == 0 ? "0" : print_with(byte_units, bytes); }

std::string print_duration(std::chrono::milliseconds duration) {
  return duration.count() == 0 ? "0" : print_with(time_units, duration.count());
}

std::optional<boost::asio::ip::tcp::endpoint> parse_endpoint(std::string_view text) {
  auto const colon = text.rfind(':');
  if (colon == text.npos) return std::nullopt;
  auto host = text.substr(0, colon);
  auto const port = parse_port(text.substr(colon + 1));
  bool const brackets = host.size() >= 2 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  boost::system::error_code ec;
  auto const address = boost::asio::ip::make_address(std::string(host), ec);
  if (!port || ec || address.is_v6() != brackets) return std::nullopt;
  return boost::asio::ip::tcp::endpoint(address, *port);
}

std::string print_endpoint(boost::asio::ip::tcp::endpoint const& endpoint) {
  auto const host = endpoint.address().to_string();
  return (endpoint.address().is_v6() ? "[" + host + "]" : host) + ":" + std::to_string(endpoint.port());
}

Added add_network(std::string_view text, TrustedProxies& proxies) {
  bool const has_length = text.find('/') != text.npos;
  boost::system::error_code ec;
  auto const v4 = boost::asio::ip::make_network_v4(std::string(text).append(has_length ? "" : "/32"), ec);
  if (!ec) {
    if (v4 != v4.canonical()) return Added::no;
    proxies.v4.push_back(v4);
    return Added::yes;
  }
  auto const v6 = boost::asio::ip::make_network_v6(std::string(text).append(has_length ? "" : "/128"), ec);
  if (ec || v6 != v6.canonical()) return Added::no;
  proxies.v6.push_back(v6);
  return Added::yes;
}

bool is_origin(std::string_view scheme, std::string_view url) {
  if (!url.starts_with(scheme) || !url.substr(scheme.size()).starts_with("://")) return false;
  url.remove_prefix(scheme.size() + 3);
  if (auto const endpoint = parse_endpoint(url)) return endpoint->port() != 0;
  auto const colon = url.find(':');
  auto const port = colon == url.npos ? std::optional<std::uint16_t>(80) : parse_port(url.substr(colon + 1));
  return is_host_name(url.substr(0, colon)) && port.value_or(0) != 0;
}

}  // namespace nestgate::app
