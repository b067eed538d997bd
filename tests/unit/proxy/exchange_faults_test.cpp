#include <gtest/gtest.h>

#include <optional>

#include "support/scripted.hpp"

// A nested server that fails at each step of an exchange in turn: the client gets a reason, or an answer that it can tell
// was cut.
namespace nestgate::test {
namespace {

std::string post_request(std::string const& body = "body") {
  return "POST /x HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Content-Length: " + std::to_string(body.size()) +
         "\r\n\r\n" + body;
}

TEST(ExchangeFaults, ARuntimeThatTakesNoConnectionsIsUnavailableForAWhile) {
  OneRuntime at(echo_heads);
  at.nested.stop();
  auto const answer = at.gateway.ask(get_by_key());
  EXPECT_EQ(answer.status, 503u);
  EXPECT_EQ(error_code_of(answer), "runtime_unreachable");
  EXPECT_FALSE(answer.value("retry-after").empty());
}

TEST(ExchangeFaults, AnAnswerThatFailsBeforeItBeganBecomesABadGateway) {
  struct Case {
    std::string name, answer, code;
  };
  std::vector<Case> const cases{
      {"close before the answer", "", "runtime_closed"},
      {"close in the status line", "HTTP/1.1 20", "runtime_closed"},
      {"close in the head", "HTTP/1.1 200 OK\r\nContent-Le", "runtime_closed"},
      {"no HTTP at all", "SSH-2.0-OpenSSH_9.2\r\n\r\n", "bad_runtime_answer"},
      {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "bad_runtime_answer"},
      {"endless head", "HTTP/1.1 200 OK\r\nx: " + std::string(200'000, 'x'), "bad_runtime_answer"},
      {"an upgrade nobody asked for", "HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
       "bad_runtime_answer"},
      {"bad first chunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "bad_runtime_answer"},
      {"close behind an early hint", "HTTP/1.1 100 Continue\r\n\r\n", "runtime_closed"},
  };
  for (auto const& one : cases) {
    SCOPED_TRACE(one.name);
    OneRuntime at(answer_once(one.answer));
    for (auto const& request : {get_by_key(), post_request()}) {
      auto const answer = at.gateway.ask(request);
      EXPECT_EQ(answer.status, 502u);
      EXPECT_EQ(error_code_of(answer), one.code);
      EXPECT_EQ(answer.value("content-type"), "application/json");
      EXPECT_FALSE(answer.value("x-request-id").empty());
    }
  }
}

TEST(ExchangeFaults, AResetBeforeTheAnswerIsABadGateway) {
  OneRuntime at([](Connection& connection) {
    read_request(connection);
    connection.reset();
  });
  auto const answer = at.gateway.ask(post_request());
  EXPECT_EQ(answer.status, 502u);
  EXPECT_EQ(error_code_of(answer), "runtime_closed");
}

TEST(ExchangeFaults, AClientKeepsItsConnectionOverAFailureThatLeftNothingOnIt) {
  std::atomic<int> connections{0};
  OneRuntime at([&](Connection& connection) {
    read_request(connection);
    if (++connections > 1) connection.send(ok_answer("fine"));
  });
  auto client = at.gateway.connect();
  client.send(get_by_key());
  EXPECT_EQ(read_answer(client).status, 502u);
  client.send(get_by_key());
  EXPECT_EQ(read_answer(client).body, "fine");
}

// Sends `first`, waits until the client has it, then `second`, and ends orderly or with a reset.
enum class Ends : bool { orderly, by_reset };
struct CutAnswer {
  std::string first, second;
  Ends ends;
  std::string passed;  // what the client must have got of the body
};

TEST(ExchangeFaults, AnAnswerThatFailsOnItsWayNeverLooksWhole) {
  std::vector<CutAnswer> const cases{
      {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "", Ends::orderly, ""},
      {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", "12345", Ends::orderly, "12345"},
      {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", "", Ends::by_reset, "12345"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "", Ends::orderly, ""},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "5\r\n12345\r\n", Ends::orderly, "5\r\n12345\r\n"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", "", Ends::by_reset, "5\r\n12345\r\n"},
      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n", "zz\r\n", Ends::orderly, "5\r\n12345\r\n"},
      {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n12345", "", Ends::by_reset, "12345"},
  };
  for (auto const& one : cases) {
    SCOPED_TRACE(one.first + "|" + one.second);
    Mailbox<int> go;
    OneRuntime at([&](Connection& connection) {
      read_request(connection);
      connection.send(one.first);
      go.take();
      if (!one.second.empty()) connection.send(one.second);
      if (one.ends == Ends::by_reset) connection.reset();
    });
    auto client = at.gateway.connect();
    client.send(get_by_key());
    EXPECT_TRUE(client.read_until("\r\n\r\n").starts_with("HTTP/1.1 200 "));
    // What came with the head is read before the failure: a reset may overtake it otherwise.
    auto const early = one.first.substr(one.first.find("\r\n\r\n") + 4);
    std::string passed = client.read_exactly(early.size());
    go.put(1);
    passed += client.read_to_end();
    EXPECT_EQ(passed, one.passed);
    EXPECT_TRUE(client.reset_by_peer());
  }
}

TEST(ExchangeFaults, AnAnswerThatEndsWithItsConnectionIsWholeThen) {
  OneRuntime at(answer_once("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it"));
  auto client = at.gateway.connect();
  client.send(get_by_key());
  auto const answer = read_answer(client);
  EXPECT_EQ(answer.body, "all of it");
  EXPECT_EQ(answer.value("connection"), "close");
  EXPECT_FALSE(client.reset_by_peer());
}

TEST(ExchangeFaults, ARuntimeThatIsWithdrawnCutsItsAnswers) {
  Mailbox<int> over;
  OneRuntime at([&](Connection& connection) {
    read_request(connection);
    connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345");
    EXPECT_EQ(connection.read_some(), "");
    over.put(1);
  });
  auto client = at.gateway.connect();
  client.send(get_by_key());
  client.read_until("\r\n\r\n");
  EXPECT_EQ(client.read_exactly(5), "12345");
  at.gateway.remove("c1");
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_TRUE(client.reset_by_peer());
  over.take();
}

TEST(ExchangeFaults, AnAnswerThatTheGatewaysEndCutsNeverLooksWhole) {
  OneRuntime at([](Connection& connection) {
    read_request(connection);
    connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n12345");
    connection.read_some();
  });
  auto client = at.gateway.connect();
  client.send(get_by_key());
  client.read_until("\r\n\r\n");
  EXPECT_EQ(client.read_exactly(5), "12345");
  at.gateway.stop(std::chrono::milliseconds(0));
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_TRUE(client.reset_by_peer());
}

TEST(ExchangeFaults, ARuntimeThatStartsAgainGetsNoneOfTheOldConnections) {
  Server second(echo_as("second"));
  OneRuntime at(echo_as("first"));
  EXPECT_EQ(at.gateway.ask(get_by_key()).value("x-nested"), "first");
  at.gateway.add("c1", second.port(), "alice", conversation::RuntimeState::running, 2);
  EXPECT_EQ(at.gateway.ask(get_by_key()).value("x-nested"), "second");
  EXPECT_EQ(at.gateway.ask(get_by_key()).value("x-nested"), "second");
  EXPECT_EQ(second.accepted(), 1u);
}

// Takes no connection: the kernel holds one for it, and no other gets an answer.
class FullListener {
 public:
  FullListener() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    if (::bind(fd_, reinterpret_cast<sockaddr*>(&at), size) != 0 || ::listen(fd_, 0) != 0)
      throw std::runtime_error("listen");
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
    held_.emplace(Connection::to(port_));
  }
  FullListener(FullListener const&) = delete;
  ~FullListener() { ::close(fd_); }
  std::uint16_t port() const { return port_; }

 private:
  int fd_;
  std::uint16_t port_ = 0;
  std::optional<Connection> held_;
};

TEST(WithdrawnRuntimes, ARequestInFlightIsNotSentAgainToTheirAddress) {
  Mailbox<int> asked;
  OneRuntime at([&](Connection& connection) {
    if (read_request(connection).head.empty() || !connection.send(ok_answer("fresh"))) return;
    if (read_request(connection).head.empty()) return;
    asked.put(1);
    connection.read_to_end();
  });
  EXPECT_EQ(at.gateway.ask(get_by_key()).body, "fresh");
  auto client = at.gateway.connect();
  client.send(get_by_key());
  asked.take();
  at.gateway.remove("c1");
  auto const answer = read_answer(client);
  EXPECT_EQ(answer.status, 502u);
  EXPECT_EQ(error_code_of(answer), "runtime_closed");
  EXPECT_EQ(at.nested.accepted(), 1u);
}

TEST(WithdrawnRuntimes, AConnectOnItsWayIsGivenUp) {
  FullListener full;
  Gateway gateway;
  gateway.start();
  gateway.add("c1", full.port());
  auto client = gateway.connect();
  client.send(get_by_key());
  auto const connecting = [&] { return gateway.stats().upstream_connects.read() == 1; };
  auto const end = Clock::now() + std::chrono::milliseconds(patience_ms);
  while (!connecting() && Clock::now() < end) std::this_thread::yield();
  gateway.remove("c1");
  auto const answer = read_answer(client);
  EXPECT_EQ(answer.status, 503u);
  EXPECT_EQ(error_code_of(answer), "runtime_stopping");
  EXPECT_FALSE(answer.value("retry-after").empty());
}

// Answers the first request of each connection; closes when the next one has come.
Server::Handle dies_on_reuse(Mailbox<std::string>& second_requests) {
  return [&second_requests](Connection& connection) {
    if (read_request(connection).head.empty() || !connection.send(ok_answer("fresh"))) return;
    auto const again = read_request(connection);
    if (!again.head.empty()) second_requests.put(again.line());
  };
}

TEST(ReusedConnections, AGetThatMetADeadOneIsSentAgainOnceOnAFreshOne) {
  Mailbox<std::string> second_requests;
  OneRuntime at(dies_on_reuse(second_requests));
  EXPECT_EQ(at.gateway.ask(get_by_key()).body, "fresh");
  EXPECT_EQ(at.gateway.ask(get_by_key()).body, "fresh");
  EXPECT_EQ(second_requests.take(), "GET /x HTTP/1.1");
  EXPECT_EQ(at.nested.accepted(), 2u);
}

TEST(ReusedConnections, AGetThatIsSentAgainNeverGoesOnAnotherReusedOne) {
  Mailbox<std::string> second_requests;
  Mailbox<int> arrived, go;
  OneRuntime at([&](Connection& connection) {
    auto const request = read_request(connection);
    if (request.head.empty()) return;
    if (request.line().starts_with("GET /wait")) {
      arrived.put(1);
      go.take();
    }
    if (!connection.send(ok_answer("fresh"))) return;
    auto const again = read_request(connection);
    if (!again.head.empty()) second_requests.put(again.line());
  });
  // Two requests at the same time leave two idle connections behind.
  auto one = at.gateway.connect(), two = at.gateway.connect();
  for (auto* client : {&one, &two}) client->send("GET /wait HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
  arrived.take();
  arrived.take();
  go.put(1);
  go.put(1);
  EXPECT_EQ(read_answer(one).body, "fresh");
  EXPECT_EQ(read_answer(two).body, "fresh");
  EXPECT_EQ(at.nested.accepted(), 2u);
  EXPECT_EQ(at.gateway.ask(get_by_key()).body, "fresh");
  EXPECT_EQ(second_requests.take(), "GET /x HTTP/1.1");
  EXPECT_TRUE(second_requests.empty());
  EXPECT_EQ(at.nested.accepted(), 3u);
}

TEST(ReusedConnections, APostIsNeverSentTwice) {
  Mailbox<std::string> second_requests;
  OneRuntime at(dies_on_reuse(second_requests));
  EXPECT_EQ(at.gateway.ask(get_by_key()).body, "fresh");
  auto const answer = at.gateway.ask(post_request());
  EXPECT_EQ(answer.status, 502u);
  EXPECT_EQ(error_code_of(answer), "runtime_closed");
  EXPECT_EQ(second_requests.take(), "POST /x HTTP/1.1");
  EXPECT_EQ(at.nested.accepted(), 1u);
}

TEST(ReusedConnections, AGetWithABodyIsNotSentTwice) {
  Mailbox<std::string> second_requests;
  OneRuntime at(dies_on_reuse(second_requests));
  EXPECT_EQ(at.gateway.ask(get_by_key()).body, "fresh");
  EXPECT_EQ(at.gateway.ask("GET /x HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "Content-Length: 2\r\n\r\n{}").status, 502u);
  EXPECT_EQ(at.nested.accepted(), 1u);
}

TEST(ReusedConnections, AnAnswerThatBeganIsNotAskedForAgain) {
  std::atomic<int> requests{0};
  OneRuntime at([&](Connection& connection) {
    while (!read_request(connection).head.empty()) {
      if (++requests > 1) {
        connection.send("HTTP/1.1 2");
        return;
      }
      connection.send(ok_answer("fresh"));
    }
  });
  EXPECT_EQ(at.gateway.ask(get_by_key()).body, "fresh");
  EXPECT_EQ(at.gateway.ask(get_by_key()).status, 502u);
  EXPECT_EQ(requests, 2);
}

TEST(ReusedConnections, ARequestGoesOnAFreshOneWhenTheServerHasEndedTheIdleOne) {
  for (auto const& request : {get_by_key(), post_request()}) {
    SCOPED_TRACE(request);
    Mailbox<int> closed;
    std::atomic<int> connections{0};
    OneRuntime at([&](Connection& connection) {
      read_request(connection);
      connection.send(ok_answer(std::to_string(++connections)));
      connection.close();
      closed.put(1);
    });
    EXPECT_EQ(at.gateway.ask(get_by_key()).body, "1");
    closed.take();
    EXPECT_EQ(at.gateway.ask(request).body, "2");
    EXPECT_EQ(at.gateway.stats().upstream_resent.read(), 0u);
  }
}

// What an idle connection said unasked is nobody's answer.
TEST(ReusedConnections, ARequestGoesOnAFreshOneWhenTheIdleOneHasSaidSomethingUnasked) {
  struct Case {
    std::string name, first_method, first_answer, unasked;
  };
  std::vector<Case> const cases{
      {"a second answer", "GET", ok_answer("1"), ok_answer("stale")},
      {"a timeout", "GET", ok_answer("1"), "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"},
      {"a body behind the answer to HEAD", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "stale"},
  };
  for (auto const& one : cases) {
    for (auto const& request : {get_by_key(), post_request()}) {
      SCOPED_TRACE(one.name + ", " + request);
      Mailbox<int> speak, said;
      std::atomic<int> connections{0};
      OneRuntime at([&](Connection& connection) {
        bool const first = ++connections == 1;
        if (read_request(connection).head.empty() || !connection.send(first ? one.first_answer : ok_answer("2"))) return;
        if (!first) return;
        speak.take();  // the client has the answer, so the gateway keeps the connection
        connection.send(one.unasked);
        said.put(1);
        connection.read_to_end();
      });
      auto client = at.gateway.connect();
      client.send(one.first_method + " /x HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
      EXPECT_EQ(read_answer(client, WithBody::no).status, 200u);
      speak.put(1);
      said.take();
      auto const answer = at.gateway.ask(request);
      EXPECT_EQ(answer.status, 200u);
      EXPECT_EQ(answer.body, "2");
    }
  }
}

TEST(ReusedConnections, AreClosedBeforeTheServerWouldCloseThem) {
  auto config = default_config();
  config.timeouts.upstream_idle = std::chrono::milliseconds(50);
  Mailbox<int> ended;
  OneRuntime at(
      [&](Connection& connection) {
        while (!read_request(connection).head.empty()) connection.send(ok_answer("x"));
        ended.put(1);
      },
      std::move(config));
  EXPECT_EQ(at.gateway.ask(get_by_key()).status, 200u);
  ended.take();
  EXPECT_EQ(at.gateway.ask(get_by_key()).status, 200u);
  EXPECT_EQ(at.nested.accepted(), 2u);
}

TEST(ReusedConnections, AreNotThoseWhoseServerSaidClose) {
  OneRuntime at([](Connection& connection) {
    while (!read_request(connection).head.empty()) {
      connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
    }
  });
  auto client = at.gateway.connect();
  for (int i = 0; i < 2; ++i) {
    client.send(get_by_key());
    auto const answer = read_answer(client);
    EXPECT_EQ(answer.body, "ok");
    EXPECT_EQ(answer.value("connection"), "");  // the server's own connection, not the client's
  }
  EXPECT_EQ(at.nested.accepted(), 2u);
}

}  // namespace
}  // namespace nestgate::test
