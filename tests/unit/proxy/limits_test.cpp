#include <gtest/gtest.h>

#include "support/scripted.hpp"

// Time limits are small here and reached without being measured; every wait is for an event.
namespace nestgate::test {
namespace {

using std::chrono::milliseconds;

// Takes a request and says nothing until the gateway leaves.
Server::Handle silent(Mailbox<int>& left) {
  return [&left](Connection& connection) {
    connection.read_until("\r\n\r\n");
    connection.read_to_end();
    left.put(1);
  };
}

TEST(HeadTimeout, EndsAHeadThatComesByteByByte) {
  auto config = default_config();
  config.timeouts.head = milliseconds(60);
  OneRuntime at(echo_heads, std::move(config));
  auto client = at.gateway.connect();
  client.send("GET /x HTTP/1.1\r\nHost: g\r\nX-Slow: ");
  // Each byte is progress of a kind; the head's time is for all of it.
  while (!client.readable_now() && client.send("x")) {
    pollfd waiting{client.fd(), POLLIN, 0};
    ::poll(&waiting, 1, 5);
  }
  auto const answer = read_answer(client);
  EXPECT_EQ(answer.status, 408u);
  EXPECT_EQ(error_code_of(answer), "head_timeout");
  EXPECT_EQ(answer.value("connection"), "close");
  EXPECT_EQ(at.nested.accepted(), 0u);
}

TEST(HeadTimeout, IsMeasuredFromTheHeadsFirstByte) {
  auto config = default_config();
  config.timeouts.head = milliseconds(60);
  OneRuntime at(echo_heads, std::move(config));
  auto const began = Clock::now();
  auto client = at.gateway.connect();
  client.send("GET /x HTTP/1.1\r\n");
  EXPECT_EQ(read_answer(client).status, 408u);
  EXPECT_EQ(client.read_to_end(), "");  // the request is counted before its connection ends
  auto const& duration = at.gateway.stats().duration[static_cast<std::size_t>(http::RouteKind::none)];
  auto const most = std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - began).count();
  EXPECT_LE(duration.sum_us(), static_cast<std::uint64_t>(most));
  EXPECT_GE(duration.sum_us(), 30'000u) << "the clock that deadlines are set by is coarse";
}

TEST(KeepAliveTimeout, ClosesAnIdleConnectionWithoutAWord) {
  auto config = default_config();
  config.timeouts.keep_alive = milliseconds(500);  // long enough to send a request on a busy machine
  OneRuntime at(echo_heads, std::move(config));
  auto client = at.gateway.connect();
  client.send(get_by_key());
  EXPECT_EQ(read_answer(client).status, 200u);
  EXPECT_EQ(client.read_to_end(), "");
}

TEST(FirstByteTimeout, IsAGatewayTimeoutAndLeavesTheServer) {
  auto config = default_config();
  config.timeouts.first_byte = milliseconds(60);
  Mailbox<int> left;
  OneRuntime at(silent(left), std::move(config));
  auto const answer = at.gateway.ask(get_by_key());
  EXPECT_EQ(answer.status, 504u);
  EXPECT_EQ(error_code_of(answer), "runtime_timeout");
  left.take();
}

TEST(FirstByteTimeout, IsOffForAStream) {
  auto config = default_config();
  config.timeouts.first_byte = milliseconds(40);
  Mailbox<int> left;
  OneRuntime at(
      [](Connection& connection) {
        auto const request = read_request(connection);
        if (request.line().find("/stream") == std::string::npos) {
          connection.read_to_end();
          return;
        }
        // The gateway has long given up on another request by then.
        pollfd nothing{connection.fd(), POLLIN, 0};
        ::poll(&nothing, 1, 400);
        connection.send(ok_answer("late"));
      },
      std::move(config));
  auto stream = at.gateway.connect();
  stream.send("GET /stream HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Accept: text/event-stream\r\n\r\n");
  EXPECT_EQ(at.gateway.ask(get_by_key()).status, 504u);
  EXPECT_EQ(read_answer(stream).body, "late");
}

TEST(BodyTimeout, EndsAnUploadThatStalls) {
  auto config = default_config();
  config.timeouts.body_progress = milliseconds(60);
  Mailbox<int> left;
  OneRuntime at(silent(left), std::move(config));
  for (std::string const framing : {"Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhel"}) {
    auto client = at.gateway.connect();
    client.send("POST /x HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + framing);
    auto const answer = read_answer(client);
    EXPECT_EQ(answer.status, 408u);
    EXPECT_EQ(error_code_of(answer), "body_timeout");
    EXPECT_EQ(answer.value("connection"), "close");
    left.take();
  }
}

TEST(BodyTimeout, DoesNotCountAgainstAServerThatThinks) {
  auto config = default_config();
  config.timeouts.body_progress = milliseconds(200);
  OneRuntime at(
      [](Connection& connection) {
        read_request(connection);
        pollfd nothing{connection.fd(), POLLIN, 0};
        ::poll(&nothing, 1, 600);
        connection.send(ok_answer("thought"));
      },
      std::move(config));
  auto client = at.gateway.connect();
  // More than comes with the head, so that it is the upload's time that has to end.
  client.send("POST /x HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Content-Length: 200000\r\n\r\n" +
              std::string(200'000, 'x'));
  EXPECT_EQ(read_answer(client).body, "thought");
}

TEST(BodyTimeout, CutsAnAnswerThatStalls) {
  auto config = default_config();
  config.timeouts.body_progress = milliseconds(60);
  Mailbox<int> left;
  OneRuntime at(
      [&](Connection& connection) {
        read_request(connection);
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
        connection.read_to_end();
        left.put(1);
      },
      std::move(config));
  auto client = at.gateway.connect();
  client.send(get_by_key());
  client.read_until("\r\n\r\n");
  EXPECT_EQ(client.read_exactly(5), "hello");
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_TRUE(client.reset_by_peer());
  left.take();
}

TEST(BodyTimeout, IsOffForAnEventStream) {
  auto config = default_config();
  config.timeouts.body_progress = milliseconds(40);
  OneRuntime at(
      [](Connection& connection) {
        auto const request = read_request(connection);
        bool const events = request.line().find("/events") != std::string::npos;
        connection.send(std::string("HTTP/1.1 200 OK\r\nContent-Type: ") + (events ? "text/event-stream" : "text/plain") +
                        "\r\n\r\n");
        pollfd ended{connection.fd(), POLLIN, 0};
        ::poll(&ended, 1, events ? 400 : patience_ms);
        connection.send("data: late\n\n");
      },
      std::move(config));
  auto events = at.gateway.connect(), plain = at.gateway.connect();
  events.send("GET /events HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
  plain.send(get_by_key());
  plain.read_to_end();
  EXPECT_TRUE(plain.reset_by_peer());
  EXPECT_TRUE(events.read_to_end().ends_with("data: late\n\n"));
}

// Some clients write their whole body before they read why it is not wanted.
TEST(RefusedUpload, ThatIsWrittenWholeStillHasItsAnswerRead) {
  auto config = default_config();
  config.limits.api_body_bytes_max = 64 * 1024;
  OneRuntime at(echo_heads, std::move(config));
  std::string const body(32 * 1024 * 1024, 'x');
  std::string const length = "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  for (auto const& [head, status] :
       {std::pair("POST /api/file/upload/a HTTP/1.1\r\nHost: g\r\nX-Session-API-Key: wrong\r\n" + length, 401u),
        std::pair("POST /api/automation/v1/runs HTTP/1.1\r\nHost: g\r\n" + bearer(admin_api_key) + length, 413u)}) {
    auto client = at.gateway.connect();
    client.send(head);
    EXPECT_TRUE(client.send(body)) << status;
    EXPECT_EQ(read_answer(client).status, status);
  }
}

TEST(ConnectionLimit, TellsTheOneBeyondItToComeBack) {
  auto config = default_config();
  config.limits.connections_per_core_max = 2;
  OneRuntime at(echo_heads, std::move(config));
  auto one = at.gateway.connect(), two = at.gateway.connect();
  for (auto* client : {&one, &two}) {
    client->send(get_by_key());
    EXPECT_EQ(read_answer(*client).status, 200u);
  }
  auto beyond = at.gateway.connect();
  auto const answer = read_answer(beyond);
  EXPECT_EQ(answer.status, 503u);
  EXPECT_EQ(error_code_of(answer), "overloaded");
  EXPECT_FALSE(answer.value("retry-after").empty());
  EXPECT_EQ(answer.value("connection"), "close");
  EXPECT_EQ(beyond.read_to_end(), "");
  one.send(get_by_key());
  EXPECT_EQ(read_answer(one).status, 200u);
}

TEST(ConnectionLimit, IsToldToAClientThatIsStillSending) {
  auto config = default_config();
  config.limits.connections_per_core_max = 1;
  OneRuntime at(echo_heads, std::move(config));
  auto one = at.gateway.connect();
  one.send(get_by_key());
  EXPECT_EQ(read_answer(one).status, 200u);
  auto beyond = at.gateway.connect();
  EXPECT_TRUE(beyond.send("POST /x HTTP/1.1\r\nHost: g\r\nContent-Length: 100000\r\n\r\n" + std::string(100'000, 'x')));
  EXPECT_EQ(read_answer(beyond).status, 503u);
  EXPECT_EQ(beyond.read_to_end(), "");
  EXPECT_FALSE(beyond.reset_by_peer());
}

TEST(IdleConnection, ToADeclaredPortIsClosedInTime) {
  auto config = default_config();
  config.rules.domain = "sandboxes.test";
  config.timeouts.upstream_idle = milliseconds(60);
  Mailbox<int> left;
  Server editor([&](Connection& connection) {
    while (!read_request(connection).head.empty()) connection.send(ok_answer("editor"));
    left.put(1);
  });
  OneRuntime at(echo_heads, std::move(config));
  at.gateway.add("c1", at.nested.port(), "alice", conversation::RuntimeState::running, 1, {editor.port()});
  auto const host = std::to_string(editor.port()) + "-c1.sandboxes.test";
  EXPECT_EQ(at.gateway.get("/", key_field("c1"), host).body, "editor");
  left.take();
}

TEST(RuntimeConnectionLimit, RefusesTheNextRequestAndQueuesNone) {
  auto config = default_config();
  config.limits.upstream_connections_per_runtime_max = 2;
  Mailbox<int> arrived, go;
  OneRuntime at(
      [&](Connection& connection) {
        while (!read_request(connection).head.empty()) {
          arrived.put(1);
          go.take();
          connection.send(ok_answer("done"));
        }
      },
      std::move(config));
  Server other(echo_as("c2"));
  at.gateway.add("c2", other.port());
  auto one = at.gateway.connect(), two = at.gateway.connect();
  one.send(get_by_key());
  two.send(get_by_key());
  arrived.take();
  arrived.take();
  auto beyond = at.gateway.connect();
  beyond.send(get_by_key());
  auto const answer = read_answer(beyond);
  EXPECT_EQ(answer.status, 503u);
  EXPECT_EQ(error_code_of(answer), "runtime_overloaded");
  EXPECT_FALSE(answer.value("retry-after").empty());
  EXPECT_EQ(at.gateway.get("/x", key_field("c2")).status, 200u);
  go.put(1);
  go.put(1);
  EXPECT_EQ(read_answer(one).body, "done");
  EXPECT_EQ(read_answer(two).body, "done");
  // There is room again, on the very connection that was refused.
  go.put(1);
  beyond.send(get_by_key());
  EXPECT_EQ(read_answer(beyond).body, "done");
}

TEST(IdleConnectionLimit, KeepsNoMoreThanItSays) {
  auto config = default_config();
  config.limits.upstream_idle_connections_per_runtime_max = 1;
  Mailbox<int> arrived, go, closed;
  OneRuntime at(
      [&](Connection& connection) {
        while (!read_request(connection).head.empty()) {
          arrived.put(1);
          go.take();
          connection.send(ok_answer("done"));
        }
        closed.put(1);
      },
      std::move(config));
  auto one = at.gateway.connect(), two = at.gateway.connect();
  one.send(get_by_key());
  two.send(get_by_key());
  for (int i = 0; i < 2; ++i) arrived.take();
  for (int i = 0; i < 2; ++i) go.put(1);
  EXPECT_EQ(read_answer(one).body, "done");
  EXPECT_EQ(read_answer(two).body, "done");
  closed.take();
  EXPECT_TRUE(closed.empty());
}

TEST(RequestHeadLimit, IsTheSettings) {
  auto config = default_config();
  config.limits.request_head_bytes_max = 1024;
  config.limits.request_fields_max = 10;
  OneRuntime at(echo_heads, std::move(config));
  EXPECT_EQ(at.gateway.get("/x", key_field("c1") + "X-A: " + std::string(600, 'x') + "\r\n").status, 200u);
  auto const large = at.gateway.get("/x", key_field("c1") + "X-A: " + std::string(2000, 'x') + "\r\n");
  EXPECT_EQ(large.status, 431u);
  EXPECT_EQ(error_code_of(large), "head_too_large");
  std::string many;
  for (int i = 0; i < 12; ++i) many += "X-" + std::to_string(i) + ": 1\r\n";
  EXPECT_EQ(error_code_of(at.gateway.get("/x", many)), "too_many_fields");
}

}  // namespace
}  // namespace nestgate::test
