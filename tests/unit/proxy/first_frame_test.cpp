#include <gtest/gtest.h>

#include "support/websocket.hpp"

namespace nestgate::test {
namespace {

using namespace std::chrono_literals;

class FirstFrame : public testing::Test {
 protected:
  void start(proxy::Config config = default_config()) {
    gateway_.emplace(std::move(config));
    gateway_->start();
    gateway_->add("c1", server_.port());
  }
  Connection open(std::string_view target = "/sockets/bash-events", std::string_view fields = {}) {
    return open_unnamed(*gateway_, target, fields);
  }
  // The nested server's end: its handshake and the repeated first frame.
  struct Joined {
    Connection connection;
    Request request;
    Frame first;
  };
  Joined join() {
    auto nested = server_.next();
    auto request = read_request(nested);
    nested.send(switching_protocols());
    auto first = read_frame(nested);
    if (!first) throw std::runtime_error("no first frame came");
    return {std::move(nested), std::move(request), *first};
  }
  static std::uint16_t close_code(Connection& client) {
    auto const frame = read_frame(client);
    return frame && frame->opcode == close_opcode ? frame->code() : std::uint16_t{0};
  }

  ScriptedServer server_;
  std::optional<Gateway> gateway_;
};

TEST_F(FirstFrame, NamesTheServerOfASocketThatNamesNone) {
  start();
  std::size_t served = 0;
  for (std::string const& target : std::vector<std::string>{"/sockets/bash-events", "/sockets/events/c1",
                                                            "/sockets/events/learnt-nowhere?resend_mode=all"}) {
    auto client = open(target);
    EXPECT_EQ(server_.accepted(), served++) << "nothing goes upstream before the key is known";
    auto const message = auth_message(session_key_of("c1"));
    client.send(from_client(text_opcode, message));
    auto nested = join();
    EXPECT_EQ(nested.request.line(), "GET " + target + " HTTP/1.1");
    EXPECT_TRUE(nested.request.value("x-session-api-key").empty());
    EXPECT_EQ(nested.first.opcode, text_opcode);
    EXPECT_EQ(nested.first.payload, message);
    EXPECT_NE(static_cast<unsigned char>(nested.first.wire[1]) & 0x80, 0) << "masked, as a client's must be";
    nested.connection.send(from_server(text_opcode, "state"));
    EXPECT_EQ(read_frame(client)->payload, "state");
    auto const next = from_client(text_opcode, "hello");
    client.send(next);
    EXPECT_EQ(nested.connection.read_exactly(next.size()), next);
  }
}

TEST_F(FirstFrame, IsRepeatedWithAnotherMaskEachTime) {
  start();
  std::vector<std::string> wires;
  for (int i = 0; i < 2; ++i) {
    auto client = open();
    client.send(from_client(text_opcode, auth_message(session_key_of("c1"))));
    wires.push_back(join().first.wire);
  }
  EXPECT_NE(wires[0], wires[1]) << "RFC 6455 section 5.3";
}

TEST_F(FirstFrame, IsAcceptedWithoutExtensionsAndJoinedWithout) {
  start();
  auto client = gateway_->connect();
  client.send(
      upgrade_request("/sockets/events/c1", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"));
  auto const answer = read_answer(client, WithBody::no);
  EXPECT_EQ(answer.status, 101u);
  EXPECT_EQ(answer.value("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
  EXPECT_TRUE(answer.value("sec-websocket-extensions").empty());
  client.send(from_client(text_opcode, auth_message(session_key_of("c1"))));
  EXPECT_TRUE(join().request.value("sec-websocket-extensions").empty());
}

TEST_F(FirstFrame, MayComeInFragmentsWithPingsBetweenThatAreAnswered) {
  start();
  auto client = open();
  client.send(from_client(ping_opcode, "first"));
  auto pong = read_frame(client);
  ASSERT_TRUE(pong);
  EXPECT_EQ(pong->opcode, pong_opcode);
  EXPECT_EQ(pong->payload, "first");
  auto const message = auth_message(session_key_of("c1"));
  client.send(frame_with(0x01, message.substr(0, 10), http::Masked::yes));
  client.send(from_client(ping_opcode, "second"));
  EXPECT_EQ(read_frame(client)->payload, "second");
  client.send(frame_with(0x00, message.substr(10, 5), http::Masked::yes) +
              frame_with(0x80, message.substr(15), http::Masked::yes));
  auto nested = join();
  EXPECT_EQ(nested.first.payload, message);
  EXPECT_TRUE(nested.first.fin);
}

TEST_F(FirstFrame, MayComeRightBehindTheHeadAndWhatFollowsItFollowsIt) {
  start();
  auto client = gateway_->connect();
  auto const message = auth_message(session_key_of("c1"));
  auto const behind = from_client(text_opcode, "run") + from_client(ping_opcode, "");
  client.send(upgrade_request("/sockets/bash-events") + from_client(text_opcode, message) + behind);
  auto nested = join();
  EXPECT_EQ(nested.first.payload, message);
  EXPECT_EQ(nested.connection.read_exactly(behind.size()), behind);
  EXPECT_EQ(read_answer(client, WithBody::no).status, 101u);
}

TEST_F(FirstFrame, CarriesTheRuntimesOwnKeyWhereTheClientsIsAnotherThatFits) {
  start();
  auto record = std::make_shared<conversation::RuntimeRecord>(
      conversation::RuntimeRecord{*ConversationId::parse("c2"),
                                  Epoch(1),
                                  conversation::RuntimeState::running,
                                  "alice",
                                  asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), server_.port()),
                                  Secret(std::string("old-key-of-the-runtime")),
                                  {},
                                  {}});
  record->accepted_keys.emplace_back(std::string("old-key-of-the-runtime"));
  record->accepted_keys.emplace_back(std::string("new-key-of-the-client"));
  gateway_->run(gateway_->cores().publish(record));
  auto client = open();
  client.send(from_client(text_opcode, auth_message("new-key-of-the-client")));
  EXPECT_EQ(join().first.payload, auth_message("old-key-of-the-runtime"));
}

TEST_F(FirstFrame, BehindARoutingPrefixGoesUpstreamWithoutIt) {
  start();
  auto client = open("/runtime/c1/sockets/bash-events?x=1");
  client.send(from_client(text_opcode, auth_message(session_key_of("c1"))));
  auto const nested = join();
  EXPECT_EQ(nested.request.line(), "GET /sockets/bash-events?x=1 HTTP/1.1");
  EXPECT_EQ(nested.request.value("x-forwarded-prefix"), "/runtime/c1");
}

TEST_F(FirstFrame, ThatIsNoRightOneIsClosedWith4001AndReachesNobody) {
  auto config = default_config();
  config.limits.upgrades_per_key_per_second_max = 100;
  start(std::move(config));
  auto const key = session_key_of("c1");
  for (std::string const& message :
       std::vector<std::string>{auth_message("wrong"), auth_message(""), "", "no json", "[]", "\"auth\"",
                                R"({"type":"auth"})", R"({"type":"hello","session_api_key":")" + key + "\"}",
                                R"({"session_api_key":")" + key + "\"}", R"({"type":"auth","session_api_key":7})"}) {
    auto client = open("/sockets/events/c1");
    client.send(from_client(text_opcode, message));
    auto const frame = read_frame(client);
    ASSERT_TRUE(frame) << message;
    EXPECT_EQ(frame->opcode, close_opcode) << message;
    EXPECT_EQ(frame->code(), 4001) << message;
    EXPECT_EQ(frame->reason(), "Authentication failed");
  }
  EXPECT_EQ(server_.accepted(), 0u);
}

TEST_F(FirstFrame, ThatIsBinaryDeflatedUnmaskedOrTooLargeIsClosedAndReachesNobody) {
  auto config = default_config();
  config.limits.upgrades_per_key_per_second_max = 100;
  start(std::move(config));
  auto const message = auth_message(session_key_of("c1"));
  auto const too_large = from_client(text_opcode, message + std::string(64 * 1024, ' '));
  for (auto const& bytes : {from_client(binary_opcode, message), frame_with(0xc1, message, http::Masked::yes),
                            from_server(text_opcode, message), too_large, from_client(continuation_opcode, message),
                            frame_with(0x01, std::string(40'000, ' '), http::Masked::yes) +
                                frame_with(0x80, std::string(40'000, ' '), http::Masked::yes)}) {
    auto client = open();
    client.send(bytes);
    EXPECT_EQ(close_code(client), 4001);
  }
  EXPECT_EQ(server_.accepted(), 0u);
}

TEST_F(FirstFrame, OfExactlyTheLimitPasses) {
  start();
  auto client = open();
  auto const message = auth_message(session_key_of("c1"));
  auto const largest = message + std::string(64 * 1024 - message.size(), ' ');
  client.send(from_client(text_opcode, largest));
  EXPECT_EQ(join().first.payload, largest);
}

TEST_F(FirstFrame, ThatDoesNotComeInTimeIsClosedWith4001AlsoWhenPingsCome) {
  auto config = default_config();
  config.timeouts.first_frame = 100ms;
  start(std::move(config));
  auto silent = open();
  EXPECT_EQ(close_code(silent), 4001);
  auto busy = open();
  std::optional<Frame> frame;
  do {
    busy.send(from_client(ping_opcode, "still here"));
    frame = read_frame(busy);
  } while (frame && frame->opcode == pong_opcode);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->code(), 4001);
}

TEST_F(FirstFrame, OfAClientThatClosesInsteadReachesNobody) {
  start();
  auto polite = open();
  polite.send(from_client(close_opcode, closing(1001, "")));
  EXPECT_EQ(close_code(polite), 4001);
  auto gone = open();
  gone.close();
  EXPECT_TRUE(eventually([&] { return gateway_->stats().connections_open.read() <= 1; }));
  EXPECT_EQ(server_.accepted(), 0u);
}

TEST_F(FirstFrame, ForARuntimeThatIsNotThereIsToldToComeBackWith1013) {
  start();
  auto unreachable = [] {
    ScriptedServer closed;
    return closed.port();
  }();
  gateway_->add("c2", unreachable);
  gateway_->add("c3", server_.port(), "alice", conversation::RuntimeState::starting);
  for (std::string const id : {"c2", "c3"}) {
    auto client = open();
    client.send(from_client(text_opcode, auth_message(session_key_of(id))));
    EXPECT_EQ(close_code(client), 1013) << id;
  }
}

TEST_F(FirstFrame, ThatTheServerRefusesIsClosedByWhatItSaid) {
  auto config = default_config();
  config.limits.upgrades_per_key_per_second_max = 100;
  start(std::move(config));
  struct Refusal {
    std::string answer;
    std::uint16_t code;
  };
  for (auto const& refusal : {Refusal{"HTTP/1.1 403 \r\ncontent-length: 0\r\n\r\n", 4001},
                              Refusal{"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", 4001},
                              Refusal{"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}", 4004},
                              Refusal{"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", 1013},
                              Refusal{"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 1013},
                              Refusal{"garbage\r\n\r\n", 1013}, Refusal{"", 1013}}) {
    auto client = open();
    client.send(from_client(text_opcode, auth_message(session_key_of("c1"))));
    auto nested = server_.next();
    read_request(nested);
    nested.send(refusal.answer);
    if (refusal.answer.empty()) nested.close();
    EXPECT_EQ(close_code(client), refusal.code) << refusal.answer;
    if (nested.fd() >= 0) {
      EXPECT_EQ(nested.read_to_end(), "");
    }
  }
}

TEST_F(FirstFrame, AServersOwnRefusalOfTheKeyPassesVerbatim) {
  start();
  auto client = open("/sockets/events/c1");
  client.send(from_client(text_opcode, auth_message(session_key_of("c1"))));
  auto nested = join();
  nested.connection.send(from_server(close_opcode, closing(4004, "Conversation not found")));
  auto const frame = read_frame(client);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->code(), 4004);
  EXPECT_EQ(frame->reason(), "Conversation not found");
}

TEST_F(FirstFrame, IsNotSentOnAKeptConnectionThatTheServerHasClosed) {
  start();
  auto asking = gateway_->connect();
  asking.send("GET /api/conversations/c1 HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
  {
    auto kept = server_.next();
    read_request(kept);
    kept.send(ok_answer("{}"));
    EXPECT_EQ(read_answer(asking).status, 200u);
  }
  auto client = open("/sockets/events/c1");
  client.send(from_client(text_opcode, auth_message(session_key_of("c1"))));
  auto nested = join();
  nested.connection.send(from_server(text_opcode, "state"));
  EXPECT_EQ(read_frame(client)->payload, "state");
}

TEST_F(FirstFrame, SwitchedOffIsAnEndWith4001) {
  auto config = default_config();
  config.rules.first_frame = false;
  start(std::move(config));
  auto client = open("/sockets/events/c1");
  EXPECT_EQ(close_code(client), 4001) << "at once, without waiting for a frame";
}

}  // namespace
}  // namespace nestgate::test
