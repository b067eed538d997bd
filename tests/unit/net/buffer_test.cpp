#include "nestgate/net/buffer.hpp"

#include <gtest/gtest.h>

#include <string>

namespace nestgate {
namespace {

void fill(ReadBuffer& buffer, std::string_view bytes, std::size_t bytes_max = 0) {
  char* const space = buffer.space(bytes_max);
  ASSERT_GE(buffer.space_bytes(), bytes.size());
  std::copy(bytes.begin(), bytes.end(), space);
  buffer.filled(bytes.size());
}

TEST(BlockPool, HandsOutAgainWhatItWasGivenAndKeepsNoMoreThanItsLimit) {
  BlockPool pool(64, 1);
  auto first = pool.take(), second = pool.take();
  auto* const kept = first.get();
  pool.give(std::move(first));
  pool.give(std::move(second));
  EXPECT_EQ(pool.take().get(), kept);
}

TEST(ReadBuffer, HoldsNoBlockUntilSpaceIsAskedFor) {
  BlockPool pool(64, 4);
  ReadBuffer const buffer(pool);
  EXPECT_TRUE(buffer.empty());
  EXPECT_EQ(buffer.space_bytes(), 0u);
  EXPECT_EQ(buffer.view(), "");
}

TEST(ReadBuffer, GivesItsBlockBackWhenReleased) {
  BlockPool pool(64, 4);
  ReadBuffer one(pool), other(pool);
  char const* const block = one.space(0);
  one.release();
  EXPECT_EQ(other.space(0), block);
}

TEST(ReadBuffer, StartsAtTheFrontAgainOnceAllIsConsumed) {
  BlockPool pool(8, 4);
  ReadBuffer buffer(pool);
  fill(buffer, "abcdefg");
  buffer.consume(3);
  EXPECT_EQ(buffer.view(), "defg");
  buffer.consume(4);
  EXPECT_TRUE(buffer.empty());
  buffer.space(0);
  EXPECT_EQ(buffer.space_bytes(), 8u);
}

TEST(ReadBuffer, MovesWhatIsLeftToMakeSpace) {
  BlockPool pool(8, 4);
  ReadBuffer buffer(pool);
  fill(buffer, "abcdefgh");
  buffer.consume(6);
  fill(buffer, "ijklmn");
  EXPECT_EQ(buffer.view(), "ghijklmn");
}

TEST(ReadBuffer, GrowsUpToItsLimitAndKeepsEveryByte) {
  BlockPool pool(8, 4);
  ReadBuffer buffer(pool);
  std::string all;
  while (buffer.space(20), buffer.space_bytes() > 0) {
    fill(buffer, "x", 20);
    all += 'x';
  }
  EXPECT_EQ(buffer.size(), 20u);
  EXPECT_EQ(buffer.view(), all);
}

TEST(ReadBuffer, ABlockThatGrewIsNotGivenToThePool) {
  BlockPool pool(8, 4);
  {
    ReadBuffer buffer(pool);
    fill(buffer, "abcdefgh");
    fill(buffer, "ij", 100);
  }
  ReadBuffer next(pool);
  next.space(0);
  EXPECT_EQ(next.space_bytes(), 8u);
}

}  // namespace
}  // namespace nestgate
