#include "unit/nestlet/support.hpp"

namespace nestgate::nestlet::testing {
namespace {

constexpr auto dashed_id = "01234567-89ab-cdef-0123-456789abcdef";
std::string const events_socket = "/sockets/events/" + std::string(dashed_id);
std::string const good_auth = R"({"type":"auth","session_api_key":"k1"})";

void create(RunningServer const& server) {
  ASSERT_EQ(server.call("POST", "/api/conversations", R"({"conversation_id":")" + std::string(dashed_id) + "\"}").status,
            201u);
}
void say(RunningServer const& server, std::string_view text) {
  auto const reply = server.call("POST", "/api/conversations/" + std::string(dashed_id) + "/events",
                                 R"({"content":")" + std::string(text) + "\"}");
  ASSERT_EQ(reply.status, 200u);
}
// The key and value of the next state update, messages skipped over.
std::string next_state(SocketClient& socket) {
  for (;;) {
    auto const event = socket.receive_json();
    if (event.at("kind") != "ConversationStateUpdateEvent") continue;
    auto const& value = event.at("value");
    auto const& status = value.is_object() ? value.at("execution_status") : value;
    return std::string(event.at("key").as_string()) + ":" + std::string(status.as_string());
  }
}

TEST(EventSocket, TheFirstFrameAuthenticatesAndTheSnapshotAnswers) {
  RunningServer const server;
  create(server);
  SocketClient socket(server.port(), events_socket);
  ASSERT_TRUE(socket.open());
  socket.send(good_auth);
  auto const snapshot = socket.receive();
  EXPECT_TRUE(snapshot.ends_with(R"("kind":"ConversationStateUpdateEvent"})"));
  auto const event = boost::json::parse(snapshot);
  EXPECT_EQ(event.at("key"), "full_state");
  EXPECT_EQ(event.at("value").at("id"), dashed_id);
  EXPECT_EQ(event.at("value").at("execution_status"), "idle");
}

TEST(EventSocket, ABadFirstFrameIsClosedWith4001) {
  RunningServer const server;
  create(server);
  for (auto const* frame : {R"({"type":"auth","session_api_key":"bad"})", R"({"type":"hello"})", "no json", "[]"}) {
    SocketClient socket(server.port(), events_socket);
    socket.send(frame);
    EXPECT_EQ(socket.receive(), "") << frame;
    EXPECT_EQ(socket.close_code(), 4001u) << frame;
    EXPECT_EQ(socket.close_reason(), "Authentication failed");
  }
}

TEST(EventSocket, AnUnknownConversationIsClosedWith4004OnlyForThoseWithAKey) {
  RunningServer const server;
  SocketClient friendly(server.port(), events_socket, key_field);
  EXPECT_EQ(friendly.receive(), "");
  EXPECT_EQ(friendly.close_code(), 4004u);
  SocketClient stranger(server.port(), events_socket);
  stranger.send("{}");
  EXPECT_EQ(stranger.receive(), "");
  EXPECT_EQ(stranger.close_code(), 4001u);
}

TEST(EventSocket, ABadKeyInHeaderOrQueryAndABadPathRefuseTheUpgrade) {
  RunningServer const server;
  create(server);
  EXPECT_EQ(SocketClient(server.port(), events_socket, {{"X-Session-API-Key", "bad"}}).status(), 403u);
  EXPECT_EQ(SocketClient(server.port(), events_socket + "?session_api_key=bad", key_field).status(), 403u)
      << "the query wins";
  EXPECT_EQ(SocketClient(server.port(), "/sockets/events/no-id", key_field).status(), 403u);
  EXPECT_EQ(SocketClient(server.port(), "/alive", key_field).status(), 403u);
  EXPECT_TRUE(SocketClient(server.port(), events_socket + "?session_api_key=k1").open());
  EXPECT_EQ(SocketClient(server.port(), events_socket + "?resend_all=2", key_field).status(), 403u);
}

TEST(EventSocket, ARunShowsItsMessageAndItsEnd) {
  RunningServer const server;
  create(server);
  SocketClient socket(server.port(), events_socket, key_field);
  EXPECT_EQ(next_state(socket), "full_state:idle");
  socket.send(good_auth);  // stray: ignored
  socket.send(R"({"role":"user","content":"hi"})");
  auto const said = socket.receive_json();
  EXPECT_EQ(said.at("kind"), "MessageEvent");
  EXPECT_EQ(said.at("source"), "user");
  EXPECT_EQ(next_state(socket), "execution_status:running");
  auto const echoed = socket.receive_json();
  EXPECT_EQ(echoed.at("source"), "agent");
  EXPECT_EQ(next_state(socket), "execution_status:finished");
  EXPECT_EQ(next_state(socket), "full_state:finished");
  socket.send("not json");
  EXPECT_EQ(socket.receive_json().at("kind"), "ServerErrorEvent") << "and the socket stays open";
  socket.send(R"({"role":"user","content":"still here"})");
  EXPECT_EQ(socket.receive_json().at("kind"), "MessageEvent");
}

