#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>

#include "support/scripted.hpp"
#include "support/websocket.hpp"

namespace nestgate::test {
namespace {

class UnixListener : public testing::Test {
 protected:
  UnixListener() {
    auto name = (std::filesystem::temp_directory_path() / "nestgate-unix-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~UnixListener() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path path() const { return folder_ / "gateway.sock"; }
  // As a gateway that was killed leaves it.
  void leave_a_socket() const {
    asio::io_context loop;
    UnixAcceptor(loop.get_executor(), asio::local::stream_protocol::endpoint(path().string()));
  }

  std::filesystem::path folder_;
};

TEST_F(UnixListener, ServesRequestsAndWebsocketsOnEveryCore) {
  ScriptedServer server;
  Gateway gateway(default_config(), 2);
  ASSERT_TRUE(gateway.cores().listen_unix(path()));
  gateway.start();
  gateway.add("c1", server.port());
  for (int i = 0; i < 10; ++i) {
    auto client = Connection::to_unix(path());
    client.send("GET /health HTTP/1.1\r\nHost: g\r\n\r\n");
    EXPECT_EQ(read_answer(client).status, 200u);
  }
  auto client = Connection::to_unix(path());
  client.send(upgrade_request("/sockets/events/c1", key_field("c1")));
  auto nested = server.next();
  EXPECT_EQ(read_request(nested).value("x-forwarded-for"), "127.0.0.1");
  nested.send(switching_protocols() + from_server(text_opcode, "state"));
  EXPECT_EQ(read_answer(client, WithBody::no).status, 101u);
  EXPECT_EQ(read_frame(client)->payload, "state");
  auto const up = from_client(text_opcode, "hello");
  client.send(up);
  EXPECT_EQ(nested.read_exactly(up.size()), up);
}

TEST_F(UnixListener, ItsPeersAreNotCountedAsOneAddress) {
  auto config = default_config();
  config.limits.upgrades_per_address_per_second_max = 1;
  Gateway gateway(std::move(config));
  ASSERT_TRUE(gateway.cores().listen_unix(path()));
  gateway.start();
  for (int i = 0; i < 5; ++i) {
    auto client = Connection::to_unix(path());
    client.send(upgrade_request("/sockets/bash-events"));
    EXPECT_EQ(read_answer(client).status, 101u);
  }
}

TEST_F(UnixListener, HoldsBackABigDownloadAsOverTcp) {
  Server server([](Connection& connection) {
    read_request(connection);
    connection.send(ok_answer(std::string(20'000'000, 'x')));
  });
  Gateway gateway;
  ASSERT_TRUE(gateway.cores().listen_unix(path()));
  gateway.start();
  gateway.add("c1", server.port());
  auto client = Connection::to_unix(path());
  client.send("GET /api/file/download HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
  EXPECT_EQ(read_answer(client).body, std::string(20'000'000, 'x'));
}

TEST_F(UnixListener, TakesOverASocketThatIsLeftOverAndRemovesItsOwnAtTheEnd) {
  leave_a_socket();
  Gateway gateway;
  ASSERT_TRUE(gateway.cores().listen_unix(path()));
  gateway.start();
  auto client = Connection::to_unix(path());
  client.send("GET /health HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(read_answer(client).status, 200u);
  gateway.stop(std::chrono::seconds(0));
  EXPECT_FALSE(std::filesystem::exists(path()));
}

TEST_F(UnixListener, LeavesEveryFileThatIsNoSocketAlone) {
  auto const target = folder_ / "target";
  std::ofstream(target) << "precious";
  auto const link = folder_ / "link", folder = folder_ / "folder";
  std::filesystem::create_symlink(target, link);
  std::filesystem::create_directory(folder);
  Gateway gateway;
  gateway.start();
  for (auto const& taken : {target, link, folder}) {
    auto const listening = gateway.cores().listen_unix(taken);
    ASSERT_FALSE(listening) << taken;
    EXPECT_EQ(listening.error().cause, boost::system::errc::file_exists) << taken;
    EXPECT_TRUE(std::filesystem::exists(std::filesystem::symlink_status(taken))) << taken;
  }
  std::string content;
  std::getline(std::ifstream(target), content);
  EXPECT_EQ(content, "precious");
}

TEST_F(UnixListener, OfOneThatEndsIsLeftToItsSuccessor) {
  Gateway first, second;
  ASSERT_TRUE(first.cores().listen_unix(path()));
  first.start();
  Mailbox<int> asked, go;
  Server nested([&](Connection& connection) {
    read_request(connection);
    asked.put(1);
    go.take();
    connection.send(ok_answer("done"));
  });
  first.add("c1", nested.port());
  auto client = Connection::to_unix(path());
  client.send(get_by_key());
  asked.take();
  auto idle = Connection::to_unix(path());
  idle.send("GET /health HTTP/1.1\r\nHost: g\r\n\r\n");
  EXPECT_EQ(read_answer(idle).status, 200u);
  std::jthread stopping([&] { first.stop(std::chrono::seconds(60)); });
  EXPECT_EQ(idle.read_to_end(), "") << "it drains";
  ASSERT_TRUE(second.cores().listen_unix(path()));
  second.start();
  go.put(1);
  EXPECT_EQ(read_answer(client).body, "done");
  stopping.join();
  auto next = Connection::to_unix(path());
  next.send("GET /health HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(read_answer(next).status, 200u);
}

TEST_F(UnixListener, ASocketThatAnswersBelongsToSomebodyElse) {
  Gateway first;
  ASSERT_TRUE(first.cores().listen_unix(path()));
  first.start();
  Gateway second;
  auto const listening = second.cores().listen_unix(path());
  ASSERT_FALSE(listening);
  EXPECT_EQ(listening.error().cause, asio::error::address_in_use);
  second.start();
  auto client = Connection::to_unix(path());
  client.send("GET /health HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n");
  EXPECT_EQ(read_answer(client).status, 200u) << "and stays theirs";
}

TEST_F(UnixListener, AFolderThatIsNotThereIsAFault) {
  Gateway gateway;
  auto const listening = gateway.cores().listen_unix(folder_ / "missing" / "gateway.sock");
  ASSERT_FALSE(listening);
  EXPECT_EQ(listening.error().kind, FaultKind::bad_input);
  gateway.start();
}

}  // namespace
}  // namespace nestgate::test
