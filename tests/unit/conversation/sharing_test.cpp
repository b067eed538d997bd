#include "unit/conversation/manager_fixture.hpp"

namespace nestgate::conversation {
namespace {

using namespace std::chrono_literals;
using test::Reply;

// Two gateways on one store file, and one engine behind both.
class SharedConversations : public ManagerOnEngine {
 protected:
  void open_both() {
    a = &gateway();
    b = &open();
  }
  void wait_on(Gateway& at, std::string_view id, RuntimeState wanted) {
    control.run_until([&] { return at.is(id, wanted); });
  }
  Gateway* a = nullptr;
  Gateway* b = nullptr;
};

TEST_F(SharedConversations, TwoRacingStartsOfOneIdEndInOneRuntime) {
  open_both();
  auto const first = in_background(a->manager.start(request_of("c1")));
  auto const second = in_background(b->manager.start(request_of("c1")));
  ASSERT_TRUE(value_of(first));
  ASSERT_TRUE(value_of(second));
  EXPECT_EQ(engine.count("create c1"), 1U);
  EXPECT_EQ((*first)->value().view.epoch, (*second)->value().view.epoch);
  EXPECT_EQ((*first)->value().view.session_key, (*second)->value().view.session_key);
  EXPECT_EQ((*first)->value().view.endpoint, (*second)->value().view.endpoint);
  wait_on(*a, "c1", RuntimeState::running);
  wait_on(*b, "c1", RuntimeState::running);
}

TEST_F(SharedConversations, NeverExceedALimitWhoeverStartsThem) {
  settings.quota.in_all = 3;
  open_both();
  std::vector<std::shared_ptr<std::optional<Outcome<Started>>>> starts;
  for (int i = 0; i < 20; ++i) {
    auto& at = i % 2 == 0 ? a->manager : b->manager;
    starts.push_back(in_background(at.start(request_of("c" + std::to_string(i)))));
  }
  int begun = 0;
  for (auto const& one : starts) {
    auto const& started = value_of(one);
    begun += started ? 1 : 0;
    if (!started) EXPECT_EQ(started.error().fault.kind, FaultKind::overloaded) << started.error().reason;
  }
  EXPECT_EQ(begun, 3);
  EXPECT_EQ(engine.most_at_once, 3U);
}

TEST_F(SharedConversations, AreListedOnBoth) {
  open_both();
  ASSERT_TRUE(control.run(a->manager.start(request_of("c1"))));
  wait_on(*b, "c1", RuntimeState::running);
  EXPECT_EQ(b->manager.list(user("alice"), 10, std::nullopt).views.size(), 1U);
  EXPECT_TRUE(b->manager.list(user("bob"), 10, std::nullopt).views.empty());
  EXPECT_EQ(b->record("c1")->endpoint, server.endpoint());
}

TEST_F(SharedConversations, AreStoppedByWhoeverHasThem) {
  open_both();
  ASSERT_TRUE(control.run(a->manager.start(request_of("c1"))));
  wait_on(*b, "c1", RuntimeState::running);
  auto const stopped = control.run(b->manager.stop(id_of("c1")));
  ASSERT_TRUE(stopped);
  EXPECT_EQ(stopped->state, RuntimeState::stopped);
  wait_on(*a, "c1", RuntimeState::stopped);
  EXPECT_EQ(engine.count("destroy c1"), 1U);
}

TEST_F(SharedConversations, ThatStartElsewhereAreStoppedThere) {
  open_both();
  engine.holds_creates = true;
  auto const started = in_background(a->manager.start(request_of("c1")));
  wait_on(*b, "c1", RuntimeState::starting);
  auto const stopped = control.run(b->manager.stop(id_of("c1")));
  ASSERT_TRUE(stopped);
  EXPECT_EQ(value_of(started).error().fault.kind, FaultKind::conflict);
  EXPECT_TRUE(engine.there.empty());
}

TEST_F(SharedConversations, AreStoppedAlsoWhenTheirGatewayIsBusyWithThemAtFirst) {
  open_both();
  ASSERT_TRUE(control.run(a->manager.start(request_of("c1"))));
  wait_on(*b, "c1", RuntimeState::running);
  ASSERT_TRUE(control.run(a->manager.pause(id_of("c1"))));
  engine.holds_creates = true;  // it is gone when it is to go on, so it is made anew
  engine.there.clear();
  auto const resumed = in_background(a->manager.resume(id_of("c1")));
  control.run_until([&] { return engine.count("create c1") == 2; });
  wait_on(*b, "c1", RuntimeState::starting);
  ASSERT_TRUE(control.run(b->manager.stop(id_of("c1"))));
  EXPECT_FALSE(value_of(resumed));
  wait_on(*a, "c1", RuntimeState::stopped);
}

TEST_F(SharedConversations, ThatAreFrozenAtOneAreResumedByWhoeverIsAsked) {
  open_both();
  ASSERT_TRUE(control.run(a->manager.start(request_of("c1"))));
  auto const freeze = [&] {
    EXPECT_TRUE(control.run(a->manager.pause(id_of("c1"))));
    wait_on(*b, "c1", RuntimeState::paused);
    EXPECT_TRUE(b->record("c1")->wakes);
  };
  auto const wait_for_both = [&] {
    wait_on(*a, "c1", RuntimeState::running);
    wait_on(*b, "c1", RuntimeState::running);
  };
  freeze();
  EXPECT_TRUE(control.run(b->manager.resume(id_of("c1"))));
  wait_for_both();
  freeze();
  EXPECT_TRUE(control.run(b->manager.wake(id_of("c1"), Deadline::in(20s))));
  wait_for_both();
  EXPECT_EQ(engine.count("resume c1"), 2U);
  EXPECT_EQ(engine.count("create c1"), 1U);
}

TEST_F(SharedConversations, ThatCannotBeResumedWhereTheyAreFrozenAreSaidToBe) {
  open_both();
  ASSERT_TRUE(control.run(a->manager.start(request_of("c1"))));
  ASSERT_TRUE(control.run(a->manager.pause(id_of("c1"))));
  wait_on(*b, "c1", RuntimeState::paused);
  engine.resume_failure = Failure{Fault{FaultKind::unavailable}, "resume: the engine is away"};
  EXPECT_EQ(control.run(b->manager.resume(id_of("c1"))).error().fault.kind, FaultKind::conflict);
  EXPECT_FALSE(control.run(b->manager.wake(id_of("c1"), Deadline::in(20s))));
  EXPECT_EQ(a->state("c1"), RuntimeState::paused);
}

TEST_F(SharedConversations, ThatTheirGatewayRefusesToResumeAreSaidToBeAtOnce) {
  settings.quota.in_all = 1;
  settings.ready_time_max = 1h;
  open_both();
  ASSERT_TRUE(control.run(a->manager.start(request_of("c1"))));
  ASSERT_TRUE(control.run(a->manager.pause(id_of("c1"))));
  ASSERT_TRUE(control.run(a->manager.start(request_of("c2"))));
  wait_on(*b, "c1", RuntimeState::paused);
  EXPECT_EQ(control.run(b->manager.resume(id_of("c1"))).error().fault.kind, FaultKind::conflict);
}

TEST_F(SharedConversations, KeepTheLastWordOnARouteWhicheverHasIt) {
  open_both();
  auto const put = [&](Gateway& at, std::string url) {
    std::vector<StaticRuntime> one;
    one.push_back({id_of("s1"), std::move(url), std::nullopt, {}});
    EXPECT_TRUE(control.run(at.manager.change_statics(std::move(one), {})));
  };
  auto const remove = [&](Gateway& at) {
    EXPECT_TRUE(control.run(at.manager.change_statics({}, std::vector<ConversationId>{id_of("s1")})));
  };
  put(*a, "http://127.0.0.1:9001");
  wait_on(*b, "s1", RuntimeState::running);
  remove(*a);
  put(*b, "http://127.0.0.1:9001");  // which it may know still
  EXPECT_EQ(control.run(a->backing.store->statics_since(0))->rows.size(), 1U);
  wait_on(*a, "s1", RuntimeState::running);
  wait_on(*b, "s1", RuntimeState::running);
  remove(*a);
  control.run_until([&] { return !b->manager.find(id_of("s1")); });
  put(*a, "http://127.0.0.1:9002");
  remove(*b);  // which it may not know yet
  EXPECT_TRUE(control.run(a->backing.store->statics_since(0))->rows.empty());
}

TEST_F(SharedConversations, ThatAreFrozenAtOneAreStoppedAndRemovedByTheOther) {
  open_both();
  ASSERT_TRUE(control.run(a->manager.start(request_of("c1"))));
  ASSERT_TRUE(control.run(a->manager.pause(id_of("c1"))));
  wait_on(*b, "c1", RuntimeState::paused);
  auto const stopped = control.run(b->manager.stop(id_of("c1")));
  ASSERT_TRUE(stopped);
  EXPECT_EQ(stopped->state, RuntimeState::stopped);
  EXPECT_FALSE(engine.has(id_of("c1")));
  ASSERT_TRUE(control.run(a->manager.start(request_of("c2"))));
  ASSERT_TRUE(control.run(a->manager.pause(id_of("c2"))));
  wait_on(*b, "c2", RuntimeState::paused);
  ASSERT_TRUE(control.run(b->manager.remove(id_of("c2"))));
  EXPECT_FALSE(engine.has(id_of("c2")));
}

TEST_F(SharedConversations, ThatWereRefusedAtOneAreJoinedThereOnceTheyRunAtTheOther) {
  settings.quota.in_all = 1;
  open_both();
  ASSERT_TRUE(control.run(a->manager.start(request_of("c1"))));
  ASSERT_TRUE(control.run(a->manager.stop(id_of("c1"))));
  ASSERT_TRUE(control.run(a->manager.start(request_of("c2"))));
  ASSERT_EQ(control.run(a->manager.start(request_of("c1"))).error().fault.kind, FaultKind::overloaded);
  ASSERT_TRUE(control.run(a->manager.stop(id_of("c2"))));
  ASSERT_TRUE(control.run(b->manager.start(request_of("c1"))));
  wait_on(*a, "c1", RuntimeState::running);
  EXPECT_TRUE(control.run(a->manager.start(request_of("c1"))));
}

TEST_F(SharedConversations, ThatWereLostToAnotherGatewayAreEndedHereWhereNobodyElseCanReachThem) {
  engine.traits.outlives_gateway = false;
  ASSERT_TRUE(start("c1"));
  auto& store = *gateway().backing.store;
  ASSERT_TRUE(control.run(store.renew("z", 1h)));
  ASSERT_TRUE(control.run(store.renew(row("c1")->holder, 0ms)));  // as if this one was suspended
  store::ConversationRow wanted{id_of("c1")};
  wanted.owner = "alice";
  auto const taken = control.run(store.claim(std::move(wanted), "z", {}));
  ASSERT_TRUE(taken);
  ASSERT_EQ(taken->what, store::Claim::What::taken);
  control.run_until([&] { return engine.count("destroy c1") == 1; });
  wait_for("c1", RuntimeState::starting);
}

TEST_F(SharedConversations, ShareTheRoutesThatAreAddedAndRemovedAtOne) {
  open_both();
  std::vector<StaticRuntime> routes;
  for (auto const id : {"s1", "s2"}) routes.push_back({id_of(id), "http://127.0.0.1:9001", Secret("own"), {}});
  ASSERT_TRUE(control.run(a->manager.change_statics(std::move(routes), {})));
  for (auto const id : {"s1", "s2"}) wait_on(*b, id, RuntimeState::running);
  EXPECT_TRUE(b->record("s2")->session_key.equals("own"));
  auto const epochs = std::pair(a->record("s1")->epoch, b->record("s1")->epoch);
  std::vector<StaticRuntime> moved;
  moved.push_back({id_of("s2"), "http://127.0.0.1:9002", std::nullopt, {}});
  ASSERT_TRUE(control.run(b->manager.change_statics(std::move(moved), {})));
  control.run_until([&] { return a->record("s2")->endpoint.port() == 9002; });
  EXPECT_EQ(std::pair(a->record("s1")->epoch, b->record("s1")->epoch), epochs) << "the streams of the other stay";
  std::vector<ConversationId> removed{id_of("s1")};
  ASSERT_TRUE(control.run(b->manager.change_statics({}, std::move(removed))));
  control.run_until([&] { return !a->manager.find(id_of("s1")) && !a->record("s1"); });
  EXPECT_TRUE(a->manager.find(id_of("s2")));
}

TEST_F(SharedConversations, ThatAreStoppedBelongToNobody) {
  settings.reconcile_pause = 2ms;
  open_both();
  ASSERT_TRUE(control.run(a->manager.start(request_of("c1"))));
  ASSERT_TRUE(control.run(a->manager.stop(id_of("c1"))));
  wait_on(*b, "c1", RuntimeState::stopped);
  auto const version_later = [&] {
    int rounds = 0;
    control.run_until([&] { return ++rounds > 200; });
    return control.run(b->backing.store->changes_since(0))->version;
  };
  auto before = version_later();
  for (int i = 0; i < 20 && version_later() != before; ++i) before = version_later();  // what was begun may go on
  EXPECT_EQ(version_later(), before) << "they do not take it from each other";
  ASSERT_TRUE(control.run(b->manager.start(request_of("c1"))));
  wait_on(*a, "c1", RuntimeState::running);
}

TEST_F(SharedConversations, AreNotEndedByAGatewayThatHasNotHeardOfTheirStartYet) {
  settings.follow_pause = 1h;
  settings.reconcile_pause = 1ms;
  open_both();
  ASSERT_TRUE(control.run(b->manager.start(request_of("c1"))));
  ASSERT_TRUE(control.run(b->manager.stop(id_of("c1"))));
  ASSERT_TRUE(control.run(a->manager.start(request_of("c1"))));
  int rounds = 0;
  control.run_until([&] { return ++rounds > 500; });
  EXPECT_TRUE(engine.has(id_of("c1")));
  EXPECT_EQ(engine.count("destroy c1"), 1U);
}

TEST_F(SharedConversations, AreNotRemovedByAGatewayThatHasNotHeardOfTheirStartYet) {
  settings.follow_pause = 1h;
  open_both();
  ASSERT_TRUE(control.run(b->manager.start(request_of("c1"))));
  ASSERT_TRUE(control.run(b->manager.stop(id_of("c1"))));
  ASSERT_TRUE(control.run(a->manager.start(request_of("c1"))));
  auto const removed = control.run(b->manager.remove(id_of("c1")));
  ASSERT_FALSE(removed);
  EXPECT_EQ(removed.error().fault.kind, FaultKind::conflict);
  EXPECT_TRUE(engine.has(id_of("c1")));
  EXPECT_TRUE(control.run(a->backing.store->find(id_of("c1")))->has_value());
}

TEST_F(SharedConversations, ThatAreRemovedAreForgottenByBoth) {
  open_both();
  ASSERT_TRUE(control.run(a->manager.start(request_of("c1"))));
  wait_on(*b, "c1", RuntimeState::running);
  ASSERT_TRUE(control.run(b->manager.remove(id_of("c1"))));
  control.run_until([&] { return !a->manager.find(id_of("c1")) && !a->record("c1"); });
  EXPECT_FALSE(b->manager.find(id_of("c1")));
  EXPECT_FALSE(engine.has(id_of("c1")));
}

TEST_F(SharedConversations, DoNotOpenToAKeyThatWasWithdrawnElsewhere) {
  open_both();
  auto const started = control.run(a->manager.start(request_of("c1")));
  ASSERT_TRUE(started);
  std::string const old_key(started->view.session_key.reveal());
  wait_on(*b, "c1", RuntimeState::running);
  ASSERT_TRUE(b->manager.find_by_key(old_key));
  ASSERT_TRUE(control.run(a->manager.withdraw_key(id_of("c1"))));
  auto const fresh = ring_of()->derive(id_of("c1"), 1);
  control.run_until([&] { return b->record("c1")->accepted(fresh.reveal()) != nullptr; });
  EXPECT_FALSE(b->manager.find_by_key(old_key));
  EXPECT_TRUE(b->manager.find_by_key(fresh.reveal()));
  EXPECT_EQ(b->record("c1")->accepted(old_key), nullptr);
  ASSERT_TRUE(control.run(a->manager.remove(id_of("c1"))));
  control.run_until([&] { return !b->manager.find(id_of("c1")); });
  EXPECT_FALSE(b->manager.find_by_key(old_key));
}

class ConversationsOfADeadGateway : public SharedConversations {
 protected:
  // As if `holder` had started c1 and died, while the first gateway was there; it looks again once all is as it was left.
  void leave_running(std::string const& holder, std::chrono::milliseconds lease) {
    gateway();
    Control elsewhere;
    test::Backing backing(elsewhere, url());
    auto& store = *backing.store;
    ASSERT_TRUE(elsewhere.run(store.renew(holder, lease)));
    store::ConversationRow row{id_of("c1")};
    row.owner = "alice";
    row.purpose = "conversation";
    auto claim = elsewhere.run(store.claim(std::move(row), holder, {}));
    ASSERT_TRUE(claim);
    claim->row.phase = store::Phase::running;
    claim->row.endpoint = "127.0.0.1:" + std::to_string(server.port());
    ASSERT_TRUE(elsewhere.run(store.save(std::move(claim->row))));
    engine.put(id_of("c1"), runtime::Presence::running);
  }
  bool is_taken_over() {
    auto const known = row("c1");
    return known && known->holder != dead_gateway_name() && known->holder != "far-away" &&
           known->phase == store::Phase::running;
  }
};

TEST_F(ConversationsOfADeadGateway, AreTakenOverAtOnceWhenItIsKnownToBeDead) {
  settings.reconcile_pause = 5ms;
  leave_running(dead_gateway_name(), 1h);
  control.run_until([&] { return engine.count("create c1") == 1 && is_taken_over(); });
  wait_for("c1", RuntimeState::running);
  EXPECT_EQ(engine.count("destroy c1"), 0U);
}

TEST_F(ConversationsOfADeadGateway, AreTakenOverWhenItsLeaseIsOver) {
  settings.reconcile_pause = 5ms;
  leave_running("far-away", 50ms);
  control.run_until([&] { return is_taken_over(); });
  wait_for("c1", RuntimeState::running);
}

TEST_F(ConversationsOfADeadGateway, StayItsOwnWhileItsLeaseHolds) {
  settings.reconcile_pause = 1ms;
  leave_running("far-away", 1h);
  wait_for("c1", RuntimeState::running);
  int rounds = 0;
  control.run_until([&] { return ++rounds > 200; });
  EXPECT_EQ(row("c1")->holder, "far-away");
  EXPECT_EQ(engine.count("create c1"), 0U);
}

TEST_F(ConversationsOfADeadGateway, AreReallyStoppedWhenTheyAreTakenOverInTheMiddleOfAStop) {
  settings.reconcile_pause = 20ms;
  leave_running("far-away", 1h);
  wait_for("c1", RuntimeState::running);
  auto const stopped = in_background(manager().stop(id_of("c1")));
  control.run_until([&] { return row("c1")->asked == "stop"; });
  ASSERT_TRUE(control.run(gateway().backing.store->leave("far-away")));
  auto const& view = value_of(stopped);
  ASSERT_TRUE(view);
  EXPECT_EQ(view->state, RuntimeState::stopped);
  EXPECT_FALSE(engine.has(id_of("c1")));
}

TEST_F(ConversationsOfADeadGateway, WarmOnesAreCleanedUp) {
  settings.reconcile_pause = 5ms;
  auto& store = *gateway().backing.store;
  ASSERT_TRUE(control.run(store.renew("far-away", 1h)));
  store::ConversationRow row{id_of("nestgate-warm-1")};
  row.purpose = "warm";
  ASSERT_TRUE(control.run(store.claim(std::move(row), "far-away", {})));
  engine.put(id_of("nestgate-warm-1"), runtime::Presence::running);
  ASSERT_TRUE(control.run(store.leave("far-away")));
  control.run_until([&] { return !engine.has(id_of("nestgate-warm-1")); });
}

}  // namespace
}  // namespace nestgate::conversation