TEST(EventSocket, ResendsTheLogWhenAsked) {
  RunningServer const server;
  create(server);
  say(server, "one");
  say(server, "two");
  SocketClient all(server.port(), events_socket + "?resend_mode=all", key_field);
  EXPECT_EQ(all.receive_json().at("key"), "full_state");
  EXPECT_NE(all.receive().find("one"), std::string::npos);
  EXPECT_NE(all.receive().find("two"), std::string::npos);
  SocketClient later(server.port(), events_socket + "?resend_mode=since&after_timestamp=2999-01-01T00:00:00", key_field);
  EXPECT_EQ(later.receive_json().at("key"), "full_state");
  say(server, "three");
  EXPECT_NE(later.receive().find("three"), std::string::npos);
}

TEST(EventSocket, SubscribersPastTheLimitAreClosedWith1013) {
  Limits limits;
  limits.event_subscribers_max = 1;
  limits.bash_subscribers_max = 1;
  RunningServer const server(limits);
  create(server);
  SocketClient first(server.port(), events_socket, key_field);
  EXPECT_NE(first.receive(), "");
  SocketClient second(server.port(), events_socket, key_field);
  EXPECT_EQ(second.receive(), "");
  EXPECT_EQ(second.close_code(), 1013u);
  EXPECT_EQ(second.close_reason(), "Too many connections for this conversation");
}

TEST(EventSocket, ASlowReaderIsClosedWith1013WhileAnotherGoesOn) {
  Limits limits;
  limits.subscriber_queue_bytes_max = 1024 * 1024;
  limits.close_seconds = 3600;  // it will read on, when the test comes to it
  RunningServer const server(limits);
  create(server);
  SocketClient slow(server.port(), events_socket, key_field, SocketClient::Deflate::not_offered);
  SocketClient quick(server.port(), events_socket, key_field, SocketClient::Deflate::not_offered);
  EXPECT_NE(slow.receive(), "");
  EXPECT_NE(quick.receive(), "");
  constexpr int messages = 48;  // more than all socket buffers hold
  std::string const text(512 * 1024, 'x');
  for (int i = 0; i < messages; ++i) {
    say(server, text);
    EXPECT_GT(quick.receive().size(), text.size()) << i;
  }
  int got = 0;
  while (!slow.receive().empty()) ++got;
  EXPECT_LT(got, messages);
  EXPECT_EQ(slow.close_code(), 1013u);
  say(server, "after");
  EXPECT_NE(quick.receive().find("after"), std::string::npos);
}

// Fills the socket of a reader that stalled, and its outbox, until it is to be closed with 1013.
void overflow(RunningServer const& server) {
  constexpr int messages = 48;  // more than all socket buffers hold
  for (int i = 0; i < messages; ++i) say(server, std::string(512 * 1024, 'x'));
}

TEST(EventSocket, AReaderThatStallsLosesItsSeatSoonAfterItOverflowed) {
  Limits limits;
  limits.subscriber_queue_bytes_max = 1024 * 1024;
  RunningServer const server(limits);
  create(server);
  SocketClient stalled(server.port(), events_socket, key_field, SocketClient::Deflate::not_offered);
  EXPECT_NE(stalled.receive(), "");
  overflow(server);
  auto const seats = [&] {
    return server.call("GET", "/api/conversations/" + std::string(dashed_id)).json().at("num_connections");
  };
  while (seats() != 0) std::this_thread::yield();
}

TEST(EventSocket, AReaderThatStallsDoesNotHoldUpTheEnd) {
  Limits limits;
  limits.subscriber_queue_bytes_max = 1024 * 1024;
  limits.close_seconds = 3600;
  RunningServer server(limits);
  create(server);
  SocketClient stalled(server.port(), events_socket, key_field, SocketClient::Deflate::not_offered);
  EXPECT_NE(stalled.receive(), "");
  overflow(server);
  server.stop();
}

TEST(EventSocket, APeerThatNeverAnswersTheCloseDoesNotHoldUpTheEnd) {
  Limits limits;
  limits.stop_grace_seconds = 3600;
  RunningServer server(limits, {"k1"}, RunningServer::Grace::as_given);
  create(server);
  SocketClient quiet(server.port(), events_socket, key_field);
  EXPECT_NE(quiet.receive(), "");
  server.stop();
}

