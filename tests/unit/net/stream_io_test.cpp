#include "nestgate/net/stream_io.hpp"

#include <gtest/gtest.h>

#include <boost/asio/local/connect_pair.hpp>

#include "nestgate/net/task_group.hpp"

namespace nestgate {
namespace {

class StreamIo : public testing::Test {
 protected:
  StreamIo() : near_(loop_), far_(loop_) {
    asio::local::connect_pair(near_, far_);
    near_.native_non_blocking(true);
    far_.native_non_blocking(true);
  }
  std::string read_far(std::size_t size) {
    std::string out(size, '\0');
    out.resize(read_now(far_.native_handle(), out.data(), out.size()).bytes);
    return out;
  }
  void fill_near() {
    std::string const piece(64 * 1024, 'x');
    while (!write_now(near_.native_handle(), piece).would_block()) {
    }
  }

  asio::io_context loop_{1};
  UnixSocket near_, far_;
};

TEST_F(StreamIo, WritesTwoPiecesAsOne) {
  auto const done = write_now(near_.native_handle(), "first ", "second");
  EXPECT_FALSE(done.ec);
  EXPECT_EQ(done.bytes, 12u);
  EXPECT_EQ(read_far(64), "first second");
}

TEST_F(StreamIo, ReadTellsNothingYetFromTheEnd) {
  char byte;
  EXPECT_TRUE(read_now(far_.native_handle(), &byte, 1).would_block());
  near_.close();
  auto const end = read_now(far_.native_handle(), &byte, 1);
  EXPECT_EQ(end.ec, asio::error::eof);
  EXPECT_FALSE(end.would_block());
}

TEST_F(StreamIo, APeerIsSeenToEndItsSideOrToGoAlsoBehindBytesThatWait) {
  EXPECT_EQ(look_at_peer(near_.native_handle()), Peer::there);
  write_now(far_.native_handle(), "unread");
  EXPECT_EQ(look_at_peer(near_.native_handle()), Peer::there);
  far_.shutdown(asio::socket_base::shutdown_send);
  EXPECT_EQ(look_at_peer(near_.native_handle()), Peer::ended_its_side);
  far_.close();
  EXPECT_EQ(look_at_peer(near_.native_handle()), Peer::gone);
}

TEST_F(StreamIo, AResetPeerIsGone) {
  TcpAcceptor door(loop_.get_executor(), {asio::ip::address_v4::loopback(), 0});
  TcpSocket client(loop_.get_executor());
  client.connect(door.local_endpoint());
  auto served = door.accept();
  EXPECT_EQ(look_at_peer(served.native_handle()), Peer::there);
  client.set_option(asio::socket_base::linger(true, 0));
  client.close();
  EXPECT_EQ(look_at_peer(served.native_handle()), Peer::gone);
}

TEST_F(StreamIo, AWriteToAPeerThatIsGoneIsAnErrorAndNoSignal) {
  far_.close();
  EXPECT_EQ(write_now(near_.native_handle(), "x").ec, asio::error::broken_pipe);
}

TEST_F(StreamIo, ConsumeDropsFromTheFrontOfBothPieces) {
  std::string_view first = "abc", second = "defg";
  consume(first, second, 2);
  EXPECT_EQ(first, "c");
  EXPECT_EQ(second, "defg");
  consume(first, second, 2);
  EXPECT_EQ(first, "efg");
  EXPECT_EQ(second, "");
  consume(first, second, 3);
  EXPECT_TRUE(first.empty() && second.empty());
}

TEST_F(StreamIo, WriteAtOnceLeavesWhatTheSocketDidNotTake) {
  fill_near();
  read_far(300'000);  // some room, not for all of it
  std::string const big(1'000'000, 'x');
  std::string_view first = "head", second = big;
  error_code ec;
  EXPECT_FALSE(write_at_once(near_, first, second, ec));
  EXPECT_FALSE(ec);
  EXPECT_LT(first.size() + second.size(), 4 + big.size());
}

struct Written {
  error_code ec;
  std::size_t progress = 0;
  bool done = false;
};
Task<> write_both(UnixSocket& to, std::string_view first, std::string_view second, Written& out) {
  out.ec = co_await write_all(to, first, second, [&out](std::size_t n) { out.progress += n; });
  out.done = true;
}

TEST_F(StreamIo, WriteAllWaitsForASlowReaderAndSaysEachStep) {
  std::string const first(300'000, 'a'), second(700'000, 'b');
  Written written;
  TaskGroup group(loop_.get_executor());
  group.spawn("write", write_both(near_, first, second, written));
  std::string got;
  while (!written.done) {
    loop_.poll();
    loop_.restart();
    got += read_far(50'000);
  }
  while (got.size() < first.size() + second.size()) got += read_far(1'000'000);
  EXPECT_FALSE(written.ec);
  EXPECT_EQ(written.progress, first.size() + second.size());
  EXPECT_EQ(got, first + second);
  loop_.poll();
}

TEST_F(StreamIo, WriteAllEndsWithTheErrorOfAReaderThatGoes) {
  std::string const bytes(10'000'000, 'a');
  Written written;
  TaskGroup group(loop_.get_executor());
  group.spawn("write", write_both(near_, bytes, {}, written));
  loop_.poll();
  EXPECT_FALSE(written.done);
  far_.close();
  loop_.restart();
  loop_.run();
  EXPECT_TRUE(written.done);
  EXPECT_TRUE(written.ec);
}

TEST_F(StreamIo, WriteAllOfNothingIsDone) {
  Written written;
  TaskGroup group(loop_.get_executor());
  group.spawn("write", write_both(near_, {}, {}, written));
  loop_.run();
  EXPECT_TRUE(written.done);
  EXPECT_FALSE(written.ec);
}

}  // namespace
}  // namespace nestgate
