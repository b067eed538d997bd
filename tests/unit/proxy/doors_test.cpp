#include <gtest/gtest.h>

#include "support/scripted.hpp"

// Before the doors open the cores are told what they route to.
namespace nestgate::test {
namespace {

TEST(Doors, KeepClientsWaitingUntilTheRuntimesAreKnown) {
  Server nested(echo_as("c1"));
  Gateway gateway;
  gateway.start(Doors::closed);
  auto client = gateway.connect();
  client.send(get_by_key());
  gateway.add("c1", nested.port());
  gateway.cores().open_doors();
  EXPECT_EQ(read_answer(client).value("x-nested"), "c1");
}

}  // namespace
}  // namespace nestgate::test