TEST(EventSocket, AStrangersFirstFrameMayNotBeLarge) {
  RunningServer const server;
  create(server);
  SocketClient stranger(server.port(), events_socket, {}, SocketClient::Deflate::not_offered);
  stranger.send(std::string(65 * 1024, 'x'));
  EXPECT_EQ(stranger.receive(), "");
  EXPECT_EQ(stranger.close_code(), 1009u);
  SocketClient friendly(server.port(), events_socket);
  friendly.send(good_auth);
  EXPECT_NE(friendly.receive(), "");
  friendly.send(R"({"role":"user","content":")" + std::string(100 * 1024, 'x') + "\"}");
  EXPECT_EQ(friendly.receive_json().at("kind"), "MessageEvent");
}

TEST(EventSocket, DeletingTheConversationClosesItsSocketsWith4004) {
  RunningServer const server;
  create(server);
  SocketClient socket(server.port(), events_socket, key_field);
  EXPECT_NE(socket.receive(), "");
  server.call("DELETE", "/api/conversations/" + std::string(dashed_id));
  EXPECT_EQ(socket.receive(), "");
  EXPECT_EQ(socket.close_code(), 4004u);
}

TEST(EventSocket, StoppingTheServerClosesWith1012) {
  RunningServer server;
  create(server);
  SocketClient events(server.port(), events_socket, key_field);
  SocketClient bash(server.port(), "/sockets/bash-events", key_field);
  EXPECT_NE(events.receive(), "");
  bash.send(R"({"command":"true"})");
  EXPECT_NE(bash.receive(), "");
  EXPECT_NE(bash.receive(), "");
  std::jthread const stopping([&] { server.stop(); });
  EXPECT_EQ(events.receive(), "");
  EXPECT_EQ(events.close_code(), 1012u);
  EXPECT_EQ(bash.receive(), "");
  EXPECT_EQ(bash.close_code(), 1012u);
}

TEST(SessionSocket, ReplaysFromASequenceNumberAndGoesOnLive) {
  RunningServer const server;
  create(server);
  say(server, "zero");
  say(server, "one");
  SocketClient socket(server.port(), "/sockets/session/" + std::string(dashed_id) + "?after_seq=0", key_field);
  auto const sync = socket.receive_json();
  EXPECT_EQ(sync.at("type"), "sync");
  EXPECT_EQ(sync.at("from_seq"), 1);
  EXPECT_EQ(sync.at("through_seq"), 1);
  auto const durable = socket.receive_json();
  EXPECT_EQ(durable.at("type"), "durable");
  EXPECT_EQ(durable.at("seq"), 1);
  EXPECT_EQ(socket.receive_json().at("type"), "transient");
  say(server, "two");
  EXPECT_EQ(socket.receive_json().at("seq"), 2);
  SocketClient ahead(server.port(), "/sockets/session/" + std::string(dashed_id) + "?after_seq=9223372036854775807",
                     key_field);
  EXPECT_EQ(ahead.receive_json().at("from_seq"), 3) << "past the end: nothing is replayed";
  EXPECT_EQ(SocketClient(server.port(), "/sockets/session/" + std::string(dashed_id) + "?after_seq=x", key_field).status(),
            403u);
}

TEST(BashSocket, ShowsEveryCommandAndTakesCommandFrames) {
  Limits limits;
  limits.output_flush_milliseconds = 0;  // one output each
  RunningServer const server(limits);
  SocketClient socket(server.port(), "/sockets/bash-events");
  socket.send(good_auth);
  socket.send(R"({"command":"echo hi"})");
  EXPECT_EQ(socket.receive_json().at("kind"), "BashCommand");
  EXPECT_EQ(socket.receive_json().at("stdout"), "hi\n");
  server.call("POST", "/api/bash/execute_bash_command", R"({"command":"echo other"})");
  EXPECT_EQ(socket.receive_json().at("command"), "echo other");
  EXPECT_EQ(socket.receive_json().at("stdout"), "other\n");
  socket.send("{}");
  auto const error = socket.receive_json();
  EXPECT_EQ(error.at("kind"), "BashError");
  EXPECT_EQ(error.at("code"), "422");
  SocketClient again(server.port(), "/sockets/bash-events?resend_mode=all", key_field);
  EXPECT_EQ(again.receive_json().at("command"), "echo hi");
}

TEST(BashSocket, ClosesStrangersWith4001AndRunsNothingForThem) {
  RunningServer const server;
  SocketClient socket(server.port(), "/sockets/bash-events");
  socket.send(R"({"command":"touch owned"})");
  EXPECT_EQ(socket.receive(), "");
  EXPECT_EQ(socket.close_code(), 4001u);
  EXPECT_EQ(server.call("GET", "/api/bash/bash_events/search").json().at("items").as_array().size(), 0u);
}

}  // namespace
}  // namespace nestgate::nestlet::testing
