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
    automation_ = std::make_unique<automation::Service>(control_.executor(), *manager_, *backing_.store, manager_->gateway(),
                                                        ring_of_tokens(), automation::Settings{});
    operators_ = std::make_unique<OperatorApi>(*manager_, publisher_, *automation_);
  }
  ~Operators() override {
    control_.run(automation_->stop(Deadline::in({})));
    control_.run(manager_->stop_all());
  }
  static std::shared_ptr<identity::KeyRing const> ring_of_tokens() {
    std::vector<Secret> secrets;
    secrets.emplace_back("0123456789abcdef0123456789abcdef");
    return std::make_shared<identity::KeyRing const>(identity::Derivation::sha256, std::move(secrets));
  }

  void start(std::string_view id, std::string owner = "alice") {
    conversation::StartRequest wanted;
    wanted.id = ConversationId::parse(id).value();
    wanted.by = {owner, identity::Role::user, owner};
    auto const started = control_.run(manager_->start(std::move(wanted)));
    ASSERT_TRUE(started) << started.error().reason;
  }
  // A run that waits; nobody dispatches here. `number`: one digit, of its id.
  std::string enqueue(char number, std::string automation_id = {}) {
    store::RunRow run;
    run.id = "01900000-0000-7000-8000-00000000000" + std::string(1, number);
    run.automation_id = std::move(automation_id);
    run.tenant = {"u", "o"};
    run.owner = "alice";
    run.trigger_source = "manual";
    run.target = "fresh";
    run.wish_json = Secret("a-secret-wish");
    auto const id = run.id;
    std::vector<store::RunRow> runs;
    runs.push_back(std::move(run));
    EXPECT_TRUE(control_.run(rows().enqueue(std::move(runs), 0)));
    return id;
  }
  // Its end, as whoever watched it would write it.
  void end(std::string id, store::RunStatus status, std::string error) {
    store::RunJudge judge = [status, error](store::RunRow const& run) {
      store::RunDecision decision;
      decision.run = run.clone();
      decision.run.status = status;
      decision.run.error_detail = error;
      decision.run.output_tail = "what it said\n";
      decision.run.started_at = run.created_at;
      decision.run.completed_at = run.created_at + std::chrono::milliseconds(1500);
      decision.writes = true;
      decision.tells = true;
      decision.payload = "{}";
      return decision;
    };
    EXPECT_TRUE(control_.run(rows().judge(std::move(id), std::nullopt, std::move(judge))));
  }
  store::AutomationStore& rows() { return backing_.store->automations(); }
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
  std::unique_ptr<automation::Service> automation_;
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

TEST_F(Operators, SeeTheRunsOfAllOwnersNewestFirst) {
  auto const first = enqueue('1');
  auto const second = enqueue('2');
  end(first, store::RunStatus::failed, "exit_code=1\nstderr: it broke");
  auto const list = ask("/api/runs");
  EXPECT_EQ(list.status, 200U) << list.message;
  EXPECT_EQ(at(list, "/results/0/id"), "\"" + second + "\"");
  EXPECT_EQ(at(list, "/results/0/status"), R"("PENDING")");
  EXPECT_EQ(at(list, "/results/0/took_ms"), "null");
  EXPECT_EQ(at(list, "/results/1/status"), R"("FAILED")");
  EXPECT_EQ(at(list, "/results/1/owner"), R"("alice")");
  EXPECT_EQ(at(list, "/results/1/trigger"), R"("manual")");
  EXPECT_EQ(at(list, "/results/1/took_ms"), "1500");
  EXPECT_EQ(at(list, "/results/1/error"), R"("exit_code=1\nstderr: it broke")");
  EXPECT_EQ(at(list, "/total"), "2");
  EXPECT_THAT(list.body, Not(HasSubstr("a-secret-wish")));
}

