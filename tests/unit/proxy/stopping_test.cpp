#include <gtest/gtest.h>

#include "support/scripted.hpp"

namespace nestgate::test {
namespace {

// Ends when a sweep has looked at every session: it closed this one, whose head never came.
void wait_for_a_sweep(Gateway const& gateway) {
  auto slow = gateway.connect();
  slow.send("GET ");
  slow.read_to_end();
}

TEST(StoppingRuntime, EndsWhatItHasBegunAndTakesNothingNew) {
  Mailbox<bool> may_end;
  auto config = default_config();
  config.timeouts.head = std::chrono::milliseconds(1);
  OneRuntime at(
      [&](Connection& connection) {
        connection.read_until("\r\n\r\n");
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
        may_end.take();
        connection.send("-last");
      },
      config);
  auto client = at.gateway.connect();
  client.send(get_by_key());
  client.read_until("\r\n\r\n");
  EXPECT_EQ(client.read_exactly(5), "first");

  at.gateway.add("c1", at.nested.port(), "alice", conversation::RuntimeState::stopping);
  wait_for_a_sweep(at.gateway);
  auto const refused = at.gateway.ask(get_by_key("Connection: close\r\n"));
  EXPECT_EQ(refused.status, 503u);
  EXPECT_EQ(error_code_of(refused), "runtime_stopping");
  may_end.put(true);
  EXPECT_EQ(client.read_exactly(5), "-last");
}

TEST(StoppedRuntime, CutsWhatDidNotEnd) {
  Mailbox<bool> may_end;
  OneRuntime at([&](Connection& connection) {
    connection.read_until("\r\n\r\n");
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
    may_end.take();
  });
  auto client = at.gateway.connect();
  client.send(get_by_key());
  client.read_until("\r\n\r\n");
  at.gateway.add("c1", at.nested.port(), "alice", conversation::RuntimeState::stopping);
  at.gateway.add("c1", at.nested.port(), "alice", conversation::RuntimeState::stopped);
  EXPECT_EQ(client.read_to_end(), "first");
  may_end.put(true);
}

}  // namespace
}  // namespace nestgate::test
