#include "automation/runtime_connections.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <vector>

#include "nestgate/nested/client.hpp"
#include "support/control.hpp"

namespace nestgate::automation {
namespace {

using namespace std::chrono_literals;

Life const life{"c1", 1}, next_life{"c1", 2};

upstream::Place place_of(std::uint16_t port) { return asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), port); }

class Connections : public testing::Test {
 protected:
  ~Connections() override {
    tasks.stop();
    control.run(joined());
  }
  // Stays until its tasks have ended.
  RuntimeConnections& keeping(std::size_t count_max, Clock::duration idle_max) {
    return *made.emplace_back(std::make_unique<RuntimeConnections>(tasks, count_max, idle_max));
  }
  Task<> joined() { [[maybe_unused]] auto done = co_await tasks.join(); }
  void upload(std::shared_ptr<upstream::KeptConnections> kept, std::uint16_t port) {
    nested::Client client(place_of(port), Secret("key"));
    client.use(std::move(kept));
    EXPECT_TRUE(control.run(client.upload("/tmp/a", "bytes", Deadline::in(20s))));
  }

  test::Control control;
  TaskGroup tasks{control.executor()};
  std::vector<std::unique_ptr<RuntimeConnections>> made;
};

TEST_F(Connections, AreSharedByWhatGoesToOnePlaceInOneLife) {
  auto& connections = keeping(2, 1h);
  auto const kept = connections.to(life, place_of(1));
  EXPECT_EQ(connections.to(life, place_of(1)), kept);
  EXPECT_NE(connections.to(life, place_of(2)), kept);
  EXPECT_NE(connections.to(next_life, place_of(1)), kept);
}

TEST_F(Connections, OutliveTheirRunAndAreClosedWhenNoOtherComesSoon) {
  auto const is_ended = std::make_shared<std::atomic<bool>>(false);
  test::Server server([is_ended](test::Connection& connection) {
    while (test::read_request(connection)) connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
    *is_ended = true;
  });
  auto& connections = keeping(2, 1ms);
  upload(connections.to(life, place_of(server.port())), server.port());
  EXPECT_EQ(connections.size(), 1U);
  control.run_until([&] { return connections.size() == 0 && *is_ended; });
}

TEST_F(Connections, AreUsedByTheNextRunUpToTheirCount) {
  test::Server server([](test::Connection& connection) {
    while (test::read_request(connection)) connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}");
  });
  auto &none = keeping(0, 1h), &connections = keeping(1, 1h);
  for (int run = 0; run < 3; ++run) upload(connections.to(life, place_of(server.port())), server.port());
  EXPECT_EQ(server.accepted(), 1U);
  for (int run = 0; run < 2; ++run) upload(none.to(life, place_of(server.port())), server.port());
  EXPECT_EQ(server.accepted(), 3U);
}

}  // namespace
}  // namespace nestgate::automation
