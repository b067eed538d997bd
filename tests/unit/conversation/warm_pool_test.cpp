#include "unit/conversation/manager_fixture.hpp"

namespace nestgate::conversation {
namespace {

using namespace std::chrono_literals;
using test::Reply;

class ConversationWarmPool : public ManagerOnEngine {
 protected:
  ConversationWarmPool() {
    engine.traits.assigns = true;
    settings.warm_runtimes = 2;
    // A dormant server that takes its key at the first call.
    server.on("POST /api/init", Reply{200, R"({"status":"ready"})"});
    server.on("GET /api/init", Reply{200, R"({"status":"ready"})"});
  }
  std::vector<ConversationId> warm_ones() const {
    std::vector<ConversationId> out;
    for (auto const& [id, found] : engine.there)
      if (id.starts_with("nestgate-warm-")) out.push_back(found.id);
    return out;
  }
  void wait_full() {
    control.run_until([&] { return manager().stats().warm_ready.read() == settings.warm_runtimes; });
  }
};

TEST_F(ConversationWarmPool, IsFilledWithDormantServersThatEachHaveAKeyOfTheirOwn) {
  gateway();
  wait_full();
  ASSERT_EQ(warm_ones().size(), 2U);
  EXPECT_THAT(engine.made_as, testing::Each(runtime::Spec::Wakefulness::dormant));
  auto const keys = engine.keys;
  EXPECT_NE(keys.at(warm_ones()[0].canonical()), keys.at(warm_ones()[1].canonical()));
  EXPECT_GE(keys.at(warm_ones()[0].canonical()).size(), 32U);
  EXPECT_EQ(row(warm_ones()[0].text())->purpose, "warm");
  EXPECT_TRUE(manager().list(ops, 10, std::nullopt).views.empty());
}

TEST_F(ConversationWarmPool, GivesOneToANewConversationAndMakesAnother) {
  gateway();
  wait_full();
  auto const before = warm_ones();
  auto const started = start("c1");
  ASSERT_TRUE(started) << started.error().reason;
  EXPECT_EQ(engine.count("assign c1"), 1U);
  EXPECT_EQ(engine.count("create c1"), 0U);
  EXPECT_EQ(manager().stats().warm_starts.read(), 1U);
  EXPECT_EQ(started->view.session_key, ring_of()->derive(id_of("c1")));
  auto const requests = server.requests();
  auto const told =
      std::find_if(requests.begin(), requests.end(), [](auto const& r) { return r.line() == "POST /api/init"; });
  ASSERT_NE(told, requests.end());
  EXPECT_NE(told->body.find(ring_of()->derive(id_of("c1")).reveal()), std::string::npos);
  wait_full();
  EXPECT_EQ(warm_ones().size(), 2U);
  EXPECT_FALSE(row(before.front().text()) && row(before.back().text())) << "what was given away is no warm one any more";
}

TEST_F(ConversationWarmPool, ThoseThatWereGivenAwayAreToldTheirKeyAgainWhenTheyAreStartedAgain) {
  settings.warm_runtimes = 1;
  gateway();
  wait_full();
  auto const boot_key = engine.keys.at(warm_ones().front().canonical());
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(stop("c1"));
  auto const again = start("c1");
  ASSERT_TRUE(again) << again.error().reason;
  EXPECT_EQ(again->view.session_key, ring_of()->derive(id_of("c1"))) << "the boot key is no session key";
  auto requests = server.requests();
  std::erase_if(requests, [](auto const& request) { return request.line() != "POST /api/init"; });
  ASSERT_EQ(requests.size(), 2U);
  EXPECT_EQ(requests.back().value("x-init-api-key"), boot_key);
  EXPECT_NE(requests.back().body.find(ring_of()->derive(id_of("c1")).reveal()), std::string::npos);
  ASSERT_TRUE(pause("c1"));
  server.on("POST /api/init", Reply{400, R"({"detail":"not dormant"})"});
  server.on("GET /api/init", Reply{200, R"({"state":"ready"})"});
  ASSERT_TRUE(resume("c1")) << "one that was frozen knows its key";
  EXPECT_EQ(gateway().state("c1"), RuntimeState::running);
}

TEST_F(ConversationWarmPool, FallsBackToMakingOneWhenNoneCanBeAssigned) {
  gateway();
  wait_full();
  engine.assign_failure = Failure{Fault{FaultKind::conflict}, "assign: it has files"};
  ASSERT_TRUE(start("c1"));
  EXPECT_EQ(engine.count("create c1"), 1U);
  EXPECT_EQ(manager().stats().warm_starts.read(), 0U);
}

TEST_F(ConversationWarmPool, DropsOnesThatEnd) {
  gateway();
  wait_full();
  auto const dead = warm_ones().front();
  engine.die(dead, "exited with status 1");
  EXPECT_EQ(manager().stats().warm_ready.read(), 1);
  control.run_until([&] { return !row(dead.text()); });
  ASSERT_TRUE(start("c1"));
  EXPECT_EQ(gateway().state("c1"), RuntimeState::running);
}

TEST_F(ConversationWarmPool, IsRidOfOneThatCouldNotBeEndedAtFirst) {
  settings.reconcile_pause = 5ms;
  gateway();
  wait_full();
  auto const before = warm_ones();
  engine.assign_failure = Failure{Fault{FaultKind::unavailable}, "assign: the engine is away"};
  engine.failing_destroys = 1;
  ASSERT_TRUE(start("c1"));
  engine.assign_failure.reset();
  wait_full();
  control.run_until([&] { return warm_ones().size() == settings.warm_runtimes; });
  auto const was_ended = [&](ConversationId const& id) { return !engine.has(id) && !row(id.text()); };
  control.run_until([&] { return std::any_of(before.begin(), before.end(), was_ended); });
}

TEST_F(ConversationWarmPool, IsEndedWithTheGateway) {
  gateway();
  wait_full();
  ASSERT_TRUE(start("c1"));
  close();
  EXPECT_TRUE(warm_ones().empty());
  EXPECT_TRUE(engine.has(id_of("c1")));
}

TEST_F(ConversationWarmPool, IsNotUsedForAKnownConversationOrAWish) {
  settings.warm_runtimes = 1;
  gateway();
  wait_full();
  auto request = request_of("c1");
  request.wish.image = "python:3.12";
  ASSERT_TRUE(control.run(manager().start(std::move(request))));
  EXPECT_EQ(engine.count("create c1"), 1U);
  ASSERT_TRUE(stop("c1"));
  ASSERT_TRUE(start("c1"));
  EXPECT_EQ(engine.count("create c1"), 2U);
  EXPECT_EQ(engine.count("assign c1"), 0U);
  ASSERT_TRUE(start("c2"));
  ASSERT_TRUE(stop("c2"));
  ASSERT_TRUE(start("c2"));
  EXPECT_EQ(engine.count("assign c2"), 1U) << "its files are in the runtime that it had";
}

TEST_F(ConversationWarmPool, IsTriedAgainWhenAServerCannotBeMade) {
  settings.reconcile_pause = 5ms;
  engine.create_failure = Failure{Fault{FaultKind::unavailable}, "create: no room"};
  gateway();
  control.run_until([&] { return engine.calls.size() > 4; });
  engine.create_failure.reset();
  wait_full();
  EXPECT_EQ(warm_ones().size(), 2U);
}

TEST_F(ConversationWarmPool, CountsInNobodysQuota) {
  settings.quota.in_all = 1;
  gateway();
  wait_full();
  EXPECT_TRUE(start("c1"));
}

}  // namespace
}  // namespace nestgate::conversation
