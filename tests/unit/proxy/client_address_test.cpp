#include "proxy/client_address.hpp"

#include <gtest/gtest.h>

namespace nestgate::proxy {
namespace {

std::string client_by(std::string const& fields) {
  Config config;
  config.trusted_proxies_v4.push_back(boost::asio::ip::make_network_v4("10.0.0.0/8"));
  config.trusted_proxies_v6.push_back(boost::asio::ip::make_network_v6("fd00::/8"));
  auto const text = "GET / HTTP/1.1\r\nHost: g\r\n" + fields + "\r\n";
  auto const head = std::make_unique<http::RequestHead>();
  std::size_t scanned = 0;
  auto const parsed = http::parse_request_head(text, {16 * 1024, 128}, *head, scanned);
  EXPECT_EQ(parsed.state, http::HeadParse::State::complete) << fields;
  return std::string(forwarded_client(config, *head));
}
std::string client_of(std::string const& list) { return client_by("X-Forwarded-For: " + list + "\r\n"); }

TEST(ForwardedClient, IsTheNearestThatIsNoTrustedProxy) {
  EXPECT_EQ(client_of("203.0.113.1"), "203.0.113.1");
  EXPECT_EQ(client_of("198.51.100.1, 203.0.113.1"), "203.0.113.1");
  EXPECT_EQ(client_of("203.0.113.1, 10.1.2.3, 10.1.2.4"), "203.0.113.1");
  EXPECT_EQ(client_of("10.9.9.9, 203.0.113.1, fd00::7"), "203.0.113.1");
  EXPECT_EQ(client_by("X-Forwarded-For: 198.51.100.1\r\nX-Other: 1\r\nX-Forwarded-For: 203.0.113.1,10.0.0.1\r\n"),
            "203.0.113.1");
  EXPECT_EQ(client_by("X-Forwarded-For: 203.0.113.1\r\nX-Forwarded-For: 10.0.0.1\r\n"), "203.0.113.1");
}

TEST(ForwardedClient, IsTheFarthestWhereAllAreTrusted) { EXPECT_EQ(client_of("10.0.0.1, 10.0.0.2"), "10.0.0.1"); }

TEST(ForwardedClient, HasNoPortBracketsOrWhiteSpace) {
  EXPECT_EQ(client_of("203.0.113.1:4711"), "203.0.113.1");
  EXPECT_EQ(client_of("[2001:db8::1]:4711"), "2001:db8::1");
  EXPECT_EQ(client_of("[2001:db8::1]"), "2001:db8::1");
  EXPECT_EQ(client_of("2001:db8::1 \t,\t 10.0.0.1:80 ,"), "2001:db8::1");
  EXPECT_EQ(client_of("unknown"), "unknown");
}

TEST(ForwardedClient, IsNobodyWhereNoneIsNamed) {
  EXPECT_EQ(client_by(""), "");
  EXPECT_EQ(client_of(" , ,"), "");
  EXPECT_EQ(client_of("["), "");
  EXPECT_EQ(client_by("Connection: X-Forwarded-For\r\nX-Forwarded-For: 203.0.113.1\r\n"), "") << "of that connection only";
}

}  // namespace
}  // namespace nestgate::proxy
