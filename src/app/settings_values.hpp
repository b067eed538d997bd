#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "nestgate/app/settings.hpp"

// How single values are written. Pure: text in, value or nothing out; each print is the parse's inverse.
namespace nestgate::app {

std::optional<std::int64_t> parse_count(std::string_view text);
// "8MiB", "64KiB", "1GiB", "8192".
std::optional<std::int64_t> parse_bytes(std::string_view text);
// "250ms", "10s", "15m", "1h", or "0".
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);
std::string print_bytes(std::int64_t bytes);
std::string print_duration(std::chrono::milliseconds duration);

// "127.0.0.1:8080" or "[::1]:8080".
std::optional<boost::asio::ip::tcp::endpoint> parse_endpoint(std::string_view text);
std::string print_endpoint(boost::asio::ip::tcp::endpoint const& endpoint);
// An address, or an address with a prefix length behind which no bit is set; put into the list it belongs to.
enum class Added : bool { no, yes };
Added add_network(std::string_view text, TrustedProxies& proxies);

// "http://host:port" or "http://host" with the given scheme; no path, user or query, no slash at the end.
bool is_origin(std::string_view scheme, std::string_view url);

}  // namespace nestgate::app
