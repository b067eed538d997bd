#include <gtest/gtest.h>

#include <simdjson.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "support/scripted.hpp"

namespace nestgate::test {
namespace {

struct Behind {
  explicit Behind(proxy::Config config = default_config(), std::unique_ptr<LineSink> log = LineSink::nowhere())
      : gateway(std::move(config), 1, std::move(log)) {
    gateway.start();
    gateway.add("c1", nested.port());
  }
  // The head that reached the nested server.
  std::string head_of(std::string const& fields, std::string const& target = "/x") {
    return gateway.get(target, key_field("c1") + fields).body;
  }
  Server nested{echo_as("c1")};
  Gateway gateway;
};

proxy::Config trusting_config() {
  auto config = default_config();
  config.trusted_proxies_v4.push_back(asio::ip::make_network_v4("127.0.0.0/8"));
  return config;
}

std::string const claims =
    "Forwarded: for=203.0.113.9\r\nX-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: https\r\n"
    "X-Forwarded-Host: public.example\r\nX-Forwarded-Port: 443\r\nX-Real-IP: 203.0.113.9\r\nX-Forwarded-User: root\r\n";

TEST(ForwardedFields, OfAnybodyAreReplaced) {
  Behind at;
  auto const head = at.head_of(claims);
  EXPECT_EQ(field_value(head, "x-forwarded-for"), "127.0.0.1");
  EXPECT_EQ(field_value(head, "x-forwarded-proto"), "http");
  EXPECT_EQ(field_value(head, "x-forwarded-host"), "gateway");
  for (auto const* name : {"forwarded", "x-forwarded-port", "x-real-ip", "x-forwarded-user"}) {
    EXPECT_EQ(field_value(head, name), "") << name;
  }
  EXPECT_EQ(head.find("203.0.113.9"), std::string::npos);
}

TEST(ForwardedFields, OfATrustedProxyAreKeptAndAddedTo) {
  Behind at(trusting_config());
  auto const head = at.head_of(claims);
  EXPECT_EQ(field_value(head, "x-forwarded-for"), "203.0.113.9, 127.0.0.1");
  EXPECT_EQ(field_value(head, "x-forwarded-proto"), "https");
  EXPECT_EQ(field_value(head, "x-forwarded-host"), "public.example");
  EXPECT_EQ(field_value(head, "x-real-ip"), "203.0.113.9");
}

TEST(ForwardedFields, OfATrustedProxyAreMadeWhereItSentNone) {
  Behind at(trusting_config());
  auto const head = at.head_of({});
  EXPECT_EQ(field_value(head, "x-forwarded-for"), "127.0.0.1");
  EXPECT_EQ(field_value(head, "x-forwarded-proto"), "http");
}

TEST(ForwardedFields, OfAProxyOutsideTheTrustedNetworkAreReplaced) {
  auto config = default_config();
  config.trusted_proxies_v4.push_back(asio::ip::make_network_v4("10.0.0.0/8"));
  Behind at(std::move(config));
  EXPECT_EQ(field_value(at.head_of(claims), "x-forwarded-for"), "127.0.0.1");
}

TEST(RequestIds, AreHandedOnAndBack) {
  Behind at;
  auto const answer = at.gateway.get("/x", key_field("c1") + "X-Request-Id: abc-123\r\n");
  EXPECT_EQ(field_value(answer.body, "x-request-id"), "abc-123");
  EXPECT_EQ(answer.value("x-request-id"), "abc-123");
}

TEST(RequestIds, AreMadeWhereNoneIsUsable) {
  Behind at;
  std::string last;
  for (std::string const& field :
       {std::string(), std::string("X-Request-Id: two words\r\n"), "X-Request-Id: " + std::string(129, 'x') + "\r\n"}) {
    auto const answer = at.gateway.get("/x", key_field("c1") + field);
    auto const id = answer.value("x-request-id");
    EXPECT_EQ(id.size(), 32u);
    EXPECT_EQ(field_value(answer.body, "x-request-id"), id);
    EXPECT_EQ(occurrences(answer.body, "X-Request-Id"), 1u);
    EXPECT_NE(id, last);
    last = id;
  }
}

TEST(RequestIds, ReplaceTheNestedServersOwn) {
  Server nested(answer_once("HTTP/1.1 200 OK\r\nX-Request-Id: theirs\r\nServer: uvicorn\r\nContent-Length: 0\r\n\r\n"));
  Gateway gateway;
  gateway.start();
  gateway.add("c1", nested.port());
  auto const answer = gateway.get("/x", key_field("c1") + "X-Request-Id: ours\r\n");
  EXPECT_EQ(answer.value("x-request-id"), "ours");
  EXPECT_EQ(answer.value("server"), "");
}

TEST(TraceContext, PassesOrIsMade) {
  Behind at;
  std::string const given = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
  EXPECT_EQ(field_value(at.head_of("traceparent: " + given + "\r\n"), "traceparent"), given);
  auto const made = field_value(at.head_of({}), "traceparent");
  ASSERT_EQ(made.size(), given.size());
  EXPECT_TRUE(made.starts_with("00-"));
  EXPECT_TRUE(made.ends_with("-00"));
}

TEST(HopByHopFields, AndThoseThatConnectionNamesStayHere) {
  Behind at;
  auto const head = at.head_of(
      "Connection: X-Secret, keep-alive\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\n"
      "Proxy-Authorization: Basic eA==\r\nProxy-Connection: keep-alive\r\nX-Kept: 1\r\n");
  for (auto const* name : {"connection", "x-secret", "keep-alive", "te", "proxy-authorization", "proxy-connection"}) {
    EXPECT_EQ(field_value(head, name), "") << name;
  }
  EXPECT_EQ(field_value(head, "x-kept"), "1");
}

TEST(HopByHopFields, OfAnAnswerStayHereToo) {
  Server nested(
      answer_once("HTTP/1.1 200 OK\r\nConnection: X-Inner, close\r\nX-Inner: 1\r\nKeep-Alive: timeout=5\r\n"
                  "X-Outer: 1\r\nContent-Length: 0\r\n\r\n"));
  Gateway gateway;
  gateway.start();
  gateway.add("c1", nested.port());
  auto client = gateway.connect();
  client.send("GET /x HTTP/1.1\r\nHost: g\r\n" + key_field("c1") + "\r\n");
  auto const answer = read_answer(client);
  for (auto const* name : {"connection", "x-inner", "keep-alive"}) EXPECT_EQ(answer.value(name), "") << name;
  EXPECT_EQ(answer.value("x-outer"), "1");
}

TEST(TheKeyField, IsReplacedNotDoubled) {
  Behind at;
  auto const head = at.gateway
                        .get("/x", "x-session-api-key: " + session_key_of("c1") +
                                       "\r\nX_Session_API_Key: other\r\n"
                                       "X-SESSION-API-KEY: third\r\n")
                        .body;
  EXPECT_EQ(field_value(head, "x-session-api-key"), session_key_of("c1"));
  EXPECT_EQ(occurrences(head, session_key_of("c1")), 1u);
  EXPECT_EQ(head.find("other"), std::string::npos);
  EXPECT_EQ(head.find("third"), std::string::npos);
}

// A file that a test may read once the gateway that wrote it is gone.
class LogFile {
 public:
  LogFile() {
    path_ = testing::TempDir() + "nestgate-access-XXXXXX";
    int const fd = ::mkstemp(path_.data());
    if (fd < 0) throw std::runtime_error("mkstemp");
    ::close(fd);
  }
  LogFile(LogFile const&) = delete;
  ~LogFile() { ::unlink(path_.c_str()); }
  std::unique_ptr<LineSink> sink() const { return LineSink::to_file(path_, {}).value(); }
  std::vector<std::string> lines() const {
    std::ifstream in(path_);
    std::vector<std::string> out;
    for (std::string line; std::getline(in, line);) out.push_back(line);
    return out;
  }

