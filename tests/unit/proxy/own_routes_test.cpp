#include <gtest/gtest.h>

#include "support/eventually.hpp"
#include "support/scripted.hpp"

namespace nestgate::test {
namespace {

std::string post(std::string const& path, std::string const& fields, std::string const& rest) {
  return "POST " + path + " HTTP/1.1\r\nHost: g\r\n" + fields + rest;
}

struct Alone {
  explicit Alone(proxy::Config config = default_config()) : gateway(std::move(config)) { gateway.start(); }
  Gateway gateway;
};

TEST(OwnRoutes, GetTheWholeBodyHoweverItIsFramed) {
  Alone at;
  auto const by_length =
      at.gateway.ask(post("/api/automation/v1/runs", bearer(alice_api_key), "Content-Length: 5\r\n\r\nhello"));
  EXPECT_EQ(by_length.body, R"({"own":"/api/automation/v1/runs","by":"alice","bytes":5})");
  auto const in_chunks = at.gateway.ask(post("/api/automation/v1/runs", bearer(alice_api_key),
                                             "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"));
  EXPECT_EQ(in_chunks.body, R"({"own":"/api/automation/v1/runs","by":"alice","bytes":11})");
}

TEST(OwnRoutes, KeepTheConnection) {
  Alone at;
  auto client = at.gateway.connect();
  for (int i = 0; i < 3; ++i) {
    client.send(post("/api/conversations", bearer(admin_api_key), "Content-Length: 2\r\n\r\n{}"));
    EXPECT_EQ(read_answer(client).body, R"({"own":"/api/conversations","by":"ops","bytes":2})");
  }
}

TEST(OwnRoutes, AnswerExpectContinueThemselves) {
  Alone at;
  auto client = at.gateway.connect();
  client.send(post("/api/conversations", bearer(admin_api_key), "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"));
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("{}");
  EXPECT_EQ(read_answer(client).status, 200u);
}

TEST(OwnRoutes, RefuseABodyBeyondTheLimit) {
  auto config = default_config();
  config.limits.api_body_bytes_max = 1000;
  Alone at(std::move(config));
  std::string const body(1001, 'x');
  for (auto const& rest : {"Expect: 100-continue\r\nContent-Length: 1001\r\n\r\n" + std::string(),
                           "Transfer-Encoding: chunked\r\n\r\n3e9\r\n" + body + "\r\n"}) {
    auto const answer = at.gateway.ask(post("/api/conversations", bearer(admin_api_key), rest));
    EXPECT_EQ(answer.status, 413u);
    EXPECT_EQ(error_code_of(answer), "body_too_large");
    EXPECT_NE(answer.body.find("limits.api_body_bytes_max"), std::string::npos);
    EXPECT_EQ(answer.value("connection"), "close");
  }
  auto const fits =
      at.gateway.ask(post("/api/conversations", bearer(admin_api_key), "Content-Length: 1000\r\n\r\n" + body.substr(1)));
  EXPECT_EQ(fits.status, 200u);
}

TEST(OwnRoutes, TakeNoMoreOfABodyThanTheRouteNeedsFromThatKey) {
  Alone at;
  auto const path = "/api/automation/short";
  EXPECT_EQ(at.gateway.ask(post(path, bearer(alice_api_key), "Content-Length: 100\r\n\r\n" + std::string(100, 'x'))).status,
            200u);
  for (auto const& rest : {"Content-Length: 101\r\n\r\n" + std::string(),
                           "Transfer-Encoding: chunked\r\n\r\n65\r\n" + std::string(101, 'x') + "\r\n"}) {
    auto const refused = at.gateway.ask(post(path, bearer(alice_api_key), rest));
    EXPECT_EQ(refused.status, 413u);
    EXPECT_NE(refused.body.find("of this route: 100 bytes"), std::string::npos) << refused.body;
  }
  auto const by_admin =
      at.gateway.ask(post(path, bearer(admin_api_key), "Content-Length: 101\r\n\r\n" + std::string(101, 'x')));
  EXPECT_EQ(by_admin.status, 200u);
}

// A gateway whose own routes hold what they get until the test lets them go, with room for 1000 bytes of bodies.
class BodiesOfOwnRoutes : public testing::Test {
 protected:
  explicit BodiesOfOwnRoutes(unsigned threads = 1) : gateway_(limited(), threads) {
    gateway_.own_routes().on_request = [this](proxy::ApiRequest request) { return hold(std::move(request)); };
    gateway_.start();
  }
  ~BodiesOfOwnRoutes() override { let_go(); }

