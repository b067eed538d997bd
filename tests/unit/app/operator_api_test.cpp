#include "app/operator_api.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include "support/backing.hpp"
#include "support/control.hpp"
#include "support/fake_runtimes.hpp"

namespace nestgate::app {
namespace {

using testing::HasSubstr;
using testing::Not;
using Method = AdminRequest::Method;

class Operators : public testing::Test {
 protected:
  Operators() {
    auto provider_owned = std::make_unique<test::FakeProvider>(nested_.endpoint());
    provider_ = provider_owned.get();
    std::vector<Secret> secrets;
    secrets.emplace_back("0123456789abcdef0123456789abcdef");
    auto ring = std::make_shared<identity::KeyRing const>(identity::Derivation::sha256, std::move(secrets));
    manager_ =
        std::make_unique<conversation::Manager>(control_.executor(), std::move(provider_owned), publisher_, std::move(ring),
                                                *backing_.store, *backing_.credentials, conversation::ManagerSettings{});
    operators_ = std::make_unique<OperatorApi>(*manager_, publisher_);
  }
  ~Operators() override { control_.run(manager_->stop_all()); }

  void start(std::string_view id, std::string owner = "alice") {
    conversation::StartRequest wanted;
    wanted.id = ConversationId::parse(id).value();
    wanted.by = {owner, identity::Role::user, owner};
    auto const started = control_.run(manager_->start(std::move(wanted)));
    ASSERT_TRUE(started) << started.error().reason;
  }
  AdminAnswer ask(std::string path, std::string query = {}, Method method = Method::get) {
    AdminRequest request{method, std::move(path), std::move(query)};
    return control_.run(operators_->handle(std::move(request)));
  }
  static std::string at(AdminAnswer const& answer, std::string_view pointer) {
    simdjson::dom::parser parser;
    simdjson::dom::element found;
    if (parser.parse(answer.body).at_pointer(pointer).get(found)) return "(none)";
    return simdjson::minify(found);
  }

