#include <gtest/gtest.h>

#include "support/scripted.hpp"
#include "support/websocket.hpp"

// What clients of a conversation are told that does not run, and of one that was closed while they were there.
namespace nestgate::test {
namespace {

using conversation::Closed;
using conversation::RuntimeState;

constexpr std::string_view too_many =
    R"(42["oh_event",{"status_update":true,"type":"error","id":"AGENT_ERROR$TOO_MANY_CONVERSATIONS","message":"Too many )"
    R"(conversations at once. If you are still using this one, try reactivating it by prompting the agent to continue"}])";

class Closing : public testing::Test {
 protected:
  Closing() : gateway_(with_large_backlog()) {
    gateway_.start();
    gateway_.add("c1", server_.port());
  }
  static proxy::Config with_large_backlog() {
    auto config = default_config();
    config.limits.tunnel_backlog_bytes_max = 256 * 1024 * 1024;
    return config;
  }
  void close(RuntimeState state, Closed closed, std::string progress = {}) {
    auto record = record_of("c1", server_.port(), state);
    record.closed = closed;
    record.progress = std::move(progress);
    gateway_.publish(std::move(record));
  }
  Tunnelled open(std::string_view target) { return open_tunnel(gateway_, server_, target, key_field("c1")); }

  ScriptedServer server_;
  Gateway gateway_;
};

TEST_F(Closing, ForRoomIsA410UntilItIsStartedAgain) {
  for (auto const state : {RuntimeState::stopping, RuntimeState::stopped, RuntimeState::paused}) {
    close(state, Closed::for_room);
    auto const answer = gateway_.get("/api/conversations/c1/events", key_field("c1"));
    EXPECT_EQ(answer.status, 410u);
    EXPECT_EQ(error_code_of(answer), "conversation_closed");
    EXPECT_NE(answer.body.find(R"({"detail":")"), std::string::npos) << answer.body;
    EXPECT_TRUE(answer.value("retry-after").empty()) << "waiting does not help";
  }
  close(RuntimeState::starting, Closed::for_room);
  EXPECT_EQ(gateway_.get("/api/conversations/c1/events", key_field("c1")).status, 503u);
}

TEST_F(Closing, IsNoBusinessOfStrangers) {
  close(RuntimeState::stopped, Closed::for_room);
  EXPECT_EQ(gateway_.get("/api/conversations/c1/events").status, 401u);
  EXPECT_EQ(gateway_.get("/api/conversations/c1/events", "X-Session-API-Key: wrong\r\n").status, 401u);
}

TEST_F(Closing, OtherwiseIsA503WithTheStateAndTheProgress) {
  struct Case {
    RuntimeState state;
    Closed closed;
    std::string progress, code, expected;
  };
  for (auto const& one :
       {Case{RuntimeState::paused, Closed::when_idle, "", "runtime_paused", R"("state":"paused","progress":"")"},
        Case{RuntimeState::stopped, Closed::by_request, "", "runtime_stopped", R"("state":"stopped","progress":"")"},
        Case{RuntimeState::stopping, Closed::no, "", "runtime_stopping", R"("state":"stopping","progress":"")"},
        Case{RuntimeState::error, Closed::no, "", "runtime_failed", R"("state":"error","progress":"")"},
        Case{RuntimeState::starting, Closed::no, "pulls the image at 40%", "runtime_starting",
             R"("state":"starting","progress":"pulls the image at 40%")"}}) {
    close(one.state, one.closed, one.progress);
    auto const answer = gateway_.get("/api/conversations/c1/events", key_field("c1"));
    EXPECT_EQ(answer.status, 503u) << one.code;
    EXPECT_EQ(error_code_of(answer), one.code);
    EXPECT_NE(answer.body.find(one.expected), std::string::npos) << answer.body;
    EXPECT_FALSE(answer.value("retry-after").empty()) << one.code;
  }
}

TEST_F(Closing, ForRoomEndsAWebsocketWith1013AndTheReason) {
  auto pair = open("/sockets/events/c1");
  close(RuntimeState::stopping, Closed::for_room);
  auto const frame = read_frame(pair.client);
  ASSERT_TRUE(frame);
  EXPECT_EQ(frame->opcode, close_opcode);
  EXPECT_EQ(frame->code(), 1013u);
  EXPECT_EQ(frame->reason(), "closed to make room for another conversation");
}

TEST_F(Closing, ForAnotherReasonEndsAWebsocketWith1012) {
  for (auto const closed : {Closed::when_idle, Closed::by_request}) {
    gateway_.add("c1", server_.port());
    auto pair = open("/sockets/events/c1");
    close(RuntimeState::paused, closed);
    EXPECT_EQ(close_code_at_end(pair.client), 1012u);
  }
}

TEST_F(Closing, ForRoomIsToldToASocketIoClientInAnEvent) {
  auto pair = open("/socket.io/?EIO=4&transport=websocket&conversation_id=c1");
  close(RuntimeState::stopped, Closed::for_room);
  auto const event = read_frame(pair.client);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->opcode, text_opcode);
  EXPECT_EQ(event->payload, too_many);
  EXPECT_EQ(close_code_at_end(pair.client), 1013u);
}

