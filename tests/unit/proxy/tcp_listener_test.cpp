#include <gtest/gtest.h>

#include "support/scripted.hpp"

namespace nestgate::test {
namespace {

TEST(TcpListener, SharesItsPortBetweenItsCoresAndWithNobodyElse) {
  Gateway first(default_config(), 2);
  first.start();
  for (unsigned threads : {1u, 2u}) {
    Gateway second(default_config(), threads);
    for (auto const& address : {asio::ip::address_v4::loopback(), asio::ip::address_v4::any()}) {
      auto const listening = second.cores().listen({address, first.port()});
      ASSERT_FALSE(listening) << threads;
      EXPECT_EQ(listening.error().cause, asio::error::address_in_use);
    }
    second.start();
  }
  EXPECT_EQ(first.get("/health").status, 200u);
}

TEST(TcpListener, TakesItsPortAgainOnceThePreviousOneHasEnded) {
  Gateway first(default_config(), 2);
  first.start();
  EXPECT_EQ(first.get("/health").status, 200u);
  auto const port = first.port();
  first.stop(std::chrono::seconds(0));
  Gateway second(default_config(), 2);
  EXPECT_TRUE(second.cores().listen({asio::ip::address_v4::loopback(), port}));
  second.start();
}

}  // namespace
}  // namespace nestgate::test