  static std::string with_body(std::size_t bytes) {
    return post("/api/automation/hold/complete", "", length(bytes) + std::string(bytes, 'x'));
  }
  static std::string length(std::size_t bytes) { return "Content-Length: " + std::to_string(bytes) + "\r\n\r\n"; }
  // Is held until let_go().
  Connection held(std::size_t bytes) {
    auto const before = holding_.load();
    auto client = gateway_.connect();
    client.send(with_body(bytes));
    EXPECT_TRUE(eventually([&] { return holding_.load() == before + 1; }));
    return client;
  }
  void let_go() {
    gateway_.run([](BodiesOfOwnRoutes& test) -> Task<> {
      test.lets_go_ = true;
      for (auto const& timer : test.waiting_) timer->cancel();
      test.waiting_.clear();  // none may outlive the loop
      co_return;
    }(*this));
  }
  Answer probe(std::size_t bytes) {
    return gateway_.ask(post("/api/automation/now/complete", "", length(bytes) + std::string(bytes, 'x')));
  }
  std::uint64_t rejected(std::size_t core = 0) const {
    return gateway_.stats(core).rejected[static_cast<std::size_t>(proxy::Reject::overloaded)].read();
  }

  std::atomic<std::size_t> holding_{0};
  bool lets_go_ = false;  // on the control thread, as the next
  std::vector<std::shared_ptr<Timer>> waiting_;
  Gateway gateway_;

