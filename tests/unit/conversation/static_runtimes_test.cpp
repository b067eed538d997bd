#include "unit/conversation/manager_fixture.hpp"

namespace nestgate::conversation {
namespace {

using namespace std::chrono_literals;

class StaticRuntimesOfTheApi : public ManagerOnEngine {
 protected:
  StaticRuntime at(std::string_view id, std::string port, std::optional<Secret> key = {}) {
    return {id_of(id), "http://127.0.0.1:" + port, std::move(key), {{"vscode", std::uint16_t{8001}}}};
  }
  Outcome<StaticsChanged> change(std::vector<StaticRuntime> put, std::vector<ConversationId> removed = {}) {
    return control.run(manager().change_statics(std::move(put), std::move(removed)));
  }
  template <class... Fixed>
  static std::vector<StaticRuntime> list(Fixed... fixed) {
    std::vector<StaticRuntime> out;
    (out.push_back(std::move(fixed)), ...);
    return out;
  }
};

TEST_F(StaticRuntimesOfTheApi, AreRememberedWithTheirKeysAndPorts) {
  ASSERT_TRUE(change(list(at("s1", "9001", Secret("own-key")), at("s2", "9002"))));
  close();
  open();
  EXPECT_EQ(gateway().state("s1"), RuntimeState::running);
  EXPECT_TRUE(gateway().record("s1")->session_key.equals("own-key"));
  EXPECT_EQ(gateway().record("s1")->endpoint.port(), 9001);
  ASSERT_EQ(gateway().record("s1")->ports.size(), 1U);
  EXPECT_EQ(gateway().record("s1")->ports[0].number, 8001);
  EXPECT_EQ(gateway().record("s2")->session_key, ring_of()->derive(id_of("s2")));
}

TEST_F(StaticRuntimesOfTheApi, StayGoneOnceTheyAreRemoved) {
  ASSERT_TRUE(change(list(at("s1", "9001"), at("s2", "9002"))));
  ASSERT_TRUE(change({}, {id_of("s1"), id_of("never")}));
  EXPECT_FALSE(manager().find(id_of("s1")));
  EXPECT_FALSE(gateway().record("s1"));
  close();
  open();
  EXPECT_FALSE(manager().find(id_of("s1")));
  EXPECT_TRUE(manager().find(id_of("s2")));
}

TEST_F(StaticRuntimesOfTheApi, KeepTheirStreamsWhenTheyArePutAsTheyAre) {
  ASSERT_TRUE(change(list(at("s1", "9001"))));
  auto const before = gateway().record("s1")->epoch;
  ASSERT_TRUE(change(list(at("s1", "9001"))));
  EXPECT_EQ(gateway().record("s1")->epoch, before);
  ASSERT_TRUE(change(list(at("s1", "9003"))));
  EXPECT_GT(gateway().record("s1")->epoch, before);
}

TEST_F(StaticRuntimesOfTheApi, AreAsBeforeWhenTheyCannotBeRemembered) {
  ASSERT_TRUE(change(list(at("s1", "9001"))));
  std::filesystem::rename(folder.path() / "nestgate.db", folder.path() / "away");
  EXPECT_EQ(change(list(at("s1", "9002"), at("s2", "9003"))).error().fault.kind, FaultKind::unavailable);
  EXPECT_FALSE(change({}, {id_of("s1")}));
  std::filesystem::rename(folder.path() / "away", folder.path() / "nestgate.db");
  EXPECT_EQ(gateway().record("s1")->endpoint.port(), 9001);
  EXPECT_FALSE(manager().find(id_of("s2")));
}

TEST_F(StaticRuntimesOfTheApi, TakeNoPlaceOfAConversation) {
  settings.conversations_max = 1;
  ASSERT_TRUE(change(list(at("s1", "9001"), at("s2", "9002"))));
  EXPECT_TRUE(start("c1"));
  EXPECT_EQ(start("c2").error().fault.kind, FaultKind::overloaded);
}

TEST_F(StaticRuntimesOfTheApi, AnswerForEachOfABatch) {
  ASSERT_TRUE(start("c1"));
  ASSERT_TRUE(control.run(manager().put_static(at("settings", "9009"))));
  auto const outcomes = change(list(at("s1", "9001"), at("c1", "9002"), at("settings", "9003"),
                                    StaticRuntime{id_of("s2"), "https://h/path", std::nullopt, {}}));
  ASSERT_TRUE(outcomes);
  ASSERT_EQ(outcomes->put.size(), 4U);
  EXPECT_TRUE(outcomes->put[0]);
  EXPECT_EQ(outcomes->put[1].error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(outcomes->put[2].error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(outcomes->put[3].error().fault.kind, FaultKind::bad_input);
  EXPECT_EQ(gateway().record("settings")->endpoint.port(), 9009);
  EXPECT_FALSE(manager().find(id_of("s2")));
}

TEST_F(StaticRuntimesOfTheApi, ArePublishedOnceTheirNameIsFound) {
  ASSERT_TRUE(change(list(StaticRuntime{id_of("s1"), "http://localhost:9001", std::nullopt, {}})));
  wait_for("s1", RuntimeState::running);
  EXPECT_EQ(gateway().record("s1")->endpoint.port(), 9001);
}

TEST_F(StaticRuntimesOfTheApi, OverHttpsAreCalledByTheirNameAndSoAreTheirPorts) {
  settings.nested_tls = std::make_shared<ClientTls const>();
  ASSERT_TRUE(
      change(list(StaticRuntime{id_of("s1"), "https://localhost:9001", std::nullopt, {{"vscode", std::uint16_t{443}}}},
                  StaticRuntime{id_of("s2"), "https://127.0.0.1/", std::nullopt, {}})));
  wait_for("s1", RuntimeState::running);
  auto const at = [](std::uint16_t port) { return asio::ip::tcp::endpoint(asio::ip::address_v4::loopback(), port); };
  auto const named = gateway().record("s1");
  EXPECT_EQ(named->endpoint, upstream::Place(at(9001), "localhost:9001", settings.nested_tls));
  EXPECT_EQ(named->ports.at(0).endpoint, upstream::Place(at(443), "localhost", settings.nested_tls));
  EXPECT_EQ(gateway().record("s2")->endpoint, upstream::Place(at(443), "127.0.0.1", settings.nested_tls));
  close();
  open();
  EXPECT_EQ(gateway().record("s2")->endpoint.authority, "127.0.0.1");
}

TEST_F(StaticRuntimesOfTheApi, AreNeverStartedStoppedPausedOrReconciled) {
  settings.reconcile_pause = 1ms;
  settings.when_idle = WhenIdle::stop;
  settings.idle_time_max = 0ms;
  settings.idle_sweep = 1ms;
  ASSERT_TRUE(change(list(at("s1", "9001"))));
  EXPECT_EQ(stop("s1").error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(pause("s1").error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(control.run(manager().remove(id_of("s1"))).error().fault.kind, FaultKind::conflict);
  EXPECT_EQ(control.run(manager().reconfigure(id_of("s1"), full_configuration())).error().fault.kind, FaultKind::conflict);
  int rounds = 0;
  control.run_until([&] { return ++rounds > 100; });
  EXPECT_EQ(gateway().state("s1"), RuntimeState::running);
  EXPECT_TRUE(engine.calls.empty());
}

TEST_F(StaticRuntimesOfTheApi, AreNobodysToStart) {
  ASSERT_TRUE(change(list(at("s1", "9001"))));
  EXPECT_EQ(start("s1", "alice").error().fault.kind, FaultKind::conflict);
}

}  // namespace
}  // namespace nestgate::conversation
