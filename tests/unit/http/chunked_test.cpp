#include "nestgate/http/chunked.hpp"

#include <gtest/gtest.h>

#include <string>

namespace nestgate::http {
namespace {

constexpr ChunkLimits limits{64, 64};

struct Outcome {
  Refusal why = Refusal::none;
  std::size_t consumed = 0;
  std::string payload;
  bool done = false;
};

// Feeds `body` in pieces of `piece` bytes.
Outcome scan_by(std::size_t piece, std::string_view body, ChunkLimits with = limits) {
  ChunkScanner chunks(with);
  Outcome out;
  while (out.consumed < body.size() && !chunks.done() && out.why == Refusal::none) {
    auto const step = chunks.feed(body.substr(out.consumed, piece), [&](std::string_view part) { out.payload += part; });
    out.consumed += step.consumed;
    out.why = step.why;
  }
  out.done = chunks.done();
  return out;
}

TEST(ChunkScanner, GivesThePayloadAndLeavesWhatIsBehindTheBody) {
  std::string const body = "5\r\nhello\r\nC;a=b\r\n world\r\n!!!!\r\n0\r\nX-A: b\r\n\r\n";
  for (std::size_t piece = 1; piece < body.size() + 9; ++piece) {
    auto const out = scan_by(piece, body + "GET / HTT");
    EXPECT_TRUE(out.done);
    EXPECT_EQ(out.why, Refusal::none);
    EXPECT_EQ(out.payload, "hello world\r\n!!!!");
    EXPECT_EQ(out.consumed, body.size());
  }
}

TEST(ChunkScanner, IsNotDoneBeforeTheLastByte) {
  std::string const body = "1\r\na\r\n0\r\nX: y\r\n\r\n";
  for (std::size_t n = 0; n < body.size(); ++n) EXPECT_FALSE(scan_by(1000, std::string_view(body).substr(0, n)).done) << n;
}

TEST(ChunkScanner, PassesALargeChunkThroughInOneStep) {
  ChunkScanner chunks(limits);
  EXPECT_EQ(chunks.feed("100000\r\n").consumed, 8u);
  std::string const half(0x80000, 'x');
  for (int i = 0; i < 2; ++i) {
    int parts = 0;
    EXPECT_EQ(chunks.feed(half, [&](std::string_view) { ++parts; }).consumed, half.size());
    EXPECT_EQ(parts, 1);
  }
  EXPECT_EQ(chunks.feed("\r\n0\r\n\r\n").why, Refusal::none);
  EXPECT_TRUE(chunks.done());
}

TEST(ChunkScanner, CountsTheLargestSizeAndNotOneDigitMore) {
  EXPECT_EQ(scan_by(1, "ffffffffffffffff\r\nab").payload, "ab");
  EXPECT_EQ(scan_by(1, "0ffffffffffffffff\r\nab").why, Refusal::bad_chunk_size);
}

TEST(ChunkScanner, StaysRefused) {
  ChunkScanner chunks(limits);
  EXPECT_EQ(chunks.feed("zz").why, Refusal::bad_chunk_size);
  auto const again = chunks.feed("0\r\n\r\n");
  EXPECT_EQ(again.why, Refusal::bad_chunk_size);
  EXPECT_EQ(again.consumed, 0u);
  EXPECT_FALSE(chunks.done());
}

TEST(ChunkScanner, CountsExtensionsOverTheWholeMessage) {
  auto const out = scan_by(7, "1;aaa\r\nx\r\n1;aaa\r\nx\r\n0\r\n\r\n", {10, 64});
  EXPECT_TRUE(out.done);
  EXPECT_EQ(scan_by(7, "1;aaa\r\nx\r\n1;aaa\r\nx\r\n0\r\n\r\n", {9, 64}).why, Refusal::bad_chunk_extension);
}

TEST(ChunkScanner, CountsTrailers) {
  EXPECT_TRUE(scan_by(7, "0\r\nX: y\r\n\r\n", {64, 5}).done);
  EXPECT_EQ(scan_by(7, "0\r\nX: y\r\n\r\n", {64, 4}).why, Refusal::trailer_too_large);
}

TEST(ChunkScanner, RefusesATrailerByItsNameInAnyCaseAndPiece) {
  for (std::size_t piece : {1u, 3u, 100u}) {
    EXPECT_EQ(scan_by(piece, "0\r\nX: y\r\ncOnTeNt-LeNgTh: 3\r\n\r\n").why, Refusal::bad_trailer);
    EXPECT_EQ(scan_by(piece, "0\r\nX_Session_Api_Key: 3\r\n\r\n").why, Refusal::bad_trailer);
    EXPECT_EQ(scan_by(piece, "0\r\nX-Forwarded-Anything: 3\r\n\r\n").why, Refusal::bad_trailer);
    EXPECT_TRUE(scan_by(piece, "0\r\nServer-Timing: 3\r\n\r\n").done);
  }
}

TEST(ChunkScanner, TakesATrailerNameLongerThanAnyThatIsRefused) {
  EXPECT_TRUE(scan_by(1, "0\r\n" + std::string(50, 'n') + ": v\r\n\r\n").done);
}

}  // namespace
}  // namespace nestgate::http
