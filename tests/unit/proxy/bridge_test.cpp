#include "proxy/bridge.hpp"

#include <gtest/gtest.h>

#include <boost/asio/write.hpp>
#include <optional>

#include "nestgate/net/stream_io.hpp"
#include "support/control.hpp"
#include "support/gate.hpp"
#include "support/tls_server.hpp"

namespace nestgate::proxy {
namespace {

using asio::ip::tcp;

class Bridged : public testing::Test {
 protected:
  ~Bridged() override {
    connection_.reset();
    stop();
  }
  // On the loop, as a core's tasks are stopped.
  static Task<> stopped(TaskGroup& tasks) {
    tasks.stop();
    [[maybe_unused]] auto all = co_await tasks.join();
  }
  void stop() { control_.run(stopped(tasks_)); }
  static Task<error_code> connected(TcpSocket& socket, std::uint16_t port) {
    tcp::endpoint const at(asio::ip::address_v4::loopback(), port);
    auto [ec] = co_await socket.async_connect(at, no_throw);
    co_return ec;
  }
  static Task<std::string> read(TcpSocket& socket, std::size_t bytes_max) {
    std::string out(bytes_max, '\0');
    auto [ec, n] = co_await socket.async_read_some(asio::buffer(out), no_throw);
    out.resize(n);
    co_return out;
  }
  void put_tls(std::uint16_t port) {
    upstream::Place const place({asio::ip::address_v4::loopback(), port}, "nested.test", test::trusting(certificate_));
    ASSERT_TRUE(put_tls_on(*connection_, place, tasks_, blocks_, [](std::string_view why) { FAIL() << why; }));
  }
  // A connection with TLS put on, not looked at yet.
  void connect(std::uint16_t port) {
    connection_.emplace(control_.executor());
    ASSERT_FALSE(control_.run(connected(connection_->socket, port)));
    put_tls(port);
  }
  Task<> begin_and_stop(std::uint16_t port) {
    put_tls(port);
    co_await stopped(tasks_);
  }
  // One whose server has proved who it is.
  void open(test::TlsServerOnLoopback const& server) {
    connect(server.port());
    EXPECT_EQ(control_.run(read(connection_->socket, 1)), "+");
  }
  bool write(std::string_view bytes) { return write_now(connection_->socket.native_handle(), bytes).bytes == bytes.size(); }
  void wait_until_it_ended() {
    control_.run_until([this] { return tasks_.size() == 0; });
  }

  test::TemporaryFolder folder_;
  TlsCertificate certificate_ = test::make_certificate(folder_.path(), "nested", {"nested.test"});
  test::Control control_;
  BlockPool blocks_{16 * 1024, 4};
  TaskGroup tasks_{control_.executor()};
  std::optional<upstream::Connection> connection_;
};

TEST_F(Bridged, AnIdleConnectionIsSeenToHaveEndedOnceItsServerSaidSo) {
  test::Gate gate;
  test::TlsServerOnLoopback server(certificate_, [&gate](test::TlsPeer& peer) {
    gate.pass();
    peer.say_goodbye();
    peer.read_some();
  });
  open(server);
  EXPECT_FALSE(upstream::peer_has_ended(connection_->socket));
  gate.open();
  control_.run_until([this] { return upstream::peer_has_ended(connection_->socket); });
  EXPECT_FALSE(connection_->is_cut_short());
  EXPECT_EQ(tasks_.size(), 1U) << "the server may still be written to";
}

TEST_F(Bridged, AnEndThatTheServerDidNotAnnounceIsACut) {
  test::TlsServerOnLoopback server(certificate_, [](test::TlsPeer& peer) {
    peer.cut();
    peer.read_some();
  });
  open(server);
  control_.run_until([this] { return upstream::peer_has_ended(connection_->socket); });
  EXPECT_TRUE(connection_->is_cut_short());
}

TEST_F(Bridged, WhatIsWrittenBeforeACloseArrivesAndTheEndIsAnnounced) {
  std::optional<std::pair<std::string, bool>> read;
  test::TlsServerOnLoopback server(certificate_, [&read](test::TlsPeer& peer) { read = peer.read_to_end(); });
  open(server);
  EXPECT_TRUE(write("last words"));
  connection_.reset();
  wait_until_it_ended();
  server.stop();
  ASSERT_TRUE(read);
  EXPECT_EQ(read->first, "last words");
  EXPECT_TRUE(read->second);
}

TEST_F(Bridged, ACloseEndsAHandshakeThatIsNotAnswered) {
  test::Gate ended;
  test::Server silent([&ended](test::Connection& connection) {
    connection.read_to_end();
    ended.open();
  });
  connect(silent.port());
  control_.run_until([&silent] { return silent.accepted() == 1; });
  connection_.reset();
  wait_until_it_ended();
  ended.pass();
}

TEST_F(Bridged, AStopEndsAHandshakeThatIsNotAnswered) {
  test::Server silent([](test::Connection& connection) { connection.read_to_end(); });
  connect(silent.port());
  control_.run_until([&silent] { return silent.accepted() == 1; });
  stop();
  EXPECT_TRUE(upstream::peer_has_ended(connection_->socket));
}

TEST_F(Bridged, AStopThatComesBeforeItBeganEndsIt) {
  test::Server silent([](test::Connection& connection) { connection.read_to_end(); });
  connection_.emplace(control_.executor());
  ASSERT_FALSE(control_.run(connected(connection_->socket, silent.port())));
  control_.run(begin_and_stop(silent.port()));
  EXPECT_TRUE(upstream::peer_has_ended(connection_->socket));
}

TEST_F(Bridged, AServerThatTakesNothingDoesNotHoldACloseUp) {
  test::Gate gate;
  test::TlsServerOnLoopback server(certificate_, [&gate](test::TlsPeer&) { gate.pass(); });
  open(server);
  std::string const piece(64 * 1024, 'x');
  // Until nothing goes any more: what stands between is bounded.
  std::size_t full = 0;
  control_.run_until([&] { return full = write(piece) ? 0 : full + 1, full > 100; });
  connection_.reset();
  wait_until_it_ended();
  gate.open();
}

TEST_F(Bridged, AServerThatWentAwayTakesNoMoreBytes) {
  test::TlsServerOnLoopback server(certificate_, [](test::TlsPeer& peer) { peer.send("bye"); });
  open(server);
  EXPECT_EQ(control_.run(read(connection_->socket, 10)), "bye");
  control_.run_until([this] { return write_now(connection_->socket.native_handle(), "x").ec == asio::error::broken_pipe; });
}

}  // namespace
}  // namespace nestgate::proxy
