#include "unit/conversation/manager_fixture.hpp"

namespace nestgate::conversation {
namespace {

using namespace std::chrono_literals;
using test::Reply;

class ConversationQuota : public ManagerOnEngine {
 protected:
  Activity used(std::string_view id, Clock::duration ago) {
    auto const at = Clock::now() - ago;
    return {id_of(id), at, at, 0};
  }
  std::size_t running() const {
    return static_cast<std::size_t>(std::count_if(engine.there.begin(), engine.there.end(), [](auto const& entry) {
      return entry.second.presence == runtime::Presence::running;
    }));
  }
};

TEST_F(ConversationQuota, RefusesBeyondAnOwnersCountAndTwoOwnersDoNotCountForEachOther) {
  settings.quota.of_owner = 1;
  ASSERT_TRUE(start("a1", "alice"));
  auto const refused = start("a2", "alice");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault.kind, FaultKind::overloaded);
  EXPECT_EQ(refused.error().limit, 1U);
  EXPECT_EQ(refused.error().current, 1U);
  EXPECT_TRUE(start("b1", "bob"));
  EXPECT_FALSE(manager().find(id_of("a2"))) << "its client was told";
  EXPECT_FALSE(row("a2"));
  EXPECT_FALSE(gateway().record("a2"));
  EXPECT_EQ(manager().stats().refused_by_quota.read(), 1U);
}

TEST_F(ConversationQuota, CountsAnOrganisationsConversationsWhoeverOwnsThem) {
  settings.quota.of_organisation = 1;
  auto const of = [](std::string id, std::string owner, std::string organisation) {
    auto request = request_of(id, owner);
    request.by.organisation = std::move(organisation);
    return request;
  };
  ASSERT_TRUE(control.run(manager().start(of("a1", "alice", "acme"))));
  auto const second = control.run(manager().start(of("b1", "bob", "acme")));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().fault.kind, FaultKind::overloaded);
  EXPECT_TRUE(control.run(manager().start(of("c1", "carol", "other"))));
  EXPECT_TRUE(control.run(manager().start(of("d1", "dave", ""))));
  EXPECT_TRUE(control.run(manager().start(of("e1", "erin", "")))) << "no organisation is no organisation's";
}

TEST_F(ConversationQuota, ReportsNoOrganisationsQuotaAsFullForWhoHasNone) {
  settings.quota.of_organisation = 1;
  ASSERT_TRUE(start("a1"));
  EXPECT_FALSE(manager().full_quota(user("alice")));
  EXPECT_FALSE(manager().full_quota(user("bob")));
}

TEST_F(ConversationQuota, CountsAllAndUnlimitedIsZero) {
  settings.quota.in_all = 2;
  ASSERT_TRUE(start("c1", "alice"));
  ASSERT_TRUE(start("c2", "bob"));
  EXPECT_EQ(start("c3", "carol").error().fault.kind, FaultKind::overloaded);
  ASSERT_TRUE(manager().full_quota(user("dave")));
  EXPECT_EQ(manager().full_quota(user("dave"))->kind, store::QuotaKind::all);
}

TEST_F(ConversationQuota, IsUnlimitedAtZero) {
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(start("c" + std::to_string(i)));
  EXPECT_FALSE(manager().full_quota(user("alice")));
}

TEST_F(ConversationQuota, RefusesBeyondTheResourcesOfAnOwner) {
  settings.quota.units_of_owner = 4;
  auto const wishing = [](std::string id, std::uint32_t factor) {
    auto request = request_of(id);
    request.wish.resource_factor = factor;
    return request;
  };
  ASSERT_TRUE(control.run(manager().start(wishing("c1", 2))));
  EXPECT_EQ(control.run(manager().start(wishing("c2", 4))).error().fault.kind, FaultKind::overloaded);
  EXPECT_TRUE(control.run(manager().start(wishing("c3", 2))));
}

TEST_F(ConversationQuota, LeavesAKnownOneStoppedWhoseStartIsRefused) {
  settings.quota.in_all = 1;
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(stop("c1"));
  ASSERT_TRUE(start("c2"));
  EXPECT_EQ(start("c1").error().fault.kind, FaultKind::overloaded);
  EXPECT_EQ(gateway().state("c1"), RuntimeState::stopped);
  EXPECT_EQ(gateway().record("c1")->state, RuntimeState::stopped);
  EXPECT_EQ(row("c1")->phase, store::Phase::stopped);
  EXPECT_FALSE(engine.has(id_of("c1")));
  ASSERT_TRUE(stop("c2"));
  EXPECT_TRUE(start("c1"));
}

TEST_F(ConversationQuota, IsNeverExceededByStartsAtOnce) {
  settings.quota.in_all = 3;
  std::vector<std::shared_ptr<std::optional<Outcome<Started>>>> starts;
  for (int i = 0; i < 20; ++i) starts.push_back(in_background(manager().start(request_of("c" + std::to_string(i)))));
  int begun = 0;
  for (auto const& one : starts) {
    auto const& started = value_of(one);
    begun += started ? 1 : 0;
    if (!started) EXPECT_EQ(started.error().fault.kind, FaultKind::overloaded);
  }
  EXPECT_EQ(begun, 3);
  EXPECT_EQ(engine.most_at_once, 3U);
  EXPECT_EQ(manager().list(ops, 100, std::nullopt).views.size(), 3U) << "the refused ones leave nothing";
}

