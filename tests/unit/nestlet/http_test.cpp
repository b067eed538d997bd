#include "unit/nestlet/support.hpp"

namespace nestgate::nestlet::testing {
namespace {

TEST(Http, OpenRoutesNeedNoKey) {
  RunningServer const server;
  for (auto const* path : {"/alive", "/health"}) EXPECT_EQ(server.call("GET", path, "", {}).body, R"({"status":"ok"})");
  EXPECT_EQ(server.call("GET", "/ready", "", {}).body, R"({"status":"ready"})");
  for (auto const* path : {"/server_info", "/"}) {
    EXPECT_GE(server.call("GET", path, "", {}).json().at("uptime").to_number<double>(), 0) << path;
  }
  EXPECT_EQ(server.call("GET", "/%61live", "", {}).status, 200u);
  EXPECT_EQ(server.call("GET", "//alive", "", {}).status, 404u);
}

TEST(Http, OtherRoutesTakeAnyOfTheKeysAndTheFirstOfTwoHeaders) {
  RunningServer const server({}, {"k1", "k2"});
  auto const status = [&](Fields const& fields) {
    return server.call("GET", "/api/bash/bash_events/search", "", fields).status;
  };
  EXPECT_EQ(status({{"X-Session-API-Key", "k1"}}), 200u);
  EXPECT_EQ(status({{"x-session-api-key", "k2"}}), 200u);
  EXPECT_EQ(status({{"X-Session-API-Key", "k1"}, {"X-Session-API-Key", "bad"}}), 200u);
  EXPECT_EQ(status({{"X-Session-API-Key", "bad"}, {"X-Session-API-Key", "k1"}}), 401u);
  EXPECT_EQ(status({{"Authorization", "Bearer k1"}}), 401u);
  EXPECT_EQ(server.call("GET", "/v1/models", "", {{"Authorization", "Bearer k1"}}).status, 200u);
  auto const refused = server.call("GET", "/api/conversations/not-an-id", "", {});
  EXPECT_EQ(refused.status, 401u) << "before the path is looked at";
  EXPECT_EQ(refused.body, R"({"detail":"Unauthorized"})");
  EXPECT_EQ(refused.fields.count(http::field::www_authenticate), 0u);
}

TEST(Http, WithoutKeysEverythingIsOpen) {
  RunningServer const server({}, {});
  EXPECT_EQ(server.call("GET", "/api/bash/bash_events/search", "", {}).status, 200u);
  EXPECT_EQ(server.call("POST", "/list_files", "", {}).status, 200u);
}

TEST(Http, TheKeyIsCheckedBeforeTheBodyIsAskedFor) {
  RunningServer const server;
  std::string const head =
      "POST /api/file/upload?path=/x HTTP/1.1\r\nhost: n\r\nexpect: 100-continue\r\ncontent-length: 1000000\r\n";
  Client stranger(server.port());
  stranger.send(head + "\r\n");
  EXPECT_EQ(stranger.receive().status, 401u);
  EXPECT_TRUE(stranger.at_end());

  Client friendly(server.port());
  friendly.send(
      "POST /api/bash/execute_bash_command HTTP/1.1\r\nhost: n\r\nexpect: 100-continue\r\ncontent-length: 21\r\n"
      "x-session-api-key: k1\r\n\r\n");
  EXPECT_EQ(friendly.receive_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  friendly.send(R"({"command":"echo hi"})");
  EXPECT_EQ(friendly.receive().status, 200u);
}

TEST(Http, UnknownPathsAndMethodsHaveFastApisAnswers) {
  RunningServer const server;
  auto const unknown = server.call("GET", "/api/nothing", "", {});
  EXPECT_EQ(unknown.status, 404u);
  EXPECT_EQ(unknown.body, R"({"detail":"Not Found"})");
  auto const wrong = server.call("HEAD", "/api/bash/bash_events/search", "", {});
  EXPECT_EQ(wrong.status, 405u);
  EXPECT_EQ(server.call("GET", "/api/bash/bash_events", "", {}).status, 405u);
  EXPECT_EQ(server.call("PUT", "/alive", "", {}).fields[http::field::allow], "GET");
  EXPECT_EQ(server.call("GET", "/sockets/bash-events", "", {}).status, 404u);
}

TEST(Http, BadJsonIsA422ThatNamesTheFieldAndNeverEchoesTheInput) {
  RunningServer const server;
  auto const reply = server.call("POST", "/api/bash/start_bash_command", R"({"command":7,"timeout":"hunter2"})");
  EXPECT_EQ(reply.status, 422u);
  EXPECT_EQ(
      reply.body,
      R"({"detail":[{"type":"string_type","loc":["body","command"],"msg":"Input should be a valid string","input":null}]})");
  EXPECT_EQ(server.call("POST", "/api/bash/start_bash_command", "{").status, 422u);
  EXPECT_EQ(server.call("POST", "/api/bash/start_bash_command", "[]").status, 422u);
  EXPECT_EQ(server.call("POST", "/api/bash/start_bash_command", "").status, 422u);
}

TEST(Http, ABodyPastTheLimitIsRefusedWithTheLimit) {
  Limits limits;
  limits.json_body_bytes_max = 100;
  RunningServer const server(limits);
  auto const reply = server.call("POST", "/api/bash/start_bash_command", std::string(101, ' '));
  EXPECT_EQ(reply.status, 413u);
  EXPECT_EQ(reply.body, R"({"detail":"Request body too large: at most 100 bytes"})");
  Client chunked(server.port());
  chunked.send(
      "POST /api/bash/start_bash_command HTTP/1.1\r\nhost: n\r\nx-session-api-key: k1\r\ntransfer-encoding: "
      "chunked\r\n\r\nff\r\n" +
      std::string(255, ' ') + "\r\n0\r\n\r\n");
  EXPECT_EQ(chunked.receive().status, 413u);
}

TEST(Http, AConnectionServesRequestAfterRequestEvenPipelined) {
  RunningServer const server;
  Client client(server.port());
  client.send("GET /alive HTTP/1.1\r\nhost: n\r\n\r\nGET /ready HTTP/1.1\r\nhost: n\r\n\r\n");
  EXPECT_EQ(client.receive().body, R"({"status":"ok"})");
  EXPECT_EQ(client.receive().body, R"({"status":"ready"})");
  client.send("GET /alive HTTP/1.1\r\nhost: n\r\nconnection: close\r\n\r\n");
  EXPECT_EQ(client.receive().fields[http::field::connection], "close");
  EXPECT_TRUE(client.at_end());
}

TEST(Http, GarbageAndHugeHeadsAreAnsweredAndClosed) {
  RunningServer const server;
  Client garbage(server.port());
  garbage.send("nonsense\r\n\r\n");
  EXPECT_EQ(garbage.receive().status, 400u);
  EXPECT_TRUE(garbage.at_end());
  Client huge(server.port());
  huge.send("GET /alive HTTP/1.1\r\nx: " + std::string(200 * 1024, 'x'));
  EXPECT_EQ(huge.receive().status, 431u);
  std::string const half(35 * 1024, 'x');
  EXPECT_EQ(server.call("GET", "/alive", "", {{"x", half}, {"y", half}}).status, 200u) << "agent_server.md 10.2";
  EXPECT_EQ(server.call("GET", "/alive", "", {{"x", half + half}}).status, 431u) << "more than one field can hold";
  EXPECT_EQ(server.call("GET", "/alive").status, 200u);
}

TEST(Http, ARequestNamesItsHostOnce) {
  RunningServer const server;
  auto const status = [&](std::string const& raw) {
    Client client(server.port());
    client.send(raw);
    return client.receive().status;
  };
  EXPECT_EQ(status("GET /alive HTTP/1.1\r\n\r\n"), 400u);
  EXPECT_EQ(status("GET /alive HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n"), 400u);
  EXPECT_EQ(status("GET /alive HTTP/1.0\r\n\r\n"), 200u);
}

TEST(Http, StoppingAnswersARunningRequestAndEndsItsCommand) {
  RunningServer server;
  Client client(server.port());
  std::string const body = R"({"command":"echo ready > started; sleep 1000"})";
  client.send("POST /api/bash/execute_bash_command HTTP/1.1\r\nhost: n\r\nx-session-api-key: k1\r\ncontent-length: " +
              std::to_string(body.size()) + "\r\n\r\n" + body);
  while (read_file(server.path("started")).empty()) std::this_thread::yield();
  server.stop();
  auto const reply = client.receive();
  EXPECT_EQ(reply.status, 200u);
  EXPECT_EQ(reply.json().at("exit_code"), -15);
}

}  // namespace
}  // namespace nestgate::nestlet::testing
