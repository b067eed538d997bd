#include "unit/conversation/manager_fixture.hpp"

namespace nestgate::conversation {
namespace {

using namespace std::chrono_literals;

class SessionKeys : public ManagerOnEngine {
 protected:
  Secret const first = ring_of()->derive(id_of("c1"));
  Secret const second = ring_of()->derive(id_of("c1"), 1);

  void expect_withdrawn() {
    auto const record = gateway().record("c1");
    EXPECT_EQ(record->accepted(first.reveal()), nullptr);
    EXPECT_NE(record->accepted(second.reveal()), nullptr);
    EXPECT_FALSE(manager().find_by_key(first.reveal()));
    ASSERT_TRUE(manager().find_by_key(second.reveal()));
    EXPECT_EQ(manager().find_by_key(second.reveal())->id, id_of("c1"));
    EXPECT_EQ(manager().client_key(id_of("c1")), second);
  }
};

TEST_F(SessionKeys, ThatAreWithdrawnOpenNothingWhileTheServerKeepsItsOwn) {
  ASSERT_TRUE(start("c1"));
  auto const view = control.run(manager().withdraw_key(id_of("c1")));
  ASSERT_TRUE(view);
  EXPECT_EQ(view->client_key, second);
  EXPECT_EQ(view->session_key, first);
  EXPECT_EQ(gateway().record("c1")->session_key, first);
  EXPECT_EQ(gateway().record("c1")->epoch, view->epoch);
  expect_withdrawn();
}

TEST_F(SessionKeys, ThatAreWithdrawnStayWithdrawnWhenTheGatewayStartsAgain) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(control.run(manager().withdraw_key(id_of("c1"))));
  close();
  open();
  wait_for("c1", RuntimeState::running);
  expect_withdrawn();
  EXPECT_EQ(gateway().record("c1")->session_key, first) << "what its server was started with";
}

TEST_F(SessionKeys, OfTheNextLifeAreTheNewOnes) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(control.run(manager().withdraw_key(id_of("c1"))));
  ASSERT_TRUE(stop("c1"));
  ASSERT_TRUE(start("c1"));
  expect_withdrawn();
  EXPECT_EQ(gateway().record("c1")->session_key, second);
  EXPECT_EQ(engine.keys.at("c1"), second.reveal());
}

TEST_F(SessionKeys, ThatAProviderGivesAreItsOwnUntilTheyAreWithdrawn) {
  engine.own_key = "the-providers-own-key";
  auto const started = start("c1");
  ASSERT_TRUE(started);
  EXPECT_TRUE(started->view.session_key.equals("the-providers-own-key"));
  EXPECT_TRUE(manager().find_by_key("the-providers-own-key"));
  EXPECT_NE(gateway().record("c1")->accepted("the-providers-own-key"), nullptr);
  ASSERT_TRUE(control.run(manager().withdraw_key(id_of("c1"))));
  EXPECT_FALSE(manager().find_by_key("the-providers-own-key"));
  EXPECT_EQ(gateway().record("c1")->accepted("the-providers-own-key"), nullptr);
  EXPECT_TRUE(gateway().record("c1")->session_key.equals("the-providers-own-key"));
}

TEST_F(SessionKeys, LeadNowhereOnceTheConversationIsRemoved) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(control.run(manager().withdraw_key(id_of("c1"))));
  ASSERT_TRUE(control.run(manager().remove(id_of("c1"))));
  EXPECT_FALSE(manager().find_by_key(first.reveal()));
  EXPECT_FALSE(manager().find_by_key(second.reveal()));
}

TEST_F(SessionKeys, CannotBeWithdrawnFromWhatIsNotThere) {
  EXPECT_EQ(control.run(manager().withdraw_key(id_of("c1"))).error().fault.kind, FaultKind::not_found);
  ASSERT_TRUE(control.run(manager().put_static({id_of("s1"), "http://127.0.0.1:9001", std::nullopt, {}})));
  EXPECT_EQ(control.run(manager().withdraw_key(id_of("s1"))).error().fault.kind, FaultKind::conflict);
}

TEST_F(SessionKeys, ThatCannotBeRememberedAsWithdrawnOpenNothingAllTheSame) {
  ASSERT_TRUE(start("c1"));
  auto const held = row("c1");
  auto forgotten = gateway().backing.store->forget(id_of("c1"), held->holder, held->epoch);
  ASSERT_TRUE(control.run(std::move(forgotten)));  // so that its row cannot be written
  EXPECT_FALSE(control.run(manager().withdraw_key(id_of("c1"))));
  EXPECT_EQ(gateway().record("c1")->accepted(first.reveal()), nullptr);
}

}  // namespace
}  // namespace nestgate::conversation
