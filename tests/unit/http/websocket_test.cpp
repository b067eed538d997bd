#include "nestgate/http/websocket.hpp"

#include <gtest/gtest.h>

#include <string>

namespace nestgate::http {
namespace {

using namespace std::string_literals;

constexpr std::array<unsigned char, 4> mask = {1, 2, 3, 4};

std::string masked(Opcode opcode, std::string_view payload) {
  std::string out;
  append_masked_frame(out, opcode, payload, mask);
  return out;
}

std::string plain(Opcode opcode, std::string_view payload) {
  std::string out;
  append_frame(out, opcode, payload);
  return out;
}

std::string without_fin(std::string frame) {
  frame[0] = static_cast<char>(frame[0] & 0x7f);
  return frame;
}

TEST(Frames, HaveTheShortestLengthThatFits) {
  EXPECT_EQ(plain(Opcode::text, "Hello"), "\x81\x05Hello");
  EXPECT_EQ(plain(Opcode::ping, ""), "\x89\x00"s);
  EXPECT_EQ(plain(Opcode::binary, std::string(125, 'a')).substr(0, 2), "\x82\x7d");
  EXPECT_EQ(plain(Opcode::binary, std::string(126, 'a')).substr(0, 4), "\x82\x7e\x00\x7e"s);
  EXPECT_EQ(plain(Opcode::binary, std::string(65535, 'a')).substr(0, 4), "\x82\x7e\xff\xff"s);
  EXPECT_EQ(plain(Opcode::binary, std::string(65536, 'a')).substr(0, 10), "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00"s);
}

TEST(Frames, AreMaskedAsInTheRfcsExample) {
  std::string out;
  append_masked_frame(out, Opcode::text, "Hello", {0x37, 0xfa, 0x21, 0x3d});
  EXPECT_EQ(out, "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58");
}

TEST(FrameScanner, CountsDataFramesHoweverTheyAreCut) {
  std::string const bytes = plain(Opcode::text, std::string(300, 'a')) + plain(Opcode::ping, "x") +
                            plain(Opcode::binary, std::string(70000, 'b')) + plain(Opcode::pong, "") +
                            plain(Opcode::close, close_payload(1012, "bye"));
  for (std::size_t piece : {1u, 2u, 3u, 7u, 1000u, 100000u}) {
    FrameScanner scanner(Masked::no);
    for (std::size_t at = 0; at < bytes.size(); at += piece)
      ASSERT_TRUE(scanner.feed(std::string_view(bytes).substr(at, piece)));
    EXPECT_EQ(scanner.data_frames(), 2u);
    EXPECT_TRUE(scanner.closed());
    EXPECT_TRUE(scanner.at_boundary());
  }
}

TEST(FrameScanner, CountsLongFramesApartHoweverTheyAreCut) {
  std::string const bytes = masked(Opcode::text, "12345678") + masked(Opcode::ping, "123456789") +
                            masked(Opcode::text, "123456789") + masked(Opcode::binary, std::string(70000, 'b')) +
                            masked(Opcode::text, "");
  for (std::size_t piece : {1u, 3u, 100000u}) {
    FrameScanner scanner(Masked::yes, 8);
    for (std::size_t at = 0; at < bytes.size(); at += piece)
      ASSERT_TRUE(scanner.feed(std::string_view(bytes).substr(at, piece)));
    EXPECT_EQ(scanner.data_frames(), 4u);
    EXPECT_EQ(scanner.long_frames(), 2u);
  }
}

TEST(FrameScanner, KnowsWhetherAMessageHasBegun) {
  FrameScanner scanner(Masked::no);
  EXPECT_FALSE(scanner.in_message());
  scanner.feed("\x01\x01z"s);
  EXPECT_TRUE(scanner.in_message() && scanner.at_boundary());
  scanner.feed(plain(Opcode::ping, "x"));
  EXPECT_TRUE(scanner.in_message()) << "a ping stands between the fragments";
  scanner.feed("\x80\x00"s);
  EXPECT_FALSE(scanner.in_message());
}

TEST(FrameScanner, IsAtABoundaryOnlyBetweenFrames) {
  std::string const frame = masked(Opcode::text, "hello");
  FrameScanner scanner(Masked::yes);
  EXPECT_TRUE(scanner.at_boundary());
  for (std::size_t i = 0; i + 1 < frame.size(); ++i) {
    ASSERT_TRUE(scanner.feed(std::string_view(frame).substr(i, 1)));
    EXPECT_FALSE(scanner.at_boundary()) << i;
  }
  scanner.feed(std::string_view(frame).substr(frame.size() - 1));
  EXPECT_TRUE(scanner.at_boundary());
}

TEST(FrameScanner, SaysHowMuchMayPassToTheNextBoundary) {
  std::string const first = plain(Opcode::text, std::string(200, 'a'));
  std::string const both = first + plain(Opcode::text, "b");
  FrameScanner scanner(Masked::no);
  EXPECT_EQ(scanner.to_boundary(both), first.size());
  for (std::size_t at : {1u, 2u, 3u, 4u, 100u}) {
    FrameScanner inside(Masked::no);
    inside.feed(std::string_view(both).substr(0, at));
    EXPECT_EQ(inside.to_boundary(std::string_view(both).substr(at)), first.size() - at) << at;
    EXPECT_EQ(inside.to_boundary(std::string_view(first).substr(at, 1)), 1u);
  }
}

TEST(FrameScanner, RefusesWhatIsNoFrameAndStaysSo) {
  auto refused = [](std::string bytes, Masked expected = Masked::no) {
    FrameScanner scanner(expected);
    bool const taken = scanner.feed(bytes);
    EXPECT_EQ(scanner.feed(plain(Opcode::text, "")), taken);
    return !taken;
  };
  EXPECT_TRUE(refused("\x83\x00"s)) << "reserved opcode";
  EXPECT_TRUE(refused("\x8b\x00"s)) << "reserved control opcode";
  EXPECT_TRUE(refused("\x09\x00"s)) << "fragmented ping";
  EXPECT_TRUE(refused("\x89\x7e\x00\x7e"s)) << "long ping";
  EXPECT_TRUE(refused("\x82\x7f\x80\x00\x00\x00\x00\x00\x00\x00"s)) << "length with the top bit";
  EXPECT_TRUE(refused("\x81\x85"s)) << "a server that masks";
  EXPECT_TRUE(refused("\x81\x05"s, Masked::yes)) << "a client that does not";
}

TEST(FrameScanner, PassesBitsOfExtensionsAndFragments) {
  FrameScanner scanner(Masked::no);
  EXPECT_TRUE(scanner.feed("\x41\x01z\x00\x01z\x80\x00"s));
  EXPECT_EQ(scanner.data_frames(), 3u);
  EXPECT_TRUE(scanner.at_boundary());
}

TEST(ClosePayload, CutsAReasonAtACharactersStart) {
  EXPECT_EQ(close_payload(4001, "no"), "\x0f\xa1no");
  EXPECT_EQ(close_payload(1000, std::string(200, 'a')).size(), 125u);
  std::string const reason = std::string(122, 'a') + "\xc3\xa9";
  EXPECT_EQ(close_payload(1000, reason).size(), 2u + 122u);
}

struct First {
  FirstMessage::State state = FirstMessage::State::incomplete;
  std::size_t consumed = 0;
  std::string text;
  std::string pongs;
};

First feed_by(std::size_t piece, std::string_view bytes, std::uint32_t max = 1000) {
  FirstMessage message(max);
  First out;
  while (out.consumed < bytes.size() && out.state == FirstMessage::State::incomplete) {
    std::size_t consumed = 0;
    out.state = message.feed(bytes.substr(out.consumed, piece), consumed);
    out.consumed += consumed;
  }
  out.text = message.text();
  out.pongs = message.pongs();
  return out;
}

TEST(FirstMessage, IsPutTogetherFromFragmentsWithPingsBetween) {
  std::string const bytes = masked(Opcode::ping, "p1") + without_fin(masked(Opcode::text, "{\"type\"")) +
                            masked(Opcode::pong, "") + masked(Opcode::ping, "p2") +
                            without_fin(masked(Opcode::continuation, "")) + masked(Opcode::continuation, ":1}");
  std::string const next = masked(Opcode::text, "next");
  for (std::size_t piece = 1; piece <= bytes.size() + next.size(); ++piece) {
    auto const out = feed_by(piece, bytes + next);
    EXPECT_EQ(out.state, FirstMessage::State::text);
    EXPECT_EQ(out.text, "{\"type\":1}");
    EXPECT_EQ(out.consumed, bytes.size());
    EXPECT_EQ(out.pongs, plain(Opcode::pong, "p1") + plain(Opcode::pong, "p2"));
  }
}

TEST(FirstMessage, MayBeEmpty) { EXPECT_EQ(feed_by(1, masked(Opcode::text, "")).state, FirstMessage::State::text); }

TEST(FirstMessage, EndsForWhatIsNotText) {
  EXPECT_EQ(feed_by(1, masked(Opcode::binary, "x")).state, FirstMessage::State::not_text);
  EXPECT_EQ(feed_by(1, masked(Opcode::close, close_payload(1000, ""))).state, FirstMessage::State::closed);
  EXPECT_EQ(feed_by(1, plain(Opcode::text, "x")).state, FirstMessage::State::broken);
  EXPECT_EQ(feed_by(1, masked(Opcode::continuation, "x")).state, FirstMessage::State::broken);
  EXPECT_EQ(feed_by(1, without_fin(masked(Opcode::text, "x")) + masked(Opcode::text, "x")).state,
            FirstMessage::State::broken);
  std::string deflated = masked(Opcode::text, "x");
  deflated[0] = static_cast<char>(deflated[0] | 0x40);
  EXPECT_EQ(feed_by(1, deflated).state, FirstMessage::State::broken);
}

TEST(FirstMessage, HasALimitOverItsFragments) {
  EXPECT_EQ(feed_by(100, masked(Opcode::text, std::string(1000, 'a'))).state, FirstMessage::State::text);
  EXPECT_EQ(feed_by(100, masked(Opcode::text, std::string(1001, 'a'))).state, FirstMessage::State::too_large);
  EXPECT_EQ(feed_by(100, without_fin(masked(Opcode::text, std::string(900, 'a'))) +
                             masked(Opcode::continuation, std::string(101, 'a')))
                .state,
            FirstMessage::State::too_large);
}

TEST(FirstMessage, HasALimitForPingsToo) {
  std::string pings;
  for (int i = 0; i < 20; ++i) pings += masked(Opcode::ping, std::string(100, 'p'));
  auto const out = feed_by(64, pings);
  EXPECT_EQ(out.state, FirstMessage::State::too_large);
  EXPECT_LE(out.pongs.size(), 1000u);
}

TEST(WebsocketAccept, IsTheRfcsExample) {
  EXPECT_EQ(websocket_accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

TEST(WebsocketKey, IsSixteenBytesInBase64) {
  EXPECT_TRUE(is_websocket_key("dGhlIHNhbXBsZSBub25jZQ=="));
  EXPECT_TRUE(is_websocket_key("AQIDBAUGBwgJCgsMDQ4PEC=="));
  EXPECT_FALSE(is_websocket_key("dGhlIHNhbXBsZSBub25jZQ="));
  EXPECT_FALSE(is_websocket_key("dGhlIHNhbXBsZSBub25jZQ=A"));
  EXPECT_FALSE(is_websocket_key("dGhlIHNhbXBsZSBub25j-Q=="));
  EXPECT_FALSE(is_websocket_key(""));
}

}  // namespace
}  // namespace nestgate::http