TEST_F(Closing, PutsItsEventBehindTheFrameThatTheClientIsGetting) {
  auto pair = open("/socket.io/?EIO=4&transport=websocket&conversation_id=c1");
  std::string const large(30'000'000, 'x');
  auto const frames = from_server(text_opcode, large) + from_server(text_opcode, "dropped, since nobody began to read it");
  pair.nested.send(frames);
  ASSERT_TRUE(eventually([&] { return gateway_.stats().client_bytes_out.read() == frames.size(); }));
  ASSERT_GT(gateway_.stats().tunnel_backlog_bytes.read(), 0);
  close(RuntimeState::stopped, Closed::for_room);
  ASSERT_TRUE(eventually(
      [&] { return gateway_.stats().tunnels_ended[static_cast<std::size_t>(proxy::TunnelEnd::withdrawn)].read() == 1; }));
  EXPECT_EQ(read_frame(pair.client)->payload.size(), large.size());
  EXPECT_EQ(read_frame(pair.client)->payload, too_many);
  EXPECT_EQ(close_code_at_end(pair.client), 1013u);
}

TEST_F(Closing, LeavesTheEventOutWithinAFragmentedMessage) {
  auto pair = open("/socket.io/?EIO=4&transport=websocket&conversation_id=c1");
  pair.nested.send(frame_with(0x01, "the first part", http::Masked::no));
  EXPECT_EQ(read_frame(pair.client)->payload, "the first part");
  close(RuntimeState::stopped, Closed::for_room);
  auto const next = read_frame(pair.client);
  EXPECT_EQ(next->opcode, close_opcode);
  EXPECT_EQ(next->code(), 1013u);
}

TEST_F(Closing, ForRoomIsWhatAServerThatEndsFirstEndedFor) {
  auto pair = open("/sockets/events/c1");
  close(RuntimeState::stopping, Closed::for_room);
  pair.nested.send(from_server(close_opcode, closing(1012, "shutting down")));
  pair.nested.close();
  EXPECT_EQ(close_code_at_end(pair.client), 1013u);
}

TEST_F(Closing, ForRoomAnswersALongPollWithTheEventAndThenItIsGone) {
  auto client = gateway_.connect();
  std::string const poll =
      "GET /socket.io/?EIO=4&transport=polling&sid=s1&conversation_id=c1 HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n";
  client.send(poll);
  auto nested = server_.next();
  read_request(nested);
  close(RuntimeState::stopping, Closed::for_room);
  auto const answer = read_answer(client);
  EXPECT_EQ(answer.status, 200u);
  EXPECT_EQ(answer.value("content-type"), "text/plain; charset=UTF-8");
  EXPECT_EQ(answer.body, too_many);
  client.send(poll);
  EXPECT_EQ(read_answer(client).status, 410u);
}

TEST_F(Closing, ForRoomIsTheAnswerToARequestThatItsServerDidNotAnswer) {
  auto client = gateway_.connect();
  client.send(get_by_key());
  auto nested = server_.next();
  read_request(nested);
  close(RuntimeState::stopping, Closed::for_room);
  EXPECT_FALSE(client.readable_now()) << "what it has begun it may end";
  close(RuntimeState::stopped, Closed::for_room);
  EXPECT_EQ(read_answer(client).status, 410u);
}

TEST_F(Closing, ForRoomIsToldToASocketThatNamesItsKeyInItsFirstFrame) {
  close(RuntimeState::stopped, Closed::for_room);
  auto client = open_unnamed(gateway_, "/sockets/events/c1");
  client.send(from_client(text_opcode, auth_message(session_key_of("c1"))));
  EXPECT_EQ(close_code_at_end(client), 1013u);
}

}  // namespace
}  // namespace nestgate::test