TEST_F(ConversationQuota, ClosesTheLeastRecentlyUsedOneToMakeRoom) {
  settings.quota.in_all = 2;
  settings.at_limit = AtLimit::close_least_recently_used;
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(start("c2"));
  gateway().publisher.used = {used("c1", -1s), used("c2", 1h)};  // c2 is the newer one, and c1 the busier
  ASSERT_TRUE(start("c3"));
  EXPECT_EQ(gateway().state("c1"), RuntimeState::running);
  EXPECT_EQ(gateway().state("c2"), RuntimeState::stopped);
  auto const record = gateway().record("c2");
  EXPECT_EQ(record->closed, Closed::for_room);
  EXPECT_TRUE(record->closed_for_room());
  EXPECT_FALSE(record->wakes);
  EXPECT_EQ(row("c2")->closed, "for_room");
  EXPECT_EQ(manager().stats().closed_for_room.read(), 1U);
  EXPECT_EQ(engine.most_at_once, 2U);
}

TEST_F(ConversationQuota, ClosesOnlyWhatTheSameOwnerHas) {
  settings.quota.of_owner = 1;
  settings.at_limit = AtLimit::close_least_recently_used;
  ASSERT_TRUE(start("b1", "bob"));
  ASSERT_TRUE(start("a1", "alice"));
  ASSERT_TRUE(start("a2", "alice"));
  EXPECT_EQ(gateway().state("b1"), RuntimeState::running);
  EXPECT_EQ(gateway().state("a1"), RuntimeState::stopped);
}

TEST_F(ConversationQuota, ReplacesTheOnlyOneAtALimitOfOne) {
  settings.quota.in_all = 1;
  settings.at_limit = AtLimit::close_least_recently_used;
  for (auto const* id : {"c1", "c2", "c3"}) ASSERT_TRUE(start(id));
  EXPECT_EQ(gateway().state("c1"), RuntimeState::stopped);
  EXPECT_EQ(gateway().state("c2"), RuntimeState::stopped);
  EXPECT_EQ(gateway().state("c3"), RuntimeState::running);
  EXPECT_EQ(engine.most_at_once, 1U);
}

TEST_F(ConversationQuota, CountsOneOnceHoweverOftenItIsStarted) {
  settings.quota.in_all = 2;
  settings.at_limit = AtLimit::close_least_recently_used;
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(start("c2"));
  ASSERT_TRUE(start("c1"));
  auto anew = request_of("c1");
  anew.again = StartRequest::Again::replace;
  ASSERT_TRUE(control.run(manager().start(std::move(anew))));
  ASSERT_TRUE(pause("c1"));
  ASSERT_TRUE(start("c1"));
  EXPECT_EQ(gateway().state("c2"), RuntimeState::running);
  EXPECT_EQ(manager().stats().closed_for_room.read(), 0U);
}

TEST_F(ConversationQuota, NeverClosesOneThatStarts) {
  settings.quota.in_all = 1;
  settings.at_limit = AtLimit::close_least_recently_used;
  engine.holds_creates = true;
  auto const first = in_background(manager().start(request_of("c1")));
  control.run_until([&] { return engine.count("create c1") == 1; });
  EXPECT_EQ(start("c2").error().fault.kind, FaultKind::overloaded);
  engine.let_creates_go();
  EXPECT_TRUE(value_of(first));
  EXPECT_EQ(gateway().state("c1"), RuntimeState::running);
}

TEST_F(ConversationQuota, ClosesNothingForAStartThatCouldNeverFit) {
  settings.quota.units_in_all = 4;
  settings.at_limit = AtLimit::close_least_recently_used;
  ASSERT_TRUE(start("c1"));
  auto request = request_of("c2");
  request.wish.resource_factor = 8;
  auto const refused = control.run(manager().start(std::move(request)));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().fault.kind, FaultKind::bad_input) << "no stop of another would help";
  EXPECT_EQ(refused.error().reason, "resource_factor: 8 is more than the limit of 4");
  EXPECT_EQ(gateway().state("c1"), RuntimeState::running);
  EXPECT_EQ(manager().stats().closed_for_room.read(), 0U);
}

TEST_F(ConversationQuota, ClosesOneAfterTheOtherUntilTheResourcesSuffice) {
  settings.quota.units_in_all = 4;
  settings.at_limit = AtLimit::close_least_recently_used;
  for (auto const* id : {"c1", "c2", "c3", "c4"}) ASSERT_TRUE(start(id));
  auto request = request_of("big");
  request.wish.resource_factor = 2;
  ASSERT_TRUE(control.run(manager().start(std::move(request))));
  EXPECT_EQ(running(), 3U);
  EXPECT_EQ(manager().stats().closed_for_room.read(), 2U);
}

TEST_F(ConversationQuota, EndsAWaitForRoomWhenItIsToldToStop) {
  settings.quota.in_all = 1;
  settings.at_limit = AtLimit::close_least_recently_used;
  ASSERT_TRUE(start("c1", "alice", full_configuration()));  // so that its end begins with a call
  server.on("POST /api/conversations/c1/stop", Reply{200, "{}"});
  auto const second = in_background(manager().start(request_of("c2")));
  control.run_until([&] { return gateway().state("c1") == RuntimeState::stopping; });
  auto const stopped = stop("c2");
  ASSERT_TRUE(stopped) << stopped.error().reason;
  EXPECT_EQ(value_of(second).error().fault.kind, FaultKind::conflict);
  EXPECT_FALSE(engine.has(id_of("c2")));
  EXPECT_FALSE(row("c2"));
  EXPECT_TRUE(start("c3"));
}

}  // namespace
}  // namespace nestgate::conversation