  test::ScriptedServer nested_;
  test::Control control_;
  test::Backing backing_{control_};
  test::RecordingPublisher publisher_;
  test::FakeProvider* provider_ = nullptr;
  std::unique_ptr<conversation::Manager> manager_;
  std::unique_ptr<OperatorApi> operators_;
};

TEST_F(Operators, SeeTheConversationsOfAllOwnersWithoutTheirKeys) {
  start("c1");
  start("c2", "bob");
  auto const list = ask("/api/conversations");
  EXPECT_EQ(list.status, 200U);
  EXPECT_EQ(at(list, "/results/0/id"), R"("c2")");
  EXPECT_EQ(at(list, "/results/0/owner"), R"("bob")");
  EXPECT_EQ(at(list, "/results/1/state"), R"("running")");
  auto const one = ask("/api/conversations/c1");
  EXPECT_EQ(at(one, "/id"), R"("c1")");
  EXPECT_EQ(at(one, "/address"), "\"http://127.0.0.1:" + std::to_string(nested_.port()) + "\"");
  for (auto const& key : provider_->keys) {
    EXPECT_THAT(list.body, Not(HasSubstr(key)));
    EXPECT_THAT(one.body, Not(HasSubstr(key)));
  }
}

TEST_F(Operators, ListByStateAndByPages) {
  start("c1");
  start("c2");
  ASSERT_EQ(ask("/api/conversations/c1/stop", {}, Method::post).status, 200U);
  EXPECT_EQ(at(ask("/api/conversations", "status=stopped"), "/results/0/id"), R"("c1")");
  EXPECT_EQ(at(ask("/api/conversations", "status=running"), "/results/1"), "(none)");
  auto const first = ask("/api/conversations", "limit=1");
  EXPECT_EQ(at(first, "/results/0/id"), R"("c2")");
  auto next = at(first, "/next_page_id");
  next = next.substr(1, next.size() - 2);
  auto const second = ask("/api/conversations", "limit=1&page_id=" + next);
  EXPECT_EQ(at(second, "/results/0/id"), R"("c1")");
  EXPECT_EQ(at(second, "/next_page_id"), "null");
  for (auto const* query : {"limit=0", "limit=1001", "status=RUNNING", "page_id=x"})
    EXPECT_EQ(ask("/api/conversations", query).status, 400U) << query;
}

TEST_F(Operators, StopOneAndReadItsLog) {
  start("c1");
  provider_->said = "one\ntwo\n";
  EXPECT_EQ(ask("/api/conversations/c1/log").body, "one\ntwo\n");
  EXPECT_EQ(ask("/api/conversations/c1/log", "bytes=4").body, "two\n");
  EXPECT_EQ(ask("/api/conversations/c1/log", "bytes=0").status, 400U);
  auto const stopped = ask("/api/conversations/c1/stop", {}, Method::post);
  EXPECT_EQ(stopped.status, 200U) << stopped.message;
  EXPECT_EQ(at(stopped, "/state"), R"("stopped")");
}

TEST_F(Operators, AreToldWhatIsNotThereAndWhatCannotBe) {
  start("c1");
  for (auto const* path : {"/api/conversations/c2", "/api/conversations/c1/explode", "/api/conversationsx", "/api/",
                           "/api/conversations/", "/api/conversations/a%2Fb", "/api/nothing"})
    EXPECT_EQ(ask(path).status, 404U) << path;
  EXPECT_EQ(ask("/api/conversations/c1/stop").status, 405U);
  EXPECT_EQ(ask("/api/conversations/c1/stop").allow, "POST");
  EXPECT_EQ(ask("/api/conversations/c1", {}, Method::post).status, 405U);
  EXPECT_EQ(ask("/api/top", {}, Method::post).status, 405U);
  EXPECT_EQ(ask("/api/conversations", {}, Method::post).status, 405U);
}

TEST_F(Operators, SeeWhoUsesWhat) {
  nested_.on("GET /server_info", {200, R"({"resources":{"cpu_percent":12.5,"memory":{"rss":1048576}}})"});
  start("c1");
  start("c2");
  start("c3");
  ASSERT_EQ(ask("/api/conversations/c3/stop", {}, Method::post).status, 200U);
  auto const now = Clock::now();
  publisher_.used.push_back({ConversationId::parse("c1").value(), now - std::chrono::seconds(90), now, 3});
  auto const top = ask("/api/top");
  EXPECT_EQ(top.status, 200U);
  EXPECT_EQ(at(top, "/results/2"), "(none)") << "what is stopped uses nothing";
  EXPECT_EQ(at(top, "/results/0/id"), R"("c2")");
  EXPECT_EQ(at(top, "/results/0/streams"), "0");
  EXPECT_EQ(at(top, "/results/0/seconds_since_act"), "0") << "its start is an act";
  EXPECT_EQ(at(top, "/results/0/seconds_since_traffic"), "null");
  EXPECT_EQ(at(top, "/results/1/streams"), "3");
  EXPECT_EQ(at(top, "/results/1/seconds_since_act"), "0") << "it was started after that";
  EXPECT_EQ(at(top, "/results/1/seconds_since_traffic"), "0");
  EXPECT_EQ(at(top, "/results/1/memory_bytes"), "1048576");
  EXPECT_EQ(at(top, "/results/1/cpu_percent"), "12.5");
}

TEST_F(Operators, SeeTheProvidersFiguresBeforeThoseOfServers) {
  nested_.on("GET /server_info", {200, R"({"resources":{"cpu_percent":12.5,"memory":{"rss":1048576}}})"});
  provider_->used.memory_bytes = 4096;
  start("c1");
  auto const memory_only = ask("/api/top");
  EXPECT_EQ(at(memory_only, "/results/0/memory_bytes"), "4096");
  EXPECT_EQ(at(memory_only, "/results/0/cpu_percent"), "12.5") << "the provider cannot tell it";
  auto const asked = nested_.requests().size();
  provider_->used.cpu_time = std::chrono::seconds(7);
  provider_->used_by_look = std::chrono::milliseconds(100);
  for (int look = 0; look < 3; ++look) {
    auto const percent = std::stod(at(ask("/api/top"), "/results/0/cpu_percent"));
    EXPECT_GT(percent, 0);
    EXPECT_LE(percent, 40) << "0.1 s in a quarter of a second, or more";
  }
  EXPECT_EQ(nested_.requests().size(), asked) << "who knows it all asks nobody else";
}

TEST_F(Operators, SeeNoCpuTimeOfALifeBefore) {
  provider_->used = {4096, std::chrono::hours(1)};
  start("c1");
  ask("/api/top");
  ASSERT_EQ(ask("/api/conversations/c1/stop", {}, Method::post).status, 200U);
  start("c1");
  provider_->used.cpu_time = std::chrono::microseconds(0);
  provider_->used_by_look = std::chrono::milliseconds(25);
  EXPECT_GT(std::stod(at(ask("/api/top"), "/results/0/cpu_percent")), 0) << "it was compared with itself";
}

TEST_F(Operators, SeeWhatServersSayNothingOf) {
  nested_.on("GET /server_info", {500, ""});
  start("c1");
  auto const top = ask("/api/top");
  EXPECT_EQ(at(top, "/results/0/memory_bytes"), "null");
  EXPECT_EQ(at(top, "/results/0/cpu_percent"), "null");
}

}  // namespace
}  // namespace nestgate::app
