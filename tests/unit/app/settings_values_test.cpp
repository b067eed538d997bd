#include "app/settings_values.hpp"

#include <gtest/gtest.h>

namespace nestgate::app {
namespace {

using namespace std::chrono_literals;

TEST(Sizes, AreReadWithTheirUnitAndPrintedBack) {
  for (auto const& [text, bytes] :
       {std::pair{"0", 0L}, {"1", 1L}, {"8192", 8192L}, {"64KiB", 65536L}, {"8MiB", 8388608L}, {"1GiB", 1073741824L}}) {
    EXPECT_EQ(parse_bytes(text), bytes) << text;
    EXPECT_EQ(parse_bytes(print_bytes(bytes)), bytes) << text;
  }
  EXPECT_EQ(print_bytes(1536), "1536");
  EXPECT_EQ(print_bytes(8 * 1024 * 1024), "8MiB");
}

TEST(Sizes, AreRefusedInAnyOtherForm) {
  for (auto const text : {"", "MiB", "-1", "+1", "1.5MiB", "8 MiB", "8MB", "8mib", "8M", "0x10", " 8", "8 ",
                          "99999999999999999999", "9223372036854775807GiB"}) {
    EXPECT_FALSE(parse_bytes(text)) << text;
  }
}

TEST(Times, AreReadWithTheirUnitAndPrintedBack) {
  for (auto const& [text, time] :
       {std::pair{"0", 0ms}, {"0s", 0ms}, {"250ms", 250ms}, {"10s", 10'000ms}, {"15m", 900'000ms}, {"1h", 3'600'000ms}}) {
    EXPECT_EQ(parse_duration(text), time) << text;
    EXPECT_EQ(parse_duration(print_duration(time)), time) << text;
  }
  EXPECT_EQ(print_duration(90'000ms), "90s");
  EXPECT_EQ(print_duration(1'500ms), "1500ms");
}

TEST(Times, AreRefusedWithoutUnitOrInAnyOtherForm) {
  for (auto const text : {"", "10", "10 s", "-1s", "1.5s", "10sec", "1d", "s", "9223372036854775807h"}) {
    EXPECT_FALSE(parse_duration(text)) << text;
  }
}

TEST(Endpoints, AreAddressAndPort) {
  for (auto const text : {"127.0.0.1:8080", "0.0.0.0:0", "[::1]:8080", "[::]:65535"}) {
    auto const endpoint = parse_endpoint(text);
    ASSERT_TRUE(endpoint) << text;
    EXPECT_EQ(print_endpoint(*endpoint), text);
  }
}

TEST(Endpoints, AreRefusedInAnyOtherForm) {
  for (auto const text : {"", ":8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "::1:8080",
                          "[127.0.0.1]:80", "localhost:80", "127.0.0.1:80 ", "127.1:80"}) {
    EXPECT_FALSE(parse_endpoint(text)) << text;
  }
}

TEST(Networks, AreSortedIntoTheirFamily) {
  TrustedProxies proxies;
  for (auto const text : {"10.0.0.0/8", "192.0.2.7", "fd00::/8", "::1"})
    EXPECT_EQ(add_network(text, proxies), Added::yes) << text;
  ASSERT_EQ(proxies.v4.size(), 2u);
  ASSERT_EQ(proxies.v6.size(), 2u);
  EXPECT_EQ(proxies.v4[1].prefix_length(), 32);
  EXPECT_EQ(proxies.v6[1].prefix_length(), 128);
}

TEST(Networks, AreRefusedWithBitsBehindThePrefixOrInAnyOtherForm) {
  TrustedProxies proxies;
  for (auto const text : {"10.0.0.1/8", "10.0.0.0/33", "10.0.0.0/", "10.0.0/8", "fd00::1/8", "example.org", ""}) {
    EXPECT_EQ(add_network(text, proxies), Added::no) << text;
  }
}

TEST(Origins, AreSchemeHostAndPort) {
  for (auto const url :
       {"http://127.0.0.1:9001", "http://[::1]:9001", "http://agent-server_1.internal:80", "http://localhost"}) {
    EXPECT_TRUE(is_origin("http", url)) << url;
  }
}

TEST(Origins, AreRefusedWithAnythingElse) {
  for (auto const url : {"", "http://", "http:///", "http://a/", "http://a/b", "http://u@a", "http://a:0", "http://a:99999",
                         "http://a:b", "https://a", "HTTP://a", "http://a?b", "http://a b", "http://[::1]:0"}) {
    EXPECT_FALSE(is_origin("http", url)) << url;
  }
}

}  // namespace
}  // namespace nestgate::app