TEST_F(Operators, ListRunsByStatusAndAutomation) {
  constexpr std::string_view automation = "01900000-0000-4000-8000-0000000000aa";
  auto const own = enqueue('1');
  auto const other = enqueue('2', std::string(automation));
  end(own, store::RunStatus::completed, "");
  EXPECT_EQ(at(ask("/api/runs", "status=COMPLETED"), "/results/0/id"), "\"" + own + "\"");
  EXPECT_EQ(at(ask("/api/runs", "status=COMPLETED"), "/results/1"), "(none)");
  EXPECT_EQ(at(ask("/api/runs", "automation_id=" + std::string(automation)), "/results/0/id"), "\"" + other + "\"");
  EXPECT_EQ(at(ask("/api/runs", "limit=1"), "/results/1"), "(none)");
  for (auto const* query : {"limit=0", "limit=1001", "status=completed", "automation_id=x"})
    EXPECT_EQ(ask("/api/runs", query).status, 400U) << query;
}

TEST_F(Operators, SeeOneRunWithItsDeliveries) {
  auto const id = enqueue('1');
  store::EndpointRow endpoint;
  endpoint.id = "01900000-0000-4000-8000-0000000000ee";
  endpoint.tenant = {"u", "o"};
  endpoint.url = "https://example.org/done";
  endpoint.secrets.emplace_back("a-secret-key");
  ASSERT_TRUE(control_.run(rows().put_endpoint(std::move(endpoint))));
  end(id, store::RunStatus::completed, "");
  auto due = control_.run(rows().claim_deliveries("g", std::chrono::minutes(1), 10));
  ASSERT_TRUE(due);
  ASSERT_EQ(due->size(), 1U);
  store::AutomationStore::DeliveryResult result;
  result.delivery_id = due->front().delivery.id;
  result.fence = due->front().delivery.fence;
  result.attempt.delivery_id = result.delivery_id;
  result.attempt.status_code = 500;
  result.attempt.error = "status 500";
  result.endpoint_id = due->front().delivery.endpoint_id;
  std::vector<store::AutomationStore::DeliveryResult> results;
  results.push_back(std::move(result));
  ASSERT_TRUE(control_.run(rows().record_deliveries(std::move(results))));
  auto const one = ask("/api/runs/" + id);
  EXPECT_EQ(one.status, 200U) << one.message;
  EXPECT_EQ(at(one, "/status"), R"("COMPLETED")");
  EXPECT_EQ(at(one, "/target"), R"("fresh")");
  EXPECT_EQ(at(one, "/stdout_tail"), R"("what it said\n")");
  EXPECT_EQ(at(one, "/attempts_before"), "[]");
  EXPECT_EQ(at(one, "/deliveries/0/to"), R"("endpoint")");
  EXPECT_EQ(at(one, "/deliveries/0/endpoint_id"), R"("01900000-0000-4000-8000-0000000000ee")");
  EXPECT_EQ(at(one, "/deliveries/0/state"), R"("waiting")");
  EXPECT_EQ(at(one, "/deliveries/0/attempts"), "1");
  EXPECT_EQ(at(one, "/deliveries/0/last_error"), R"("status 500")");
  EXPECT_THAT(one.body, Not(testing::ContainsRegex("a-secret-(wish|key)")));
}

TEST_F(Operators, FollowWhatARunSaysUntilItsEnd) {
  auto const id = enqueue('1');
  end(id, store::RunStatus::completed, "");
  auto const answer = ask("/api/runs/" + id + "/output");
  ASSERT_TRUE(answer.stream);
  EXPECT_EQ(answer.content_type, "text/event-stream");
  EXPECT_EQ(control_.run(answer.stream->next()), "event: stdout\ndata: \"what it said\\n\"\n\n");
  EXPECT_THAT(control_.run(answer.stream->next()), testing::StartsWith("event: end\ndata: {\"id\":\"" + id));
  EXPECT_EQ(control_.run(answer.stream->next()), "");
}

TEST_F(Operators, AreToldWhatIsNoRun) {
  auto const id = enqueue('1');
  for (std::string const path : {"/api/runs/01900000-0000-7000-8000-00000000000f", "/api/runs/x", "/api/runs/",
                                 "/api/runs/01900000-0000-7000-8000-00000000000f/output", "/api/runsx"})
    EXPECT_EQ(ask(path).status, 404U) << path;
  EXPECT_EQ(ask("/api/runs/" + id + "/explode").status, 404U);
  EXPECT_EQ(ask("/api/runs", {}, Method::post).status, 405U);
  EXPECT_EQ(ask("/api/runs/" + id, {}, Method::post).status, 405U);
}

}  // namespace
}  // namespace nestgate::app