 private:
  static proxy::Config limited() {
    auto config = default_config();
    config.limits.own_bodies_bytes_max = 1000;
    return config;
  }
  Task<proxy::ApiResponse> hold(proxy::ApiRequest request) {
    if (request.path.find("/hold/") != std::string::npos && !lets_go_) {
      auto const timer = std::make_shared<Timer>(gateway_.control(), Clock::time_point::max());
      waiting_.push_back(timer);
      holding_.fetch_add(1);
      auto [ec] = co_await timer->async_wait(no_throw);
      static_cast<void>(ec);
    }
    co_return proxy::ApiResponse{};
  }
};

TEST_F(BodiesOfOwnRoutes, AreRefusedBeyondWhatTheyMayTakeTogether) {
  auto first = held(600);
  for (auto const& rest : {"Expect: 100-continue\r\n" + length(401),
                           "Transfer-Encoding: chunked\r\n\r\n191\r\n" + std::string(401, 'x') + "\r\n"}) {
    auto const refused = gateway_.ask(post("/api/automation/now/complete", "", rest));
    EXPECT_EQ(refused.status, 503u);
    EXPECT_EQ(error_code_of(refused), "overloaded");
    EXPECT_EQ(refused.value("retry-after"), "1");
    EXPECT_EQ(refused.value("connection"), "close");
  }
  EXPECT_EQ(rejected(), 2u);
  EXPECT_EQ(probe(400).status, 200u) << "there is room for that";
  EXPECT_EQ(probe(0).status, 200u);
  let_go();
  EXPECT_EQ(read_answer(first).status, 200u);
  EXPECT_EQ(probe(1000).status, 200u);
}

TEST_F(BodiesOfOwnRoutes, TakeNoRoomBeforeTheyCome) {
  auto announced = gateway_.connect();
  announced.send(post("/api/automation/now/complete", "", "Expect: 100-continue\r\n" + length(1000)));
  EXPECT_EQ(announced.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(probe(1000).status, 200u);
}

TEST_F(BodiesOfOwnRoutes, GiveTheirRoomBackHoweverTheyEnd) {
  auto const path = "/api/automation/now/complete";
  auto left = gateway_.connect();
  left.send(post(path, "", length(1000) + std::string(900, 'x')));
  EXPECT_TRUE(eventually([&] { return probe(101).status == 503; })) << "it is held while it comes";
  left.close();
  EXPECT_TRUE(eventually([&] { return probe(1000).status == 200; })) << "its client left";
  auto const malformed = "Transfer-Encoding: chunked\r\n\r\n1f4\r\n" + std::string(500, 'x') + "\r\nno chunk\r\n";
  EXPECT_EQ(gateway_.ask(post(path, "", malformed)).status, 400u);
  EXPECT_EQ(gateway_
                .ask(post("/api/automation/short", bearer(alice_api_key),
                          "Transfer-Encoding: chunked\r\n\r\n65\r\n" + std::string(101, 'x') + "\r\n"))
                .status,
            413u);
  EXPECT_TRUE(eventually([&] { return probe(1000).status == 200; }));
}

class BodiesOfTwoCores : public BodiesOfOwnRoutes {
 protected:
  BodiesOfTwoCores() : BodiesOfOwnRoutes(2) {}
};

TEST_F(BodiesOfTwoCores, HaveOneRoom) {
  auto const first = held(500);
  auto const second = held(500);
  for (int i = 0; i < 16; ++i) EXPECT_EQ(probe(1).status, 503u);
  EXPECT_EQ(rejected(0) + rejected(1), 16u);
}

TEST(OwnRoutes, SayHowToShowAKey) {
  Alone at;
  auto const refused = at.gateway.ask("GET /api/v1/sandboxes HTTP/1.1\r\nHost: g\r\n\r\n");
  EXPECT_EQ(refused.status, 401u);
  EXPECT_EQ(refused.value("www-authenticate"), "Bearer");
}

TEST(OwnRoutes, TakeLittleFromThoseWithoutAnApiKey) {
  auto config = default_config();
  config.limits.callback_body_bytes_max = 100;
  Alone at(std::move(config));
  auto const path = "/api/automation/v1/runs/r1/complete";
  EXPECT_EQ(at.gateway.ask(post(path, bearer("run-token"), "Content-Length: 2\r\n\r\n{}")).body,
            R"({"own":"/api/automation/v1/runs/r1/complete","by":"nobody","bytes":2})");
  for (auto const& rest : {"Content-Length: 101\r\n\r\n" + std::string(),
                           "Transfer-Encoding: chunked\r\n\r\n65\r\n" + std::string(101, 'x') + "\r\n"}) {
    auto const refused = at.gateway.ask(post(path, bearer("run-token"), rest));
    EXPECT_EQ(refused.status, 413u);
    EXPECT_NE(refused.body.find("limits.callback_body_bytes_max"), std::string::npos);
  }
}

TEST(OwnRoutes, SayThemselvesWhomTheyKnowAndWhatIsTooLarge) {
  auto config = default_config();
  config.limits.callback_body_bytes_max = 1;
  Alone at(std::move(config));
  auto const path = "/api/automation/worded/complete";
  EXPECT_EQ(at.gateway.ask(post(path, "", "Content-Length: 10\r\n\r\n0123456789")).status, 200u);
  for (auto const* const rest : {"Content-Length: 11\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nb\r\n0123456789a\r\n"}) {
    auto const refused = at.gateway.ask(post(path, "", rest));
    EXPECT_EQ(refused.status, 413u);
    EXPECT_TRUE(refused.body.starts_with(R"({"detail":"ten and no more")")) << refused.body;
  }
}

TEST(OwnRoutes, TakeMoreOfAPushWhoseKeyIsKnown) {
  auto config = default_config();
  config.limits.callback_body_bytes_max = 100;
  config.limits.webhook_body_bytes_max = 200;
  Alone at(std::move(config));
  at.gateway.add("c1", 1);
  std::string const path = "/api/v1/webhooks/events/x";
  std::string const body(200, 'x');
  EXPECT_EQ(at.gateway.ask(post(path, key_field("c1"), "Content-Length: 200\r\n\r\n" + body)).status, 200u);
  auto const beyond = at.gateway.ask(post(path, key_field("c1"), "Content-Length: 201\r\n\r\n"));
  EXPECT_EQ(beyond.status, 413u);
  EXPECT_NE(beyond.body.find("limits.webhook_body_bytes_max"), std::string::npos);
  EXPECT_EQ(at.gateway.ask(post(path, key_field("stranger"), "Content-Length: 200\r\n\r\n")).status, 413u);
  EXPECT_EQ(
      at.gateway.ask(post("/api/automation/v1/runs/r1/complete", key_field("c1"), "Content-Length: 200\r\n\r\n")).status,
      413u)
      << "the key is for pushes";
}

TEST(OwnRoutes, OfTheCollectionsAreAskedWhateverTheMethod) {
  Alone at;
  for (std::string const method : {"PUT", "PATCH", "DELETE"}) {
    for (std::string const path : {"/api/conversations", "/api/automation/v1/runs"}) {
      auto const answer = at.gateway.ask(method + " " + path + " HTTP/1.1\r\nHost: g\r\n" + bearer(admin_api_key) + "\r\n");
      EXPECT_EQ(answer.body, R"({"own":")" + path + R"(","by":"ops","bytes":0})") << method;
    }
  }
}

TEST(OwnRoutes, RefuseAMalformedChunk) {
  Alone at;
  auto const answer =
      at.gateway.ask(post("/api/conversations", bearer(admin_api_key), "Transfer-Encoding: chunked\r\n\r\nxyz\r\n"));
  EXPECT_EQ(answer.status, 400u);
  EXPECT_EQ(error_code_of(answer), "bad_chunk_size");
}

TEST(OwnRoutes, EndABodyThatStalls) {
  auto config = default_config();
  config.timeouts.body_progress = std::chrono::milliseconds(60);
  Alone at(std::move(config));
  auto const answer = at.gateway.ask(post("/api/conversations", bearer(admin_api_key), "Content-Length: 9\r\n\r\n{"));
  EXPECT_EQ(answer.status, 408u);
  EXPECT_EQ(error_code_of(answer), "body_timeout");
}

TEST(OwnRoutes, LeaveTheBodyOutOfAnAnswerToHead) {
  Alone at;
  auto client = at.gateway.connect();
  client.send("HEAD /health HTTP/1.1\r\nHost: g\r\n\r\n");
  auto const head = client.read_until("\r\n\r\n");
  EXPECT_TRUE(head.starts_with("HTTP/1.1 200 "));
  EXPECT_NE(field_value(head, "content-length"), "0");
  client.send("GET /health HTTP/1.1\r\nHost: g\r\n\r\n");
  EXPECT_EQ(read_answer(client).body, R"({"status":"ok"})");
}

}  // namespace
}  // namespace nestgate::test