 private:
  std::string path_;
};

proxy::Config logging_config() {
  auto config = default_config();
  config.access_log = proxy::AccessLog::on;
  config.rules.domain = "sandboxes.test";
  return config;
}

TEST(AccessLogLines, TellEachRequestInOneLineOfJson) {
  LogFile file;
  {
    Behind at(logging_config(), file.sink());
    at.gateway.ask("POST /api/conversations/c1/events?a=1 HTTP/1.1\r\nHost: g\r\nX-Request-Id: first\r\n" + key_field("c1") +
                   "Content-Length: 5\r\n\r\nhello");
    at.gateway.get("/nothing", "X-Request-Id: second\r\n");
    at.gateway.ask("GET / HTTP/1.1\r\n\r\n");
  }
  auto const lines = file.lines();
  ASSERT_EQ(lines.size(), 3u);
  simdjson::dom::parser parser;
  auto const number = [](simdjson::dom::element line, char const* key) { return std::uint64_t(line[key]); };
  auto const text = [](simdjson::dom::element line, char const* key) { return std::string(std::string_view(line[key])); };

  auto line = parser.parse(lines[0]).value();
  EXPECT_EQ(text(line, "request_id"), "first");
  EXPECT_EQ(text(line, "peer"), "127.0.0.1");
  EXPECT_EQ(text(line, "method"), "POST");
  EXPECT_EQ(text(line, "target"), "/api/conversations/c1/events?a=1");
  EXPECT_EQ(text(line, "route"), "path");
  EXPECT_EQ(text(line, "conversation"), "c1");
  EXPECT_EQ(number(line, "status"), 200u);
  EXPECT_EQ(number(line, "bytes_in"), 5u);
  EXPECT_GT(number(line, "bytes_out"), 5u);
  EXPECT_GE(number(line, "duration_us"), number(line, "upstream_us"));

  line = parser.parse(lines[1]).value();
  EXPECT_EQ(text(line, "route"), "none");
  EXPECT_EQ(number(line, "status"), 404u);
  EXPECT_EQ(text(line, "conversation"), "");

  line = parser.parse(lines[2]).value();
  EXPECT_EQ(number(line, "status"), 400u);
  EXPECT_EQ(text(line, "request_id").size(), 32u);
}

TEST(AccessLogLines, HoldNoKeyWhereverItCameIn) {
  LogFile file;
  auto const key = session_key_of("c1");
  {
    Behind at(logging_config(), file.sink());
    auto const& gateway = at.gateway;
    gateway.get("/api/file", key_field("c1"));
    gateway.get("/api/file?session_api_key=" + key, key_field("c1"));
    gateway.get("/api/file?x=1&session%5Fapi_key=" + key + "&y=2", key_field("c1"));
    gateway.ask(websocket_request("/sockets/events/c1?session_api_key=" + key));
    gateway.get("/runtime/c1/x?tkn=" + key + "&token=" + key, key_field("c1"));
    gateway.get("/socket.io/?conversation_id=c1&session_api_key=" + key);
    gateway.get("/v1/models", bearer(key));
    gateway.get("/api/conversations", bearer(admin_api_key));
    gateway.get("/api/conversations/c1/workspace/a", "Cookie: oh_workspace_session_key=" + key + "\r\n");
    gateway.ask("GET http://g/a?session_api_key=" + key + " HTTP/1.1\r\nHost: g\r\n" + key_field("c1") +
                "Connection: close\r\n\r\n");
    gateway.ask("GET /broken?session_api_key=" + key + " HTTP/9.9\r\nHost: g\r\n\r\n");
    gateway.ask(websocket_request("/sockets/bash-events?session_api_key=wrong-" + key));
    gateway.get("/api/file?X-Session-API-Key=" + key + "&Key=" + key + "&a=b%26session_api_key%3D" + key, key_field("c1"));
    gateway.get("/a/" + key + "/b?q=" + key + "&" + key, key_field("c1"));
    gateway.get("/v1/" + key, bearer(key));
    gateway.get("/x/" + key, "Cookie: oh_workspace_session_key=" + key + "\r\n");
    gateway.get("/list?a=" + std::string(admin_api_key), "X-API-Key: " + std::string(admin_api_key) + "\r\n");
  }
  auto const lines = file.lines();
  EXPECT_EQ(lines.size(), 17u);
  for (auto const& line : lines) {
    EXPECT_EQ(line.find(key), std::string::npos) << line;
    EXPECT_EQ(line.find(admin_api_key), std::string::npos) << line;
  }
}

}  // namespace
}  // namespace nestgate::test
